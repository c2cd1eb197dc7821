//! How a job is written into Redis and read back.

pub mod again;
pub mod element;
mod members;
pub mod stream;

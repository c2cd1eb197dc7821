//! How a job is written into Redis and read back.

pub mod again;
pub mod element;
mod members;
pub mod stream;

/// Names and values of the headers that are carried to the worker.
type Headers = Vec<(Box<str>, Box<str>)>;

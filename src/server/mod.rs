//! Floor 6: HTTP in and out.

pub mod limits;

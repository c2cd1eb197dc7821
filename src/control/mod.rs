//! Floor 1: from the backlog signal to an admission rate.

pub mod settings;

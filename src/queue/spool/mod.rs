//! The spool: a local durable queue that takes over while a backend is away.

pub mod settings;

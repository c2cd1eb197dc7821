//! What workers run in Redis when a job failed: scripts, so that a job is never nowhere.

/// For a job of a stream. What it takes and answers is written at its top.
pub const FAIL_ENTRY: &str = include_str!("fail_entry.lua");

/// For a job of a list. What it takes and answers is written at its top.
pub const FAIL_ELEMENT: &str = include_str!("fail_element.lua");

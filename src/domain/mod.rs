//! Floor 0: the words of the project as types. No I/O, no clock, no randomness.

pub mod backlog;
pub mod bound;
pub mod chance;
pub mod code;
pub mod fair;
pub mod idempotency;
pub mod job;
pub mod tier;
pub mod time;
pub mod totals;
pub mod units;
pub mod verdict;

//! Floor 5: the live parts around the pure law: they read clocks, hold locks and run tasks.

pub mod admission;
pub mod control_loop;
pub mod file_limit;
pub mod file_watch;
pub mod forward;
pub mod gateway;
pub mod held;
pub mod idempotency;
pub mod in_flight;
pub mod lifecycle;
pub mod reload;
pub mod shadow;
pub mod share;
pub mod shutdown;
pub mod signals;
pub mod spool_drain;
pub mod tls;

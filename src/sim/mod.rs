//! Floor 2: a day at the sea wall in a second. The gateway's own law on a virtual clock, against a modelled plant.
//!
//! [`play`](play::play) moves jobs one by one (at high rates a few at a time) through the very [`Regulator`] that the
//! server runs, into queues that modelled workers drain, past a signal that may be late or lost; clients that were
//! refused come back or do not. What happened is a [`Trace`](trace::Trace), its [`Figures`](figures::Figures) are held
//! against the bands of the [`Scenario`](scenario::Scenario).
//!
//! [`Regulator`]: crate::regulator::Regulator

pub mod arrivals;
#[cfg(test)]
mod bands;
pub mod clients;
pub mod document;
pub mod figures;
pub mod law;
pub mod league;
pub mod play;
pub mod plot;
pub mod queue;
mod recorder;
pub mod report;
pub mod rival;
pub mod scenario;
#[cfg(test)]
mod shipped;
pub mod signal;
#[cfg(test)]
mod storms;
pub mod trace;
pub mod workers;

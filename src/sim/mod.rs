//! Floor 2: a day at the sea wall in a second. The gateway's own law on a virtual clock, against a modelled plant.
//!
//! [`play`](play::play) moves jobs one by one (at high rates a few at a time) through the very [`Regulator`] that the
//! server runs, into queues that modelled workers drain, past a signal that may be late or lost; clients that were
//! refused come back or do not. What happened is a [`Trace`](trace::Trace), its [`Figures`](figures::Figures) are held
//! against the bands of the [`Scenario`](scenario::Scenario).
//!
//! | | |
//! |---|---|
//! | [`document`], [`scenario`] | what is played, and the YAML it is read from |
//! | [`plant`] | arrivals, queues, workers, signal, clients |
//! | [`laws`] | the gateway's own law, and five to compare with |
//! | [`play`] | the clock: what happens in each millisecond |
//! | [`trace`], [`figures`] | what happened, and what is measured of it |
//! | [`report`], [`league`], [`plot`] | what is said and drawn of it |
//!
//! [`Regulator`]: crate::regulator::Regulator

pub mod document;
pub mod figures;
pub mod laws;
pub mod league;
pub mod plant;
pub mod play;
pub mod plot;
mod recorder;
pub mod report;
pub mod scenario;
#[cfg(test)]
mod tests;
pub mod trace;

//! The plant: everything that stands around the gate, modelled.

pub mod arrivals;
pub mod clients;
pub mod queue;
pub mod signal;
pub mod workers;

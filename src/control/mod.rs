//! Floor 1: from the backlog signal to an admission rate.

pub mod drain;
pub mod forecast;
pub mod pid;
pub mod rate_controller;
pub mod setpoint;
pub mod settings;
pub mod stretches;
pub mod trend;

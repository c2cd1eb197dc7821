//! tidegate: a backpressure-aware ingestion gateway.
//!
//! The map, one floor above the other; imports go down only (`tests/architecture.rs` decides):
//!
//! | floor | rooms | |
//! |---|---|---|
//! | 0 | [`domain`] | the words as types |
//! | 1 | [`admission`], [`control`], [`yaml`] | gate; drain and rate; YAML with positions |
//! | 2 | [`regulator`], [`policy`], [`sim`] | the law of the tiers; the operators' YAML, compiled; both on a virtual clock |
//! | 3 | [`clock`], [`random`], [`telemetry`] | the world's time and chance; metrics, logs, traces |
//! | 4 | [`queue`] | where accepted jobs are kept |
//! | 5 | [`runtime`] | the live parts: admission, control loop, forwarding, stopping |
//! | 6 | [`server`] | HTTP in and out |
//! | 7 | [`config`], [`app`], [`demo`], [`cli`] | settings, wiring, a flash sale to look at, commands |
//!
//! Floors 0 to 2 are pure: time comes in as a parameter, results go out as values.

pub mod admission;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod demo;
pub mod domain;
pub mod policy;
pub mod queue;
pub mod random;
pub mod regulator;
pub mod runtime;
pub mod server;
pub mod sim;
pub mod telemetry;
pub mod yaml;

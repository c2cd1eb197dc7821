//! Floor 1: may this job come in now, and if not, when.

pub mod decision;
pub mod settings;

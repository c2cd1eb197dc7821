//! Floor 1: may this job come in now, and if not, when.

pub mod checks;
pub mod decision;
pub mod gate;
pub mod retry_after;
pub mod settings;
pub mod shed;
pub mod tenants;
pub mod token_bucket;
pub mod window;

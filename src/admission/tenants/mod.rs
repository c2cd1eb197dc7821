//! What is a tenant's: its own rate over all tiers, and its fair share of a tier under pressure.

pub mod asker;
mod pace;
pub mod quota;
pub mod roll;
pub mod shares;
pub mod terms;

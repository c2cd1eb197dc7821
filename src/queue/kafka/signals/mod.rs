//! What Kafka shows: the backlog of the consumer groups, its age, the groups themselves, and what retention leaves.
//!
//! [`observer`] asks, one question at a time for all tiers, on a thread of its own; [`aside`] asks beside it what changes
//! seldom. What the answers mean is said by values without a client: [`partition`], [`line`],
//! [`retention`], [`past`].

mod aside;
mod ask;
mod fault;
mod line;
mod observer;
mod partition;
mod past;
mod question;
mod retention;

pub use observer::{Observer, Sight, Sights};

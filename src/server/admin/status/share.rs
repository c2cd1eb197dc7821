//! The replicas in `GET /v1/status`: how many there are, and this one's part.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::tier::{Tier, TierMap};
use crate::regulator::report::TickReport;
use crate::runtime::share::Share;
use crate::server::openapi::words;

/// What this gateway has of what all that share its backend let in.
#[derive(Serialize, JsonSchema)]
pub(super) struct ShareStatus {
    #[schemars(schema_with = "words::share_mode")]
    mode: &'static str,
    /// The replicas as this one knows them, itself included.
    replicas: usize,
    /// This one's part of each tier: 1 alone, 0 without a share yet.
    fraction: Fractions,
    /// Seconds since the others' counts were last read; null where they never were. While it grows, each keeps its last
    /// share.
    age_seconds: Option<f64>,
    /// Lines of others that could not be read, since the start.
    unreadable: u64,
}

#[derive(Serialize, JsonSchema)]
struct Fractions {
    p0: f64,
    p1: f64,
    p2: f64,
}

impl ShareStatus {
    pub(super) fn of(share: Option<&Share>, reports: &TierMap<TickReport>) -> ShareStatus {
        let state = share.map(Share::state);
        ShareStatus {
            mode: if share.is_some() { "redis" } else { "alone" },
            replicas: state.map_or(1, |state| state.replicas),
            fraction: Fractions {
                p0: reports[Tier::P0].share,
                p1: reports[Tier::P1].share,
                p2: reports[Tier::P2].share,
            },
            age_seconds: state.and_then(|state| state.age).as_ref().map(Duration::as_secs_f64),
            unreadable: state.map_or(0, |state| state.unreadable),
        }
    }
}

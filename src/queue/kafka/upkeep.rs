//! Watches how well the topics keep jobs: on start, after an outage, and again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::domain::tier::Tier;
use crate::queue::Durability;
use crate::queue::kafka::checks::{Checks, Look};
use crate::queue::kafka::passage::Passage;

/// Runs until dropped.
pub(super) async fn watch(passage: Arc<Passage>, checks: Arc<Checks>) {
    let is_away = || Tier::ALL.into_iter().any(|tier| passage.lanes[tier].outage().is_some());
    loop {
        let mut was_away = is_away();
        for _ in 0..STEPS {
            sleep(STEP).await;
            let away = is_away();
            if was_away && !away {
                break;
            }
            was_away = away;
        }
        // Unreachable brokers are the lanes' outage; what was known of the topics stands.
        if let Ok(look) = checks.look().await {
            note(&passage, &look);
        }
    }
}

/// Takes in what a look at the topics says.
pub(super) fn note(passage: &Passage, look: &Look) {
    for (tier, given) in look.jobs.iter() {
        let durability = given.as_ref().map_or(Durability::Memory, |given| given.durability());
        passage.shared.set_durability(tier, durability);
    }
}

/// How often it is looked whether an outage has ended.
const STEP: Duration = Duration::from_secs(1);

/// After so many of them the topics are looked at anyway.
const STEPS: usize = 10;

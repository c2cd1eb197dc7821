//! The commentary: what the gateway says of itself, whenever a tier's state changes, and its figures every now and then.

use std::time::Duration;

use serde::Deserialize;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::demo::caller::{CallError, Caller};
use crate::demo::voice::Narrator;
use crate::domain::tier::{Tier, TierMap};
use crate::telemetry::diagnosis::amount::{rate, seconds};

/// What `GET /v1/status` says of the tiers, as far as it is told here.
#[derive(Debug, Deserialize)]
pub struct Status {
    tiers: Tiers,
}

#[derive(Debug, Deserialize)]
struct Tiers {
    p0: TierStatus,
    p1: TierStatus,
    p2: TierStatus,
}

/// Of one tier.
#[derive(Debug, Deserialize)]
struct TierStatus {
    depth: u64,
    state: Words,
    flow: Flow,
    latency_seconds: Quantiles,
    retry_after_seconds: Quantiles,
    jobs: Jobs,
}

#[derive(Debug, Deserialize)]
struct Words {
    word: String,
    sentence: String,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Flow {
    demand: f64,
    admitted: f64,
}

#[derive(Debug, Deserialize)]
struct Quantiles {
    count: u64,
    p50: f64,
    p99: f64,
}

#[derive(Debug, Deserialize)]
struct Jobs {
    dead: u64,
}

impl Status {
    /// Asks the gateway.
    ///
    /// # Errors
    /// It does not answer, or not as expected.
    pub async fn of(admin: &Caller) -> Result<Status, CallError> {
        admin.read("/v1/status").await
    }

    /// Jobs that are in the gateway's keeping: waiting, leased or dead.
    pub fn held(&self) -> TierMap<u64> {
        TierMap::from_fn(|tier| self.tier(tier).depth + self.tier(tier).jobs.dead)
    }

    fn tier(&self, tier: Tier) -> &TierStatus {
        match tier {
            Tier::P0 => &self.tiers.p0,
            Tier::P1 => &self.tiers.p1,
            Tier::P2 => &self.tiers.p2,
        }
    }
}

/// Comments until the end is told.
pub async fn comment(admin: Caller, narrator: Narrator, figures: Duration, mut end: watch::Receiver<bool>) {
    let mut look = interval(BETWEEN_LOOKS);
    let mut sum_up =
        interval_at(Instant::from_std(narrator.clock.instant(narrator.begun)) + figures, figures);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sum_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = TierMap::<String>::from_fn(|_| String::new());
    loop {
        let summing = select! {
            _ = end.wait_for(|ended| *ended) => return,
            _ = look.tick() => false,
            _ = sum_up.tick() => true,
        };
        // One that does not come now comes with the next look.
        let Ok(status) = Status::of(&admin).await else { continue };
        if summing {
            narrator.tell("figures", &in_figures(&status));
            continue;
        }
        for tier in Tier::ALL {
            let Words { word, sentence, reason } = &status.tier(tier).state;
            if told[tier] != *word {
                told[tier].clone_from(word);
                narrator.tell(tier.as_priority(), sentence);
                if let Some(reason) = reason {
                    narrator.tell("", reason);
                }
            }
        }
    }
}

/// A line of figures, of the last five seconds; Retry-After and time to answer of the last minute.
fn in_figures(status: &Status) -> String {
    let each = |of: &dyn Fn(&TierStatus) -> Option<String>| {
        let told = Tier::ALL.into_iter().filter_map(|tier| {
            of(status.tier(tier)).map(|figure| format!("{} {figure}", tier.as_priority()))
        });
        told.collect::<Vec<_>>().join(", ")
    };
    let stored = each(&|tier| Some(rate(tier.flow.admitted)));
    let refused = |tier: &TierStatus| tier.flow.demand - tier.flow.admitted;
    let refused = each(&|tier| Some(refused(tier)).filter(|refused| *refused > 0.0).map(rate));
    let returns = each(&|tier| {
        let given = &tier.retry_after_seconds;
        (given.count > 0).then(|| seconds(given.p50))
    });
    let answered =
        format!("P0 answered in {:.1} ms (p99)", 1_000.0 * status.tier(Tier::P0).latency_seconds.p99);
    let refused = if refused.is_empty() { "none".to_owned() } else { refused };
    let returns = if returns.is_empty() { String::new() } else { format!("Retry-After {returns} | ") };
    format!("stored {stored} | refused {refused} | {returns}{answered}")
}

/// Often enough that no state is missed that a person would see.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

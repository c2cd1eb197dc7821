//! The commentary: what the gateway says of itself, whenever a tier's state changes, and its figures every now and then.

use std::time::Duration;

use serde::Deserialize;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::demo::caller::{CallError, Caller};
use crate::demo::voice::Narrator;
use crate::domain::tier::{Tier, TierMap};
use crate::telemetry::diagnosis::amount::{jobs, seconds};

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
    cause: Option<String>,
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
    let mut seen = TierMap::from_fn(|_| Seen::default());
    loop {
        let summing = select! {
            _ = end.wait_for(|ended| *ended) => return,
            _ = look.tick() => false,
            _ = sum_up.tick() => true,
        };
        // One that does not come now comes with the next look.
        let Ok(status) = Status::of(&admin).await else { continue };
        if summing {
            narrator.tell("a second", &in_figures(&status));
            continue;
        }
        for tier in Tier::ALL {
            let Words { word, cause, sentence, reason } = &status.tier(tier).state;
            if seen[tier].is_news(&(word.clone(), cause.clone())) {
                narrator.tell(tier.as_priority(), sentence);
                if let Some(reason) = reason {
                    narrator.tell("", reason);
                }
            }
        }
    }
}

/// What was seen of a tier's state: its word and its cause.
#[derive(Debug, Default)]
struct Seen {
    last: (String, Option<String>),
    told: (String, Option<String>),
}

impl Seen {
    /// Whether this is another state than the one that was told; one that is gone at the next look is none.
    fn is_news(&mut self, now: &(String, Option<String>)) -> bool {
        let stands = self.last == *now;
        self.last.clone_from(now);
        let news = stands && self.told != *now;
        if news {
            self.told.clone_from(now);
        }
        news
    }
}

/// A line of figures: jobs a second over the last five, Retry-After and time to answer over the last minute.
fn in_figures(status: &Status) -> String {
    let each = |of: &dyn Fn(&TierStatus) -> Option<String>| {
        let told = Tier::ALL.into_iter().filter_map(|tier| {
            of(status.tier(tier)).map(|figure| format!("{} {figure}", tier.as_priority()))
        });
        Some(told.collect::<Vec<_>>().join(", ")).filter(|told| !told.is_empty())
    };
    let count = |per_second: f64| (per_second >= 0.5).then(|| jobs(per_second.round() as u64));
    let stored = each(&|tier| count(tier.flow.admitted));
    let refused = each(&|tier| count(tier.flow.demand - tier.flow.admitted));
    let returns = each(&|tier| {
        let given = &tier.retry_after_seconds;
        (given.count > 0).then(|| seconds(given.p50))
    });
    let answered = &status.tier(Tier::P0).latency_seconds;
    format!(
        "stored {}; refused {}; {}P0 answered in {:.0} ms (99 % in {:.0} ms)",
        stored.as_deref().unwrap_or("none"),
        refused.as_deref().unwrap_or("none"),
        returns.map(|returns| format!("told to return in {returns}; ")).unwrap_or_default(),
        1_000.0 * answered.p50,
        1_000.0 * answered.p99
    )
}

/// Often enough that no state is missed that a person would see.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

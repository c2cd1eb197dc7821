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
    // The gateway's own figures are of five seconds: so long they take to tell the new from the old.
    let enough = if figures > FLOW { 6 } else { 4 };
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
            let words = &status.tier(tier).state;
            if seen[tier].is_news(words, enough) {
                narrator.tell(tier.as_priority(), &words.sentence);
                if let (Some("demand" | "drain"), Some(reason)) = (words.cause.as_deref(), &words.reason) {
                    narrator.tell("", reason);
                }
            }
        }
    }
}

/// What was seen of a tier's state: its word, and whether its workers are at fault.
#[derive(Debug, Default)]
struct Seen {
    last: (String, bool),
    told: (String, bool),
    looks: u32,
}

impl Seen {
    /// Whether this is another state than the one that was told, and was seen so many times in a row.
    fn is_news(&mut self, words: &Words, enough: u32) -> bool {
        let now = (words.word.clone(), words.cause.as_deref() == Some("drain"));
        self.looks = if self.last == now { self.looks + 1 } else { 1 };
        self.last = now;
        let news = self.looks >= enough && self.told != self.last;
        if news {
            self.told.clone_from(&self.last);
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

/// The time over which the gateway tells what comes and goes.
const FLOW: Duration = Duration::from_secs(5);

/// Often enough that no state is missed that a person would see.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

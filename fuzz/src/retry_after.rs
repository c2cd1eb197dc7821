//! The ledger of promised returns: every promise within its bounds, and no second promised beyond the spare rate.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use tidegate::admission::retry_after::Promises;
use tidegate::admission::settings::RetryAfterBounds;
use tidegate::domain::time::Moment;
use tidegate::domain::units::Cost;

use super::law;

#[derive(Arbitrary, Debug)]
struct Play {
    seed: u64,
    start: u64,
    spare: u16,
    min_seconds: u16,
    more_seconds: u16,
}

#[derive(Arbitrary, Debug)]
enum Deed {
    /// So many clients are refused at once.
    Refuse {
        clients: u8,
    },
    /// One request of many jobs is refused, not before some time.
    RefuseBatch {
        cost: u32,
        not_before: f64,
    },
    Pass {
        millis: u16,
        long: u8,
    },
    Leap {
        nanos: u64,
    },
    /// The spare rate is now so much.
    Spare {
        rate: f64,
    },
}

/// A ledger with bounds as a policy can have them, and what happens to it.
pub fn run(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(play) = Play::arbitrary(&mut bytes) else { return };
    // Mostly short promises: a long ledger is seldom filled.
    let min = 1 + u64::from(play.min_seconds) % if play.seed % 4 == 0 { 86_400 } else { 3 };
    let max = (min + u64::from(play.more_seconds)).min(86_400);
    let bounds = RetryAfterBounds { min: Duration::from_secs(min), max: Duration::from_secs(max) };
    let mut now = Moment::from_nanos(play.start / 2);
    let mut ledger = Promises::new(play.seed, now);
    let spare = f64::from(play.spare % 1_024) / 16.0;
    ledger.set_spare(spare);
    let plain = play.seed & 2 == 0;
    let mut told = Told { spare, longest: max, plain, back: BTreeMap::new() };
    let counts = |deed: &Deed| !plain || matches!(deed, Deed::Refuse { .. } | Deed::Pass { .. });
    for deed in law::deeds(bytes).filter(counts).take(MOST_DEEDS) {
        match deed {
            Deed::Refuse { clients } => {
                for _ in 0..clients {
                    told.note(promise(&mut ledger, Cost::ONE, 0.0, bounds, now), now);
                }
            }
            Deed::RefuseBatch { cost, not_before } => {
                promise(&mut ledger, Cost::jobs(cost).unwrap_or(Cost::ONE), not_before, bounds, now);
            }
            // Mostly so short that what was promised is still to come.
            Deed::Pass { millis, long } => {
                let millis = if long % 8 == 0 { millis } else { millis % 1_500 };
                now = now.plus(Duration::from_millis(millis.into()));
            }
            Deed::Leap { nanos } => {
                now = Moment::from_nanos(nanos);
            }
            Deed::Spare { rate } => {
                ledger.set_spare(rate);
            }
        }
    }
    told.check();
}

fn promise(
    ledger: &mut Promises,
    cost: Cost,
    not_before: f64,
    bounds: RetryAfterBounds,
    now: Moment,
) -> Duration {
    let after = ledger.promise(cost, not_before, bounds, now);
    assert!(bounds.min <= after && after <= bounds.max, "{after:?} is not within {bounds:?}");
    after
}

/// When clients come back who were told so: in eighths of a second, as the ledger counts.
struct Told {
    spare: f64,
    longest: u64,
    /// Nothing happened but single refusals at one spare rate.
    plain: bool,
    back: BTreeMap<u64, u32>,
}

impl Told {
    fn note(&mut self, after: Duration, now: Moment) {
        let seconds = u64::try_from(after.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX);
        // Beyond this share of the longest promise, and of the ledger, returns are spread and not counted.
        if seconds <= self.longest / 2 && seconds < 1_000 {
            *self.back.entry(now.nanos() / 125_000_000 + 8 * seconds).or_default() += 1;
        }
    }

    fn check(&self) {
        if !self.plain || self.spare < 1.0 {
            return;
        }
        for first in self.back.keys() {
            let second: u32 = self.back.range(first..&(first + 8)).map(|(_, clients)| clients).sum();
            assert!(
                f64::from(second) <= self.spare.ceil() + 8.0,
                "{second} come back within a second of {}",
                self.spare
            );
        }
    }
}

const MOST_DEEDS: usize = 200;

//! What one decision costs: `cargo bench --bench decide`. Goal: a median of at most 150 ns and no allocation.

use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use tidegate::admission::settings::{RetryAfterBounds, ShedSettings};
use tidegate::control::settings::{ControllerSettings, RateBounds, Target};
use tidegate::domain::backlog::{Backlog, Flows, Reading};
use tidegate::domain::tier::{Tier, TierMap, TierSet};
use tidegate::domain::time::Moment;
use tidegate::domain::units::{Cost, Rate};
use tidegate::regulator::Regulator;
use tidegate::regulator::settings::{OnStale, RegulatorSettings, TierSettings};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// An overloaded tier: nine of ten jobs are throttled and promised a return.
#[divan::bench]
fn decide_in_an_overload(bencher: Bencher<'_, '_>) {
    let (mut regulator, mut nanos) = overloaded();
    bencher.bench_local(|| {
        nanos += 1_000;
        regulator.decide(black_box(Tier::P2), Cost::ONE, Moment::from_nanos(nanos))
    });
}

/// A tier with room: every job comes in.
#[divan::bench]
fn decide_with_room(bencher: Bencher<'_, '_>) {
    let mut settings = settings();
    settings.tiers[Tier::P1].target = Target::Depth(u64::MAX);
    let mut regulator = Regulator::new(&settings, 1, Moment::ORIGIN);
    let mut nanos = 0;
    bencher.bench_local(|| {
        nanos += 1_000;
        regulator.decide(black_box(Tier::P1), Cost::ONE, Moment::from_nanos(nanos))
    });
}

/// The look before the body is read.
#[divan::bench]
fn all_shut(bencher: Bencher<'_, '_>) {
    let (mut regulator, mut nanos) = overloaded();
    let tiers = TierSet::only(Tier::P1).with(Tier::P2);
    bencher.bench_local(|| {
        nanos += 1_000;
        regulator.all_shut(black_box(tiers), Moment::from_nanos(nanos))
    });
}

/// One control step of all three tiers.
#[divan::bench]
fn tick(bencher: Bencher<'_, '_>) {
    let (mut regulator, mut nanos) = overloaded();
    let mut stored = 100_000;
    bencher.bench_local(|| {
        nanos += 100_000_000;
        stored += 1_000;
        regulator.tick(TierMap::from_fn(|_| Some(reading(stored, nanos))), Moment::from_nanos(nanos))
    });
}

/// Ten seconds of 10,000 jobs a second at a full target.
fn overloaded() -> (Regulator, u64) {
    let mut regulator = Regulator::new(&settings(), 1, Moment::ORIGIN);
    let mut nanos = 0;
    for step in 0..100 {
        nanos = step * 100_000_000;
        regulator.tick(TierMap::from_fn(|_| Some(reading(step * 1_000, nanos))), Moment::from_nanos(nanos));
    }
    (regulator, nanos)
}

fn reading(stored: u64, nanos: u64) -> Reading {
    Reading {
        backlog: Backlog { waiting: 20_000, ..Backlog::default() },
        flows: Flows { stored, ..Flows::default() },
        taken: Moment::from_nanos(nanos),
    }
}

fn settings() -> RegulatorSettings {
    let tier = |tier: Tier| TierSettings {
        target: Target::Depth(20_000),
        max_depth: u64::MAX,
        rate: RateBounds { min: Rate::saturating(1.0), max: None, burst: Duration::from_secs(1) },
        shed: Some(ShedSettings { at: u64::MAX, until: 1, unavailable: false }),
        retention: None,
        yields: tier == Tier::P2,
        on_stale: OnStale::Hold,
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_mins(10) },
    };
    RegulatorSettings { controller: ControllerSettings::DEFAULT, tiers: TierMap::from_fn(tier) }
}

//! Retry storms: what the ledger of promised returns does to clients that obey, half-obey, and to those that never return.

use std::time::Duration;

use crate::control::settings::Target;
use crate::domain::tier::Tier;
use crate::sim::figures::Figure;
use crate::sim::laws::LawName;
use crate::sim::play::{Played, play};
use crate::sim::scenario::{Clients, Scenario, Schedule, Workers};

/// When each storm breaks, in seconds.
const BREAKS: f64 = 30.0;

const TIER: Tier = Tier::P1;

/// Half of the drain; ten times the drain more for ten seconds; then 15 % of it. The target is two seconds of drain.
fn storm(drain: f64) -> Scenario {
    let mut scenario = Scenario {
        name: "retry storm".to_owned(),
        duration: Duration::from_secs(240),
        workers: Workers { rate: Schedule::constant(drain), ..Workers::default() },
        clients: Clients { obey: 1.0, ..Clients::default() },
        ..Scenario::default()
    };
    let offered = [(0.0, 0.5), (BREAKS, 10.5), (BREAKS + 10.0, 0.15)];
    scenario.tiers[TIER].offered = schedule(&offered.map(|(from, share)| (from, share * drain)));
    scenario.regulator.tiers[TIER].target = Target::Depth((2.0 * drain) as u64);
    scenario
}

fn schedule(steps: &[(f64, f64)]) -> Schedule {
    let steps = steps.iter().map(|(from, value)| (Duration::from_secs_f64(*from), *value));
    Schedule::new(steps.collect()).unwrap()
}

/// What came of a storm, with what the ideal gate would have made of it.
#[derive(Debug)]
struct Storm {
    /// Requests per job.
    requests: f64,
    least_requests: f64,
    return_peak: f64,
    /// Seconds from the break of the storm until all were in, over those of the ideal gate.
    finished: f64,
    obedient_finished: f64,
    admitted_share: f64,
}

fn weather(scenario: &Scenario) -> Storm {
    let played = play(scenario, LawName::Tidegate);
    let figures = played.figures[TIER].as_ref().unwrap();
    let value = |figure| figures.value(figure).unwrap_or(f64::NAN);
    let (least_requests, ideal) = ideal(scenario);
    let storm = Storm {
        requests: value(Figure::RequestsPerJob),
        least_requests,
        return_peak: value(Figure::ReturnPeak),
        finished: (value(Figure::Finished) - BREAKS) / ideal,
        obedient_finished: (value(Figure::ObedientFinished) - BREAKS) / ideal,
        admitted_share: value(Figure::AdmittedShare),
    };
    println!("{:40} ideal {ideal:5.1} s {storm:.3?}", scenario.name);
    let longest = scenario.regulator.tiers[TIER].retry_after;
    for slice in played.trace.tiers[TIER].iter().filter(|slice| slice.told.count > 0) {
        assert!(slice.told.least >= longest.min.as_secs_f64(), "{slice:?}");
        assert!(slice.told.most <= longest.max.as_secs_f64(), "{slice:?}");
    }
    storm
}

/// The requests per job and the seconds from the break of the storm of a gate that holds the depth at the target from the
/// first to the last and lets in whoever waits outside: nobody can be let in earlier without passing the target.
fn ideal(scenario: &Scenario) -> (f64, f64) {
    const STEP: f64 = 0.01;
    let target = |drain: f64| match scenario.regulator.tiers[TIER].target {
        Target::Depth(depth) => depth as f64,
        Target::Delay { delay, at_least, at_most } => {
            (drain * delay.as_secs_f64()).clamp(at_least as f64, at_most as f64)
        }
    };
    let (mut depth, mut outside, mut refused, mut offered, mut last) = (0.0_f64, 0.0_f64, 0.0, 0.0, 0.0);
    for step in 0..(scenario.duration.as_secs_f64() / STEP) as u64 {
        let now = Duration::from_secs_f64(step as f64 * STEP);
        let (drain, arriving) = (scenario.workers.rate.at(now), scenario.tiers[TIER].offered.at(now) * STEP);
        depth = (depth - drain * STEP).max(0.0);
        let before = outside;
        offered += arriving;
        outside += arriving;
        let entering = outside.min((target(drain) - depth).max(0.0));
        outside -= entering;
        depth += entering;
        refused += (outside - before).max(0.0);
        if outside > 1e-6 {
            last = now.as_secs_f64() + STEP;
        }
    }
    (1.0 + refused / offered, last - BREAKS)
}

impl Storm {
    /// The bands of the storm that all obey.
    fn passes(&self) {
        assert!(self.requests <= self.least_requests + 0.10, "{self:?}");
        assert!(self.return_peak <= 1.1, "{self:?}");
        assert!(self.finished <= 1.1, "{self:?}");
    }
}

fn named(name: &str, scenario: Scenario) -> Scenario {
    Scenario { name: name.to_owned(), ..scenario }
}

#[test]
fn who_obeys_returns_once_and_all_are_in_soon_at_any_magnitude() {
    for drain in [20.0, 200.0, 2_000.0, 20_000.0] {
        let storm = weather(&named(&format!("drain {drain}/s"), storm(drain)));
        assert!(storm.requests <= 1.75, "{storm:?}");
        storm.passes();
    }
}

#[test]
fn chance_among_clients_changes_little() {
    for drain in [20.0, 200.0, 2_000.0] {
        for seed in 1..=if drain < 2_000.0 { 10 } else { 3 } {
            let scenario = Scenario { poisson: true, seed, ..storm(drain) };
            weather(&named(&format!("poisson, drain {drain}/s, seed {seed}"), scenario)).passes();
        }
    }
}

#[test]
fn delays_late_signals_and_idle_times_change_little() {
    for seconds in [2, 5, 30] {
        let mut scenario = named(&format!("delay {seconds} s"), storm(2_000.0));
        let delay = Duration::from_secs(seconds);
        scenario.regulator.tiers[TIER].target = Target::Delay { delay, at_least: 400, at_most: 80_000 };
        weather(&scenario).passes();
    }
    for millis in [1_000, 2_000] {
        let mut scenario = named(&format!("signal {millis} ms late"), storm(2_000.0));
        scenario.signal.delay = Duration::from_millis(millis);
        weather(&scenario).passes();
    }
    let mut scenario = named("commits every 5 s, target 10 s of drain", storm(2_000.0));
    scenario.signal.commits_every = Duration::from_secs(5);
    scenario.regulator.tiers[TIER].target = Target::Depth(20_000);
    weather(&scenario).passes();
    let mut scenario = named("after an idle time", storm(2_000.0));
    scenario.tiers[TIER].offered =
        schedule(&[(0.0, 5_000.0), (10.0, 0.0), (BREAKS, 21_000.0), (BREAKS + 10.0, 300.0)]);
    weather(&scenario).passes();
    let mut scenario = named("before any worker was seen", storm(2_000.0));
    scenario.tiers[TIER].offered = schedule(&[(BREAKS, 21_000.0), (BREAKS + 10.0, 300.0)]);
    weather(&scenario).passes();
}

#[test]
fn a_promise_holds_though_the_drain_changes_while_it_is_made() {
    let changing = |name: &str, rates: &[(f64, f64)]| {
        let mut scenario = named(name, storm(2_000.0));
        scenario.workers.rate = schedule(rates);
        scenario.duration = Duration::from_secs(400);
        weather(&scenario)
    };
    // Who was promised a return at the old rate comes at that: it can be no less than the fall.
    let storm = changing("drain falls by half at 5 s", &[(0.0, 2_000.0), (BREAKS + 5.0, 1_000.0)]);
    assert!(storm.finished <= 1.1 && storm.return_peak <= 2.0, "{storm:?}");
    let storm = changing("drain falls by half at 30 s", &[(0.0, 2_000.0), (BREAKS + 30.0, 1_000.0)]);
    assert!(storm.finished <= 1.15 && storm.return_peak <= 2.0, "{storm:?}");
    let storm = changing("drain doubles at 5 s", &[(0.0, 1_000.0), (BREAKS + 5.0, 2_000.0)]);
    assert!(storm.finished <= 1.3 && storm.return_peak <= 1.1, "{storm:?}");
}

#[test]
fn a_storm_longer_than_the_longest_promise_keeps_the_workers_busy() {
    let mut scenario = named("promises of 60 s at most", storm(2_000.0));
    scenario.regulator.tiers[TIER].retry_after.max = Duration::from_secs(60);
    let storm = weather(&scenario);
    assert!(storm.finished <= 1.1 && storm.requests <= 2.0, "{storm:?}");
}

#[test]
fn promises_of_clients_that_never_return_starve_nobody() {
    let mut scenario = named("nobody returns, then 90 % of the drain", storm(2_000.0));
    scenario.clients = Clients::default();
    scenario.tiers[TIER].offered = schedule(&[(0.0, 1_000.0), (BREAKS, 21_000.0), (BREAKS + 10.0, 1_800.0)]);
    let played = play(&scenario, LawName::Tidegate);
    let refused = refused_after(&played, BREAKS + 12.0);
    assert_eq!(refused, (0, 1_800 * 198));
}

#[test]
fn a_promise_that_its_client_keeps_is_kept() {
    let played = play(&storm(2_000.0), LawName::Tidegate);
    // While the storm lasts returns stand in one line with it; from then on rates hold.
    let (refused, requests) = refused_after(&played, BREAKS + 11.0);
    assert!((refused as f64) < 0.05 * requests as f64, "{refused} of {requests}");
}

/// Refusals and requests from this second on.
fn refused_after(played: &Played, second: f64) -> (u64, u64) {
    let from = (second / played.trace.slice.as_secs_f64()) as usize;
    let slices = &played.trace.tiers[TIER][from..];
    let sum = |count: fn(&crate::sim::trace::Slice) -> u64| slices.iter().map(count).sum();
    (sum(crate::sim::trace::Slice::refused), sum(crate::sim::trace::Slice::requests))
}

#[test]
fn where_half_ignore_their_promises_a_short_longest_one_brings_the_others_in() {
    let half = Clients { obey: 0.5, ignore: 0.5, ..Clients::default() };
    let mut scenario = Scenario { clients: half, ..named("half ignore, 60 s at most", storm(2_000.0)) };
    scenario.regulator.tiers[TIER].retry_after.max = Duration::from_secs(60);
    let storm = weather(&scenario);
    assert!(storm.obedient_finished <= 1.5 && storm.admitted_share >= 0.999, "{storm:?}");
}

//! The three tiers together: what is let in, bounded, shed and promised.

use std::time::Duration;

use crate::admission::decision::Reason;
use crate::admission::settings::{RetryAfterBounds, ShedSettings};
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::backlog::{Backlog, Flows};
use crate::domain::units::Rate;
use crate::regulator::report::{Clamp, Signal};
use crate::regulator::settings::{OnStale, TierSettings};

use super::*;

const fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

fn jobs(count: u32) -> Cost {
    Cost::jobs(count).unwrap()
}

/// A fixed target of 1,000 and a bound of 2,000; p1 and p2 shed at 1,500 until 1,200, p2 yields.
fn settings() -> RegulatorSettings {
    let tier = |tier: Tier| TierSettings {
        target: Target::Depth(1_000),
        max_depth: 2_000,
        rate: RateBounds { min: Rate::per_second(1.0).unwrap(), max: None, burst: Duration::from_secs(1) },
        shed: (tier != Tier::P0).then_some(ShedSettings { at: 1_500, until: 1_200, unavailable: true }),
        retention: None,
        yields: tier == Tier::P2,
        on_stale: [OnStale::Hold, OnStale::Floor, OnStale::Shut][usize::from(tier.number())],
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) },
    };
    RegulatorSettings {
        controller: ControllerSettings::DEFAULT,
        tiers: TierMap::from_fn(tier),
        tenants: Arc::default(),
    }
}

fn regulator() -> Regulator {
    Regulator::new(&settings(), 1, at(0))
}

fn reading(depth: u64, stored: u64, millis: u64) -> Option<Reading> {
    Some(Reading {
        backlog: Backlog { waiting: depth, ..Backlog::default() },
        flows: Flows { stored, ..Flows::default() },
        taken: at(millis),
    })
}

fn depths(p0: u64, p1: u64, p2: u64, millis: u64) -> TierMap<Option<Reading>> {
    TierMap::from_fn(|tier| reading([p0, p1, p2][usize::from(tier.number())], 0, millis))
}

fn reason(decision: Decision) -> Option<Reason> {
    match decision {
        Decision::Admitted(_) => None,
        Decision::Refused(refusal) => Some(refusal.reason),
    }
}

fn admitted(regulator: &mut Regulator, tier: Tier, asked: u32, now: Moment) -> usize {
    (0..asked).filter(|_| reason(regulator.decide(tier, Cost::ONE, None, now)).is_none()).count()
}

#[test]
fn an_empty_queue_takes_a_sudden_burst_up_to_its_target() {
    let mut regulator = regulator();
    assert_eq!(admitted(&mut regulator, Tier::P1, 5_000, at(0)), 1_000);
    assert_eq!(reason(regulator.decide(Tier::P1, Cost::ONE, None, at(0))), Some(Reason::Throttled));
}

#[test]
fn clients_that_stop_for_ten_minutes_find_the_window_open_again() {
    let mut regulator = regulator();
    assert_eq!(admitted(&mut regulator, Tier::P1, 5_000, at(0)), 1_000);
    for millis in (100..600_000).step_by(100) {
        let mut readings = TierMap::default();
        readings[Tier::P1] = reading(0, 1_000, millis);
        regulator.tick(readings, at(millis));
    }
    assert!(admitted(&mut regulator, Tier::P1, 5_000, at(600_000)) >= 1_000);
}

#[test]
fn a_cost_must_fit_into_the_window_as_a_whole() {
    let mut regulator = regulator();
    assert_eq!(reason(regulator.decide(Tier::P1, jobs(1_051), None, at(0))), Some(Reason::Throttled));
    assert_eq!(reason(regulator.decide(Tier::P1, jobs(1_050), None, at(0))), None);
}

#[test]
fn the_bound_holds_between_readings() {
    let mut regulator = regulator();
    let mut open = settings();
    open.tiers[Tier::P0].target = Target::Depth(1_000_000);
    regulator.apply(&open, at(0));
    regulator.tick(depths(1_990, 0, 0, 1), at(1));
    assert_eq!(admitted(&mut regulator, Tier::P0, 100, at(2)), 10);
    assert_eq!(reason(regulator.decide(Tier::P0, Cost::ONE, None, at(2))), Some(Reason::QueueFull));
}

#[test]
fn a_tier_is_shed_from_its_threshold_until_well_below_it() {
    let mut regulator = regulator();
    let mut shed_at = |depth, millis| {
        regulator.tick(depths(0, depth, 0, millis), at(millis));
        reason(regulator.decide(Tier::P1, Cost::ONE, None, at(millis)))
    };
    assert_eq!(shed_at(1_499, 1), Some(Reason::Throttled));
    assert_eq!(shed_at(1_500, 2), Some(Reason::Shed { unavailable: true }));
    assert_eq!(shed_at(1_200, 3), Some(Reason::Shed { unavailable: true }));
    assert_eq!(shed_at(1_199, 4), Some(Reason::Throttled));
    assert_eq!(shed_at(500, 5), None);
}

#[test]
fn a_yielding_tier_is_shed_while_a_higher_one_is_at_its_bound() {
    let mut regulator = regulator();
    regulator.tick(depths(2_000, 0, 0, 1), at(1));
    assert_eq!(
        reason(regulator.decide(Tier::P2, Cost::ONE, None, at(1))),
        Some(Reason::Shed { unavailable: true })
    );
    assert_eq!(reason(regulator.decide(Tier::P1, Cost::ONE, None, at(1))), None, "p1 does not yield");
    regulator.tick(depths(1_999, 0, 0, 2), at(2));
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(2))), None);
}

#[test]
fn a_lost_signal_is_modelled_for_ten_seconds_and_then_ruled_by_the_policy() {
    let mut regulator = regulator();
    regulator.tick(depths(0, 0, 0, 0), at(0));
    let report = regulator.tick(TierMap::default(), at(10_000))[Tier::P2];
    assert_eq!(report.signal, Signal::Modelled);
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(10_000))), None);
    let reports = regulator.tick(TierMap::default(), at(10_300));
    assert_eq!((reports[Tier::P2].signal, reports[Tier::P2].clamp), (Signal::Stale, Clamp::Stale));
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(10_300))), Some(Reason::SignalStale));
    assert_eq!(admitted(&mut regulator, Tier::P1, 100, at(11_300)), 1, "floor is rate.min");
    regulator.tick(depths(0, 0, 0, 11_400), at(11_400));
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(11_400))), None);
}

#[test]
fn a_tier_that_spools_is_bounded_by_nothing_here_until_a_reading_has_its_jobs() {
    let mut regulator = regulator();
    regulator.tick(depths(0, 0, 0, 0), at(0));
    let bulk = TierSet::only(Tier::P2);
    let spooling = regulator.tick_beside_spool(TierMap::default(), bulk, at(20_000));
    assert_eq!(spooling.map(|_, report| report.spooling), (false, false, true).into());
    assert_eq!(admitted(&mut regulator, Tier::P2, 5_000, at(20_000)), 5_000, "whatever bounds it otherwise");
    assert_eq!(reason(regulator.decide(Tier::P0, jobs(1_100), None, at(20_000))), Some(Reason::Throttled));
    let back = regulator.tick(TierMap::default(), at(20_100))[Tier::P2];
    assert!(back.spooling && !back.full && !back.shedding, "no reading yet: {back:?}");
    let mut readings = depths(0, 0, 0, 20_150);
    readings[Tier::P2] = reading(4_900, 4_900, 20_150);
    let law = regulator.tick(readings, at(20_200))[Tier::P2];
    assert_eq!((law.predicted_depth, law.spooling, law.full), (5_000.0, false, true), "100 are in flight");
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(20_200))), Some(Reason::QueueFull));
}

#[test]
fn others_do_not_yield_to_a_tier_that_spools() {
    let mut regulator = regulator();
    regulator.tick(depths(2_000, 0, 0, 1), at(1));
    regulator.tick_beside_spool(depths(2_000, 0, 0, 2), TierSet::only(Tier::P0), at(2));
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(2))), None);
    regulator.tick(depths(2_000, 0, 0, 3), at(3));
    assert!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(3))).is_some());
}

#[test]
fn without_a_first_reading_a_new_queue_fills_to_its_target_and_then_waits_for_the_signal() {
    let mut regulator = regulator();
    assert_eq!(regulator.tick(TierMap::default(), at(100))[Tier::P2].signal, Signal::Awaited);
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(100))), None);
    assert_eq!(regulator.tick(TierMap::default(), at(10_300))[Tier::P2].signal, Signal::Stale);
    assert_eq!(reason(regulator.decide(Tier::P2, Cost::ONE, None, at(10_300))), Some(Reason::SignalStale));
}

#[test]
fn after_a_second_without_news_no_more_comes_in_than_workers_sustain_pauses_included() {
    let mut settings = settings();
    // Thresholds and bound count what was stored since, and no drain.
    (settings.tiers[Tier::P1].shed, settings.tiers[Tier::P1].max_depth) = (None, 1_000_000);
    let mut regulator = Regulator::new(&settings, 1, at(0));
    let mut stored = 1_000;
    // A second's pause in every five: 1,000 jobs a second, and 800 sustained.
    for step in 0..600 {
        stored += if step % 50 < 10 { 0 } else { 100 };
        let mut readings = TierMap::default();
        readings[Tier::P1] = reading(1_000, stored, 100 * step);
        regulator.tick(readings, at(100 * step));
    }
    let mut let_in = 0;
    for millis in (60_000..69_000).step_by(100) {
        regulator.tick(TierMap::default(), at(millis));
        let now = admitted(&mut regulator, Tier::P1, 200, at(millis));
        let_in += if millis >= 61_000 { now } else { 0 };
    }
    assert!((6_000..=6_700).contains(&let_in), "{let_in} in 8 s");
    settings.tiers[Tier::P1].on_stale = OnStale::Hold;
    regulator.apply(&settings, at(69_000));
    let before = regulator.tick(TierMap::default(), at(69_000))[Tier::P1];
    let report = regulator.tick(TierMap::default(), at(71_000))[Tier::P1];
    let rate = report.rate.jobs_per_second();
    assert!(report.signal == Signal::Stale && (780.0..=820.0).contains(&rate), "{report:?}");
    assert_eq!(report.terms, before.terms, "a lost signal teaches nothing");
}

#[test]
fn a_commit_that_does_not_come_hides_no_more_than_one_commit_brings() {
    let mut settings = settings();
    settings.tiers[Tier::P0].target = Target::Depth(10_000);
    settings.tiers[Tier::P0].max_depth = 1_000_000;
    let mut regulator = Regulator::new(&settings, 1, at(0));
    let mut least = f64::INFINITY;
    for step in 0..640_u64 {
        let mut readings = TierMap::default();
        let shown = 5_000 * (step / 50).min(10);
        readings[Tier::P0] = reading(10_000, 10_000 + shown, 100 * step);
        least = least.min(regulator.tick(readings, at(100 * step))[Tier::P0].predicted_depth);
    }
    assert!((5_000.0..=5_002.0).contains(&least), "{least}");
}

#[test]
fn a_rate_that_operators_bounded_paces_an_empty_queue_too() {
    let mut settings = settings();
    settings.tiers[Tier::P1].rate.max = Rate::per_second(50.0);
    let mut regulator = Regulator::new(&settings, 1, at(0));
    assert!((50..=55).contains(&admitted(&mut regulator, Tier::P1, 500, at(0))), "a second's burst");
    regulator.tick(depths(0, 0, 0, 1_000), at(1_000));
    assert!((45..=55).contains(&admitted(&mut regulator, Tier::P1, 500, at(1_000))));
}

#[test]
fn a_reading_that_is_not_newer_is_no_news() {
    let mut regulator = regulator();
    regulator.tick(depths(0, 1_000, 0, 50), at(100));
    let report = regulator.tick(depths(0, 0, 0, 50), at(200))[Tier::P1];
    assert_eq!(report.predicted_depth, 1_000.0);
    assert_eq!(report.signal_age, Some(Duration::from_millis(150)));
}

#[test]
fn jobs_in_flight_count_until_the_backend_confirms_them_or_they_are_given_back() {
    let mut regulator = regulator();
    assert_eq!(admitted(&mut regulator, Tier::P0, 300, at(0)), 300);
    let mut readings = depths(0, 0, 0, 50);
    readings[Tier::P0] = reading(100, 100, 50);
    assert_eq!(regulator.tick(readings, at(100))[Tier::P0].predicted_depth, 300.0);
    regulator.give_back(Tier::P0, jobs(50), None, at(110));
    readings[Tier::P0] = reading(250, 250, 150);
    assert_eq!(regulator.tick(readings, at(200))[Tier::P0].predicted_depth, 250.0);
}

#[test]
fn jobs_that_vanish_on_their_way_do_not_fill_the_window_for_good() {
    let mut regulator = regulator();
    assert_eq!(admitted(&mut regulator, Tier::P0, 300, at(0)), 300);
    let mut predicted = 0.0;
    for millis in (100..=21_000).step_by(100) {
        predicted = regulator.tick(depths(0, 0, 0, millis), at(millis))[Tier::P0].predicted_depth;
        assert!(millis > 20_000 || predicted == 300.0, "{millis}: {predicted}");
    }
    assert_eq!(predicted, 0.0);
    assert_eq!(admitted(&mut regulator, Tier::P0, 400, at(21_000)), 400);
    let mut readings = depths(0, 0, 0, 21_100);
    readings[Tier::P0] = reading(400, 400, 21_100);
    assert_eq!(regulator.tick(readings, at(21_100))[Tier::P0].predicted_depth, 400.0);
}

#[test]
fn all_shut_refuses_only_when_every_tier_would_and_then_for_the_most_critical() {
    let mut regulator = regulator();
    let both = TierSet::only(Tier::P1).with(Tier::P2);
    regulator.tick(depths(0, 0, 1_500, 1), at(1));
    assert_eq!(regulator.all_shut(both, None, at(1)), None);
    regulator.tick(depths(0, 1_100, 1_500, 2), at(2));
    assert_eq!(regulator.all_shut(both, None, at(2)).map(|refusal| refusal.reason), Some(Reason::Throttled));
    let p2 = regulator.all_shut(TierSet::only(Tier::P2), None, at(2)).map(|refusal| refusal.reason);
    assert_eq!(p2, Some(Reason::Shed { unavailable: true }));
    assert_eq!(regulator.all_shut(TierSet::EMPTY, None, at(2)), None);
}

#[test]
fn asking_whether_all_are_shut_takes_nothing() {
    let mut regulator = regulator();
    for _ in 0..10_000 {
        assert_eq!(regulator.all_shut(TierSet::only(Tier::P1), None, at(0)), None);
    }
    assert_eq!(admitted(&mut regulator, Tier::P1, 5_000, at(0)), 1_000);
}

#[test]
fn new_settings_take_force_at_once_and_keep_what_was_learned() {
    let mut regulator = regulator();
    let mut stored = 0;
    for millis in (0..5_000).step_by(100) {
        stored += 50;
        let mut readings = TierMap::default();
        readings[Tier::P1] = reading(1_000, stored, millis);
        regulator.tick(readings, at(millis));
    }
    let mut smaller = settings();
    smaller.tiers[Tier::P1].target = Target::Depth(900);
    regulator.apply(&smaller, at(5_000));
    assert_eq!(reason(regulator.decide(Tier::P1, Cost::ONE, None, at(5_000))), Some(Reason::Throttled));
    let report = regulator.tick(TierMap::default(), at(5_000))[Tier::P1];
    assert!((report.drain.jobs_per_second() - 500.0).abs() < 1e-6, "{report:?}");
    regulator.apply(&settings(), at(5_000));
    assert_eq!(reason(regulator.decide(Tier::P1, Cost::ONE, None, at(5_100))), None);
}

#[test]
fn a_return_promised_behind_a_backlog_is_after_the_time_to_work_it_off() {
    let mut regulator = regulator();
    let mut stored = 0;
    for millis in (0..2_000).step_by(100) {
        stored += 10;
        regulator.tick(TierMap::from_fn(|_| reading(1_900, stored, millis)), at(millis));
    }
    let Decision::Refused(refusal) = regulator.decide(Tier::P1, Cost::ONE, None, at(1_900)) else {
        panic!("a tier above its threshold admitted");
    };
    // 701 jobs above `until`, 100 drained a second.
    assert!((6.9..9.0).contains(&refusal.retry_after.as_secs_f64()), "{refusal:?}");
    assert_eq!(refusal.limit.reset, refusal.retry_after);
}

#[test]
fn a_reload_that_does_not_concern_the_promises_changes_none() {
    let told = |reload: bool| {
        let mut regulator = regulator();
        let mut other = settings();
        other.tiers[Tier::P2].target = Target::Depth(500);
        other.tiers[Tier::P1].shed = None;
        let tell = |regulator: &mut Regulator| match regulator.decide(Tier::P1, jobs(50), None, at(100)) {
            Decision::Admitted(_) => None,
            Decision::Refused(refusal) => Some(refusal.retry_after),
        };
        let before: Vec<_> = (0..100).map(|_| tell(&mut regulator)).collect();
        if reload {
            regulator.apply(&other, at(100));
        }
        let after: Vec<_> = (0..100).map(|_| tell(&mut regulator)).collect();
        (before, after)
    };
    let (before, after) = told(true);
    assert_eq!((&before, &after), (&told(false).0, &told(false).1));
    assert!(
        after[0] > before[99].map(|last| last - Duration::from_secs(1)),
        "what was told is kept account of"
    );
}

#[test]
fn a_decision_does_not_allocate() {
    let mut regulator = regulator();
    let names: Vec<String> = (0..50).map(|tenant| format!("tenant-{tenant}")).collect();
    let mut ask = |names: &[String], from: u64| {
        for millis in from..from + 5_000 {
            let tenant = names.get(millis as usize % (names.len() + 1)).map(String::as_str);
            regulator.decide(Tier::P2, Cost::ONE, tenant, at(millis));
        }
    };
    // Who comes for the first time is written down.
    ask(&[], 0);
    ask(&names, 5_000);
    let decisions = allocation_counter::measure(|| ask(&[], 10_000));
    assert_eq!(decisions.count_total, 0);
    let decisions = allocation_counter::measure(|| ask(&names, 15_000));
    assert_eq!(decisions.count_total, 0);
}

#[test]
fn the_law_can_move_between_threads() {
    const fn is_send<T: Send>() {}
    is_send::<Regulator>();
}

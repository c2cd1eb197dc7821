//! One gate: its checks in their order, and what each refusal promises.

use super::*;

const NOW: Moment = Moment::ORIGIN;
const SETTINGS: GateSettings = GateSettings {
    max_depth: 1_000,
    shed: Some(ShedSettings { at: 500, until: 400, unavailable: false }),
    retention: Some(RetentionSettings { shed_at: Duration::from_secs(60), until: Duration::from_secs(120) }),
    retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) },
};

/// Ten jobs a second, ten at once, a window of 200, workers that do ten.
fn opening() -> Opening {
    Opening {
        rate: Rate::per_second(10.0).unwrap(),
        burst: 10.0,
        paced_from: 0.0,
        limit: 200.0,
        drain: 0.0,
        capacity: 10.0,
        expected: 10.0,
        spare: 8.5,
        share: 1.0,
        shut: false,
        spooling: false,
    }
}

fn gate(opening: Opening) -> TierGate {
    TierGate::new(SETTINGS, opening, 1, NOW)
}

fn jobs(count: u32) -> Cost {
    Cost::jobs(count).unwrap()
}

fn limit(decision: Decision) -> RateLimit {
    match decision {
        Decision::Admitted(limit) => limit,
        Decision::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refused(refusal) => refusal,
        Decision::Admitted(limit) => panic!("{limit:?}"),
    }
}

#[test]
fn the_allowance_says_what_is_left_and_when_there_is_more() {
    let mut gate = gate(opening());
    let left = limit(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    assert_eq!(left, RateLimit { quota: 100, remaining: 9, reset: Duration::ZERO });
    let left = limit(gate.decide(Asker::NOBODY, jobs(9), None, NOW));
    assert_eq!(left, RateLimit { quota: 100, remaining: 0, reset: Duration::from_millis(100) });
}

#[test]
fn a_batch_beyond_the_burst_comes_in_and_is_paid_off() {
    let mut gate = gate(opening());
    limit(gate.decide(Asker::NOBODY, jobs(100), None, NOW));
    let refused = refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    assert_eq!(refused.reason, Reason::Throttled);
    assert!(refused.retry_after >= Duration::from_millis(9_100), "{refused:?}");
}

#[test]
fn below_the_pacing_depth_the_bucket_refuses_nobody_and_runs_up_no_debt() {
    let mut gate = gate(Opening { paced_from: 100.0, ..opening() });
    for _ in 0..100 {
        limit(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    }
    assert_eq!(refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW)).reason, Reason::Throttled);
    let later = NOW.plus(Duration::from_millis(101));
    limit(gate.decide(Asker::NOBODY, Cost::ONE, None, later));
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let mut gate = gate(opening());
    limit(gate.decide(Asker::NOBODY, jobs(10), None, NOW));
    gate.give_back(0, jobs(10), NOW);
    assert_eq!((gate.entered(), gate.depth()), (0, 0));
    limit(gate.decide(Asker::NOBODY, jobs(10), None, NOW));
}

#[test]
fn a_refusal_takes_nothing() {
    let mut gate = gate(opening());
    refusal(gate.decide(Asker::NOBODY, jobs(201), None, NOW));
    assert_eq!((gate.entered(), gate.depth()), (0, 0));
    assert_eq!(limit(gate.decide(Asker::NOBODY, jobs(10), None, NOW)).remaining, 0);
}

#[test]
fn the_checks_answer_in_their_order() {
    let mut gate = gate(opening());
    gate.correct(1_000, 1_000.0, NOW);
    let yielding = Some(0.0);
    assert_eq!(refusal(gate.decide(Asker::NOBODY, Cost::ONE, yielding, NOW)).reason, Reason::QueueFull);
    gate.set(Opening { shut: true, ..opening() }, NOW);
    assert_eq!(refusal(gate.decide(Asker::NOBODY, Cost::ONE, yielding, NOW)).reason, Reason::SignalStale);
    gate.set(opening(), NOW);
    gate.correct(500, 500.0, NOW);
    assert_eq!(
        refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW)).reason,
        Reason::Shed { unavailable: false }
    );
    gate.correct(300, 300.0, NOW);
    assert_eq!(refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW)).reason, Reason::Throttled);
}

#[test]
fn while_jobs_are_spooled_no_check_refuses_and_all_are_counted() {
    let mut gate = gate(Opening { shut: true, spooling: true, ..opening() });
    for _ in 0..100 {
        assert!(limit(gate.decide(Asker::NOBODY, jobs(20), Some(1.0), NOW)).remaining > 0);
    }
    assert_eq!((gate.entered(), gate.depth()), (2_000, 2_000));
    assert_eq!((gate.is_full(), gate.is_shedding()), (false, false));
    gate.set(opening(), NOW);
    assert_eq!(refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW)).reason, Reason::QueueFull);
    gate.correct(300, 300.0, NOW);
    assert_eq!(refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW)).reason, Reason::Throttled);
    gate.correct(0, 0.0, NOW);
    limit(gate.decide(Asker::NOBODY, jobs(10), None, NOW.plus(Duration::from_secs(1))));
}

#[test]
fn the_checks_told_are_the_checks_asked() {
    let mut gate = gate(Opening { limit: 600.0, ..opening() });
    for (depth, yields) in [(0, None), (450, None), (500, None), (450, Some(3.0)), (600, None), (1_000, None)]
    {
        gate.correct(depth, depth as f64, NOW);
        let checks = gate.checks(Asker::NOBODY, Cost::ONE, yields, NOW);
        assert_eq!(checks.refusal(), gate.check(Asker::NOBODY, Cost::ONE, yields, NOW), "at {depth}");
        assert_eq!((checks.numbers.depth, checks.numbers.predicted_depth), (depth, depth as f64));
    }
    let failing = |checks: Checks| {
        let failing = checks.verdicts.iter().filter(|(_, reason)| reason.is_some());
        failing.map(|(check, _)| *check).collect::<Vec<_>>()
    };
    let all = gate.checks(Asker::NOBODY, Cost::ONE, Some(3.0), NOW);
    assert_eq!(failing(all), [Check::Bound, Check::Shed, Check::Yields, Check::Window]);
    assert_eq!(all.numbers.not_before, 3.0, "0.1 s to a free place, 3 s to the higher tier's");
    gate.correct(0, 0.0, NOW);
    limit(gate.decide(Asker::NOBODY, jobs(10), None, NOW));
    let paced = gate.checks(Asker::NOBODY, Cost::ONE, None, NOW);
    assert_eq!((failing(paced), paced.numbers.tokens), (vec![Check::Rate], 0.0));
}

#[test]
fn near_the_end_of_the_retention_the_tier_is_shed_until_the_headroom_has_grown() {
    let mut gate = gate(opening());
    let headroom = |left, trend| Some(Headroom { left: Duration::from_secs(left), trend });
    gate.note_headroom(headroom(61, Some(-1.0)));
    limit(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    gate.note_headroom(headroom(59, Some(0.5)));
    assert!(gate.is_shedding());
    let refused = refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    assert_eq!(refused.reason, Reason::Shed { unavailable: false });
    let wait = refused.retry_after.as_secs_f64();
    assert!((122.0..=244.0).contains(&wait), "61 s are missing at half a second a second: {wait}");
    gate.note_headroom(headroom(59, Some(-1.0)));
    let refused = refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    assert!(refused.retry_after >= Duration::from_secs(300), "nobody knows when: {refused:?}");
    let checks = gate.checks(Asker::NOBODY, Cost::ONE, None, NOW);
    assert_eq!(checks.numbers.headroom, headroom(59, Some(-1.0)));
    gate.note_headroom(headroom(119, Some(1.0)));
    refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    gate.note_headroom(headroom(120, Some(1.0)));
    limit(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
}

#[test]
fn a_full_queue_with_idle_workers_spreads_the_returns() {
    let mut gate = gate(Opening { capacity: 0.0, ..opening() });
    gate.correct(1_000, 1_000.0, NOW);
    let refused = refusal(gate.decide(Asker::NOBODY, Cost::ONE, None, NOW));
    assert!(refused.retry_after >= Duration::from_secs(300), "{refused:?}");
}

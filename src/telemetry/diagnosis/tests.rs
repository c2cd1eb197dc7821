//! Scenes of a bad night, and what is said of each.

use super::*;
use crate::domain::backlog::Backlog;
use crate::domain::units::Rate;
use crate::policy::Policy;
use crate::regulator::report::Signal;

/// The built-in policy's law of a tier.
fn law(tier: Tier) -> TierSettings {
    Policy::default().regulator.tiers[tier]
}

fn report(depth: u64, drain: f64) -> TickReport {
    TickReport {
        backlog: Backlog { waiting: depth, ..Backlog::default() },
        signal: Signal::Fresh,
        signal_age: Some(Duration::from_millis(40)),
        target_depth: 80_000.0,
        recent_drain: Rate::saturating(drain),
        ..TickReport::default()
    }
}

/// Asked for and let in, in jobs per second; the rest is shed.
fn flow(demand: f64, admitted: f64) -> Flow {
    Flow { demand, admitted, shed: demand - admitted, ..Flow::default() }
}

fn scene<'a>(tier: Tier, report: &'a TickReport, settings: &'a TierSettings) -> Scene<'a> {
    Scene {
        tier,
        queue: "jobs:bulk",
        report,
        settings,
        flow: Flow::default(),
        usual_drain: Some(600.0),
        returns: Quantiles::default(),
        loudest: None,
        is_embedded: false,
        outage: None,
        spooled: 0,
        yields_to: None,
        deleted_in: None,
        retries: Duration::from_secs(3),
    }
}

#[test]
fn a_shed_tier_says_why_and_when_it_reopens() {
    let report = TickReport { shedding: true, ..report(512_300, 600.0) };
    let settings = law(Tier::P2);
    let returns = Quantiles { count: 9, p50: 12.0, max: 38.0, ..Quantiles::default() };
    let shed = Scene { flow: flow(3_200.0, 0.0), returns, ..scene(Tier::P2, &report, &settings) };
    let said = Diagnosis::of(&shed);
    assert_eq!(
        (said.state, said.severity, said.cause),
        (State::Shed, Severity::Warning, Some(Cause::Demand))
    );
    assert_eq!(
        said.sentence,
        "bulk shed: depth 512,300 above 500,000; reopens below 400,000, in about 3 min at this drain"
    );
    assert_eq!(said.reason.unwrap(), "demand: 3,200/s are asked for, 5.3 times what workers take (600/s)");
    assert_eq!(
        said.refused.unwrap(),
        "100 % of 3,200/s are refused, told to come back in 12 s (median), 38 s at most"
    );
    assert!(said.advice.unwrap().contains("tiers.p2.shed"));
}

#[test]
fn a_fallen_drain_is_told_from_demand() {
    let settings = law(Tier::P2);
    let slow = TickReport { shedding: true, ..report(450_000, 120.0) };
    let said = Diagnosis::of(&Scene { flow: flow(700.0, 0.0), ..scene(Tier::P2, &slow, &settings) });
    assert_eq!(said.cause, Some(Cause::Drain));
    assert_eq!(said.reason.unwrap(), "drain: workers take 120/s; in the last hour 600/s was usual");
    assert!(said.sentence.contains("depth 450,000 once above 500,000"), "{}", said.sentence);

    let stopped = TickReport { full: true, ..report(1_000_000, 0.0) };
    let said = Diagnosis::of(&Scene { flow: flow(700.0, 0.0), ..scene(Tier::P2, &stopped, &settings) });
    assert_eq!((said.state, said.severity), (State::Full, Severity::Critical));
    assert_eq!(
        said.sentence,
        "bulk full: depth 1,000,000 at the hard bound 1,000,000; reopens below it, and no worker takes any"
    );
    assert!(said.reason.unwrap().starts_with("drain: no worker takes jobs"));

    let old = TickReport { shedding: true, ..report(450_000, 600.0) };
    let said = Diagnosis::of(&Scene { flow: flow(30.0, 0.0), ..scene(Tier::P2, &old, &settings) });
    assert_eq!(said.cause, Some(Cause::Backlog), "neither: what waits is from before");
}

#[test]
fn a_lost_signal_names_the_rule_that_holds() {
    let lost = TickReport {
        signal: Signal::Stale,
        signal_age: Some(Duration::from_secs(34)),
        rate: Rate::saturating(10.0),
        ..report(900, 0.0)
    };
    let settings = law(Tier::P1);
    let said = Diagnosis::of(&scene(Tier::P1, &lost, &settings));
    assert_eq!((said.severity, said.cause), (Severity::Critical, Some(Cause::Signal)));
    assert_eq!(
        said.sentence,
        "standard without a signal: the backlog was last read 34 s ago; on_stale is floor: 10/s let in at most"
    );
    let settings = law(Tier::P2);
    let said = Diagnosis::of(&scene(Tier::P2, &lost, &settings));
    assert_eq!((said.state, said.severity), (State::SignalLost, Severity::Warning));
    assert!(said.sentence.ends_with("on_stale is shut: every job is refused"));
}

#[test]
fn an_outage_stands_before_all_else() {
    let report = TickReport { signal: Signal::Stale, shedding: true, ..report(7, 0.0) };
    let settings = law(Tier::P0);
    let away = Scene { outage: Some("the connection is refused"), ..scene(Tier::P0, &report, &settings) };
    let said = Diagnosis::of(&away);
    assert_eq!((said.state, said.severity), (State::Away, Severity::Critical));
    assert_eq!(said.reason.unwrap(), "backend: the connection is refused");
    let full = Diagnosis::of(&Scene { is_embedded: true, outage: Some("the disk is full"), ..away });
    assert_eq!(full.sentence, "critical refused: the queue's file cannot be written; 7 wait in it");
    assert!(full.advice.unwrap().starts_with("make room on the disk of embedded.path"));
    let report = TickReport { spooling: true, ..report };
    let said = Diagnosis::of(&Scene { report: &report, spooled: 1_234, ..away });
    assert_eq!((said.state, said.severity), (State::Spooling, Severity::Warning));
    assert!(said.sentence.ends_with("1,234 so far"));
}

#[test]
fn a_tier_held_at_its_target_is_no_alarm_unless_it_is_critical() {
    let report = report(80_000, 1_000.0);
    let settings = law(Tier::P2);
    let throttled = Scene {
        flow: Flow { demand: 1_500.0, admitted: 1_000.0, throttled: 500.0, ..Flow::default() },
        ..scene(Tier::P2, &report, &settings)
    };
    let said = Diagnosis::of(&throttled);
    assert_eq!((said.state, said.severity), (State::Throttled, Severity::Notice));
    assert_eq!(
        said.sentence,
        "bulk throttled: depth 80,000 of target 80,000; 1,500/s asked for, 1,000/s let in"
    );
    assert_eq!(said.refused.unwrap(), "33 % of 1,500/s are refused");
    let critical = Diagnosis::of(&Scene { tier: Tier::P0, ..throttled });
    assert_eq!(critical.severity, Severity::Critical, "critical work is refused");
    let slowed = Diagnosis::of(&Scene { usual_drain: Some(5_000.0), ..throttled });
    assert_eq!((slowed.severity, slowed.cause), (Severity::Warning, Some(Cause::Drain)), "workers are slow");
}

#[test]
fn a_tenant_beyond_its_quota_is_neither_a_throttled_tier_nor_a_matter_of_workers() {
    let report = report(38, 0.0);
    let settings = law(Tier::P0);
    let flow =
        Flow { demand: 600.0, admitted: 5.0, refused_otherwise: 595.0, over_quota: 595.0, ..Flow::default() };
    let over = Scene { flow, loudest: Some("acme"), ..scene(Tier::P0, &report, &settings) };
    let said = Diagnosis::of(&over);
    assert_eq!(
        (said.state, said.severity, said.cause),
        (State::OverQuota, Severity::Notice, Some(Cause::Quota))
    );
    assert_eq!(
        said.sentence,
        "critical over quota: 595/s of 600/s are beyond their tenant's own rate; all else is taken"
    );
    assert!(said.reason.unwrap().ends_with("acme asks for most"));
    assert!(said.advice.unwrap().contains("tenants.acme.rate"));
    let both = Flow { throttled: 1.0, ..flow };
    assert_eq!(Diagnosis::of(&Scene { flow: both, ..over }).state, State::Throttled, "the tier too");
}

#[test]
fn what_cannot_be_stored_is_the_backends_fault_and_not_the_workers() {
    let report = report(5, 0.0);
    let settings = law(Tier::P1);
    let flow = Flow { demand: 30.0, refused_otherwise: 30.0, unstored: 30.0, ..Flow::default() };
    let said = Diagnosis::of(&Scene { flow, ..scene(Tier::P1, &report, &settings) });
    assert_eq!(
        (said.state, said.severity, said.cause),
        (State::Failing, Severity::Critical, Some(Cause::Backend))
    );
    assert_eq!(said.sentence, "standard failing: 30/s of 30/s could not be stored");

    let flow = Flow { demand: 30.0, refused_otherwise: 30.0, queue_full: 30.0, ..Flow::default() };
    let said = Diagnosis::of(&Scene { flow, ..scene(Tier::P1, &report, &settings) });
    assert_eq!((said.state, said.severity), (State::Full, Severity::Critical));
    assert_eq!(said.sentence, "standard full: the queue holds as many bytes as it may; depth 5");
    assert!(said.advice.unwrap().contains("embedded.max_bytes"));

    let flow = Flow { demand: 30.0, refused_otherwise: 10.0, overloaded: 10.0, ..Flow::default() };
    let said = Diagnosis::of(&Scene { flow, ..scene(Tier::P1, &report, &settings) });
    assert_eq!((said.state, said.cause), (State::Overloaded, Some(Cause::Gateway)));
}

#[test]
fn a_tier_without_room_is_not_calm_because_nobody_asks_this_second() {
    let report = TickReport { target_depth: 200.0, ..report(203, 0.0) };
    let settings = law(Tier::P2);
    let returns = Quantiles { count: 40, ..Quantiles::default() };
    let held = Scene { returns, ..scene(Tier::P2, &report, &settings) };
    assert_eq!((Diagnosis::of(&held).state, Diagnosis::of(&held).refused), (State::Throttled, None));
    let roomy = TickReport { target_depth: 300.0, ..report };
    assert_eq!(Diagnosis::of(&Scene { report: &roomy, ..held }).state, State::Calm);
    assert_eq!(Diagnosis::of(&Scene { returns: Quantiles::default(), ..held }).state, State::Calm);
}

#[test]
fn a_tier_that_yields_names_the_one_it_yields_to() {
    let report = report(100, 5.0);
    let settings = law(Tier::P2);
    let said = Diagnosis::of(&Scene { yields_to: Some(Tier::P0), ..scene(Tier::P2, &report, &settings) });
    assert_eq!((said.state, said.cause), (State::Yielding, Some(Cause::HigherTier)));
    assert!(said.sentence.contains("while critical is at its bound"), "{}", said.sentence);
}

#[test]
fn jobs_that_nobody_takes_are_a_stall_and_a_short_pause_is_none() {
    let settings = law(Tier::P1);
    let waits = |seconds| {
        let mut report = report(12, 0.0);
        report.backlog.oldest_age = Some(Duration::from_secs(seconds));
        Diagnosis::of(&scene(Tier::P1, &report, &settings))
    };
    let stalled = waits(45);
    assert_eq!((stalled.state, stalled.severity), (State::Stalled, Severity::Critical));
    assert_eq!(stalled.sentence, "standard stalled: 12 wait, the oldest for 45 s, and no worker takes any");
    assert_eq!(waits(32).state, State::Calm, "it may wait for its retries");
}

#[test]
fn unread_jobs_about_to_be_deleted_are_told_before_it_is_too_late() {
    let report = report(100, 5.0);
    let settings = law(Tier::P1);
    let within = |minutes: u64| {
        let deleted_in = Some(Duration::from_secs(60 * minutes));
        Diagnosis::of(&Scene { deleted_in, ..scene(Tier::P1, &report, &settings) })
    };
    assert_eq!(
        (within(180).state, within(90).severity, within(5).severity),
        (State::Calm, Severity::Warning, Severity::Critical)
    );
    assert!(within(90).sentence.contains("in 90 min at this pace"));
}

#[test]
fn a_calm_tier_needs_no_cause_and_no_advice() {
    let report = report(120, 250.0);
    let settings = law(Tier::P0);
    let said = Diagnosis::of(&Scene { flow: flow(250.0, 250.0), ..scene(Tier::P0, &report, &settings) });
    assert_eq!((said.state, said.severity), (State::Calm, Severity::Calm));
    assert_eq!(said.sentence, "critical calm: depth 120 of target 80,000; 250/s let in, workers take 250/s");
    assert_eq!((said.cause, said.reason, said.refused, said.advice), (None, None, None, None));
}

#[test]
fn a_pause_between_two_acknowledgements_is_no_end_of_all_work() {
    let (report, settings) = (report(90_000, 0.0), law(Tier::P1));
    let flow = Flow { demand: 900.0, admitted: 300.0, throttled: 600.0, done: 300.0, ..Flow::default() };
    let said =
        Diagnosis::of(&Scene { flow, usual_drain: Some(310.0), ..scene(Tier::P1, &report, &settings) });
    assert_eq!((said.state, said.cause), (State::Throttled, Some(Cause::Demand)));
    assert_eq!(
        said.reason.unwrap(),
        "demand: 900/s are asked for, 3.0 times what workers take (300/s)",
        "not that no worker takes jobs"
    );
}

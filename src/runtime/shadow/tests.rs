//! The candidate beside the acting gate, decision by decision.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};

use crate::admission::decision::Decision;
use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::{Moment, Timestamp};
use crate::domain::units::Cost;
use crate::domain::verdict::Verdict;
use crate::policy::Policy;
use crate::policy::compile::compile;
use crate::regulator::Regulator;
use crate::runtime::shadow::judge::Judge;
use crate::runtime::shadow::sample::{Facts, Payload, Sample, Step};
use crate::runtime::shadow::stand::Stand;
use crate::telemetry::metrics::Metrics;

/// An acting regulator with a candidate beside it, before a queue that takes `drain` jobs of p1 per step.
struct Bench {
    acting: Regulator,
    judge: Judge,
    stored: u64,
    depth: u64,
    millis: u64,
}

impl Bench {
    fn new(acting: &str, candidate: &str) -> Bench {
        let [acting, candidate] = [acting, candidate].map(|text| compile(text, "test").unwrap().policy);
        let regulator = Regulator::new(&acting.regulator, 1, at(0));
        let mut copy = regulator.clone();
        copy.apply(&candidate.regulator, at(0));
        let stand = Arc::new(Stand::new(true, Timestamp::from_millis(0)));
        let metrics = Arc::new(Metrics::new(false).unwrap());
        let judge = Judge::new(stand, Arc::new(candidate), copy, metrics);
        Bench { acting: regulator, judge, stored: 0, depth: 0, millis: 0 }
    }

    /// So many requests within one step, then the step; how often each of the two admitted.
    fn step(&mut self, requests: u64, drain: u64) -> (u64, u64) {
        let (mut acting, mut candidate) = (0, 0);
        for _ in 0..requests {
            let now = at(self.millis);
            let admitted = matches!(
                self.acting.decide(Tier::P1, Cost::ONE, Some("anonymous"), now),
                Decision::Admitted(_)
            );
            let verdict = if admitted { Verdict::Admitted } else { Verdict::Throttled };
            let (_, said) = self.judge.decide(&Sample { acting: verdict, at: now, ..sample("x", b"") });
            acting += u64::from(admitted);
            candidate += u64::from(said == Verdict::Admitted);
        }
        self.stored += acting;
        self.depth = (self.depth + acting).saturating_sub(drain);
        self.millis += 100;
        let now = at(self.millis);
        let reading = Reading {
            backlog: Backlog { waiting: self.depth, ..Backlog::default() },
            flows: Flows { stored: self.stored, ..Flows::default() },
            taken: now,
        };
        let readings = TierMap::from_fn(|tier| (tier == Tier::P1).then_some(reading));
        self.acting.tick(readings, now);
        let real = self.acting.intake();
        self.judge.step(&Step { readings, spooling: TierSet::EMPTY, parts: None, real, at: now });
        (acting, candidate)
    }
}

const fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

fn sample(kind: &'static str, payload: &'static [u8]) -> Sample {
    let mut headers = HeaderMap::new();
    headers.insert("tidegate-type", HeaderValue::from_static(kind));
    let facts = Facts {
        method: Method::POST,
        uri: Uri::from_static("/v1/jobs"),
        headers,
        tenant: Arc::from("anonymous"),
        ceiling: Tier::P0,
    };
    Sample {
        facts: Arc::new(facts),
        payload: Payload::Read(Bytes::from_static(payload)),
        content_length: None,
        tier: Tier::P1,
        acting: Verdict::Admitted,
        at: at(0),
    }
}

fn p1(keys: &str) -> String {
    format!("tiers: {{ p1: {{ max_depth: 100000, {keys} }} }}\n")
}

#[test]
fn a_candidate_that_says_the_same_never_disagrees() {
    let policy = p1("target: { depth: 300 }, shed: { at: 400, until: 200 }");
    let mut bench = Bench::new(&policy, &format!("# other words\n{policy}"));
    let mut admitted = 0;
    for round in 0..600 {
        let (acting, candidate) = bench.step(if round % 90 < 60 { 40 } else { 5 }, 20);
        assert_eq!(acting, candidate, "in round {round}");
        admitted += acting;
    }
    assert!(admitted > 5_000, "{admitted}");
}

#[test]
fn a_candidate_answers_in_the_state_that_is_and_not_in_one_of_its_own_making() {
    // The acting target of 20 is full at once and stays so; a target of 100 always has room beside it.
    let mut bench = Bench::new(&p1("target: { depth: 20 }"), &p1("target: { depth: 200 }"));
    let (mut acting, mut candidate) = (0, 0);
    for _ in 0..100 {
        let admitted = bench.step(10, 0);
        (acting, candidate) = (acting + admitted.0, candidate + admitted.1);
    }
    assert!((15..=25).contains(&acting), "{acting}");
    assert_eq!(candidate, 1_000, "its own admissions never happened: the depth stays at 20");
}

#[test]
fn a_candidate_sees_what_the_acting_gate_let_in_also_where_it_would_not_have() {
    let mut bench = Bench::new(&p1("target: { depth: 5000 }"), &p1("target: { depth: 50 }"));
    let first = bench.step(40, 0);
    assert_eq!(first, (40, 40));
    let mut candidate = 0;
    for _ in 0..50 {
        let (acting, said) = bench.step(10, 0);
        assert_eq!(acting, 10);
        candidate += said;
    }
    assert!(candidate <= 70, "540 jobs stand there: {candidate} let in");
    for _ in 0..60 {
        bench.step(0, 20);
    }
    assert_eq!(bench.step(10, 0), (10, 10), "the workers made room");
}

#[test]
fn a_tier_is_told_by_the_candidates_rules_as_far_as_the_payload_was_read() {
    let candidate =
        "type_from: [\"body:/kind\"]\ndefault_tier: p1\nrules:\n  - { when: { type: bulk }, tier: p2 }\n";
    let mut bench = Bench::new("", candidate);
    let mut said = |payload: Payload| {
        let (tier, verdict) = bench.judge.decide(&Sample { payload, ..sample("x", b"") });
        (tier.map(Tier::as_str), verdict.as_str())
    };
    let read = |text: &'static str| Payload::Read(Bytes::from_static(text.as_bytes()));
    assert_eq!(said(read(r#"{"kind":"bulk"}"#)), (Some("p2"), "admitted"));
    assert_eq!(said(read("{}")), (Some("p1"), "admitted"));
    assert_eq!(said(Payload::Unread), (None, "undecided"));
    assert_eq!(said(Payload::UnreadEvent), (None, "undecided"));
    let mut by_head = Bench::new("", "rules: []\ntype_from: []\n");
    let unread = by_head.judge.decide(&Sample { payload: Payload::Unread, ..sample("x", b"") });
    assert_eq!(unread, (Some(Tier::P1), Verdict::Admitted));
    assert!(Policy::default().reads_payloads());
}

//! Policy documents: every fault has its place, and what compiles can be used.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tidegate::domain::backlog::Reading;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::domain::time::Moment;
use tidegate::domain::units::Cost;
use tidegate::policy::classify::{Head, HeadVerdict};
use tidegate::policy::compile::compile;
use tidegate::policy::{Policy, Requirement};
use tidegate::regulator::Regulator;
use tidegate::yaml::fault::{Faults, Severity};
use tidegate::yaml::node::Place;

use super::law;

/// A document.
pub fn run(data: &[u8]) {
    let Ok(document) = std::str::from_utf8(data) else { return };
    match compile(document, "fuzz") {
        Ok(compiled) => {
            check_faults(document, &compiled.warnings);
            assert!(compiled.warnings.list.iter().all(|fault| fault.severity == Severity::Warning));
            check_policy(document, &compiled.policy);
        }
        Err(faults) => {
            assert!(
                faults.list.iter().any(|fault| fault.severity == Severity::Error),
                "refused for no fault"
            );
            check_faults(document, &faults);
        }
    }
}

/// Each fault says something, and points into the document.
pub fn check_faults(document: &str, faults: &Faults) {
    // YAML breaks its lines as old Macintoshes did too.
    let document = document.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = document.split('\n').collect();
    for fault in &faults.list {
        assert!(!fault.message.is_empty());
        if let Place::Text { line, column } = fault.place {
            let text = line.checked_sub(1).and_then(|line| lines.get(line));
            // A fault may stand at the end of its line, or of the document.
            let length = text.map(|text| text.chars().count());
            let is_within =
                length.is_some_and(|length| (1..=length + 1).contains(&column)) || line == lines.len() + 1;
            assert!(is_within, "{line}:{column} of {} lines, this one of {length:?}: {fault:?}", lines.len());
        }
    }
    assert!(faults.list.is_sorted_by(|one, next| one.place <= next.place), "from top to bottom");
    assert_eq!(faults.to_string().is_empty(), faults.list.is_empty());
}

fn check_policy(document: &str, policy: &Policy) {
    assert_eq!(policy.document, document);
    let again = compile(document, "again").unwrap_or_else(|faults| panic!("{faults}")).policy;
    assert_eq!(again.revision, policy.revision);
    assert_eq!(again.regulator, policy.regulator);
    let _ = policy.unmet_requirements(Some(Requirement::Disk));
    let _ = policy.unfit_queues(&TierMap::from_fn(|_| Some("no".to_owned())));
    classify_odd_jobs(policy);
    let mut regulator = Regulator::new(&policy.regulator, 1, Moment::ORIGIN);
    for tick in 0..20_u64 {
        let now = Moment::ORIGIN.plus(Duration::from_millis(tick * 700));
        let reading = (tick % 3 > 0).then(|| Reading { taken: now, ..Reading::default() });
        let reports = regulator.tick(TierMap::from_fn(|_| reading), now);
        for tier in Tier::ALL {
            law::check_report(&reports[tier], policy.regulator.tiers[tier].rate);
            let cost = Cost::jobs(1 + 50 * tick as u32).unwrap_or(Cost::ONE);
            let decision = law::decide(&mut regulator, tier, cost, Some("acme"), now);
            law::check_decision(decision, policy.regulator.tiers[tier].retry_after);
        }
    }
}

/// The head alone and head with body agree, whatever the rules.
fn classify_odd_jobs(policy: &Policy) {
    let mut headers = HeaderMap::new();
    for round in 0..ODD_FIELDS.len() {
        let (name, value) = ODD_FIELDS[round];
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
        let uri = Uri::from_static(ODD_TARGETS[round % ODD_TARGETS.len()]);
        let head = Head {
            method: &Method::POST,
            uri: &uri,
            headers: &headers,
            tenant: "anonymous",
            ceiling: policy.ceiling("anonymous"),
            content_length: [None, Some(0), Some(u64::MAX)][round % 3],
        };
        let verdict = policy.classify_head(&head);
        for body in ODD_BODIES {
            match (verdict, policy.classify(&head, body)) {
                (Err(one), Err(other)) => assert_eq!(one, other),
                (Ok(verdict), Ok(found)) => {
                    assert!(found.tier >= head.ceiling, "no job is above its ceiling");
                    match verdict {
                        HeadVerdict::Decided(tier) => assert_eq!(tier, found.tier),
                        HeadVerdict::NeedsBody(tiers) => assert!(tiers.contains(found.tier)),
                    }
                    let _ = found.rule.and_then(|rule| policy.rule_name(rule));
                }
                other => panic!("head and body disagree: {other:?}"),
            }
            let _ = policy.idempotency_key(&headers, body);
        }
    }
}

const ODD_FIELDS: [(&str, &[u8]); 7] = [
    ("content-type", b"application/json; charset=\"x"),
    ("tidegate-type", b"payment"),
    ("x-kind", b"\xff\xfe"),
    ("ce-type", b""),
    ("tidegate-ordering-key", b"k\tk"),
    ("tidegate-type", b"second"),
    ("tidegate-tier", b"p1"),
];

const ODD_TARGETS: [&str; 5] = ["/v1/jobs", "/v1/jobs?q=1&q=2&&=x&%zz", "/", "*", "http://u/%ff?%00"];

const ODD_BODIES: [&[u8]; 5] =
    [b"", b"{\"type\":\"payment\",\"amount\":1e400}", b"{\"type\":{}}", b"[[1]]", b"\xff{"];

//! Accounts of requests under policies of the tests' own: the rule, the checks in their order, the answer.

use serde_json::{Value, json};

use super::*;
use crate::cli::explain::told::Explanation;
use crate::config::Settings;
use crate::policy::compile::compile;

/// p1 sheds, p2 yields, and a body rule leaves the head undecided without a type.
const POLICY: &str = "\
type_from: [ 'header:Tidegate-Type', 'body:/type' ]
ordering_key_from: [ 'body:/user' ]
rules:
  - { name: critical work, when: { type: payment }, tier: p0 }
  - { name: bulk work, when: { type: digest }, tier: p2 }
tenants: { default: { ceiling: p1 } }
tiers:
  p0: { target: { depth: 10 }, max_depth: 20 }
  p1: { target: { depth: 100 }, max_depth: 300, shed: { at: 200, until: 150 } }
  p2: { target: { depth: 1000 }, max_depth: 3000, shed: { at: 2000, until: 1500, status: 503 }, yields: true }
";

fn told(words: &[&str], policy: &str) -> Explanation {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    let line = <Line as clap::Parser>::try_parse_from(["explain"].iter().chain(words)).unwrap();
    let Arguments { headers, method, path, tenant, depths, drains, headrooms, body, .. } = line.arguments;
    let request = JobRequest::new(method, path, headers, tenant, body.as_deref()).unwrap();
    let queues = Queues {
        depths: once_each("--depth", depths).unwrap().map(|_, depth| depth.unwrap_or(0)),
        drains: once_each("--drain", drains).unwrap(),
        headrooms: once_each("--headroom", headrooms).unwrap(),
    };
    let policy = compile(policy, "p.yaml").unwrap().policy;
    let settings = Settings::default();
    let (request, queues) = (&request, &queues);
    explanation(&Case { settings: &settings, policy: &policy, policy_name: "p.yaml", request, queues })
}

fn explained(words: &[&str]) -> Explanation {
    told(words, POLICY)
}

/// Status, code, and the first check that fails.
fn outcome(explanation: &Explanation) -> (u16, &'static str, &'static str) {
    let failed = explanation.checks.iter().find(|step| !step.passes).map_or("", |step| step.check);
    (explanation.answer.status, explanation.answer.code.unwrap_or(""), failed)
}

fn body(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.json");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn an_event_is_explained_by_the_attributes_in_its_body() {
    let whole = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order"}"#;
    let (_kept, event) = body(whole);
    let (_also_kept, half) = body("{}");
    let media = "--header=content-type:application/cloudevents+json";
    let told = told(&[media, &event], "type_from: [ ce-type ]");
    assert_eq!(outcome(&told), (202, "", ""));
    let job = told.job.as_ref().unwrap();
    assert_eq!((job.job_type.as_deref(), job.type_from.as_deref()), (Some("order"), Some("ce-type")));
    assert!(!job.decided_by_head && told.checks.iter().any(|step| step.check == "event"));
    assert_eq!(outcome(&explained(&[media, &half])), (400, "invalid_event", "event"));

    let batch = ["--path=/v1/jobs/batch", "--header=content-type:application/cloudevents-batch+json"];
    assert_eq!(outcome(&explained(&[batch[0], batch[1], &event])), (202, "", ""));
    assert_eq!(outcome(&explained(&[batch[0], batch[1], &half])), (400, "invalid_event", "event"));
    assert_eq!(outcome(&explained(&[batch[0], media, &event])), (415, "unsupported_media_type", "head"));
    assert_eq!(outcome(&explained(&["--header=ce-specversion:1.0"])), (400, "invalid_event", "head"));
}

#[test]
fn each_answer_is_told_with_the_check_that_gave_it() {
    let (order, digest) = ("--header=tidegate-type:order", "--header=tidegate-type:digest");
    for (words, expected) in [
        (&[order][..], (202, "", "")),
        (&[order, "--depth=p1=104"], (202, "", "")),
        (&[order, "--depth=p1=105"], (429, "throttled", "window")),
        (&[order, "--depth=p1=199"], (429, "throttled", "window")),
        (&[order, "--depth=p1=200"], (429, "shed", "shed")),
        (&[order, "--depth=p1=300"], (429, "queue_full", "bound")),
        (&[digest, "--depth=p2=2000"], (503, "shed", "shed")),
        (&[digest, "--depth=p1=300"], (503, "shed", "yields")),
        (&[order, "--depth=p0=20"], (202, "", "")),
        (&["--header=idempotency-key:k"], (202, "", "")),
        (&["--header=idempotency-key:a b"], (400, "invalid_idempotency_key", "known key")),
        (&["--header=idempotency-key:k", "--path=/v1/jobs/batch"], (400, "malformed_request", "head")),
        (&["--header=tidegate-tier:p0"], (403, "tier_not_allowed", "tier ceiling")),
        (&["--header=tidegate-tier:p7"], (400, "malformed_request", "head")),
        (&[order, "--header=tidegate-tier:p7"], (400, "malformed_request", "head")),
        (&[order, "--header=tidegate-expires-in:soon"], (400, "malformed_request", "head")),
        (&[order, "--header=content-length:5000000"], (413, "too_large", "head")),
        (&[order, "--header=authorization:Bearer x"], (401, "unauthenticated", "authentication")),
        (&[order, "--path=/v1/job"], (404, "not_found", "route")),
        (&[order, "--method=PUT"], (405, "method_not_allowed", "route")),
        (&[order, "--path=/v1/jobs/batch", "--depth=p1=200"], (429, "shed", "shed")),
        (
            &["--path=/v1/jobs/batch", "--header=content-type:text/plain"],
            (415, "unsupported_media_type", "head"),
        ),
    ] {
        assert_eq!(outcome(&explained(words)), expected, "{words:?}");
    }
}

#[test]
fn the_checks_stand_in_the_gateways_order_and_those_behind_a_failure_are_marked() {
    let explanation = explained(&["--header=tidegate-type:order", "--depth=p1=200"]);
    let steps: Vec<_> = explanation.checks.iter().map(|step| (step.check, step.passes, step.asked)).collect();
    let expected = [
        ("route", true, true),
        ("authentication", true, true),
        ("head", true, true),
        ("tier ceiling", true, true),
        ("signal", true, true),
        ("bound", true, true),
        ("shed", false, true),
        ("retention", true, false),
        ("yields", true, false),
        ("tenant", true, false),
        ("window", false, false),
        ("rate", true, false),
    ];
    assert_eq!(steps, expected);
    let numbers = |check: &str| {
        explanation.checks.iter().find(|step| step.check == check).map(|step| step.numbers.clone()).unwrap()
    };
    assert_eq!(numbers("bound"), json!({ "depth": 200, "max_depth": 300 }));
    assert_eq!(numbers("shed"), json!({ "depth": 200, "at": 200, "until": 150 }));
    assert_eq!(numbers("window"), json!({ "predicted_depth": 200.0, "limit": 105.0 }));
    assert_eq!(numbers("signal"), Value::Null);
}

#[test]
fn the_headroom_before_retention_is_compared_with_its_thresholds() {
    let policy = "tiers:\n  p2: { target: { depth: 10 }, max_depth: 20, retention: { shed_at: 1h, until: 2h } }\n\
                  default_tier: p2\n";
    let step = |words: &[&str]| {
        let told = told(words, policy);
        let step = told.checks.iter().find(|step| step.check == "retention").unwrap();
        (outcome(&told), step.says.clone(), step.numbers.clone())
    };
    let (answer, says, numbers) = step(&["--headroom=p2=30min"]);
    assert_eq!(answer, (429, "shed", "retention"));
    assert!(says.contains("headroom 30m is below retention.shed_at 1h"), "{says}");
    assert_eq!(
        numbers,
        json!({ "headroom_seconds": 1800.0, "shed_at_seconds": 3600.0, "until_seconds": 7200.0 })
    );
    assert_eq!(step(&["--headroom=p2=90min"]).0, (202, "", ""));
    assert_eq!(step(&[]).0, (202, "", ""));
    let refused = told(&["--headroom=p2=30min"], policy).answer;
    assert!(refused.retry_after_from.unwrap().contains("how fast the headroom grows is not known"));
}

#[test]
fn a_tier_that_would_stay_shed_is_told_so() {
    let explanation = explained(&["--header=tidegate-type:order", "--depth=p1=160"]);
    let shed = explanation.checks.iter().find(|step| step.check == "shed").unwrap();
    assert!(shed.passes && shed.says.contains("would stay shed"), "{}", shed.says);
}

#[test]
fn rule_type_and_key_are_told_with_their_places() {
    let (_folder, path) = body(r#"{"type":"payment","user":7}"#);
    let job = explained(&[&path]).job.unwrap();
    assert_eq!((job.rule.as_deref(), job.place.as_deref()), (Some("critical work"), Some("p.yaml:4:5")));
    assert_eq!((job.job_type.as_deref(), job.type_from.as_deref()), (Some("payment"), Some("body:/type")));
    assert_eq!(
        (job.ordering_key.as_deref(), job.ordering_key_from.as_deref()),
        (Some("7"), Some("body:/user"))
    );
    assert_eq!((job.tier, job.tier_meant, job.ceiling), ("p1", "p0", "p1"));
    assert!(!job.decided_by_head);
    assert_eq!(job.possible_by_head, ["p1", "p2"]);
}

#[test]
fn while_the_body_decides_and_all_tiers_are_shut_the_most_critical_answers() {
    let (_folder, path) = body(r#"{"type":"digest"}"#);
    let open = explained(&[&path, "--depth=p2=2000"]);
    assert_eq!((outcome(&open).1, open.answer.tier), ("shed", Some("p2")), "p1 is open: the body is read");
    let shut = explained(&[&path, "--depth=p2=2000", "--depth=p1=300"]);
    assert_eq!((shut.answer.status, outcome(&shut).1, shut.answer.tier), (429, "queue_full", Some("p1")));
    assert!(
        shut.notes.iter().any(|note| note.contains("before the body is read, as p1")),
        "{:?}",
        shut.notes
    );
    let batch = explained(&[&path, "--depth=p2=2000", "--depth=p1=300", "--path=/v1/jobs/batch"]);
    assert_eq!((outcome(&batch).1, batch.answer.tier), ("shed", Some("p2")), "an item is decided for itself");
}

#[test]
fn a_drain_that_is_given_is_what_the_return_is_based_on() {
    let shed = ["--header=tidegate-type:order", "--depth=p1=249"];
    let drained = explained(&[&shed[..], &["--drain=p1=10/s"]].concat());
    let after = drained.answer.retry_after_ms.unwrap();
    assert!((9_900..12_000).contains(&after), "100 jobs at 10/s are 10 s: {after}");
    let [least, most] = drained.answer.retry_after_ms_by_chance.unwrap();
    assert!(least <= after && after <= most && least < most, "{least} {after} {most}");
    assert_eq!(drained.answer.retry_after_seconds, Some(after.div_ceil(1_000)));
    let from = drained.answer.retry_after_from.unwrap();
    assert!(from.contains("100 jobs") && from.contains("10/s"), "{from}");
    let unknown = explained(&shed).answer;
    assert!(unknown.retry_after_ms.unwrap() >= 300_000, "spread over the longer half of 10 min");
    assert!(unknown.retry_after_from.unwrap().contains("no drain is known"));
    let seldom = explained(&[&shed[..], &["--drain=p1=1/h"]].concat());
    assert!(seldom.notes.iter().any(|note| note.contains("too seldom")), "{:?}", seldom.notes);
}

#[test]
fn a_body_beyond_the_limit_is_a_note_and_not_bad_usage() {
    let (_folder, path) = body(&"x".repeat(1_000_001));
    let declared = explained(&[&path, "--header=tidegate-type:order"]);
    assert_eq!(outcome(&declared), (413, "too_large", "head"));
    assert!(declared.notes[0].contains("1000001 bytes"), "{:?}", declared.notes);
    let chunked = explained(&[&path, "--header=tidegate-type:order", "--header=transfer-encoding:chunked"]);
    assert_eq!(outcome(&chunked), (413, "too_large", "body"));
}

#[test]
fn a_body_with_a_coding_is_taken_for_the_decoded_one() {
    let (_folder, path) = body("{}");
    let coded = explained(&["--header=content-encoding:gzip", &path]);
    assert!(coded.notes.iter().any(|note| note.contains("gzip body decodes to")), "{:?}", coded.notes);
    assert_eq!(
        outcome(&explained(&["--header=content-encoding:br"])),
        (415, "unsupported_media_type", "head")
    );
}

#[test]
fn rules_see_the_tenant_and_the_query() {
    let policy = "rules:\n  - { when: { tenant: acme, query: { mode: night } }, tier: p2 }\n";
    let acme = told(&["--tenant=acme", "--path=/v1/jobs?mode=night"], policy);
    assert_eq!(acme.job.unwrap().place.as_deref(), Some("p.yaml:2:5"));
    assert!(acme.notes.iter().any(|note| note.contains("no key is given")), "{:?}", acme.notes);
    assert_eq!(told(&["--path=/v1/jobs?mode=night"], policy).job.unwrap().tier_from, "default_tier");
}

#[test]
fn the_text_has_the_rule_the_checks_and_the_answer() {
    let told =
        text::write(&explained(&["--header=tidegate-type:digest", "--depth=p2=2500", "--drain=p2=50/s"]));
    for line in [
        "rule      bulk work, p.yaml:5:5",
        "type      digest, from header:tidegate-type",
        "tier      p2, decided by the head alone",
        "  pass   bound          depth 2500 + 1 job, max_depth 3000",
        "  FAIL   shed           depth 2500 reached shed.at 2000; taken again below shed.until 1500",
        "  [fail] window         predicted depth 2500 + 1 job, window 1050 = 1.05 x target 1000",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    let answer = told.lines().find(|line| line.starts_with("answer")).unwrap();
    assert!(
        answer.starts_with("answer    503 shed, Retry-After: 2") && answer.contains("retry_after_ms 2"),
        "{answer}"
    );
    let hostile =
        text::write(&explained(&["--header=tidegate-type:x", "--path=/v1/jobs?a", "--tenant=a\nanswer 202"]));
    assert_eq!(hostile.lines().filter(|line| line.starts_with("answer")).count(), 1, "{hostile}");
}

#[test]
fn values_of_options_are_read_and_wrong_ones_are_told() {
    assert_eq!(header("Tidegate-Type:  pay:ment ").unwrap().1, "pay:ment");
    assert_eq!(depth("p2=120000"), Ok((Tier::P2, 120_000)));
    assert_eq!(drain("p0=30/min").unwrap().1.jobs_per_second(), 0.5);
    for (told, expected) in [
        (header("Tidegate-Type").unwrap_err(), "expects NAME:VALUE"),
        (header("a b:c").unwrap_err(), "`a b` is no header name"),
        (header("a:b\nc").unwrap_err(), "control characters"),
        (depth("p3=1").unwrap_err(), "`p3` is no tier: write p0, p1 or p2"),
        (depth("120000").unwrap_err(), "such as p2=120000"),
        (depth("p2=-1").unwrap_err(), "found `-1`"),
        (depth("p2=1000000000001").unwrap_err(), "up to 1000000000000"),
        (drain("p2=50").unwrap_err(), "such as 50/s or 30/min, found `50`"),
        (path("v1/jobs").unwrap_err(), "expects a path"),
        (method("GE T").unwrap_err(), "expects a method"),
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_tier_has_one_depth() {
    let twice = once_each("--depth", vec![(Tier::P1, 1), (Tier::P2, 1), (Tier::P1, 2)]).unwrap_err();
    assert_eq!(twice.to_string(), "--depth is given more than once for p1");
}

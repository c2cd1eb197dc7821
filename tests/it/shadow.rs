//! A candidate policy tried on live traffic: what it would have said, where it disagrees, and that it never acts.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::command::tidegate;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;

/// A gateway under this policy with that candidate beside it, once the candidate is tried.
async fn beside(policy: &Policy, candidate: &Policy) -> Gateway {
    let mut setup = Setup::with(&policy.clone().top("shadow", "next.yaml"));
    setup.write("next.yaml", &candidate.to_yaml());
    let gateway = setup.start().await;
    state(&gateway, "on").await;
    gateway
}

#[tokio::test]
async fn jobs_that_the_candidate_would_refuse_or_move_are_counted_and_taken_all_the_same() {
    let strict = Policy::calm().tier("p2", "target", "{ depth: 5 }").top(
        "rules",
        "[ { when: { type: [payment, other] }, tier: p1 }, { when: { type: analytics }, tier: p2 } ]",
    );
    let gateway = beside(&Policy::calm(), &strict).await;
    for _ in 0..20 {
        gateway.accept("p2", "{}").await;
    }
    for _ in 0..7 {
        gateway.accept("p0", "{}").await;
    }
    let kinds = ["digest", "payment", "standard"];
    let lines: Vec<String> = kinds.iter().map(|kind| json!({ "type": kind }).to_string()).collect();
    gateway.batch(NDJSON, lines.join("\n"), &[]).await;
    decided(&gateway, 30).await;
    let scrape = gateway.metrics().await;
    let moved = |from, to| scrape.count("tidegate_shadow_moves_total", &[("from", from), ("to", to)]);
    assert_eq!((moved("p0", "p1"), moved("p2", "p1"), moved("p1", "p2")), (8, 1, 0));
    let disagrees = |candidate: &str| {
        let labels = [("tier", "p2"), ("acting", "admitted"), ("candidate", candidate)];
        scrape.count("tidegate_shadow_disagreements_total", &labels)
    };
    assert!((10..=19).contains(&disagrees("throttled")), "{}", disagrees("throttled"));
    let refused = [("tier", "p2"), ("verdict", "throttled")];
    assert_eq!(scrape.count("tidegate_shadow_decisions_total", &refused), disagrees("throttled"));
    assert_eq!(scrape.count("tidegate_jobs_admitted_total", &[]), 30, "it never acts");
    let shadow = until("its law has stepped", Duration::from_secs(5), async || {
        let shadow = gateway.status().await["shadow"].take();
        (!shadow["tiers"].is_null()).then_some(shadow)
    })
    .await;
    assert_eq!((&shadow["dropped"], &shadow["tiers"]["p2"]["target"]), (&json!(0), &json!(5.0)), "{shadow}");
    let shown = shadow["moves"].as_array().unwrap();
    assert!(shown.contains(&json!({ "from": "p0", "to": "p1", "count": 8 })), "{shown:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn what_the_candidate_would_take_is_told_in_the_state_that_is() {
    let full = Policy::calm().tier("p1", "target", "{ depth: 5 }");
    let roomy = Policy::calm().tier("p1", "target", "{ depth: 2000 }");
    let gateway = beside(&full, &roomy).await;
    let mut refused = 0;
    for _ in 0..3_000 {
        refused += u64::from(gateway.post("{}", &[]).await.status == 429);
    }
    assert!(refused > 2_900);
    decided(&gateway, 3_000).await;
    let scrape = gateway.metrics().await;
    let labels = [("tier", "p1"), ("acting", "throttled"), ("candidate", "admitted")];
    let taken = scrape.count("tidegate_shadow_disagreements_total", &labels);
    println!("of {refused} jobs refused the candidate would have taken {taken}");
    assert!(taken > 2_600, "2,100 of its own making would fill it: {taken} of {refused}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_job_that_is_refused_by_its_head_is_undecided_where_the_candidate_asks_the_body() {
    let shut = Policy::calm().tier("p2", "target", "{ depth: 1 }").tier("p2", "max_depth", "1");
    let by_body = Policy::calm().top("type_from", "[ \"body:/kind\" ]");
    let gateway = beside(&shut, &by_body).await;
    let mut refused = 0;
    for _ in 0..10 {
        let answer = gateway.post(r#"{"kind":"payment"}"#, &[("tidegate-type", "digest")]).await;
        refused += u64::from(answer.status == 429);
    }
    decided(&gateway, 10).await;
    let scrape = gateway.metrics().await;
    let said = |tier, verdict| {
        let labels = [("tier", tier), ("verdict", verdict)];
        scrape.count("tidegate_shadow_decisions_total", &labels)
    };
    assert_eq!((said("none", "undecided"), said("p0", "admitted")), (refused, 10 - refused));
    assert!(refused >= 5, "{refused}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_candidate_comes_changes_fails_and_goes_while_the_gateway_runs() {
    let acting = Policy::calm().top("shadow", "next.yaml");
    let gateway = Setup::with(&acting).start().await;
    let candidate = gateway.folder().join("next.yaml");
    let missing = state(&gateway, "faulty").await;
    let text = |shadow: &Value| shadow["faults"][0]["text"].as_str().unwrap().to_owned();
    assert!(text(&missing).contains("next.yaml: cannot be read"), "{missing}");
    assert_eq!(gateway.post("{}", &[]).await.status, 202, "the acting policy acts");

    fs::write(&candidate, Policy::calm().to_yaml()).unwrap();
    let first = state(&gateway, "on").await["revision"].clone();
    fs::write(&candidate, Policy::calm().tier("p1", "weight", "7").to_yaml()).unwrap();
    until("the changed candidate is tried", PATIENCE, async || {
        let shadow = gateway.status().await["shadow"].take();
        (shadow["state"] == "on" && shadow["revision"] != first).then_some(())
    })
    .await;

    fs::write(&candidate, "rules: []\nshadow: another.yaml\n").unwrap();
    let faulty = state(&gateway, "faulty").await;
    assert!(text(&faulty).contains("next.yaml:2:1: shadow: a candidate has no candidate"), "{faulty}");
    let checked = tidegate(gateway.folder(), &["check", "policy.yaml"], &[]).await;
    checked.says(2, &["policy.yaml:", "the candidate cannot be tried", "next.yaml:2:1: shadow"]);
    gateway.post("{}", &[]).await.receipt();

    fs::write(gateway.folder().join("policy.yaml"), Policy::calm().to_yaml()).unwrap();
    let off = state(&gateway, "off").await;
    assert_eq!((&off["file"], &off["tiers"]), (&Value::Null, &Value::Null));
    gateway.finish_after_outage().await;
}

/// Waits for this state of the shadow.
async fn state(gateway: &Gateway, state: &str) -> Value {
    until("the shadow's state", PATIENCE, async || {
        let shadow = gateway.status().await["shadow"].take();
        (shadow["state"] == state).then_some(shadow)
    })
    .await
}

/// Waits until the candidate was asked so often.
async fn decided(gateway: &Gateway, times: u64) {
    until("the candidate has decided", PATIENCE, async || {
        let all = gateway.metrics().await.count("tidegate_shadow_decisions_total", &[]);
        assert!(all <= times, "{all} decisions, {times} were asked for");
        (all == times).then_some(())
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(20);

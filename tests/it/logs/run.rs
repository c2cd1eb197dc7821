//! The lines of real runs: valid, listed, one for each change, and few of many refusals.

use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::{SCHEMA, listed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::schema::judged;

#[tokio::test]
async fn a_flood_is_a_line_for_each_state_and_a_few_for_all_refusals() {
    let policy = Policy::calm()
        .tier("p2", "target", "{ depth: 100 }")
        .tier("p2", "rate", "{ min: 1/s, burst: 1s }")
        .tier("p2", "max_depth", "2000");
    let gateway = Setup::with(&policy).set("log.level", "debug").start().await;
    for _ in 0..40 {
        bulk(&gateway, 50).await;
    }
    let state = line(&gateway, "the state of a tier changes", |line| line["state"] == "throttled").await;
    assert_eq!(
        (&state["tier"], &state["was"], &state["level"]),
        (&"p2".into(), &"calm".into(), &"WARN".into())
    );
    for words in ["sentence", "reason", "refused", "advice", "cause"] {
        assert!(state[words].as_str().is_some_and(|words| !words.is_empty()), "{words} of {state}");
    }
    let refusal = line(&gateway, "jobs are refused, this one the last of them", |_| true).await;
    assert_eq!((&refusal["tier"], &refusal["code"]), (&"p2".into(), &"throttled".into()));
    assert_eq!((&refusal["tenant"], &refusal["jobs"]), (&"anonymous".into(), &1.into()));
    assert!(refusal["retry_after_ms"].as_u64().is_some_and(|pause| pause >= 1000), "{refusal}");

    gateway.drain().await;
    line(&gateway, "the state of a tier changes", |line| line["state"] == "calm").await;
    let refused = gateway.metrics().await.count("tidegate_jobs_refused_total", &[("tier", "p2")]);
    assert!(refused > 500, "{refused}");
    let told: u64 = lines(&gateway)
        .iter()
        .filter(|line| is_refusal(line))
        .map(|line| line["jobs"].as_u64().unwrap())
        .sum();
    assert_eq!(told, refused, "what no line has told of is told in the end");
    let count = |what: fn(&Value) -> bool| lines(&gateway).iter().filter(|line| what(line)).count();
    assert!(count(is_refusal) <= 4, "{}", gateway.log());
    let changes = count(|line| line["message"] == "the state of a tier changes");
    assert!((2..=4).contains(&changes), "{}", gateway.log());
    check(&gateway).await;
    gateway.finish().await;
}

#[tokio::test]
async fn faults_reloads_and_stops_are_written_as_the_schema_says() {
    let mut gateway = Setup::with(&Policy::calm()).set("log.level", "debug").start().await;
    gateway.accept("p0", "{}").await;
    let file = gateway.folder().join("policy.yaml");
    std::fs::write(&file, "colour: red\nsize: [").unwrap();
    line(&gateway, "the policy is rejected", |line| line["level"] == "ERROR").await;
    std::fs::write(&file, format!("# again\n{}", Policy::calm().to_yaml())).unwrap();
    line(&gateway, "another policy is in force", |_| true).await;
    gateway.stop().await;
    assert_eq!(lines(&gateway).last().unwrap()["message"], "stopped");
    check(&gateway).await;
    gateway.restart().await;
    gateway.finish_after_outage().await;
}

/// All lines that are ours are valid, and of those that the book lists.
async fn check(gateway: &Gateway) {
    let lines = lines(gateway);
    let faults = judged(SCHEMA, lines.clone()).await;
    let listed = listed();
    for (line, fault) in lines.iter().zip(faults) {
        assert_eq!(fault, None, "{line}");
        let message = line["message"].as_str().unwrap();
        let is_of = |row: &super::Line| {
            row.level.eq_ignore_ascii_case(line["level"].as_str().unwrap())
                && pattern(&row.message).is_match(message)
        };
        assert!(listed.iter().any(is_of), "docs/LOGS.md does not list {line}");
    }
}

fn pattern(message: &str) -> Regex {
    let parts: Vec<String> = message.split("..").map(regex::escape).collect();
    Regex::new(&format!("^{}$", parts.join(".*"))).unwrap()
}

fn is_refusal(line: &Value) -> bool {
    line["message"].as_str().unwrap().starts_with("jobs are refused")
        || line["message"] == "jobs were refused"
}

async fn line(gateway: &Gateway, message: &str, is: impl Fn(&Value) -> bool) -> Value {
    let wanted = |line: &Value| line["message"] == message && is(line);
    until(message, PATIENCE, async || lines(gateway).into_iter().find(&wanted)).await
}

/// Every line so far, of a process that may be writing the next.
fn lines(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn bulk(gateway: &Gateway, jobs: usize) {
    let answer = gateway.batch(NDJSON, "{\"type\":\"analytics\"}\n".repeat(jobs), &[]).await;
    assert!([200, 202, 207, 429].contains(&answer.status), "{}", answer.status);
}

/// A state that is not worse is told after ten seconds, and what was refused last ten seconds later.
const PATIENCE: Duration = Duration::from_secs(45);

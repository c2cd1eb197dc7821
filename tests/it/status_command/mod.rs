//! `tidegate status` against real gateways: what it says of calm and of trouble, how it reaches them, how it ends.

mod reaching;
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::command::{Ended, tidegate};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;

#[tokio::test]
async fn of_a_calm_gateway_it_says_so_within_eighty_columns() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    gateway.accept("p2", "{}").await;
    let ended = until("depth and history are read", PATIENCE, async || {
        let ended = status(&gateway, &[]).await;
        (ended.said.contains("at most") && ended.said.contains("P2 calm      1 ")).then_some(ended)
    })
    .await;
    let revision = gateway.status().await["policy_revision"].as_str().unwrap().to_owned();
    let url = url(&gateway);
    ended.says(0, &[&url, "embedded  disk  up ", &revision, "calm      P0, P1, P2: all that comes is taken"]);
    assert!(ended.said.lines().all(|line| line.chars().count() <= 80), "{}", ended.said);
    assert!(ended.said.lines().count() <= 24, "{}", ended.said);
    assert!(!ended.said.contains('\u{1b}'), "{}", ended.said);
    status(&gateway, &["--fail-on", "warning"]).await.says(0, &[]);
    gateway.finish().await;
}

#[tokio::test]
async fn in_a_flash_sale_it_names_the_tier_why_who_is_refused_until_when_and_what_to_turn() {
    let gateway = Arc::new(Setup::with(&sale()).start().await);
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(gateway.clone(), over.clone()));
    let ended = until("bulk is throttled", PATIENCE, async || {
        let ended = status(&gateway, &[]).await;
        ended.said.contains("why       demand: ").then_some(ended)
    })
    .await;
    ended.says(
        0,
        &[
            "P0 calm ",
            "P2 throttled ",
            "notice    P2 bulk throttled: depth ",
            "refused   ",
            "told to come back in",
            "turn      add workers for jobs:bulk",
            "tenant    anonymous: ",
        ],
    );
    assert!(ended.said.lines().all(|line| line.chars().count() <= 80), "{}", ended.said);
    over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    gateway.drain().await;
    Arc::into_inner(gateway).unwrap().finish().await;
}

#[tokio::test]
async fn a_shed_tier_and_a_bad_reload_are_warnings_and_scripts_can_tell() {
    let policy = Policy::calm();
    let gateway = Setup::with(&policy).start().await;
    let lines = "{}\n".repeat(300);
    assert_eq!(gateway.batch(NDJSON, lines, &[("tidegate-type", "analytics")]).await.status, 202);
    let tighter = policy.tier("p2", "target", "{ depth: 50 }").tier("p2", "shed", "{ at: 200, until: 100 }");
    std::fs::write(gateway.folder().join("policy.yaml"), tighter.to_yaml()).unwrap();
    until("bulk is shed", PATIENCE, async || {
        (gateway.status().await["tiers"]["p2"]["state"]["word"] == "shed").then_some(())
    })
    .await;
    let sentence = "WARNING   P2 bulk shed: depth 300 above 200; reopens below 100, and no worker";
    status(&gateway, &[]).await.says(0, &[sentence, "last reload applied"]);
    status(&gateway, &["--fail-on", "warning"]).await.says(1, &[sentence]);
    status(&gateway, &["--fail-on", "critical"]).await.says(0, &[sentence]);
    status(&gateway, &["--fail-on", "warning", "--json"]).await.says(1, &[r#""word":"shed""#]);

    std::fs::write(gateway.folder().join("policy.yaml"), "tiers: { p2: { max_dept: 1 } }").unwrap();
    until("the file is rejected", PATIENCE, async || {
        (gateway.status().await["policy"]["last_reload"]["result"] == "rejected").then_some(())
    })
    .await;
    let said = status(&gateway, &[]).await.said;
    assert!(said.contains("last reload rejected") && said.contains("was rejected, the one from"), "{said}");
    assert!(said.contains("max_dept"), "{said}");
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_tenant_beyond_its_quota_is_named_and_no_tier_in_trouble() {
    let policy = Policy::calm().top("tenants", "{ default: { rate: 2/s, burst: 2 } }");
    let gateway = Setup::with(&policy).start().await;
    let ended = until("the quota is told", PATIENCE, async || {
        gateway.batch(NDJSON, "{}\n".repeat(20), &[("tidegate-type", "payment")]).await;
        let ended = status(&gateway, &[]).await;
        ended.said.contains("over quota: ").then_some(ended)
    })
    .await;
    ended.says(
        0,
        &["notice    P0 critical over quota: ", "why       quota: ", "turn      ", "anonymous.rate"],
    );
    assert!(!ended.said.contains("worker"), "{}", ended.said);
    status(&gateway, &["--fail-on", "warning"]).await.says(0, &[]);
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_refused_before_it_has_a_tier_is_a_warning_above_calm_tiers() {
    let setup = Setup::with(&Policy::calm()).set("limits.client_rate.per_second", "1");
    let gateway = setup.set("limits.client_rate.burst", "1").start().await;
    let ended = until("the limit is told", PATIENCE, async || {
        for _ in 0..20 {
            gateway.post("{}", &[]).await;
        }
        let ended = status(&gateway, &[]).await;
        ended.said.contains("limits.client_rate").then_some(ended)
    })
    .await;
    ended.says(0, &["WARNING   refused before they have a tier"]);
    status(&gateway, &["--fail-on", "warning"]).await.says(1, &[]);
    status(&gateway, &["--fail-on", "critical"]).await.says(0, &[]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_backend_that_is_away_is_critical_in_its_first_lines() {
    let mut redis = Redis::durable(&[]).await;
    let gateway =
        Setup::with(&Policy::calm()).set("backend", "redis").set("redis.url", &redis.url()).start().await;
    redis.kill();
    let ended = until("the outage is known", PATIENCE, async || {
        let ended = status(&gateway, &["--fail-on", "critical"]).await;
        ended.said.contains("P2 backend away").then_some(ended)
    })
    .await;
    ended.says(
        1,
        &[
            "P0 backend away",
            "CRITICAL  P0 critical refused: the backend is away",
            "why       backend: ",
            "turn      bring the backend back",
        ],
    );
    let at = ended.said.lines().position(|line| line.starts_with("CRITICAL  P0"));
    assert!(at.is_some_and(|line| line < 10), "{}", ended.said);
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn the_document_is_passed_on_as_the_gateway_gave_it() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    gateway.accept("p1", "{}").await;
    let ended = status(&gateway, &["--json"]).await;
    assert_eq!((ended.code, ended.said.lines().count()), (Some(0), 1), "{}", ended.said);
    let (told, given): (Value, Value) = (serde_json::from_str(&ended.said).unwrap(), gateway.status().await);
    assert_eq!(shape(&told), shape(&given));
    assert_eq!(told["policy"], given["policy"]);
    gateway.finish().await;
}

/// Where there is something in a document: `tiers/p0/depth`.
fn shape(document: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        found.insert(path.to_owned());
        if let Value::Object(fields) = value {
            fields.iter().for_each(|(name, value)| walk(value, &format!("{path}/{name}"), found));
        }
    }
    let mut found = BTreeSet::new();
    walk(document, "", &mut found);
    found
}

/// Small targets, so that a loaded machine can play a flash sale.
fn sale() -> Policy {
    Policy::calm().tier("p2", "target", "{ depth: 200 }").tier("p2", "max_depth", "20000")
}

/// Some critical work, far too much bulk, and workers that take some of it, until it is over.
async fn load(gateway: Arc<Gateway>, over: Arc<AtomicBool>) {
    let mut rounds = tokio::time::interval(Duration::from_millis(250));
    while !over.load(Ordering::Relaxed) {
        rounds.tick().await;
        for (kind, jobs) in [("payment", 5), ("analytics", 150)] {
            gateway.batch(NDJSON, "{}\n".repeat(jobs), &[("tidegate-type", kind)]).await;
        }
        let jobs = gateway.lease(json!({ "max": 50 })).await;
        gateway.ack(&jobs).await;
    }
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.admin.address())
}

/// `tidegate status --url ITS-ADDRESS ARGS`, in an empty folder of its own.
async fn status(gateway: &Gateway, args: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let url = url(gateway);
    tidegate(folder.path(), &[&["status", "--url", &url], args].concat(), &[]).await
}

/// Longer than a state takes to show on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

//! The gateway protects itself and its file: every bound has its answer, and room made is room given.

use std::time::Duration;

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::command::tidegate;
use crate::support::disk::SmallDisk;
use crate::support::gateway::{Gateway, Setup, free_port};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

#[tokio::test]
async fn a_queue_file_at_its_bound_is_full_until_jobs_are_done() {
    let gateway = Setup::with(&Policy::calm()).set("embedded.max_bytes", "2MiB").start().await;
    let payload = "x".repeat(50_000);
    let full = until("the file is full", PATIENCE, async || {
        let answer = gateway.post(&payload, &[]).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    let problem = full.problem(429, "queue_full");
    assert_eq!(problem.outcome, "not_stored");
    let stored = gateway.tally.counts().admitted;
    assert!((20..=42).contains(&stored), "{stored} jobs of 50 kB in 2 MiB");
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200, "full is not broken");

    assert_eq!(gateway.drain().await.len() as u64, stored);
    until("there is room again", PATIENCE, async || {
        (gateway.post(&payload, &[]).await.status == 202).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_full_disk_is_an_outage_that_the_status_tells_of_and_that_ends_unaided() {
    let Some(disk) = SmallDisk::mount() else { return };
    let file = disk.folder().join("queue.db");
    let setup = Setup::with(&Policy::calm()).set("embedded.path", &file.display().to_string());
    let gateway = setup.start().await;
    let known = [("idempotency-key", "known")];
    let first = gateway.post("{}", &known).await.receipt();
    disk.fill();
    let payload = "x".repeat(50_000);
    let refused = async || {
        let answer = gateway.post(&payload, &[]).await;
        (answer.status != 202).then_some(answer)
    };
    // The first is refused by the disk, the next by what is known of it.
    for _ in 0..2 {
        let refused = until("the disk is full", PATIENCE, refused).await;
        let problem = refused.problem(503, "backend_unavailable");
        assert_eq!(problem.outcome, "not_stored");
        let detail = problem.document["detail"].as_str().unwrap();
        assert!(detail.ends_with("the disk is full"), "{detail}");
    }
    let status = gateway.status().await;
    for tier in ["p0", "p1", "p2"] {
        let tier = &status["tiers"][tier];
        assert_eq!(tier["outage"], "the disk is full");
        assert_eq!(tier["state"]["word"], "backend away", "{}", tier["state"]);
        assert_eq!(tier["state"]["reason"], "backend: the disk is full");
    }
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 503);
    let again = gateway.post("{}", &known).await.receipt();
    assert_eq!((again.id, again.duplicate), (first.id, true), "a known key comes before the outage");

    disk.make_room();
    // Nobody sends a job meanwhile: the queue itself finds that there is room.
    until("the outage is over", PATIENCE, async || {
        gateway.status().await["tiers"]["p1"]["outage"].is_null().then_some(())
    })
    .await;
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200);
    gateway.post(&payload, &[]).await.receipt();
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn bodies_beyond_the_memory_for_them_are_refused_and_critical_work_still_fits() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_in_flight_bytes", "400KB");
    let gateway =
        setup.set("limits.max_job_bytes", "100KB").set("limits.request_timeout", "30s").start().await;
    let mut held = Vec::new();
    let problem = hold(&gateway, "analytics", 90_000, &mut held).await;
    gateway.tally.job(problem.status);
    problem.problem(503, "overloaded");
    assert!(!held.is_empty());
    let critical = gateway.post(&"x".repeat(30_000), &[("tidegate-type", "payment")]).await;
    assert_eq!(critical.receipt().tier, "p0", "bulk leaves room for critical work");

    // Critical work has its bound too.
    let problem = hold(&gateway, "payment", 30_000, &mut held).await;
    gateway.tally.job(problem.status);
    assert_eq!(problem.problem(503, "overloaded").tier, None);

    gateway.tally.open(held.len() as u64);
    drop(held);
    let again = async || (gateway.post(&"x".repeat(90_000), &[]).await.status == 202).then_some(());
    until("the memory is free again", PATIENCE, again).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused_and_left_alone() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let receipt = gateway.accept("p1", "{}").await;
    gateway.stop().await;
    let file = gateway.folder().join("queue.db");
    let known = set_format(&file, 4711);

    let setup = Setup::with(&Policy::calm()).set("embedded.path", &file.display().to_string());
    let arguments = setup.arguments(free_port(), free_port());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tidegate(setup.folder(), &arguments, &[]).await.says(1, &["4711", "queue.db", "newer"]);

    assert_eq!(set_format(&file, known), 4711);
    gateway.restart().await;
    assert_eq!(gateway.drain().await[0].id, receipt.id, "the job is still there");
    gateway.finish().await;
}

#[tokio::test]
async fn the_law_shows_its_terms() {
    let gateway = Setup::with(&Policy::calm().tier("p1", "target", "{ depth: 1000 }")).start().await;
    gateway.accept("p1", "{}").await;
    let tier = until("a control step after the job", PATIENCE, async || {
        let mut status = gateway.status().await;
        let tier = status["tiers"]["p1"].take();
        (tier["depth"] == 1 && tier["signal"] == "fresh").then_some(tier)
    })
    .await;
    let number = |name: &str| tier["terms"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {tier}"));
    let sum = number("feed_forward") + number("proportional") + number("integral") - number("derivative");
    let rate = tier["rate"].as_f64().unwrap();
    assert!(
        tier["clamp"] != json!(null) || (sum - rate).abs() <= 0.001 * rate,
        "{sum} is not {rate}: {tier}"
    );
    assert_eq!((&tier["target"], &tier["queue"]), (&json!(1000.0), &json!("jobs:standard")));
    gateway.finish().await;
}

/// Has requests of this length wait for the rest of their bodies until one is refused.
async fn hold(gateway: &Gateway, job_type: &str, length: usize, held: &mut Vec<Raw>) -> Answer {
    for _ in 0..20 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        let head = format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ntidegate-type: {job_type}\r\n");
        raw.send(format!("{head}content-length: {length}\r\nexpect: 100-continue\r\n\r\n")).await;
        let answer = raw.answer().await.expect("an answer");
        if answer.status != 100 {
            return answer;
        }
        raw.send("the beginning of it").await;
        held.push(raw);
    }
    panic!("twenty bodies of {length} bytes fit into 400 kB");
}

/// Writes the file's format version; gives the one that was there.
fn set_format(file: &std::path::Path, version: i64) -> i64 {
    let connection = rusqlite::Connection::open(file).unwrap();
    let before = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
    before
}

const PATIENCE: Duration = Duration::from_secs(20);

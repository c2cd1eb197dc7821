//! Ten times each bound: everybody is answered, critical work last refused, memory flat, and afterwards all is free.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::leased;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

#[tokio::test]
async fn ten_times_the_connections_are_all_answered() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_connections", "16").start().await;
    let memory = gateway.resident_bytes();
    let clients = (0..160).map(|client| {
        let address = gateway.ingest.address();
        tokio::spawn(async move {
            let job_type = ["payment", "order", "analytics", "digest"][client % 4];
            let mut raw = Raw::connect(address).await;
            raw.send(job(job_type, "", "{}")).await;
            let answer = raw.answer().await.expect("an answer, never silence");
            (job_type, answer, raw)
        })
    });
    let mut keep = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        let (job_type, answer, raw) = client.await.unwrap();
        gateway.tally.job(answer.status);
        if job_type == "payment" {
            answer.receipt();
        } else if answer.status != 202 {
            refused(&answer);
        }
        // Nobody hangs up: it is the gateway that has the idle give way.
        keep.push(raw);
    }
    let admitted = gateway.tally.counts().admitted;
    assert!(admitted >= 120, "idle connections gave way to {admitted} of 160 only");
    gateway.accept("p1", "{}").await;
    assert!(gateway.resident_bytes() < memory + MEMORY, "memory is flat");
    drop(keep);
    none_held(&gateway).await;
    gateway.finish().await;
}

#[tokio::test]
async fn where_every_slot_is_taken_critical_jobs_health_and_operators_are_still_answered() {
    let gateway = stalling(8).await;
    let mut slow = slow_bodies(&gateway, 8).await;
    let mut pauses = Vec::new();
    for client in 0..80 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        let job_type = ["order", "payment", "analytics", "payment"][client % 4];
        raw.send(job(job_type, "", "{}")).await;
        let answer = raw.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        assert_eq!(answer.header("connection"), Some("close"));
        if job_type == "payment" {
            answer.receipt();
        } else {
            pauses.push(refused(&answer));
        }
        assert!(raw.answer().await.is_none(), "one answer, then a close");
    }
    assert!(pauses.iter().any(|pause| *pause != pauses[0]), "all return in one second: {pauses:?}");
    assert_eq!(gateway.ingest.get("/healthz").send().await.status, 200);
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200, "overloaded is not unready");

    gateway.status().await;
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_overloaded_total", &[("bound", "connections")]), 40);
    assert_eq!(scrape.count("tidegate_jobs_refused_total", &[("tier", "none"), ("code", "overloaded")]), 40);
    assert_eq!(scrape.count("tidegate_limit", &[("bound", "connections")]), 8);
    assert!(scrape.count("tidegate_connections", &[("listener", "ingest")]) >= 8);
    assert_eq!(scrape.count("tidegate_connections", &[("listener", "admin")]), 1);

    for raw in &mut slow {
        raw.send("x".repeat(99)).await;
        let answer = raw.answer().await.expect("an answer");
        answer.receipt();
        gateway.tally.job(answer.status);
    }
    gateway.accept("p2", "{}").await;
    drop(slow);
    none_held(&gateway).await;
    gateway.finish().await;
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_everywhere_do_not_lock_out_critical_work() {
    let gateway = stalling(8).await;
    let memory = gateway.resident_bytes();
    let mut slow = slow_bodies(&gateway, 8).await;
    for round in 0..3 {
        for client in 0..80 {
            let mut raw = Raw::connect(gateway.ingest.address()).await;
            let whole = job("order", "content-length: 100\r\n", "x");
            let slow_body = [client % 4 == 0, true, false][round];
            raw.send(if slow_body { &whole } else { "POST /v1/jobs HTTP/1.1\r\nhost: t" }).await;
            slow.push(raw);
        }
        let began = Instant::now();
        let mut critical = Raw::connect(gateway.ingest.address()).await;
        critical.send(job("payment", "", "{}")).await;
        let answer = critical.answer().await.expect("an answer");
        answer.receipt();
        gateway.tally.job(answer.status);
        assert!(began.elapsed() < HEADER_TIMEOUT, "round {round}: {:?}", began.elapsed());
    }
    assert!(gateway.resident_bytes() < memory + MEMORY, "memory is flat");
    // Of these no answer was read.
    gateway.tally.open(slow.len() as u64);
    drop(slow);
    none_held(&gateway).await;
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn ten_times_the_bytes_are_refused_and_critical_work_still_fits() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_in_flight_bytes", "400KB");
    let gateway =
        setup.set("limits.max_job_bytes", "100KB").set("limits.request_timeout", "30s").start().await;
    let memory = gateway.resident_bytes();
    let head = |fields: &str| job("analytics", &format!("{fields}expect: 100-continue\r\n"), "");
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(head("content-length: 80000\r\n")).await;
        let answer = raw.answer().await.expect("an answer");
        if answer.status == 100 {
            held.push(raw);
        } else {
            gateway.tally.job(answer.status);
            refused(&answer);
        }
    }
    assert_eq!(held.len(), 4, "seven eighths of the budget");

    // Bytes in chunks count as they arrive.
    let mut chunked = Raw::connect(gateway.ingest.address()).await;
    chunked.send(head("transfer-encoding: chunked\r\n")).await;
    assert_eq!(chunked.answer().await.expect("leave to send").status, 100);
    let chunk = format!("7530\r\n{}\r\n", "x".repeat(30_000));
    chunked.send([chunk.as_str(), &chunk].concat()).await;
    refused(&chunked.answer().await.expect("an answer"));
    gateway.tally.job(503);

    // So do those of workers, and they too leave the last eighth alone.
    let worker = gateway.ingest.post("/v1/leases").body(vec![b' '; 50_000]).send().await;
    refused(&worker);

    let critical = gateway.post(&"x".repeat(30_000), &[("tidegate-type", "payment")]).await;
    critical.receipt();
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_in_flight_bytes", &[]), 320_000);
    assert_eq!(scrape.count("tidegate_limit", &[("bound", "bytes")]), 400_000);
    assert_eq!(scrape.count("tidegate_overloaded_total", &[("bound", "bytes")]), 48);
    assert!(gateway.resident_bytes() < memory + MEMORY, "memory is flat");

    for raw in &mut held {
        raw.send("x".repeat(80_000)).await;
        raw.answer().await.expect("an answer").receipt();
        gateway.tally.job(202);
    }
    drop(held);
    none_held(&gateway).await;
    gateway.accept("p2", &"x".repeat(90_000)).await;
    gateway.finish().await;
}

#[tokio::test]
async fn ten_times_the_batches_are_refused_at_once() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_in_flight_bytes", "6MiB");
    let gateway = setup.set("limits.request_timeout", "30s").start().await;
    let head = "POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-ndjson\r\n\
                transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..60 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(head).await;
        let answer = raw.answer().await.expect("an answer");
        if answer.status == 100 {
            raw.send("2\r\n1\n\r\n").await;
            open.push(raw);
        } else {
            gateway.tally.job(answer.status);
            refused(&answer);
        }
    }
    assert_eq!(open.len(), 6, "one for each mebibyte");
    gateway.accept("p0", "{}").await;
    gateway.accept("p2", "{}").await;
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_open_batches", &[]), 6);
    assert_eq!(scrape.count("tidegate_limit", &[("bound", "batches")]), 6);
    assert_eq!(scrape.count("tidegate_overloaded_total", &[("bound", "batches")]), 54);

    for raw in &mut open {
        raw.send("2\r\n2\n\r\n0\r\n\r\n").await;
        let answer = raw.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (202, Some(2)), "{answer:?}");
        gateway.count_batch(&answer);
    }
    none_held(&gateway).await;
    assert_eq!(gateway.batch("application/x-ndjson", "1\n", &[]).await.status, 202);
    gateway.finish().await;
}

#[tokio::test]
async fn ten_times_the_polls_are_refused_and_those_that_wait_get_their_jobs() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_connections", "20").start().await;
    let poll = |tiers: &str| {
        let body = format!("{{\"max\":1,\"wait_seconds\":30,\"tiers\":[{tiers}]}}");
        format!("POST /v1/leases HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let mut waiting = Vec::new();
    for place in 1..=10 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(poll("\"p1\"")).await;
        waiting.push(raw);
        held(&gateway, "tidegate_waiting_polls", place).await;
    }
    let mut others = Vec::new();
    for _ in 0..90 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(poll("\"p1\",\"p2\"")).await;
        refused(&raw.answer().await.expect("an answer"));
        others.push(raw);
    }
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_overloaded_total", &[]), 90);
    assert!(scrape.count("tidegate_overloaded_total", &[("bound", "polls")]) >= 45);
    assert_eq!(scrape.count("tidegate_limit", &[("bound", "polls")]), 10);

    // Who finds a job needs no place to wait.
    let receipt = gateway.accept("p2", "{}").await;
    let answer = gateway.ingest.post_json("/v1/leases", &json!({ "wait_seconds": 30 })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(leased(&answer)[0].id, receipt.id);

    for _ in &waiting {
        gateway.accept("p1", "{}").await;
    }
    for raw in &mut waiting {
        let answer = raw.answer().await.expect("an answer");
        assert_eq!(leased(&answer).len(), 1);
    }
    none_held(&gateway).await;
    gateway.finish().await;
}

/// A gateway for few connections, on which a slow body has its time.
async fn stalling(connections: u32) -> Gateway {
    let setup = Setup::with(&Policy::calm()).set("limits.max_connections", &connections.to_string());
    setup.set("limits.request_timeout", "60s").start().await
}

/// Jobs of which the gateway waits for the last 99 bytes.
async fn slow_bodies(gateway: &Gateway, many: usize) -> Vec<Raw> {
    let mut slow = Vec::new();
    for _ in 0..many {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(job("order", "content-length: 100\r\nexpect: 100-continue\r\n", "")).await;
        assert_eq!(raw.answer().await.expect("leave to send").status, 100);
        raw.send("x").await;
        slow.push(raw);
    }
    slow
}

/// A job's request; without fields its length is declared.
fn job(job_type: &str, fields: &str, body: &str) -> String {
    let length = format!("content-length: {}\r\n", body.len());
    let fields = if fields.is_empty() { &length } else { fields };
    format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ntidegate-type: {job_type}\r\n{fields}\r\n{body}")
}

/// The seconds after which a client that was refused for the gateway's own sake may return.
#[track_caller]
fn refused(answer: &Answer) -> u64 {
    let problem = answer.problem(503, "overloaded");
    assert_eq!(problem.outcome, "not_stored");
    let pause = problem.retry_after.expect("a time to return").as_secs();
    assert!((1..=5).contains(&pause), "{pause}");
    pause
}

/// Waits until all that the test made the gateway hold is let go.
async fn none_held(gateway: &Gateway) {
    for gauge in ["tidegate_in_flight_bytes", "tidegate_open_batches", "tidegate_waiting_polls"] {
        held(gateway, gauge, 0).await;
    }
    // The tests' own client may keep a few.
    until("the connections are closed or idle", PATIENCE, async || {
        let open = gateway.metrics().await.count("tidegate_connections", &[("listener", "ingest")]);
        (open <= 24).then_some(())
    })
    .await;
}

async fn held(gateway: &Gateway, gauge: &str, many: u64) {
    until(gauge, PATIENCE, async || (gateway.metrics().await.count(gauge, &[]) == many).then_some(())).await;
}

/// The default of `limits.header_timeout`.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// More than an overload of these sizes may add to the process.
const MEMORY: u64 = 24 << 20;

const PATIENCE: Duration = Duration::from_secs(20);

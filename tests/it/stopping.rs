//! Stopping: nothing that was taken is lost, nobody who waits is left without an answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{NDJSON, leased};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

#[tokio::test]
async fn during_the_delay_it_is_not_ready_and_still_takes_jobs() {
    let mut gateway = Setup::with(&Policy::calm()).set("shutdown.delay", "2s").start().await;
    let asked = Instant::now();
    gateway.signal("TERM");
    not_ready(&gateway).await;
    assert_eq!(gateway.ingest.get("/healthz").send().await.status, 200, "alive, but leaving");
    gateway.accept("p1", "taken while leaving").await;
    assert!(asked.elapsed() < Duration::from_secs(2), "the machine is too slow for this test");

    // Then it drains: new jobs are refused while somebody still waits for an answer.
    let answer = until("new jobs are refused", PATIENCE, async || {
        let answer = gateway.post("{}", &[]).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    assert!(asked.elapsed() >= Duration::from_millis(1900), "the delay was only {:?}", asked.elapsed());
    let problem = answer.problem(503, "draining");
    assert_eq!(problem.outcome, "not_stored");
    assert_eq!(problem.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));

    let accepted = gateway.tally.counts().admitted;
    gateway.restart().await;
    assert_eq!(gateway.drain().await.len() as u64, accepted);
    gateway.finish().await;
}

#[tokio::test]
async fn without_a_delay_it_drains_at_once_and_says_so_for_a_second() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    gateway.accept("p0", "{}").await;
    gateway.signal("TERM");
    until("new jobs are refused", PATIENCE, async || {
        let answer = gateway.post("{}", &[]).await;
        (answer.status != 202).then(|| answer.problem(503, "draining"))
    })
    .await;
    let batch = gateway.batch(NDJSON, "{}\n{}\n", &[]).await;
    batch.problem(503, "draining");
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
    gateway.restart().await;
    gateway.finish().await;
}

#[tokio::test]
async fn long_polls_are_answered_at_once() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let mut poll = Raw::connect(gateway.ingest.address()).await;
    poll.send(lease_request(30)).await;
    // Another request on another connection, so that the poll is surely being waited on.
    gateway.ingest.get("/healthz").send().await;
    let asked = Instant::now();
    gateway.signal("TERM");
    let answer = poll.answer_within(Duration::from_secs(5)).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(leased(&answer), []);
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
    gateway.restart().await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_in_flight_is_answered() {
    let mut gateway = Setup::with(&Policy::calm()).set("shutdown.grace", "10s").start().await;
    let mut slow = Raw::connect(gateway.ingest.address()).await;
    slow.send(
        "POST /v1/jobs HTTP/1.1\r\nhost: tidegate\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n",
    )
    .await;
    assert_eq!(slow.answer().await.expect("an answer").status, 100, "the gateway reads the body");
    slow.send("01234").await;
    gateway.signal("TERM");
    not_ready(&gateway).await;
    slow.send("56789").await;
    let answer = slow.answer().await.expect("an answer");
    let receipt = answer.receipt();
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));

    gateway.restart().await;
    let jobs = gateway.drain().await;
    assert_eq!((jobs[0].id.as_str(), jobs[0].text()), (receipt.id.as_str(), "0123456789"));
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_that_still_streams_is_ended_and_told_what_was_stored() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let mut slow = Raw::connect(gateway.ingest.address()).await;
    let head = "POST /v1/jobs/batch HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/x-ndjson\r\n";
    slow.send(format!("{head}content-length: 1000\r\n\r\n{{\"n\":0}}\n{{\"n\":1}}\n{{\"n\"")).await;
    until("the whole lines are stored", PATIENCE, async || (gateway.depth(None).await == 2).then_some(()))
        .await;
    gateway.signal("TERM");
    let answer = slow.answer().await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["ended"]), (207, &json!("draining")), "{answer:?}");
    assert_eq!(answer.json()["accepted"], 2, "{answer:?}");
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
    gateway.restart().await;
    assert_eq!(gateway.drain().await.len(), 2);
    gateway.finish().await;
}

#[tokio::test]
async fn workers_can_finish_their_jobs_while_it_drains() {
    let mut gateway = Setup::with(&Policy::calm()).set("shutdown.delay", "1s").start().await;
    gateway.accept("p1", "{}").await;
    let jobs = gateway.lease(json!({})).await;
    gateway.signal("TERM");
    not_ready(&gateway).await;
    assert_eq!(gateway.ack(&jobs).await, ["ok"]);
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
    gateway.restart().await;
    assert_eq!(gateway.drain().await, [], "the ack was kept");
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_never_ends_does_not_outlast_the_grace() {
    let setup = Setup::with(&Policy::calm()).set("shutdown.grace", "2s").set("limits.request_timeout", "60s");
    let mut gateway = setup.start().await;
    let mut stuck = Raw::connect(gateway.ingest.address()).await;
    stuck
        .send(
            "POST /v1/jobs HTTP/1.1\r\nhost: tidegate\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n",
        )
        .await;
    assert_eq!(stuck.answer().await.expect("an answer").status, 100);
    let asked = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ended(Duration::from_secs(12)).await.code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(1500), "the grace was only {:?}", asked.elapsed());
    gateway.restart().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_second_signal_hurries() {
    let setup = Setup::with(&Policy::calm()).set("shutdown.delay", "60s").set("shutdown.grace", "60s");
    let mut gateway = setup.start().await;
    let receipt = gateway.accept("p1", "{}").await;
    gateway.signal("INT");
    not_ready(&gateway).await;
    let asked = Instant::now();
    gateway.signal("TERM");
    let status = gateway.ended(Duration::from_secs(15)).await;
    assert!(status.code().is_some(), "it ended by {status}, not by itself");
    assert!(asked.elapsed() < Duration::from_secs(10), "hurrying took {:?}", asked.elapsed());
    gateway.restart().await;
    assert_eq!(gateway.drain().await[0].id, receipt.id);
    gateway.finish().await;
}

#[tokio::test]
async fn every_receipt_given_while_stopping_under_load_is_kept() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    for _ in 0..3 {
        let receipts = AtomicU64::new(0);
        let client = async || {
            loop {
                let Ok(answer) = gateway.try_post("{}", &[]).await else { return };
                match answer.status {
                    202 => receipts.fetch_add(1, Ordering::Relaxed),
                    _ => return drop(answer.problem(503, "draining")),
                };
            }
        };
        let stop = async {
            until("there is load", PATIENCE, async || (receipts.load(Ordering::Relaxed) > 100).then_some(()))
                .await;
            gateway.signal("TERM");
        };
        tokio::join!(client(), client(), client(), client(), stop);
        assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
        gateway.restart().await;
        let drained = gateway.drain().await.len() as u64;
        let receipts = receipts.into_inner();
        assert!((receipts..=receipts + 4).contains(&drained), "{receipts} receipts, {drained} jobs");
    }
    gateway.finish().await;
}

async fn not_ready(gateway: &Gateway) {
    until("it is not ready", Duration::from_secs(5), async || {
        let answer = gateway.ingest.get("/readyz").send().await;
        (answer.status == 503).then_some(())
    })
    .await;
}

fn lease_request(seconds: u64) -> String {
    let body = json!({ "wait_seconds": seconds }).to_string();
    let head = "POST /v1/leases HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

const PATIENCE: Duration = Duration::from_secs(30);

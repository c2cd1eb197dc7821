//! What takes more than one request: clients that hang up, and good requests behind bad ones.

use std::time::Duration;

use super::case::{CHUNKED, POST, guarded, job, post, raw};
use crate::support::gateway::Gateway;
use crate::support::raw::Raw;

const GOOD: &str = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_client_that_hangs_up_anywhere_leaves_no_trace() {
    let gateway = guarded().await;
    let whole = job("content-length: 20\r\n", "01234567890123456789");
    for end in 1..whole.len() {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(&whole[..end]).await;
    }
    gateway.tally.open(whole.len() as u64);
    only_one(gateway).await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_within_a_request_leaves_no_trace() {
    let gateway = guarded().await;
    let batch = post("/v1/jobs/batch", "content-type: application/json\r\n", "[1,2,3]");
    let lease = post("/v1/leases", "", r#"{"max":1,"wait_seconds":30}"#);
    let parts: [&[u8]; 7] = [
        b"",
        b"POST /v1/jo",
        &job("content-length: 20\r\n", "0123456789"),
        &job(CHUNKED, "5\r\n01234\r\n"),
        &job(CHUNKED, "5\r\n01234\r\n0\r\n"),
        &batch[..batch.len() - 1],
        &lease[..lease.len() - 1],
    ];
    for part in parts {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(part).await;
        connection.close_our_side().await;
        let answer = connection.answer_within(PATIENCE).await;
        assert!(answer.as_ref().is_none_or(|answer| (400..500).contains(&answer.status)), "{answer:?}");
        gateway.tally.open(1);
    }
    // A worker that is gone is given nothing.
    let mut worker = Raw::connect(gateway.ingest.address()).await;
    worker.send(&lease).await;
    worker.close_our_side().await;
    assert!(worker.answer_within(PATIENCE).await.is_none());
    only_one(gateway).await;
}

#[tokio::test]
async fn a_client_that_resets_with_answers_unread_does_no_harm() {
    let gateway = guarded().await;
    for _ in 0..50 {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(GOOD.repeat(20)).await;
        // Closing on bytes that were not read is a reset.
        connection.readable().await;
    }
    gateway.tally.open(50 * 20);
    let answer = gateway.post("the next good job", &[]).await;
    answer.receipt();
    gateway.drain().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_good_request_behind_a_refused_one_is_answered() {
    let gateway = guarded().await;
    let refused: [(&[u8], u16); 9] = [
        (&raw("POST /nowhere HTTP/1.1", "content-length: 0\r\n"), 404),
        (&post("/nowhere", "", "a body"), 404),
        (&raw("PUT /v1/jobs HTTP/1.1", "content-length: 0\r\n"), 405),
        (&post("/v1/jobs", "tidegate-tier: p9\r\n", "{}"), 400),
        (&post("/v1/jobs", "host: b\r\n", "{}"), 400),
        (&post("/v1/jobs", "authorization: Bearer x\r\n", "{}"), 401),
        (&post("/v1/jobs/batch", "content-type: text/plain\r\n", "{}"), 415),
        (&post("/v1/leases", "", "[]"), 400),
        (&job(CHUNKED, format!("40001\r\n{}\r\n0\r\n\r\n", "x".repeat(0x40001))), 413),
    ];
    for (bytes, status) in refused {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send([bytes, GOOD.as_bytes(), bytes, GOOD.as_bytes()].concat()).await;
        for expected in [status, 202, status, 202] {
            let answer = connection.answer_within(PATIENCE).await.expect("an answer");
            assert_eq!(
                answer.status,
                expected,
                "{}: {answer:?}",
                String::from_utf8_lossy(&bytes[..60.min(bytes.len())])
            );
        }
        gateway.tally.open(2);
        gateway.tally.job(202);
        gateway.tally.job(202);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_all_it_has_first() {
    let gateway = guarded().await;
    let body = vec![b'x'; 4 << 20];
    for (line, status) in [
        ("POST /nowhere HTTP/1.1", 404),
        ("PUT /v1/jobs HTTP/1.1", 405),
        ("PUT /v1/leases HTTP/1.1", 405),
        ("POST /healthz HTTP/1.1", 405),
        ("POST /v1/jobs HTTP/1.1", 413),
        ("POST /v1/leases HTTP/1.1", 413),
    ] {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(raw(line, &format!("content-length: {}\r\n", body.len()))).await;
        assert!(connection.send_whole(&body).await, "{line}: cut off while sending");
        let answer = connection.answer_within(PATIENCE).await.unwrap_or_else(|| panic!("{line}: no answer"));
        assert_eq!(answer.any_problem().status, status, "{line}");
        gateway.tally.open(1);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_that_drips_has_its_time_and_no_more() {
    let gateway = guarded().await;
    let head = format!("{POST}\r\nhost: t\r\ncontent-length: 1000\r\n\r\n");
    for (before, drips) in [("", head.as_str()), (head.as_str(), &"x".repeat(1000))] {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(before).await;
        let began = std::time::Instant::now();
        let mut rest = drips.as_bytes().chunks(1);
        let answer = loop {
            if let Some(heard) = connection.heard_within(Duration::from_millis(100)).await {
                break heard;
            }
            connection.send(rest.next().expect("an answer long before that")).await;
        };
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(answer.is_none_or(|answer| answer.status == 408), "a slow client is told so, or cut off");
        gateway.tally.open(1);
    }
    only_one(gateway).await;
}

/// Nothing was stored but the next good job.
async fn only_one(gateway: Gateway) {
    gateway.post("the next good job", &[]).await.receipt();
    let jobs = gateway.drain().await;
    assert_eq!(jobs.iter().map(|job| job.text()).collect::<Vec<_>>(), ["the next good job"]);
    gateway.finish().await;
}

const PATIENCE: Duration = Duration::from_secs(8);

//! Calls of workers: how many jobs and how many bytes one answer brings, and how long a call may be.

use serde_json::{Value, json};

use super::limited;
use crate::support::answer::Answer;
use crate::support::gateway::Gateway;
use crate::support::jobs::NDJSON;
use crate::support::raw::Raw;

#[tokio::test]
async fn a_lease_call_brings_as_many_jobs_as_it_may_ask_for_and_no_more() {
    let gateway = limited(&[]).await;
    assert_eq!(gateway.batch(NDJSON, "1\n".repeat(1_200), &[]).await.status, 202);
    for too_many in [0, 1_001, 1_000_000] {
        let answer = gateway.ingest.post_json("/v1/leases", &json!({ "max": too_many })).await;
        answer.problem(400, "malformed_request");
    }
    let usual = gateway.lease(json!({})).await;
    assert_eq!(usual.len(), 100);
    let most = gateway.lease(json!({ "max": 1_000 })).await;
    assert_eq!(most.len(), 1_000);
    // All that was ever lent, in one call.
    let all = [usual, most].concat();
    assert!(gateway.ack(&all).await.iter().all(|status| status == "ok"));
    assert_eq!(gateway.drain().await.len(), 100);
    gateway.finish().await;
}

#[tokio::test]
async fn an_answer_of_large_jobs_ends_before_it_is_large() {
    let gateway = limited(&[]).await;
    let payload = "x".repeat(900_000);
    for _ in 0..24 {
        gateway.accept("p1", &payload).await;
    }
    let (mut answers, mut jobs) = (0, 0);
    while jobs < 24 {
        let leased = gateway.lease(json!({ "max": 1_000 })).await;
        let bytes: usize = leased.iter().map(|job| job.text().len()).sum();
        assert!(!leased.is_empty() && bytes < MOST_BYTES, "{bytes} bytes in {} jobs", leased.len());
        assert!(gateway.ack(&leased).await.iter().all(|status| status == "ok"));
        (answers, jobs) = (answers + 1, jobs + leased.len());
    }
    assert!(answers > 1, "all in one answer");
    gateway.finish().await;
}

#[tokio::test]
async fn a_call_has_a_mebibyte_and_no_more() {
    let gateway = limited(&[]).await;
    for verb in ["", "/ack", "/nack", "/extend"] {
        let body = if verb.is_empty() { json!({ "max": 1 }) } else { json!({ "leases": ["x"] }) };
        let fits = padded(&body, MEBIBYTE);
        assert_eq!(call(&gateway, verb, fits, false).await.status, 200, "{verb}");
        for in_chunks in [false, true] {
            let answer = call(&gateway, verb, padded(&body, MEBIBYTE + 1), in_chunks).await;
            let problem = answer.problem(413, "too_large");
            assert!(problem.document["detail"].as_str().unwrap().contains("1048576 bytes"), "{answer:?}");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_call_names_as_many_leases_as_can_be_real_and_no_more() {
    let gateway = limited(&[]).await;
    for verb in ["/ack", "/nack", "/extend"] {
        let naming = |many: usize| json!({ "leases": vec!["x"; many] }).to_string();
        let answer = call(&gateway, verb, naming(MOST_LEASES), false).await;
        assert_eq!(answer.status, 200, "{verb}");
        let results = answer.json()["results"].take();
        let unknown = |result: &Value| result["status"] == "unknown";
        assert_eq!(results.as_array().unwrap().iter().filter(|it| unknown(it)).count(), MOST_LEASES);
        let problem = call(&gateway, verb, naming(MOST_LEASES + 1), false).await.problem(413, "too_large");
        assert!(problem.document["detail"].as_str().unwrap().contains("30000 leases"), "{verb}");
    }
    // As many real ones as a call's bytes hold are not too many.
    let real = vec!["0".repeat(32); (MEBIBYTE - 13) / 35];
    let answer = call(&gateway, "/ack", json!({ "leases": real }).to_string(), false).await;
    assert_eq!(answer.status, 200, "{} leases", real.len());
    gateway.finish().await;
}

#[tokio::test]
async fn calls_whose_answers_nobody_takes_cost_little_memory() {
    let gateway = limited(&[]).await;
    let bodies =
        [MEBIBYTE / 4 - 10, MOST_LEASES].map(|many| json!({ "leases": vec!["x"; many] }).to_string());
    let before = gateway.memory();
    let mut unread = Vec::new();
    for place in 0..16 {
        let body = &bodies[place % 2];
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        let length = body.len();
        connection
            .send(format!(
                "POST /v1/leases/ack HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        connection.readable().await;
        unread.push(connection);
    }
    let grown = gateway.memory().resident.saturating_sub(before.resident);
    println!("{} unread answers: {grown} KiB; before {before:?}", unread.len());
    assert!(grown < MOST_KIB, "grew by {grown} KiB");
    drop(unread);
    gateway.finish().await;
}

/// JSON with spaces behind it, so many bytes in all.
fn padded(body: &Value, bytes: usize) -> String {
    let body = body.to_string();
    let spaces = " ".repeat(bytes - body.len());
    body + &spaces
}

async fn call(gateway: &Gateway, verb: &str, body: String, in_chunks: bool) -> Answer {
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    let head = format!("POST /v1/leases{verb} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\n");
    let length = body.len();
    let request = match in_chunks {
        false => format!("{head}content-length: {length}\r\n\r\n{body}"),
        true => {
            format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n")
        }
    };
    connection.send(request).await;
    connection.answer().await.expect("an answer")
}

const MEBIBYTE: usize = 1 << 20;

/// What a tier holds in memory ready to be lent: 4 MiB, and what was on its way from the disk.
const MOST_BYTES: usize = 9 << 20;

/// Named in one call.
const MOST_LEASES: usize = 30_000;

/// For sixteen calls: their answers, 1 MiB each where they are any, and what parsing took from the system.
const MOST_KIB: u64 = 64 * 1024;

//! HTTP itself (RFC 9110, 9112): connections that stay, clients that ask before they send, and what is not spoken.

use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

const JOB: &str = "POST /v1/jobs HTTP/1.1\r\nhost: tidegate\r\ncontent-length: 2\r\n\r\n{}";

async fn calm() -> Gateway {
    Setup::with(&Policy::calm()).start().await
}

async fn connect(gateway: &Gateway) -> Raw {
    Raw::connect(gateway.ingest.address()).await
}

#[tokio::test]
async fn an_old_client_has_one_answer_unless_it_asks_to_stay() {
    let gateway = calm().await;
    let old = JOB.replace("HTTP/1.1", "HTTP/1.0");
    let mut once = connect(&gateway).await;
    once.send(&old).await;
    let answer = once.answer().await.expect("an answer");
    answer.receipt();
    assert_eq!(answer.header("transfer-encoding"), None, "an old client knows no chunks");
    assert!(once.answer().await.is_none(), "closed");
    let mut staying = connect(&gateway).await;
    for _ in 0..3 {
        staying.send(old.replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n")).await;
        let answer = staying.answer().await.expect("an answer");
        answer.receipt();
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    (0..4).for_each(|_| gateway.tally.job(202));
    gateway.finish().await;
}

#[tokio::test]
async fn a_connection_stays_for_as_many_requests_as_come_and_goes_when_told() {
    let gateway = calm().await;
    let mut connection = connect(&gateway).await;
    for _ in 0..100 {
        connection.send(JOB).await;
        let answer = connection.answer().await.expect("an answer");
        answer.receipt();
        assert_eq!(answer.header("connection"), None);
        gateway.tally.job(202);
    }
    for word in ["close", "Close", "x, close", "keep-alive, close"] {
        let mut connection = connect(&gateway).await;
        let last = JOB.replace("\r\n\r\n", &format!("\r\nconnection: {word}\r\n\r\n"));
        connection.send(format!("{last}{JOB}")).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (202, Some("close")), "{word}");
        assert!(connection.answer().await.is_none(), "{word}: closed");
        gateway.tally.job(202);
    }
    assert_eq!(gateway.drain().await.len(), 104);
    gateway.finish().await;
}

#[tokio::test]
async fn fifty_requests_in_a_row_are_answered_in_order() {
    let gateway = calm().await;
    let mut connection = connect(&gateway).await;
    let request = |n: usize| match n % 3 {
        0 => {
            format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{n}", n.to_string().len())
        }
        1 => format!("GET /n-{n} HTTP/1.1\r\nhost: t\r\n\r\n"),
        _ => format!(
            "POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{n}\r\n0\r\n\r\n"
        ),
    };
    let all: String = (10..60).map(request).collect();
    connection.send(all).await;
    for n in 10..60 {
        let answer = connection.answer().await.unwrap_or_else(|| panic!("no answer to request {n}"));
        let expected = if n % 3 == 1 { 404 } else { 202 };
        assert_eq!(answer.status, expected, "request {n}: {answer:?}");
        if expected == 404 {
            assert_eq!(answer.json()["detail"], format!("nothing is at /n-{n}"), "in order");
        }
        gateway.tally.job(answer.status);
    }
    let payloads: Vec<String> = gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
    let sent: Vec<String> = (10..60).filter(|n| n % 3 != 1).map(|n| n.to_string()).collect();
    assert_eq!(payloads, sent, "and stored in order");
    gateway.finish().await;
}

/// A head that asks before its body is sent.
fn asking(line: &str, fields: &str, length: usize) -> String {
    format!("{line}\r\nhost: t\r\n{fields}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n")
}

const POST: &str = "POST /v1/jobs HTTP/1.1";
const BATCH: &str = "POST /v1/jobs/batch HTTP/1.1";
const LEASE: &str = "POST /v1/leases HTTP/1.1";

#[tokio::test]
async fn leave_to_send_is_given_where_the_body_is_wanted() {
    let gateway = calm().await;
    let json = "content-type: application/json\r\n";
    let asked = asking(POST, "", 2);
    for (head, body, status) in [
        (asked.clone(), "{}", 202),
        (asked.replace("100-continue", "100-Continue"), "{}", 202),
        (asked.replace("content-length: 2", "transfer-encoding: chunked"), "2\r\n{}\r\n0\r\n\r\n", 202),
        (asking(POST, "tidegate-type: payment\r\n", 2), "{}", 202),
        (asking(BATCH, json, 5), "[1,2]", 202),
        (asking(BATCH, "content-type: application/x-ndjson\r\n", 2), "1\n", 202),
        (asking(LEASE, json, 9), "{\"max\":1}", 200),
    ] {
        let mut connection = connect(&gateway).await;
        connection.send(&head).await;
        let leave = connection.answer().await.expect("leave");
        assert_eq!(leave.status, 100, "{head}");
        connection.send(body).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, status, "{head}");
        if status == 202 {
            gateway.count_batch(&answer);
        }
    }
    // Whoever sends without waiting is served too, and an old client is given no leave that it would not know.
    let mut hasty = connect(&gateway).await;
    hasty.send(format!("{asked}{{}}")).await;
    let mut answer = hasty.answer().await.expect("an answer");
    if answer.status == 100 {
        answer = hasty.answer().await.expect("an answer");
    }
    answer.receipt();
    let mut old = connect(&gateway).await;
    old.send(format!("{}{{}}", asked.replace("HTTP/1.1", "HTTP/1.0"))).await;
    old.answer().await.expect("an answer").receipt();
    (0..2).for_each(|_| gateway.tally.job(202));
    gateway.finish().await;
}

#[tokio::test]
async fn whoever_asks_before_it_sends_is_refused_before_it_sends() {
    let mut gateway = calm().await;
    for _ in 0..3 {
        gateway.accept("p2", "{}").await;
    }
    gateway.stop().await;
    gateway.change_policy(&Policy::calm().tier("p2", "target", "{ depth: 1 }").tier(
        "p2",
        "shed",
        "{ at: 2, until: 1 }",
    ));
    gateway.restart().await;
    let big = 2_000_000;
    for (head, status, code) in [
        (asking(POST, "", big), 413, "too_large"),
        (asking(BATCH, "content-type: application/x-ndjson\r\n", 100_000_000), 413, "too_large"),
        (asking(LEASE, "", big), 413, "too_large"),
        (asking(POST, "tidegate-type: analytics\r\n", 9), 429, "shed"),
        (asking(POST, "authorization: Bearer x\r\n", 9), 401, "unauthenticated"),
        (asking(POST, "tidegate-tier: p7\r\n", 9), 400, "malformed_request"),
        (asking(POST, "idempotency-key: a b\r\n", 9), 400, "invalid_idempotency_key"),
        (asking(POST, "content-encoding: br\r\n", 9), 415, "unsupported_media_type"),
        (asking(BATCH, "content-type: text/plain\r\n", 9), 415, "unsupported_media_type"),
        (asking("PUT /v1/jobs HTTP/1.1", "", big), 405, "method_not_allowed"),
        (asking("PUT /v1/leases HTTP/1.1", "", big), 405, "method_not_allowed"),
        (asking("POST /healthz HTTP/1.1", "", big), 405, "method_not_allowed"),
        (asking("POST /nowhere HTTP/1.1", "", big), 404, "not_found"),
        (asking(POST, "", 9).replace("100-continue", "200-ok"), 400, "malformed_request"),
    ] {
        let mut connection = connect(&gateway).await;
        let began = Instant::now();
        connection.send(&head).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("no answer: {head}"));
        answer.problem(status, code);
        assert!(began.elapsed() < Duration::from_secs(1), "{head}: {:?}", began.elapsed());
        gateway.tally.open(1);
    }
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn http_2_is_refused_at_once_and_an_upgrade_to_it_is_not_taken() {
    let gateway = calm().await;
    let settings = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    for preface in [settings.as_slice(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n"] {
        let mut connection = connect(&gateway).await;
        let began = Instant::now();
        connection.send(preface).await;
        let answer = connection.answer().await;
        assert!(answer.as_ref().is_none_or(|answer| (400..500).contains(&answer.status)), "{answer:?}");
        assert!(answer.is_none() || connection.answer().await.is_none(), "closed");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    assert_eq!(gateway.metrics().await.count("tidegate_jobs_received_total", &[]), 0, "that was no job");

    let upgrade = "\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    let mut connection = connect(&gateway).await;
    for _ in 0..2 {
        connection.send(JOB.replace("\r\n\r\n", upgrade)).await;
        let answer = connection.answer().await.expect("an answer");
        answer.receipt();
        assert_eq!(answer.header("upgrade"), None);
        gateway.tally.job(202);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_was_told_to_send_hears_that_it_was_too_much() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_job_bytes", "64KiB").start().await;
    let mut connection = connect(&gateway).await;
    let head =
        "POST /v1/jobs HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.send(head).await;
    assert_eq!(connection.answer().await.expect("leave").status, 100);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    assert!(connection.send_whole(chunk.repeat(64) + "0\r\n\r\n").await, "all of it is taken out of the way");
    let answer = connection.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.problem(413, "too_large");
    gateway.finish().await;
}

#[tokio::test]
async fn an_answer_says_so_where_no_request_can_follow() {
    let gateway = Setup::with(&Policy::calm()).set("limits.request_timeout", "1s").start().await;
    let mut unsent = connect(&gateway).await;
    unsent.send(asking(POST, "", 2_000_000)).await;
    let answer = unsent.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.problem(413, "too_large");
    assert_eq!(answer.header("connection"), Some("close"), "its body was not awaited");
    let mut slow = connect(&gateway).await;
    let batch = "POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-ndjson\r\n";
    slow.send(format!("{batch}content-length: 100\r\n\r\n1\n")).await;
    let answer = slow.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (207, Some("close")), "{answer:?}");
    gateway.count_batch(&answer);
    gateway.finish().await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let gateway = calm().await;
    let routes = [
        (&gateway.ingest, "/healthz"),
        (&gateway.ingest, "/readyz"),
        (&gateway.admin, "/healthz"),
        (&gateway.admin, "/readyz"),
        (&gateway.admin, "/metrics"),
        (&gateway.admin, "/v1/status"),
        (&gateway.admin, "/v1/policy"),
        (&gateway.admin, "/v1/dead-letters"),
    ];
    for (client, path) in routes {
        let whole = client.get(path).send().await;
        let mut connection = Raw::connect(client.address()).await;
        let host = client.address();
        connection.send(format!("HEAD {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        let head = connection.answer_to_head(Duration::from_secs(5)).await.expect("an answer");
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-type"), whole.header("content-type"), "{path}");
        assert!(head.header("content-length").is_some(), "{path}: {head:?}");
        if !path.starts_with("/v1/status") && path != "/metrics" {
            assert_eq!(head.header("content-length"), whole.header("content-length"), "{path}");
        }
        connection.send(format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(
            connection.answer().await.expect("an answer").text(),
            "ok\n",
            "{path}: no body was in between"
        );
    }
    gateway.finish().await;
}

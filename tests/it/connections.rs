//! One connection, many requests: every whole request is answered, in order and at once, whatever follows it.

use std::time::Duration;

use crate::support::gateway::Setup;
use crate::support::policy::Policy;
use crate::support::raw::Raw;

const JOB: &str = "POST /v1/jobs HTTP/1.1\r\nhost: tidegate\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    let health = "GET /healthz HTTP/1.1\r\nhost: tidegate\r\n\r\n";
    connection
        .send([JOB, health, JOB, "GET /nowhere HTTP/1.1\r\nhost: tidegate\r\n\r\n", JOB].concat())
        .await;
    for status in [202, 200, 202, 404, 202] {
        assert_eq!(answer(&mut connection).await, Some(status));
    }
    gateway.tally.open(4);
    assert_eq!(gateway.drain().await.len(), 3);
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_is_answered_before_the_next_one_is_whole() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for follows in ["\r\n", "\r\n\r\n", "POST /v1/jo", "POST /v1/jobs HTTP/1.1\r\ncontent-le"] {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(format!("{JOB}{follows}")).await;
        assert_eq!(answer(&mut connection).await, Some(202), "followed by {follows:?}");
        gateway.tally.job(202);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_is_answered_though_what_follows_is_garbage_or_too_much() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let last = JOB.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let old = JOB.replace("HTTP/1.1", "HTTP/1.0");
    let cases = [
        format!("{JOB}\x16\x03 garbage\r\n\r\n"),
        last.clone(),
        format!("{last}\r\n"),
        format!("{last}{JOB}"),
        old.clone(),
        format!("{old}\r\n"),
    ];
    for bytes in cases {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(&bytes).await;
        assert_eq!(answer(&mut connection).await, Some(202), "{bytes:?}");
        gateway.tally.job(202);
        let second = answer(&mut connection).await;
        assert!(second.is_none_or(|status| (400..500).contains(&status)), "{bytes:?}: then {second:?}");
    }
    let jobs = gateway.drain().await.len();
    assert_eq!(jobs as u64, gateway.tally.counts().admitted, "one job per receipt");
    gateway.finish().await;
}

#[tokio::test]
async fn a_refused_body_costs_its_client_neither_the_answer_nor_the_connection() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_job_bytes", "16KiB").start().await;
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    let body = "x".repeat(20_000);
    connection
        .send(format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 20000\r\n\r\n{body}"))
        .await;
    assert_eq!(answer(&mut connection).await, Some(413));
    gateway.tally.job(413);
    connection.send(JOB).await;
    match answer(&mut connection).await {
        // Closed: then it was said, or a new connection does.
        None => drop(gateway.accept("p1", "{}").await),
        Some(status) => gateway.tally.job(status),
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_sends_its_whole_batch_before_it_reads_hears_why_it_was_refused() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_batch_bytes", "64KiB").start().await;
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    let (length, lines) = (17 << 20, "1\n".repeat(17 << 19));
    let head = format!(
        "POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n"
    );
    assert!(connection.send_whole(head + &lines).await, "cut off while sending");
    assert_eq!(answer(&mut connection).await, Some(413));
    gateway.tally.job(413);
    gateway.finish().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_are_served_where_others_are_idle() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_connections", "4").start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(JOB).await;
        assert_eq!(answer(&mut connection).await, Some(202));
        held.push(connection);
    }
    // The test's own client may hold a fourth: so two more, and one of them finds no slot.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(JOB).await;
        waiting.push(connection);
    }
    for connection in &mut waiting {
        assert_eq!(answer(connection).await, Some(202));
    }
    for _ in 0..5 {
        gateway.tally.job(202);
    }
    drop((held, waiting));
    gateway.finish().await;
}

#[tokio::test]
async fn an_idle_connection_is_still_served_after_the_time_for_a_head() {
    let setup = Setup::with(&Policy::calm()).set("limits.header_timeout", "1s");
    let gateway = setup.start().await;
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    for round in 0..3 {
        connection.send(JOB).await;
        assert_eq!(answer(&mut connection).await, Some(202), "round {round}");
        gateway.tally.job(202);
        // The rest itself is what is looked at.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    // A head that has begun has its time, and no more.
    connection.send("POST /v1/jo").await;
    assert!(answer(&mut connection).await.is_none_or(|status| status == 408));
    gateway.tally.open(1);
    gateway.finish().await;
}

async fn answer(connection: &mut Raw) -> Option<u16> {
    connection.answer_within(Duration::from_secs(8)).await.map(|answer| answer.status)
}

//! What is bounded in clear is bounded over TLS: slow bodies, sizes, connections, bytes in flight, a client's rate.

use std::time::{Duration, Instant};

use super::{ABOUT_A_SECOND, SHORT, limited_over_tls, secure};
use crate::support::certificates::Authority;
use crate::support::jobs::NDJSON;

fn job(job_type: &str, fields: &str) -> String {
    format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ntidegate-type: {job_type}\r\n{fields}\r\n")
}

fn batch(media: &str, fields: &str) -> String {
    format!("POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: {media}\r\n{fields}\r\n")
}

#[tokio::test]
async fn a_body_that_drips_has_its_time_and_no_more() {
    let authority = Authority::new("ours");
    let gateway = limited_over_tls(&authority, &[("request_timeout", SHORT)]).await;
    let dial = secure(&gateway, &authority);
    let (declared, chunked) = ("content-length: 1000\r\n", "transfer-encoding: chunked\r\n");
    for head in [job("order", declared), job("order", chunked), batch(NDJSON, declared)] {
        let began = Instant::now();
        let mut connection = dial().await;
        connection.send(&head).await;
        let answer = loop {
            connection.send(if head.contains("chunked") { "1\r\nx\r\n" } else { "x" }).await;
            if let Some(heard) = connection.heard_within(Duration::from_millis(20)).await {
                break heard.expect("an answer");
            }
            assert!(began.elapsed() < Duration::from_secs(10), "not ended: {head}");
        };
        gateway.tally.job(answer.status);
        assert_eq!(answer.problem(408, "request_timeout").outcome, "not_stored", "{head}");
        assert_eq!(answer.header("connection"), Some("close"), "{head}");
        assert!(ABOUT_A_SECOND.contains(&began.elapsed().as_secs_f64()), "{:?}: {head}", began.elapsed());
    }
    // Of a batch, what came in time is kept.
    let mut connection = dial().await;
    connection.send(batch(NDJSON, chunked) + "8\r\n{\"n\":0}\n\r\n8\r\n{\"n\":1}\n\r\n3\r\n{\"n\r\n").await;
    let answer = connection.answer().await.expect("an answer");
    gateway.count_batch(&answer);
    let document = answer.json();
    assert_eq!((answer.status, &document["ended"]), (207, &"request_timeout".into()), "{document}");
    assert_eq!(document["accepted"], 2, "{document}");
    let stored: Vec<String> = gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
    assert_eq!(stored, ["{\"n\":0}", "{\"n\":1}"]);
    gateway.finish().await;
}

#[tokio::test]
async fn jobs_and_batches_have_their_sizes() {
    let authority = Authority::new("ours");
    let limits = [("max_job_bytes", "16KiB"), ("max_batch_bytes", "64KiB"), ("max_batch_jobs", "10")];
    let gateway = limited_over_tls(&authority, &limits).await;
    gateway.accept("p1", &"x".repeat(16 * 1024)).await;
    gateway.post(&"x".repeat(16 * 1024 + 1), &[]).await.problem(413, "too_large");
    let array = |jobs: usize| format!("[{}1]", "1,".repeat(jobs - 1));
    assert_eq!(gateway.batch("application/json", array(10), &[]).await.status, 202);
    gateway.batch("application/json", array(11), &[]).await.problem(413, "too_large");

    let dial = secure(&gateway, &authority);
    for head in [job("order", "content-length: 16385\r\n"), batch(NDJSON, "content-length: 65537\r\n")] {
        let mut connection = dial().await;
        connection.send(&head).await;
        let answer = connection.answer().await.expect("an answer before the body");
        gateway.tally.job(answer.status);
        answer.problem(413, "too_large");
    }
    // A length that is not declared is found where it is passed.
    let line = format!("\"{}\"\n", "x".repeat(15_000));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    for (chunks, stored) in [(chunk.repeat(5), 4), ("2\r\n1\n\r\n".repeat(11), 10)] {
        let mut connection = dial().await;
        connection.send(batch(NDJSON, "transfer-encoding: chunked\r\n") + &chunks + "0\r\n\r\n").await;
        let answer = connection.answer().await.expect("an answer");
        gateway.count_batch(&answer);
        let document = answer.json();
        assert_eq!((answer.status, &document["ended"]), (207, &"too_large".into()), "{document}");
        assert_eq!((&document["accepted"], &document["refused"]), (&stored.into(), &1.into()), "{document}");
    }
    assert_eq!(gateway.drain().await.len(), 1 + 10 + 4 + 10);
    gateway.finish().await;
}

#[tokio::test]
async fn beyond_the_bound_on_connections_critical_jobs_are_taken_and_others_told() {
    let authority = Authority::new("ours");
    let limits = [("max_connections", "4"), ("request_timeout", "60s")];
    let gateway = limited_over_tls(&authority, &limits).await;
    let dial = secure(&gateway, &authority);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut connection = dial().await;
        connection.send(job("order", "content-length: 2\r\nexpect: 100-continue\r\n")).await;
        assert_eq!(connection.answer().await.expect("leave to send").status, 100);
        slow.push(connection);
    }
    for (job_type, status) in [("order", 503), ("payment", 202), ("analytics", 503), ("payment", 202)] {
        let mut connection = dial().await;
        connection.send(job(job_type, "content-length: 2\r\n") + "{}").await;
        let answer = connection.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        assert_eq!(answer.status, status, "{job_type}: {answer:?}");
        if status == 503 {
            answer.problem(503, "overloaded");
        }
        assert!(connection.answer().await.is_none(), "one answer, then a close");
    }
    for connection in &mut slow {
        connection.send("{}").await;
        let answer = connection.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        answer.receipt();
    }
    gateway.finish().await;
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_and_given_back() {
    let authority = Authority::new("ours");
    let limits = [("max_in_flight_bytes", "400KB"), ("max_job_bytes", "100KB"), ("request_timeout", "30s")];
    let gateway = limited_over_tls(&authority, &limits).await;
    let dial = secure(&gateway, &authority);
    let (mut held, mut refused) = (Vec::new(), 0);
    for _ in 0..10 {
        let mut connection = dial().await;
        connection.send(job("analytics", "content-length: 80000\r\nexpect: 100-continue\r\n")).await;
        let answer = connection.answer().await.expect("an answer");
        if answer.status == 100 {
            held.push(connection);
            continue;
        }
        gateway.tally.job(answer.status);
        answer.problem(503, "overloaded");
        refused += 1;
    }
    assert_eq!((held.len(), refused), (4, 6), "seven eighths of the budget");
    let critical = gateway.post(&"x".repeat(30_000), &[("tidegate-type", "payment")]).await;
    critical.receipt();
    for connection in &mut held {
        connection.send("x".repeat(80_000)).await;
        let answer = connection.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        answer.receipt();
    }
    gateway.accept("p2", &"x".repeat(90_000)).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_has_its_rate_over_all_its_connections() {
    let authority = Authority::new("ours");
    let limits = [("client_rate", "{ per_second: 0.1, burst: 3 }")];
    let gateway = limited_over_tls(&authority, &limits).await;
    let dial = secure(&gateway, &authority);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let mut connection = dial().await;
        connection.send(super::JOB).await;
        let answer = connection.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        statuses.push(answer.status);
        if answer.status == 429 {
            answer.problem(429, "client_limit");
        }
    }
    assert_eq!(statuses, [202, 202, 202, 429, 429]);
    gateway.finish().await;
}

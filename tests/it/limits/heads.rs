//! A request's head: how long, in how many fields, and how slowly it may come, in clear and over TLS.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::{ABOUT_A_SECOND, Dialling, JOB, SHORT, limited, limited_over_tls, plain, secure};
use crate::support::certificates::Authority;
use crate::support::gateway::Gateway;
use crate::support::raw::Raw;

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_and_the_next_good_one_taken() {
    let gateway = limited(&[]).await;
    long_heads(&gateway, &plain(&gateway)).await;
    let admin = gateway.admin.address();
    long_heads(&gateway, &|| -> Dialling<_> { Box::pin(async move { Raw::connect(admin).await }) }).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_over_tls_too() {
    let authority = Authority::new("ours");
    let gateway = limited_over_tls(&authority, &[]).await;
    long_heads(&gateway, &secure(&gateway, &authority)).await;
    gateway.finish().await;
}

async fn long_heads<S: Stream>(gateway: &Gateway, dial: &impl Fn() -> Dialling<S>) {
    let begin = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n";
    let fields = |many: usize, length: usize| {
        let field = |n| format!("x-{n}: {}\r\n", "v".repeat(length));
        format!("{begin}{}\r\n", (0..many).map(field).collect::<String>())
    };
    let long = "a".repeat(200_000);
    let cases = [
        // Small enough to be read as a whole: so the answer cannot be lost.
        ("101 fields", fields(99, 1), false),
        ("one field of 200,000 bytes", fields(1, 200_000), true),
        ("2,000 fields of 100 bytes", fields(2_000, 100), true),
        ("a target of 200,000 bytes", format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n"), true),
        ("a method of 200,000 bytes", format!("{long} / HTTP/1.1\r\nhost: t\r\n\r\n"), true),
        ("a name of 200,000 bytes", format!("{begin}{long}: v\r\n\r\n"), true),
    ];
    for (name, head, may_close) in cases {
        let mut connection = dial().await;
        connection.send(&head).await;
        match connection.answer().await {
            Some(answer) => {
                assert!([400, 414, 431].contains(&answer.status), "{name}: {answer:?}");
                assert!(connection.answer().await.is_none(), "{name}: then a close");
            }
            None => assert!(may_close, "{name}: closed without an answer"),
        }
        gateway.tally.open(1);
        gateway.accept("p1", "the next good job").await;
    }
    // And what is long, but not too long, is a request.
    let mut connection = dial().await;
    connection.send(fields(90, 500)).await;
    let status = connection.answer().await.expect("an answer").status;
    assert!([202, 403].contains(&status), "{status}");
    gateway.tally.open(1);
}

#[tokio::test]
async fn heads_without_end_and_heads_half_sent_cost_little_memory() {
    let gateway = limited(&[("header_timeout", SHORT)]).await;
    floods(&gateway, &plain(&gateway)).await;
    gateway.finish().await;
}

#[tokio::test]
async fn they_cost_little_memory_over_tls_too() {
    let authority = Authority::new("ours");
    let gateway = limited_over_tls(&authority, &[("header_timeout", "2s")]).await;
    floods(&gateway, &secure(&gateway, &authority)).await;
    gateway.finish().await;
}

/// A crowd that sends fields for ever, then one that stops within its heads.
async fn floods<S: Stream>(gateway: &Gateway, dial: &impl Fn() -> Dialling<S>) {
    gateway.accept("p1", "{}").await;
    let before = gateway.memory();
    let mut endless = JoinSet::new();
    for _ in 0..CROWD {
        let connecting = dial();
        endless.spawn(async move {
            let mut connection = connecting.await;
            connection.send("POST /v1/jobs HTTP/1.1\r\nhost: t\r\n").await;
            let piece = format!("x: {}\r\n", "v".repeat(60)).repeat(250);
            // Up to 8 MB each, unless it is cut off.
            for sent in 0..500 {
                if !connection.send_whole(&piece).await {
                    return sent;
                }
            }
            500
        });
    }
    let sent = endless.join_all().await;
    assert!(sent.iter().all(|pieces| *pieces < 500), "nobody stopped them: {sent:?}");
    gateway.accept("p1", "{}").await;

    let mut halves = Vec::new();
    for _ in 0..CROWD {
        let mut connection = dial().await;
        connection.send(format!("POST /v1/jobs HTTP/1.1\r\nx: {}", "v".repeat(60_000))).await;
        halves.push(connection);
    }
    gateway.accept("p1", "while they stand").await;
    for connection in &mut halves {
        let answer = connection.answer_within(Duration::from_secs(5)).await;
        assert!(answer.is_none_or(|answer| answer.status == 408), "their time is over");
    }
    gateway.tally.open(2 * CROWD as u64);
    let grown = gateway.memory().highest.saturating_sub(before.resident);
    println!("{CROWD} heads without end, then half sent: {grown} KiB; before {before:?}");
    assert!(grown < CROWD as u64 * HEAD_KIB + SLACK_KIB, "grew by {grown} KiB: {:?}", gateway.memory());
}

#[tokio::test]
async fn a_head_that_drips_has_its_time_and_no_more() {
    let gateway = limited(&[("header_timeout", SHORT)]).await;
    dripping_heads(&gateway, &plain(&gateway)).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_head_that_drips_over_tls_has_its_time_and_no_more() {
    let authority = Authority::new("ours");
    let gateway = limited_over_tls(&authority, &[("header_timeout", SHORT)]).await;
    dripping_heads(&gateway, &secure(&gateway, &authority)).await;
    gateway.finish().await;
}

/// As the first head of a connection, and as one behind a request that was answered.
async fn dripping_heads<S: Stream>(gateway: &Gateway, dial: &impl Fn() -> Dialling<S>) {
    for behind_another in [false, true] {
        let mut connection = dial().await;
        if behind_another {
            connection.send(JOB).await;
            gateway.tally.job(connection.answer().await.expect("an answer").status);
        }
        let began = Instant::now();
        let head = format!("POST /v1/jobs HTTP/1.1\r\nx: {}", "v".repeat(500));
        let mut drops = head.as_bytes().chunks(1);
        let heard = loop {
            connection.send(drops.next().expect("a close long before that")).await;
            if let Some(heard) = connection.heard_within(Duration::from_millis(20)).await {
                break heard;
            }
        };
        let took = began.elapsed().as_secs_f64();
        assert!(heard.is_none_or(|answer| answer.status == 408), "told so, or closed");
        assert!(ABOUT_A_SECOND.contains(&took), "behind another: {behind_another}; {took} s");
        gateway.tally.open(1);
    }
    // In pieces, but in time.
    let mut connection = dial().await;
    for piece in JOB.as_bytes().chunks(10) {
        connection.send(piece).await;
        assert!(piece.ends_with(b"{}") || connection.heard_within(Duration::from_millis(5)).await.is_none());
    }
    let answer = connection.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.receipt();
}

/// What heads come by.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Connections at once.
const CROWD: usize = 64;

/// What a connection may hold of a head, docs/PROTECTION.md says.
const HEAD_KIB: u64 = 128;

/// What is set up once.
const SLACK_KIB: u64 = 8 * 1024;

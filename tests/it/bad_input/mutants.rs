//! Faults that nobody thought of: good requests, changed at random, thousands of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::case::{CHUNKED, JSON, NDJSON, job, post, raw};
use crate::support::answer::{Answer, CODES};
use crate::support::coded::{Coding, encode};
use crate::support::gateway::Setup;
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// Each is answered from the closed list, or the connection is closed, within the gateway's own times.
#[tokio::test]
async fn whatever_is_sent_is_answered_from_the_closed_list_or_closed() {
    let setup = Setup::with(&Policy::calm()).set("limits.header_timeout", "300ms");
    let gateway =
        setup.set("limits.request_timeout", "300ms").set("limits.max_job_bytes", "16KiB").start().await;
    let (seed, address, ends) = (seed(), gateway.ingest.address(), Instant::now() + TIME);
    println!("seed {seed}");
    let sent = Arc::new(AtomicU64::new(0));
    let senders = (0..SENDERS).map(|sender| {
        let sent = Arc::clone(&sent);
        tokio::spawn(async move {
            let mut chance = StdRng::seed_from_u64(seed.wrapping_add(sender));
            let (mut answered, bases) = (0, bases().await);
            while Instant::now() < ends {
                let bytes = mutant(&bases, &mut chance);
                sent.fetch_add(1, Ordering::Relaxed);
                answered += send(address, &bytes).await;
            }
            answered
        })
    });
    let mut answered = 0;
    for sender in senders.collect::<Vec<_>>() {
        answered += sender.await.expect("every mutant is answered as it should be");
    }
    let sent = sent.load(Ordering::Relaxed);
    println!("{sent} mutants, {answered} answers");
    assert!(
        sent > 500 && answered > sent / 4,
        "{sent} mutants, {answered} answers: too few to prove anything"
    );
    // A mutant may be several requests, and a batch of many jobs; not every answer was read.
    gateway.tally.open(u64::MAX / 2);
    gateway.post("the next good job", &[]).await.receipt();
    gateway.finish().await;
}

/// Sends one mutant; how many answers came before the connection was closed or fell silent.
async fn send(address: std::net::SocketAddr, bytes: &[u8]) -> u64 {
    let mut connection = Raw::connect(address).await;
    connection.send(bytes).await;
    let mut patience = PATIENCE;
    for answers in 0.. {
        match connection.heard_within(patience).await {
            Some(Some(answer)) => check(&answer, bytes),
            Some(None) => return answers,
            None => {
                assert!(answers > 0, "no answer and no close in {patience:?}: {}", shown(bytes));
                return answers;
            }
        }
        // Whether a second request was in it, nobody knows.
        patience = Duration::from_millis(5);
    }
    0
}

fn check(answer: &Answer, bytes: &[u8]) {
    let media = answer.header("content-type").unwrap_or_default();
    let fits = match answer.status {
        100 | 200 | 202 | 204 | 207 => true,
        // The HTTP reader itself: bad, too long, too much.
        400 | 414 | 431 if answer.body.is_empty() => true,
        503 | 504 | 400..500 => {
            media == "application/problem+json" && CODES.contains(&answer.any_problem().code.as_str())
        }
        _ => false,
    };
    assert!(fits, "{answer:?} to {}", shown(bytes));
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(2000).map(|byte| std::ascii::escape_default(*byte).to_string()).collect()
}

/// A good request, changed in one to six places.
fn mutant(bases: &[Vec<u8>], chance: &mut StdRng) -> Vec<u8> {
    let mut bytes = bases.choose(chance).cloned().unwrap_or_default();
    for _ in 0..chance.random_range(1..=6) {
        change(&mut bytes, bases, chance);
    }
    bytes.truncate(100_000);
    bytes
}

fn change(bytes: &mut Vec<u8>, bases: &[Vec<u8>], chance: &mut StdRng) {
    let length = bytes.len();
    let from = chance.random_range(0..=length);
    let to = (from + chance.random_range(0..=20)).min(length);
    match chance.random_range(0..10) {
        0 | 1 => {
            let token = TOKENS.choose(chance).copied().unwrap_or_default();
            bytes.splice(from..from, token.iter().copied());
        }
        2 => {
            let token = TOKENS.choose(chance).copied().unwrap_or_default();
            bytes.splice(from..to, token.iter().copied());
        }
        3 => drop(bytes.drain(from..to)),
        4 => {
            let part = bytes[from..to].repeat(chance.random_range(1..50));
            bytes.splice(from..from, part);
        }
        5 => bytes.truncate(from.max(1)),
        6 => {
            let other = bases.choose(chance).cloned().unwrap_or_default();
            bytes.splice(from.., other[chance.random_range(0..other.len())..].iter().copied());
        }
        7 => swap_lines(bytes, chance),
        _ => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte ^= 1 << chance.random_range(0..8);
            }
        }
    }
}

fn swap_lines(bytes: &mut Vec<u8>, chance: &mut StdRng) {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let (one, other) = (chance.random_range(0..lines.len()), chance.random_range(0..lines.len()));
    lines.swap(one, other);
    *bytes = lines.join(&b'\n');
}

/// Good requests of every kind.
async fn bases() -> Vec<Vec<u8>> {
    let keyed = "idempotency-key: \"k-1\"\r\ntidegate-tier: p1\r\ntidegate-ordering-key: o\r\ntidegate-expires-in: 60\r\n";
    vec![
        post("/v1/jobs", JSON, r#"{"type":"order","n":[1,2.5e3,-0],"s":"\u00e9"}"#),
        post("/v1/jobs", keyed, r#"{"type":"payment"}"#),
        job(CHUNKED, "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nx-trailer: y\r\n\r\n"),
        post("/v1/jobs/batch", NDJSON, "{\"n\":1}\n{\"n\":2}\r\n\n{\"type\":\"digest\"}\n"),
        post("/v1/jobs/batch", JSON, "[{\"n\":1}, 2 ,\"three\",[4]]"),
        post("/v1/leases", JSON, r#"{"max":1,"lease_seconds":1,"tiers":["p0","p1"],"worker":"w"}"#),
        post("/v1/leases/ack", JSON, r#"{"leases":["00000000-0000-7000-8000-000000000000"]}"#),
        post("/v1/leases/nack", JSON, r#"{"leases":["x"],"delay_seconds":1,"reason":"r","dead":false}"#),
        post("/v1/jobs", "content-encoding: gzip\r\n", encode(Coding::Gzip, b"{\"type\":\"order\"}").await),
        post(
            "/v1/jobs/batch",
            &format!("{NDJSON}content-encoding: zstd\r\n"),
            encode(Coding::Zstd, b"1\n2\n").await,
        ),
        post(
            "/v1/jobs",
            "ce-specversion: 1.0\r\nce-id: \"7\"\r\nce-source: /a%20b\r\nce-type: t\r\nce-time: 2026-01-31T12:00:00Z\r\n",
            "{}",
        ),
        post("/v1/jobs", "content-type: application/cloudevents+json\r\n", EVENT),
        post(
            "/v1/jobs/batch",
            "content-type: application/cloudevents-batch+json\r\n",
            format!("[{EVENT},{EVENT}]"),
        ),
        raw("GET /healthz HTTP/1.1", ""),
        raw("OPTIONS /v1/jobs HTTP/1.1", "webhook-request-origin: a.example\r\nwebhook-request-rate: 60\r\n"),
    ]
}

/// The same every time, so that a failure can be played again; set another one to try others.
fn seed() -> u64 {
    std::env::var("TIDEGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\"",
    b"\\",
    b"{",
    b"[",
    b"]",
    b"}",
    b"%00",
    b"-1",
    b"99999999999999999999",
    b"ffffffffffffffff1",
    b"1e999",
    b"chunked",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 5\r\n",
    b"content-length: 0\r\n",
    b"expect: 100-continue\r\n",
    b"connection: close\r\n",
    b"content-encoding: gzip\r\n",
    b"content-type: application/x-ndjson\r\n",
    b"content-type: application/cloudevents+json\r\n",
    b"ce-id: 7\r\n",
    b"host: b\r\n",
    b"HTTP/1.0",
    b"POST ",
    b"/v1/jobs",
    b"..",
];

const EVENT: &str =
    r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","n":1,"on":true,"data":{"a":[1]}}"#;

const TIME: Duration = Duration::from_secs(5);
const SENDERS: u64 = 64;

/// Far more than the times of the gateway together.
const PATIENCE: Duration = Duration::from_secs(10);

//! What operators are told of handshakes that fail: a count by why, and a line of the log now and then.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::{Bytes, asking_clients};
use crate::support::certificates::{Authority, DAY};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;

pub const FAILED: &str = "tidegate_tls_handshakes_failed_total";

/// Does something that makes one handshake fail, and waits until it is counted so, and not otherwise.
async fn fails(gateway: &Gateway, listener: &str, reason: &str, attempt: impl Future<Output = ()>) {
    let count = async || {
        let metrics = gateway.metrics().await;
        let so = metrics.count(FAILED, &[("listener", listener), ("reason", reason)]);
        (so, metrics.count(FAILED, &[]))
    };
    let before = count().await;
    attempt.await;
    let counted = until(reason, PATIENCE, async || Some(count().await).filter(|now| now.1 > before.1)).await;
    assert_eq!(counted, (before.0 + 1, before.1 + 1), "{listener} {reason}");
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_by_why() {
    let (authority, clients, others) =
        (Authority::new("ours"), Authority::new("clients"), Authority::new("others"));
    let good = authority.trusted_by(&clients.issue());
    let gateway = asking_clients(&authority, &clients, &good).await;
    let expired = clients.issue_until(SystemTime::now() - DAY);
    for (listener, address) in [("ingest", gateway.ingest.address()), ("admin", gateway.admin.address())] {
        for (config, reason) in [
            (authority.trusted(), "no_certificate"),
            (authority.trusted_by(&others.issue()), "bad_certificate"),
            (authority.trusted_by(&expired), "bad_certificate"),
            (others.trusted(), "refused_by_client"),
        ] {
            let attempt = async {
                let heard = Client::secure(address, config).get("/healthz").try_send().await;
                assert!(heard.is_err(), "{reason}: {heard:?}");
            };
            fails(&gateway, listener, reason, attempt).await;
        }
        for (bytes, reason) in [
            (b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n" as &[u8], "not_tls"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not_tls"),
            (b"\x16\x03\x01\xff\xff garbage garbage", "protocol"),
            (b"", "closed"),
            (b"\x16\x03", "closed"),
        ] {
            let attempt = async {
                let mut plain = Bytes::connect(address).await;
                plain.send(bytes).await;
                if reason != "closed" {
                    plain.heard_to_the_end().await;
                }
            };
            fails(&gateway, listener, reason, attempt).await;
        }
    }
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn handshakes_that_fail_do_not_fill_the_log() {
    let authority = Authority::new("ours");
    let setup = Setup::with(&Policy::calm()).ingest_tls(&authority.issue(), authority.trusted());
    let gateway = setup.start().await;
    let began = Instant::now();
    for _ in 0..200 {
        let mut plain = Bytes::connect(gateway.ingest.address()).await;
        plain.send(b"POST /v1/jobs HTTP/1.1\r\nauthorization: Bearer sesame-sesame\r\n\r\n").await;
        plain.heard_to_the_end().await;
    }
    assert_eq!(gateway.metrics().await.count(FAILED, &[("listener", "ingest"), ("reason", "not_tls")]), 200);
    let log = gateway.log();
    assert!(!log.contains("sesame"), "nothing that a client sent");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["message"].as_str().unwrap().starts_with("TLS handshakes fail"))
        .collect();
    let most = 1 + began.elapsed().as_secs() / 5;
    assert!((1..=most).contains(&(lines.len() as u64)), "{lines:?}");
    assert_eq!(lines[0]["failed"], 1, "the first at once");
    for line in &lines {
        assert_eq!((&line["listener"], &line["reason"]), (&"ingest".into(), &"not_tls".into()), "{line}");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert_eq!(line["level"], "INFO");
    }
    gateway.finish().await;
}

const PATIENCE: Duration = Duration::from_secs(15);

//! TLS on both listeners: who is let in, what is refused in a handshake, and that a slow one holds nobody up.

mod failures;
mod files;
mod renewal;

use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConfig;
use tokio::process::Command;

use crate::support::certificates::{Authority, DAY, connect};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// A gateway whose ingest speaks TLS.
async fn secured(setup: Setup, authority: &Authority) -> Gateway {
    setup.ingest_tls(&authority.issue(), authority.trusted()).start().await
}

/// A gateway of this authority whose listeners let in clients of the other one only; the harness is one so.
async fn asking_clients(authority: &Authority, clients: &Authority, good: &ClientConfig) -> Gateway {
    let pair = authority.issue();
    Setup::with(&Policy::calm())
        .ingest_tls(&pair, good.clone())
        .client_ca("ingest", clients)
        .admin_tls(&pair, good.clone())
        .client_ca("admin", clients)
        .start()
        .await
}

#[tokio::test]
async fn jobs_and_operators_travel_over_tls_as_over_plain_http() {
    let authority = Authority::new("all");
    let pair = authority.issue_until(SystemTime::now() + 90 * DAY);
    let setup = Setup::with(&Policy::calm()).admin_tls(&pair, authority.trusted());
    let gateway = setup.ingest_tls(&pair, authority.trusted()).start().await;
    let receipt = gateway.accept("p1", "over TLS").await;
    assert_eq!(gateway.drain().await[0].id, receipt.id);

    let tls = gateway.status().await["tls"].clone();
    for listener in ["ingest", "admin"] {
        assert_eq!(tls[listener]["client_certificates"], false, "{tls}");
        assert!(tls[listener]["last_reload"].is_null(), "{tls}");
        let left =
            gateway.metrics().await.sum("tidegate_tls_certificate_expiry_seconds", &[("listener", listener)]);
        assert!((89.0..90.1).contains(&(left / DAY.as_secs_f64())), "{listener}: {left} s");
    }
    for (scheme, status) in [("https", 200), ("http", 403)] {
        let origin = format!("{scheme}://{}", gateway.admin.address());
        let answer = gateway.admin.get("/v1/status").header("origin", &origin).send().await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.text());
    }
    let mut held = Raw::over(connect(gateway.ingest.address(), authority.trusted()).await.unwrap());
    for _ in 0..3 {
        held.send("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}").await;
        gateway.tally.job(held.answer().await.expect("kept alive").status);
    }
    assert_eq!(gateway.tally.counts().admitted, 4);
    gateway.finish().await;
}

#[tokio::test]
async fn where_client_certificates_are_asked_for_only_those_of_the_authority_get_in() {
    let (authority, clients, others) =
        (Authority::new("ours"), Authority::new("clients"), Authority::new("others"));
    let good = authority.trusted_by(&clients.issue());
    let gateway = asking_clients(&authority, &clients, &good).await;
    gateway.accept("p0", "{}").await;
    assert_eq!(gateway.status().await["tls"]["ingest"]["client_certificates"], true);
    let expired = clients.issue_until(SystemTime::now() - DAY);
    for address in [gateway.ingest.address(), gateway.admin.address()] {
        let bad =
            [authority.trusted(), authority.trusted_by(&others.issue()), authority.trusted_by(&expired)];
        for config in bad {
            let heard = Client::secure(address, config).get("/healthz").try_send().await;
            assert!(heard.is_err(), "{heard:?}");
        }
        assert_eq!(Client::secure(address, good.clone()).get("/healthz").send().await.status, 200);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn old_protocols_are_refused_and_both_newer_ones_spoken() {
    let authority = Authority::new("ours");
    let gateway = secured(Setup::with(&Policy::calm()), &authority).await;
    let address = gateway.ingest.address().to_string();
    for (version, spoken) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let client = ["s_client", "-connect", &address, version, "-brief", "-cipher", "ALL:@SECLEVEL=0"];
        let mut command = Command::new("openssl");
        command.args(client).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let ended =
            tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("openssl");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(said.contains("CONNECTION ESTABLISHED"), spoken, "{version}: {said}");
    }
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn who_speaks_the_wrong_protocol_is_told_so_or_closed_at_once() {
    let authority = Authority::new("ours");
    let gateway = secured(Setup::with(&Policy::calm()), &authority).await;
    let job = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";
    for bytes in [
        job.as_bytes(),
        b"\x16\x03\x01\xff\xff garbage garbage",
        &[0x80; 600],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let began = Instant::now();
        let mut plain = Bytes::connect(gateway.ingest.address()).await;
        plain.send(bytes).await;
        let heard = plain.heard_to_the_end().await;
        assert!(heard.is_empty() || heard[0] == ALERT, "an alert and no more: {heard:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    // And the other way round: admin is plain here.
    let began = Instant::now();
    assert!(connect(gateway.admin.address(), authority.trusted()).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(gateway.metrics().await.count("tidegate_jobs_received_total", &[]), 0);
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_head_and_no_more() {
    let authority = Authority::new("ours");
    let setup = Setup::with(&Policy::calm()).set("limits.header_timeout", "1s");
    let gateway = secured(setup, &authority).await;
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    for begun in [&[] as &[u8], &hello[..1], &hello] {
        let began = Instant::now();
        let mut half = Bytes::connect(gateway.ingest.address()).await;
        half.send(begun).await;
        half.heard_to_the_end().await;
        let took = began.elapsed().as_secs_f64();
        assert!((0.8..3.0).contains(&took), "{begun:?}: {took} s");
    }
    let failed = gateway.metrics().await;
    assert_eq!(failed.count(failures::FAILED, &[("listener", "ingest"), ("reason", "timeout")]), 3);
    // The first head's time began with the connection.
    let stream = connect(gateway.ingest.address(), authority.trusted()).await.unwrap();
    let began = Instant::now();
    let mut silent = Raw::over(stream);
    silent.send("POST /v1/jo").await;
    assert!(silent.answer().await.is_none_or(|answer| answer.status == 408));
    assert!((0.5..3.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn half_open_handshakes_in_every_slot_do_not_lock_out_critical_work() {
    let authority = Authority::new("ours");
    let setup =
        Setup::with(&Policy::calm()).set("limits.max_connections", "40").set("limits.header_timeout", "60s");
    let gateway = secured(setup, &authority).await;
    let mut halves = Vec::new();
    for part in 0..400 {
        let mut half = Bytes::connect(gateway.ingest.address()).await;
        if part % 2 == 0 {
            half.send(&[0x16, 0x03, 0x01]).await;
        }
        halves.push(half);
    }
    for _ in 0..5 {
        let began = Instant::now();
        // Each on a connection of its own.
        let client = Client::secure(gateway.ingest.address(), authority.trusted());
        let answer = client.post("/v1/jobs").header("tidegate-type", "payment").body("{}").send().await;
        gateway.tally.job(answer.status);
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    assert_eq!(gateway.admin.get("/healthz").send().await.status, 200);
    drop(halves);
    gateway.finish().await;
}

/// One TCP connection of raw bytes.
struct Bytes(tokio::net::TcpStream);

impl Bytes {
    async fn connect(address: std::net::SocketAddr) -> Bytes {
        Bytes(tokio::net::TcpStream::connect(address).await.expect("a connection"))
    }

    async fn send(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt;
        let _ = self.0.write_all(bytes).await;
    }

    /// All that the gateway says until it closes.
    async fn heard_to_the_end(&mut self) -> Vec<u8> {
        use tokio::io::AsyncReadExt;
        let mut heard = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut heard)).await.expect("a close");
        heard
    }
}

/// The first byte of an alert.
const ALERT: u8 = 21;

const PATIENCE: Duration = Duration::from_secs(15);

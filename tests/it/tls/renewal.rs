//! Renewed certificates come into force while the gateway runs: whole pairs only, for new connections.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::certificates::{Authority, DAY, Pair, connect, shown};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

const JOB: &str = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}";

/// The last reload that status shows.
async fn last_reload(gateway: &Gateway) -> Value {
    gateway.status().await["tls"]["ingest"]["last_reload"].clone()
}

async fn shows(gateway: &Gateway, authority: &Authority, pair: &Pair) {
    let what = "the certificate is in force";
    until(what, PATIENCE, async || {
        let now = shown(gateway.ingest.address(), authority.trusted()).await;
        (now == pair.der()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_renewed_pair_is_for_new_connections_and_a_half_of_one_for_none() {
    let authority = Authority::new("ours");
    let old = authority.issue();
    let gateway = Setup::with(&Policy::calm()).ingest_tls(&old, authority.trusted()).start().await;
    let mut held = Raw::over(connect(gateway.ingest.address(), authority.trusted()).await.unwrap());
    held.send(JOB).await;
    gateway.tally.job(held.answer().await.unwrap().status);

    let new = authority.issue_until(SystemTime::now() + 10 * DAY);
    let file = |name: &str| gateway.folder().join(name);
    fs::write(file("ingest.pem"), &new.certificate).unwrap();
    // The key comes later: until then nobody meets a certificate without its key.
    for _ in 0..10 {
        assert_eq!(shown(gateway.ingest.address(), authority.trusted()).await, old.der());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(last_reload(&gateway).await.is_null(), "a pair may come one after the other");
    fs::write(file("renewed.key"), &new.key).unwrap();
    fs::rename(file("renewed.key"), file("ingest.key")).unwrap();
    shows(&gateway, &authority, &new).await;
    let reload = last_reload(&gateway).await;
    assert_eq!((&reload["taken"], &reload["fault"]), (&true.into(), &Value::Null), "{reload}");
    let left =
        gateway.metrics().await.sum("tidegate_tls_certificate_expiry_seconds", &[("listener", "ingest")]);
    assert!((9.0..10.1).contains(&(left / DAY.as_secs_f64())), "{left}");
    assert!(gateway.log().contains("expires soon"), "ten days are few");

    held.send(JOB).await;
    gateway.tally.job(held.answer().await.expect("the old connection goes on").status);
    gateway.accept("p1", "{}").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_said_once() {
    let authority = Authority::new("ours");
    let pair = authority.issue();
    let gateway = Setup::with(&Policy::calm()).ingest_tls(&pair, authority.trusted()).start().await;
    let file = |name: &str| gateway.folder().join(name);
    let told = |words: &str| gateway.log().lines().filter(|line| line.contains(words)).count();
    fs::write(file("ingest.pem"), "no certificate").unwrap();
    let fault = until("the fault shows", PATIENCE, async || {
        last_reload(&gateway).await["fault"].as_str().map(str::to_owned)
    });
    assert!(fault.await.contains("holds no certificate"));
    // A pair that never matches is told too, after a while.
    fs::write(file("ingest.pem"), &authority.issue().certificate).unwrap();
    until("the mismatch shows", PATIENCE, async || {
        last_reload(&gateway).await["fault"].as_str()?.contains("another certificate").then_some(())
    })
    .await;
    assert_eq!(shown(gateway.ingest.address(), authority.trusted()).await, pair.der());
    gateway.accept("p1", "{}").await;
    fs::write(file("ingest.pem"), &pair.certificate).unwrap();
    until("all is well again", PATIENCE, async || {
        (last_reload(&gateway).await["taken"] == true).then_some(())
    })
    .await;
    assert_eq!((told("holds no certificate"), told("of another certificate")), (1, 1), "{}", gateway.log());
    let secret = pair.key.lines().nth(1).unwrap();
    assert!(!gateway.log().contains(secret) && !gateway.log().contains("BEGIN PRIVATE"));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn other_authorities_of_clients_come_into_force_too() {
    let (authority, first, second) =
        (Authority::new("ours"), Authority::new("first"), Authority::new("second"));
    let (of_first, of_second) = (first.issue(), second.issue());
    let setup = Setup::with(&Policy::calm()).ingest_tls(&authority.issue(), authority.trusted_by(&of_first));
    let gateway = setup.client_ca("ingest", &first).start().await;
    let gets_in = async |pair: &Pair| {
        let client = Client::secure(gateway.ingest.address(), authority.trusted_by(pair));
        client.get("/healthz").try_send().await.is_ok()
    };
    assert!(gets_in(&of_first).await && !gets_in(&of_second).await);
    let both = format!("{}{}", first.pem(), second.pem());
    fs::write(gateway.folder().join("ingest-clients.pem"), both).unwrap();
    until("the second gets in", PATIENCE, async || gets_in(&of_second).await.then_some(())).await;
    assert!(gets_in(&of_first).await);
    fs::write(gateway.folder().join("ingest-clients.pem"), second.pem()).unwrap();
    until("the first is shut out", PATIENCE, async || (!gets_in(&of_first).await).then_some(())).await;
    assert!(gets_in(&of_second).await);
    gateway.finish().await;
}

const PATIENCE: Duration = Duration::from_secs(15);

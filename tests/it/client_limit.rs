//! What one client may send: by key, by address, through proxies, and what it hears beyond.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::keys::{Keys, bearer};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

const A: &str = "a-0123456789abcdef";
const B: &str = "b-0123456789abcdef";

#[tokio::test]
async fn beyond_its_rate_a_client_is_told_when_to_come_back_and_others_are_not() {
    let gateway = limited("{ per_second: 0.4, burst: 3 }", "[]").await;
    let (a, b) = (bearer(A), bearer(B));
    let as_a = [("authorization", a.as_str())];
    for _ in 0..3 {
        gateway.post("{}", &as_a).await.receipt();
    }
    let refused = Instant::now();
    let answer = gateway.post("{}", &as_a).await;
    let problem = answer.problem(429, "client_limit");
    assert_eq!((problem.tier, problem.outcome.as_str()), (None, "not_stored"));
    assert!((1..=3).contains(&problem.retry_after.unwrap().as_secs()), "{answer:?}");
    assert_eq!(
        (answer.header("ratelimit"), answer.header("tidegate-tier")),
        (None, None),
        "it is of no tier"
    );
    // Before the head is looked at, and before the body is read: also where both are wrong.
    gateway.post("{}", &[as_a[0], ("tidegate-tier", "p9")]).await.problem(429, "client_limit");
    gateway.batch(NDJSON, "1\n2\n", &as_a).await.problem(429, "client_limit");
    for path in ["/v1/leases", "/v1/leases/ack", "/v1/leases/nack", "/v1/leases/extend"] {
        let answer =
            gateway.ingest.post(path).header("authorization", &a).json(&json!({ "leases": [] })).send().await;
        answer.problem(429, "client_limit");
    }
    // Authentication comes first.
    gateway
        .post("{}", &[("authorization", "Bearer nobody-0123456789")])
        .await
        .problem(401, "unauthenticated");
    for _ in 0..3 {
        gateway.post("{}", &[("authorization", &b)]).await.receipt();
        gateway.post("{}", &[]).await.receipt();
    }
    gateway.post("{}", &[]).await.problem(429, "client_limit");
    for _ in 0..20 {
        assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200, "health is exempt");
    }
    let metrics = gateway.metrics().await;
    let refusals =
        metrics.count("tidegate_jobs_refused_total", &[("tier", "none"), ("code", "client_limit")]);
    assert_eq!(refusals, 4, "jobs and batches count, calls of workers do not");
    until("it may send again", Duration::from_secs(20), async || {
        (gateway.post("{}", &as_a).await.status == 202).then_some(())
    })
    .await;
    let waited = refused.elapsed();
    assert!(waited > Duration::from_secs(1), "{waited:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn nobody_is_limited_unless_configured() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for _ in 0..200 {
        gateway.post("{}", &[]).await.receipt();
    }
    gateway.finish().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_clients_are_told_apart_and_ipv6_by_64_bits() {
    let gateway = limited("{ per_second: 0.001, burst: 2 }", "[127.0.0.0/8]").await;
    let sent = async |name: &str, hops: &str| gateway.post("{}", &[(name, hops)]).await.status;
    let (listed, standard) = ("x-forwarded-for", "forwarded");
    for (name, first, second) in [
        (listed, "192.0.2.1", "10.9.9.9, 192.0.2.1"),
        (listed, "1.1.1.1, 192.0.2.2", "192.0.2.2:80, 127.0.0.9"),
        (standard, "for=192.0.2.3;proto=https", "for=9.9.9.9, for=\"192.0.2.3:4711\""),
        (listed, "2001:db8:0:1::1", "2001:db8:0:1:ffff::9"),
        (listed, "::ffff:192.0.2.4", "192.0.2.4"),
    ] {
        assert_eq!((sent(name, first).await, sent(name, second).await), (202, 202), "{first}");
        assert_eq!((sent(name, first).await, sent(name, second).await), (429, 429), "{first}");
    }
    assert_eq!(sent(listed, "2001:db8:0:2::1").await, 202);
    // What cannot be read is the proxy's own.
    assert_eq!((sent(listed, "unknown").await, sent(listed, "").await), (202, 202));
    assert_eq!((sent(listed, "nonsense").await, sent(standard, "for=_x").await), (429, 429));
    let remembered = gateway.metrics().await.count("tidegate_limited_clients", &[]);
    assert_eq!(remembered, 7, "at once, not only after a sweep");
    gateway.finish().await;
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_be_somebody_else() {
    let gateway = limited("{ per_second: 0.001, burst: 2 }", "[10.0.0.0/8]").await;
    let sent = async |hops: &str| gateway.post("{}", &[("x-forwarded-for", hops)]).await.status;
    assert_eq!((sent("192.0.2.1").await, sent("192.0.2.2").await), (202, 202));
    assert_eq!((sent("192.0.2.3").await, sent("10.0.0.1").await), (429, 429));
    gateway.finish().await;
}

#[tokio::test]
async fn beyond_the_bound_on_connections_the_checks_keep_their_order() {
    let mut setup = Setup::with(&Policy::calm());
    let path = setup.write("keys.yaml", &Keys::default().and("a", "acme", A, "submit").to_yaml());
    let setup = setup.set("auth.keys_file", &path.display().to_string()).set("auth.anonymous", "[]");
    let setup =
        setup.set("limits.max_connections", "1").set("limits.client_rate", "{ per_second: 0.001, burst: 3 }");
    let gateway = setup.start().await;
    let mut holder = Raw::connect(gateway.ingest.address()).await;
    let head =
        |fields: &str| format!("POST /v1/jobs HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n{fields}\r\n");
    let key = format!("authorization: Bearer {A}\r\n");
    holder.send(head(&key) + "{").await;
    until("it is read", Duration::from_secs(10), async || {
        (gateway.metrics().await.sum("tidegate_in_flight_bytes", &[]) > 0.0).then_some(())
    })
    .await;
    let heard = async |fields: &str| {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(head(fields) + "{}").await;
        let answer = raw.answer().await.expect("an answer");
        gateway.tally.job(answer.status);
        answer
    };
    let critical = "tidegate-type: payment\r\n";
    heard("").await.problem(401, "unauthenticated");
    heard(critical).await.problem(401, "unauthenticated");
    heard(&key).await.problem(503, "overloaded");
    heard(&(key.clone() + critical)).await.receipt();
    heard(&(key.clone() + critical)).await.problem(429, "client_limit");
    heard(&key).await.problem(429, "client_limit");
    holder.send("}").await;
    let answer = holder.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.receipt();
    gateway.finish().await;
}

async fn limited(rate: &str, proxies: &str) -> Gateway {
    let mut setup = Setup::with(&Policy::calm());
    let keys = Keys::default().and("a", "acme", A, "submit, lease").and("b", "acme", B, "submit");
    let path = setup.write("keys.yaml", &keys.to_yaml());
    let setup =
        setup.set("auth.keys_file", &path.display().to_string()).set("ingest.trusted_proxies", proxies);
    setup.set("limits.client_rate", rate).start().await
}

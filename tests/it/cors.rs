//! Pages of other origins: told nothing unless configured, and where they are, able to read every refusal.

use http::Method;

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::keys::Keys;
use crate::support::policy::Policy;

const APP: &str = "https://app.example";

#[tokio::test]
async fn unless_configured_no_answer_has_a_field_of_cors() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let job = gateway.post("{}", &[("origin", APP)]).await;
    job.receipt();
    for answer in [job, preflight(&gateway.ingest, APP, "/v1/jobs").await] {
        assert_eq!(fields(&answer), Vec::<String>::new(), "{answer:?}");
        assert_eq!(answer.header("vary"), None);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_allows_what_clients_send() {
    let gateway = open_to("['https://app.example', 'http://localhost:3000']").await;
    for path in ["/v1/jobs", "/v1/jobs/batch", "/v1/leases"] {
        let answer = preflight(&gateway.ingest, APP, path).await;
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(WANTED));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert!(answer.header("vary").unwrap().to_lowercase().contains("origin"));
    }
    let foreign = preflight(&gateway.ingest, "https://app.example.evil.example", "/v1/jobs").await;
    assert_eq!(foreign.header("access-control-allow-origin"), None, "{foreign:?}");
    // The handshake of webhooks is no preflight, with or without an Origin.
    let ask = gateway.ingest.ask(Method::OPTIONS, "/v1/jobs").header("webhook-request-origin", "e.example");
    let answer = ask.header("origin", APP).send().await;
    assert_eq!(answer.header("webhook-allowed-origin"), Some("e.example"), "{answer:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_page_can_read_every_answer() {
    let gateway = open_to("[https://app.example]").await;
    let key = format!("Bearer {KEY}");
    let page = [("origin", APP), ("authorization", key.as_str())];
    let with = |more: &[(&'static str, &'static str)]| [&page[..], more].concat();
    let mut answers = vec![
        (202, gateway.post("{}", &with(&[("tidegate-type", "digest")])).await),
        (400, gateway.post("{}", &with(&[("tidegate-tier", "p9")])).await),
        (401, gateway.post("{}", &page[..1]).await),
        (413, gateway.post(&"x".repeat(2_000), &page).await),
    ];
    answers.push((429, gateway.post("{}", &with(&[("tidegate-type", "digest")])).await));
    answers.push((429, gateway.post("{}", &page).await));
    answers.push((404, gateway.ingest.post("/v1/nothing").header("origin", APP).send().await));
    gateway.tally.open(1);
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP), "{answer:?}");
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for field in ["retry-after", "ratelimit", "ratelimit-policy", "tidegate-tier"] {
            assert!(exposed.split(',').any(|name| name.trim() == field), "{field}: {exposed}");
        }
        assert!(answer.header("vary").unwrap().to_lowercase().contains("origin"));
    }
    let foreign = gateway.ingest.post("/v1/nothing").header("origin", "https://evil.example").send().await;
    gateway.tally.open(1);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    assert!(foreign.header("vary").is_some(), "a cache must not give this answer to the page");
    let admin = gateway.admin.get("/v1/status").header("origin", APP).send().await;
    admin.problem(403, "origin_not_allowed");
    assert_eq!(fields(&admin), Vec::<String>::new(), "operators' pages are the listener's own");
    gateway.finish().await;
}

#[tokio::test]
async fn where_all_origins_may_none_is_named() {
    let gateway = Setup::with(&Policy::calm()).set("ingest.cors.origins", "['*']").start().await;
    let answer = gateway.post("{}", &[("origin", "https://any.example")]).await;
    answer.receipt();
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    gateway.finish().await;
}

async fn preflight(client: &Client, origin: &str, path: &str) -> Answer {
    let ask = client.ask(Method::OPTIONS, path).header("origin", origin);
    let ask =
        ask.header("access-control-request-method", "POST").header("access-control-request-headers", WANTED);
    ask.send().await
}

/// Four requests of a client, one of them of bulk.
async fn open_to(origins: &str) -> Gateway {
    let policy = Policy::calm().tier("p2", "target", "{ depth: 1 }").tier("p2", "max_depth", "1");
    let policy = policy.tier("p2", "rate", "{ min: 0.001/s, max: 0.001/s, burst: 1s }");
    let mut setup = Setup::with(&policy);
    let path = setup.write("keys.yaml", &Keys::default().and("page", "acme", KEY, "submit").to_yaml());
    let setup = setup.set("auth.keys_file", &path.display().to_string()).set("auth.anonymous", "[]");
    let setup = setup
        .set("limits.client_rate", "{ per_second: 0.001, burst: 4 }")
        .set("limits.max_job_bytes", "1000");
    setup.set("ingest.cors.origins", origins).start().await
}

fn fields(answer: &Answer) -> Vec<String> {
    let names = answer.headers.keys().map(|name| name.as_str().to_owned());
    names.filter(|name| name.starts_with("access-control")).collect()
}

const KEY: &str = "page-0123456789abcdef";
const WANTED: &str =
    "authorization,ce-type,content-type,idempotency-key,tidegate-tier,tidegate-type,traceparent";

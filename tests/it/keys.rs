//! Keys of clients and workers: whose job it is, what a key may do, how high it reaches, and its file while it changes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::command::tidegate;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::keys::{Keys, bearer, sha256};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;
use crate::support::redis::Redis;
use crate::support::redis_worker::of_entry;

const SHOP: &str = "shop-0123456789abcdef";
const WORKER: &str = "worker-0123456789abcdef";
const BOTH: &str = "both-0123456789abcdef";

#[tokio::test]
async fn without_a_key_or_with_an_unknown_one_it_is_a_401_that_says_how() {
    let gateway = guarded(&keys(), "[]").await;
    let long = format!("Bearer {}", "k".repeat(600));
    let wrong = [
        None,
        Some("Bearer unknown-0123456789"),
        Some("Bearer"),
        Some("Bearer "),
        Some("Basic c2hvcDpzaG9w"),
        Some(SHOP),
        Some("Bearer shop-0123456789abcde"),
        Some("Bearer SHOP-0123456789abcdef"),
        Some(&long),
    ];
    for value in wrong {
        let fields: Vec<_> = value.iter().map(|value| ("authorization", *value)).collect();
        let answer = gateway.post("{}", &fields).await;
        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{value:?}");
        let answer = gateway.batch(NDJSON, "1\n", &fields).await;
        answer.problem(401, "unauthenticated");
        for path in LEASES {
            let answer = call(&gateway.ingest, path, &fields).await;
            answer.problem(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{value:?}");
        }
    }
    for fields in [
        format!("authorization: Bearer {SHOP}\r\nauthorization: Bearer {SHOP}\r\n").into_bytes(),
        [b"authorization: Bearer k\xc3\xa4se\xff".as_slice(), b"\r\n"].concat(),
        format!("authorization: Bearer {SHOP} {SHOP}\r\n").into_bytes(),
        format!("authorization:\tBearer\t{SHOP}\r\n").into_bytes(),
    ] {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(
            &[b"POST /v1/jobs HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n".as_slice(), &fields, b"\r\n"]
                .concat(),
        )
        .await;
        let answer = raw.answer().await.expect("an answer");
        answer.problem(401, "unauthenticated");
        gateway.tally.job(answer.status);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.ingest.get(path).send().await.status, 200, "health is for everybody");
    }
    let handshake =
        gateway.ingest.ask(http::Method::OPTIONS, "/v1/jobs").header("webhook-request-origin", "e.example");
    assert_eq!(handshake.send().await.status, 200, "a handshake stores nothing");
    assert_no_secret(&gateway);
    gateway.finish().await;
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_nothing_else() {
    let gateway = guarded(&keys(), "[]").await;
    let as_ = |key: &str| vec![("authorization", bearer(key))];
    for key in [SHOP, BOTH] {
        post(&gateway, "{}", &as_(key)).await.receipt();
        assert_eq!(batch(&gateway, &as_(key)).await.status, 202);
    }
    post(&gateway, "{}", &as_(WORKER)).await.problem(403, "scope_not_allowed");
    batch(&gateway, &as_(WORKER)).await.problem(403, "scope_not_allowed");
    for path in LEASES {
        let shop = bearer(SHOP);
        call(&gateway.ingest, path, &[("authorization", &shop)]).await.problem(403, "scope_not_allowed");
    }
    let worker = Client::new(gateway.ingest.address()).with_bearer(Some(WORKER.into()));
    let answer = worker.post_json("/v1/leases", &json!({ "max": 10 })).await;
    let jobs = answer.json()["jobs"].as_array().unwrap().clone();
    assert_eq!(jobs.len(), 4, "a worker leases the jobs of every tenant");
    let leases: Vec<Value> = jobs.iter().map(|job| job["lease"].clone()).collect();
    for (verb, request) in [
        ("extend", json!({ "leases": [leases[0]] })),
        ("nack", json!({ "leases": [leases[0]], "dead": true })),
        ("ack", json!({ "leases": leases[1..] })),
    ] {
        let answer = worker.post_json(&format!("/v1/leases/{verb}"), &request).await;
        let results = answer.json()["results"].clone();
        assert!(
            results.as_array().unwrap().iter().all(|result| result["status"] == "ok"),
            "{verb}: {results}"
        );
    }
    gateway.finish().await;
}

#[tokio::test]
async fn on_loopback_a_key_counts_even_where_none_is_needed() {
    let gateway = guarded(&keys(), "[submit]").await;
    gateway.accept("p1", "{}").await;
    assert_eq!(gateway.lease(json!({})).await.len(), 1);
    let shop = bearer(SHOP);
    call(&gateway.ingest, "/v1/leases", &[("authorization", &shop)]).await.problem(403, "scope_not_allowed");
    let unknown = [("authorization", "Bearer unknown-0123456789")];
    gateway.post("{}", &unknown).await.problem(401, "unauthenticated");
    gateway.finish().await;
}

#[tokio::test]
async fn rules_know_the_tenant_and_a_key_reaches_no_higher_than_its_ceiling() {
    let rules = "[ { name: of acme, when: { tenant: acme }, tier: p0 } ]";
    let policy = Policy::calm().top("rules", rules).top("tenants", "{ default: { ceiling: p0 } }");
    let keys = Keys::default()
        .and("high", "acme", SHOP, "submit")
        .with("low", "acme", WORKER, "scopes: [submit], ceiling: p1")
        .with("other", "widgets", BOTH, "scopes: [submit], ceiling: p1");
    let mut setup = Setup::with(&policy);
    let path = setup.write("keys.yaml", &keys.to_yaml());
    let gateway = setup.set("auth.keys_file", &path.display().to_string()).start().await;
    let tier = async |key: &str, fields: &[(&str, &str)]| {
        let key = bearer(key);
        gateway.post("{}", &[&[("authorization", key.as_str())], fields].concat()).await
    };
    assert_eq!(tier(SHOP, &[]).await.receipt().tier, "p0");
    assert_eq!(tier(WORKER, &[]).await.receipt().tier, "p1", "what a rule says is lowered");
    assert_eq!(tier(BOTH, &[]).await.receipt().tier, "p1", "the default");
    tier(BOTH, &[("tidegate-tier", "p0")]).await.problem(403, "tier_not_allowed");
    assert_eq!(tier(BOTH, &[("tidegate-tier", "p2")]).await.receipt().tier, "p2");
    assert_eq!(
        gateway.post("{}", &[("tidegate-tier", "p0")]).await.receipt().tier,
        "p0",
        "anonymous has none"
    );

    let header = format!("Authorization: Bearer {WORKER}");
    let (keys, policy) = ("auth.keys_file=keys.yaml", "policy=policy.yaml");
    let asked = ["explain", "--set", keys, "--set", policy, "--header", header.as_str()];
    let told = tidegate(gateway.folder(), &asked, &[]).await;
    told.says(
        0,
        &[
            "of acme",
            "a key of `acme` that may submit, up to p1",
            "p0 is above the ceiling p1: lowered to it",
        ],
    );
    assert!(!told.said.contains(WORKER), "{}", told.said);
    let unknown = ["explain", "--set", keys, "--set", policy, "--header", "Authorization: Bearer nobody"];
    tidegate(gateway.folder(), &unknown, &[]).await.says(0, &["401 unauthenticated"]);
    gateway.finish().await;
}

#[tokio::test]
async fn two_tenants_may_use_one_idempotency_key() {
    let keys = Keys::default().and("a", "acme", SHOP, "submit").and("b", "widgets", BOTH, "submit");
    let gateway = guarded(&keys.and("a2", "acme", WORKER, "submit"), "[submit]").await;
    let sent = async |key: Option<&str>| {
        let key = key.map(bearer);
        let mut fields = vec![("idempotency-key", "order-7")];
        fields.extend(key.as_deref().map(|key| ("authorization", key)));
        gateway.post("{}", &fields).await.receipt()
    };
    let (acme, widgets, nobody) = (sent(Some(SHOP)).await, sent(Some(BOTH)).await, sent(None).await);
    assert!(!acme.duplicate && !widgets.duplicate && !nobody.duplicate);
    let again = sent(Some(WORKER)).await;
    assert!(again.duplicate, "another key of the same tenant");
    assert_eq!(again.id, acme.id);
    gateway.finish().await;
}

#[tokio::test]
async fn a_stored_job_carries_its_tenant() {
    let redis = Redis::start(&[]).await;
    let mut setup = Setup::with(&Policy::calm()).set("backend", "redis").set("redis.url", &redis.url());
    let path = setup.write("keys.yaml", &keys().to_yaml());
    let gateway = setup.set("auth.keys_file", &path.display().to_string()).start().await;
    post(&gateway, "{}", &[("authorization", bearer(SHOP))]).await.receipt();
    gateway.accept("p1", "{}").await;
    let entries = redis.cli(&["XRANGE", "jobs:standard", "-", "+"]).await;
    let tenants: Vec<_> =
        entries.items().iter().map(|entry| of_entry(entry).1.field("tenant").to_owned()).collect();
    assert_eq!(tenants, ["acme", "anonymous"]);
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn the_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing() {
    let gateway = guarded(&keys(), "[]").await;
    let path = gateway.folder().join("keys.yaml");
    let status = async |key: &str| post(&gateway, "{}", &[("authorization", bearer(key))]).await.status;
    assert_eq!((status(SHOP).await, status("new-0123456789abcdef").await), (202, 401));
    assert_eq!(gateway.status().await["keys"], json!({ "in_force": 3, "fault": null }));

    let without_shop = Keys::default().and("new", "acme", "new-0123456789abcdef", "submit");
    let other = gateway.folder().join("keys.new");
    std::fs::write(&other, without_shop.to_yaml()).unwrap();
    std::fs::rename(&other, &path).unwrap();
    until("the new key is known", PATIENCE, async || {
        (status("new-0123456789abcdef").await == 202).then_some(())
    })
    .await;
    assert_eq!(status(SHOP).await, 401, "a key that is gone is unknown at once");

    let bad = without_shop.to_yaml().replace("scopes: [submit]", "scopes: [submitt]")
        + "  - { name: my-plain-key }\n";
    std::fs::write(&path, &bad).unwrap();
    let fault = until("the fault is told", PATIENCE, async || {
        gateway.status().await["keys"]["fault"].as_str().map(str::to_owned)
    })
    .await;
    assert!(fault.contains("keys.yaml:2:") && fault.contains("did you mean `submit`?"), "{fault}");
    assert!(fault.contains("keys[1]: the key `sha256` is missing"), "every fault at once: {fault}");
    assert_eq!(status("new-0123456789abcdef").await, 202, "the keys from before stay in force");
    std::fs::remove_file(&path).unwrap();
    until("it is missed", PATIENCE, async || {
        gateway.status().await["keys"]["fault"].as_str()?.contains("No such file").then_some(())
    })
    .await;
    assert_eq!(status("new-0123456789abcdef").await, 202);
    let faulty = async || gateway.metrics().await.count("tidegate_last_reload_rejected", &[("file", "keys")]);
    until("the metrics say so", PATIENCE, async || (faulty().await == 1).then_some(())).await;

    std::fs::write(&path, keys().to_yaml()).unwrap();
    until("the good file takes over", PATIENCE, async || (status(SHOP).await == 202).then_some(())).await;
    assert_eq!(gateway.status().await["keys"], json!({ "in_force": 3, "fault": null }));
    until("the metrics take it back", PATIENCE, async || (faulty().await == 0).then_some(())).await;
    let metrics = gateway.metrics().await;
    let reloads = |result: &str| metrics.count("tidegate_keys_reloads_total", &[("result", result)]);
    assert_eq!((reloads("applied"), metrics.count("tidegate_api_keys", &[])), (2, 3));
    assert!(reloads("rejected") >= 2);
    let log = gateway.log();
    assert!(log.contains("the keys file is wrong") && log.contains("the keys are replaced"), "{log}");
    assert_no_secret(&gateway);
    gateway.finish().await;
}

#[tokio::test]
async fn check_tells_a_keys_file_and_its_faults_and_never_a_key() {
    let mut setup = Setup::bare();
    setup.write("keys.yaml", &keys().to_yaml());
    tidegate(setup.folder(), &["check", "keys.yaml"], &[])
        .await
        .says(0, &["keys.yaml: keys file ok, 3 keys"]);
    let plain =
        "keys:\n  - { name: shop, tenant: acme, sha256: shop-0123456789abcdef, scopes: [submit, all] }\n";
    setup.write("plain.yaml", plain);
    setup.write("config.yaml", "auth: { keys_file: plain.yaml }\n");
    let words = [
        "plain.yaml:2:41: keys[0].sha256: expects the SHA-256",
        "sha256sum",
        "plain.yaml:2:81: keys[0].scopes[1]: `all`",
    ];
    for arguments in [
        &["check", "plain.yaml"][..],
        &["check", "config.yaml"],
        &["check", "--config", "config.yaml"],
        &["serve", "--config", "config.yaml"],
    ] {
        let ended = tidegate(setup.folder(), arguments, &[]).await;
        ended.says(2, &words);
        assert!(!ended.said.contains(SHOP), "{arguments:?}: {}", ended.said);
    }
    let ended = tidegate(setup.folder(), &["serve", "--set", "auth.keys_file=none.yaml"], &[]).await;
    ended.says(2, &["none.yaml: No such file"]);
}

fn keys() -> Keys {
    Keys::default().and("shop", "acme", SHOP, "submit").and("worker", "ops", WORKER, "lease").and(
        "both",
        "widgets",
        BOTH,
        "submit, lease",
    )
}

/// A gateway that asks for keys unless anonymous callers may; beyond loopback, so that they may not lease.
async fn guarded(keys: &Keys, anonymous: &str) -> Gateway {
    let mut setup = Setup::with(&Policy::calm());
    let path = setup.write("keys.yaml", &keys.to_yaml());
    let setup = setup.set("auth.keys_file", &path.display().to_string()).set("auth.anonymous", anonymous);
    let setup = if anonymous == "[]" { setup.ingest_beyond_loopback() } else { setup };
    setup.start().await
}

async fn post(gateway: &Gateway, payload: &str, fields: &[(&str, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    gateway.post(payload, &fields).await
}

async fn batch(gateway: &Gateway, fields: &[(&str, String)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    gateway.batch(NDJSON, "1\n", &fields).await
}

async fn call(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = if path == "/v1/leases" { json!({}) } else { json!({ "leases": [] }) };
    let ask = fields.iter().fold(client.post(path), |ask, (name, value)| ask.header(name, value));
    ask.json(&body).send().await
}

fn assert_no_secret(gateway: &Gateway) {
    let log = gateway.log();
    for key in [SHOP, WORKER, BOTH] {
        assert!(!log.contains(key) && !log.contains(&sha256(key)), "{log}");
    }
}

const LEASES: [&str; 4] = ["/v1/leases", "/v1/leases/ack", "/v1/leases/nack", "/v1/leases/extend"];

/// A change is seen within 100 ms; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

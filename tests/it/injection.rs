//! Hostile characters in everything that goes along: what is stored is one job with the values as they came or nothing, and
//! a log has one line of visible characters for each event.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Setup};
use crate::support::keys::Keys;
use crate::support::policy::Policy;
use crate::support::raw::Raw;
use crate::support::redis::Redis;
use crate::support::redis_worker::{Taken, of_entry};

/// Bytes that end lines, steer terminals, are no text, or look like further records of a backend.
const HOSTILE: [&[u8]; 14] = [
    b"a\rb",
    b"a\nb",
    b"a\r\n b",
    b"a\0b",
    b"\x1b[2J\x1b[31mred",
    b"\x07\x08\x7f",
    b"a\tb",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xc2\x9b31m",
    b"\xe2\x80\xae\xe2\x80\xa8",
    b"*3\\r\\n$3\\r\\nSET",
    b"\"}],\"injected\":[{\"",
    b"%0d%0aX-Injected: 1",
];

const FIELDS: [&str; 10] = [
    "ce-note",
    "tracestate",
    "traceparent",
    "tidegate-ordering-key",
    "content-type",
    "idempotency-key",
    "tidegate-type",
    "x-forwarded-for",
    "authorization",
    "user-agent",
];

#[tokio::test]
async fn an_entry_in_redis_has_the_values_as_they_came_and_nothing_beside_them() {
    let redis = Redis::start(&[]).await;
    let setup = setup("json").set("backend", "redis").set("redis.url", &redis.url());
    let gateway = setup.start().await;
    let mut taken = 0;
    for field in FIELDS {
        for value in HOSTILE {
            if post(&gateway, field, value).await == Some(202) {
                taken += 1;
                let job = sole_entry(&redis).await;
                assert_eq!(job.body, b"{}");
                assert_visible_or_as_sent(field, value, &job.fields);
            }
        }
    }
    assert!(taken > 30, "most values that HTTP allows are taken: {taken}");
    for (body, status) in bodies() {
        let answer = gateway.post(&body.to_string(), &[("content-type", "application/json")]).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        if status == 202 {
            let job = sole_entry(&redis).await;
            assert_eq!(job.body, body.to_string().as_bytes());
            assert!(job.fields.keys().all(|name| KNOWN.contains(&name.as_str())), "{job:?}");
            assert_eq!(job.fields.get("type").map(String::as_str), body["type"].as_str(), "to the character");
        }
    }
    let keys = redis.cli(&["KEYS", "*"]).await;
    let strangers: Vec<_> = keys.items().iter().filter(|key| key.text().contains("njected")).collect();
    assert_eq!(strangers, Vec::<&_>::new());
    assert_one_line_each(&gateway);
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_leased_job_has_the_values_as_they_came_and_a_log_in_text_stays_one_line_each() {
    let gateway = setup("text").start().await;
    for field in FIELDS {
        for value in HOSTILE {
            if post(&gateway, field, value).await == Some(202) {
                let jobs = gateway.lease(json!({ "worker": "w\r\n\u{1b}[2J\u{9b}" })).await;
                let [job] = &jobs[..] else { panic!("{field} {value:?}: {jobs:?}") };
                let mut fields = job.headers.clone();
                let texts = [("content_type", &job.content_type), ("ordering_key", &job.ordering_key)];
                fields.extend(
                    texts.map(|(name, text)| (name.into(), text.as_str().unwrap_or_default().into())),
                );
                assert_visible_or_as_sent(field, value, &fields);
                gateway.ack(&jobs).await;
            }
        }
    }
    // What a worker says of a failure is kept with the dead letter, to the character.
    let reason = "x\r\n\u{0}\u{1b}[31m\u{9b}\u{202e}";
    gateway.accept("p1", "{}").await;
    let jobs = gateway.lease(json!({})).await;
    gateway.settle("nack", json!({ "leases": [jobs[0].lease], "dead": true, "reason": reason })).await;
    let dead = gateway.admin.get("/v1/dead-letters").send().await.json()["dead_letters"].clone();
    assert_eq!((dead.as_array().unwrap().len(), &dead[0]["reason"]), (1, &json!(reason)));
    for path in ["/v1/%0d%0ainjected", "/v1/%1b%5b2J", "/v1/jobs%00"] {
        gateway.ingest.get(path).send().await.problem(404, "not_found");
        gateway.tally.open(1);
    }
    assert_one_line_each(&gateway);
    gateway.finish_with_text_log().await;
}

#[tokio::test]
async fn a_hostile_keys_file_is_refused_and_told_in_visible_characters() {
    let gateway = setup("text").start().await;
    let path = gateway.folder().join("keys.yaml");
    let digest = "0".repeat(64);
    for (name, tenant) in
        [("\"a\\r\\nb\"", "acme"), ("a", "\"\\e[2J\""), ("a", "\"acme\\0\""), ("\"\\u009b\"", "k\u{e4}ufer")]
    {
        let yaml =
            format!("keys: [{{ name: {name}, tenant: {tenant}, sha256: {digest}, scopes: [submit] }}]\n");
        std::fs::write(&path, yaml).unwrap();
        let fault =
            crate::support::poll::until("it is refused", std::time::Duration::from_secs(10), async || {
                gateway.status().await["keys"]["fault"].as_str().map(str::to_owned)
            });
        let fault = fault.await;
        assert!(fault.contains("expects a name"), "{fault}");
        assert!(!fault.chars().any(|c| c.is_control() && c != '\n'), "{fault:?}");
    }
    assert_one_line_each(&gateway);
    gateway.finish_with_text_log().await;
}

fn setup(format: &str) -> Setup {
    let policy =
        Policy::calm().top("ordering_key_from", "[ \"header:Tidegate-Ordering-Key\", \"body:/order\" ]");
    let mut setup =
        Setup::with(&policy.top("idempotency_key_from", "[ \"header:Idempotency-Key\", \"body:/once\" ]"));
    let path =
        setup.write("keys.yaml", &Keys::default().and("a", "acme", "a-0123456789abcdef", "submit").to_yaml());
    let setup =
        setup.set("auth.keys_file", &path.display().to_string()).set("ingest.trusted_proxies", "[127.0.0.1]");
    let setup = setup.set("limits.client_rate", "{ per_second: 10000, burst: 10000 }");
    setup.set("log.format", format).set("log.level", "trace")
}

/// Posts one job with this field on a connection of its own; `None` where the gateway only closes.
async fn post(gateway: &Gateway, field: &str, value: &[u8]) -> Option<u16> {
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    let head =
        format!("POST /v1/jobs HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n{field}: ");
    raw.send([head.as_bytes(), value, b"\r\n\r\n{}"].concat()).await;
    let answer = raw.answer().await?;
    let shown = String::from_utf8_lossy(value);
    assert!(matches!(answer.status, 202 | 400 | 401), "{field}: {shown:?}: {answer:?}");
    assert!(!answer.headers.contains_key("x-injected"), "{field}: {shown:?}: {answer:?}");
    if answer.body.is_empty() {
        gateway.tally.open(1);
    } else {
        gateway.tally.job(answer.status);
    }
    Some(answer.status)
}

/// Bodies whose names have every kind of character that JSON can carry, and whether they are taken.
fn bodies() -> [(Value, u16); 5] {
    let hostile = "a\r\nX-Injected: 1\u{0}\u{1b}[2J\u{7f}\u{9b}\u{202e}";
    [
        (json!({ "type": hostile }), 202),
        (json!({ "type": "payment\r\nX-Injected: 1" }), 202),
        (json!({ "order": hostile }), 400),
        (json!({ "type": "x", "order": "k\u{85}" }), 400),
        (json!({ "once": hostile }), 400),
    ]
}

/// The job that the last request stored; it is taken away.
async fn sole_entry(redis: &Redis) -> Taken {
    let mut found = Vec::new();
    for queue in ["jobs:critical", "jobs:standard", "jobs:bulk"] {
        let entries = redis.cli(&["XRANGE", queue, "-", "+"]).await;
        for entry in entries.items() {
            let (id, taken) = of_entry(entry);
            redis.cli(&[b"XDEL".as_slice(), queue.as_bytes(), &id]).await;
            found.push(taken);
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Only fields that a job has, and in each what was sent; nothing that ends a line.
#[track_caller]
fn assert_visible_or_as_sent(field: &str, value: &[u8], fields: &BTreeMap<String, String>) {
    let sent = String::from_utf8_lossy(value);
    let sent = sent.trim_matches([' ', '\t']);
    for (name, stored) in fields {
        assert!(KNOWN.contains(&name.as_str()), "{field}: {sent:?} made {name}");
        assert!(
            !stored.contains(['\r', '\n', '\0', '\u{1b}', '\u{7f}']),
            "{field}: {sent:?} is {stored:?} in {name}"
        );
    }
    let ours = ["ce_note", "ce-note", "tracestate", "traceparent", "ordering_key", "content_type"];
    let carried = ours.iter().find(|name| field.ends_with(&name.replace('_', "-")));
    if let Some(stored) = carried.and_then(|name| fields.get(*name)) {
        assert_eq!(stored, sent, "{field}");
    }
}

fn assert_one_line_each(gateway: &Gateway) {
    let log = gateway.log();
    assert!(log.lines().count() > 2);
    for line in log.lines() {
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        let begins = line.starts_with("{\"timestamp\":\"") || line.trim_start().starts_with("20");
        assert!(begins, "no event begins so: {line:?}");
    }
}

/// Every field of a job, in Redis and with a lease.
const KNOWN: [&str; 15] = [
    "id",
    "tier",
    "type",
    "tenant",
    "accepted_at",
    "content_type",
    "ordering_key",
    "expires_at",
    "attempt",
    "traceparent",
    "tracestate",
    "ce_note",
    "ce-note",
    "idempotency_key",
    "body",
];

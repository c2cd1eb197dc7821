//! The fields that standards name, read as strictly as the standards are written.

use std::collections::HashMap;

use serde_json::Value;
use sfv::{BareItem, Item, List, ListEntry, Parser};

use crate::support::answer::Answer;
use crate::support::client::Client;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{NDJSON, type_of};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-10 says: each a List of one Item, a
/// String with Integer parameters; on a refusal nothing is left until `t`, and `Retry-After` is no earlier.
fn assert_limits(answer: &Answer) {
    let (policy, quota) = only_item(answer, "ratelimit-policy");
    let (name, limit) = only_item(answer, "ratelimit");
    assert_eq!(policy, name, "a limit is of the policy that is told");
    assert_eq!(Some(name.as_str()), answer.header("tidegate-tier"));
    assert_eq!(keys(&quota), ["q", "w"], "{answer:?}");
    assert_eq!(keys(&limit), ["r", "t"], "{answer:?}");
    assert!(quota["q"] >= 0 && quota["w"] > 0 && limit["r"] >= 0 && limit["t"] >= 0, "{answer:?}");
    assert!(answer.headers.get_all("ratelimit").iter().count() == 1, "{answer:?}");
    if answer.status == 429 {
        let pause = pause(answer).expect("Retry-After");
        assert_eq!((limit["r"], limit["t"]), (0, pause), "{answer:?}");
    } else {
        assert_eq!(pause(answer), None, "{answer:?}");
    }
}

/// The name and the parameters of the one Item of a field.
fn only_item(answer: &Answer, field: &str) -> (String, HashMap<String, i64>) {
    let text = answer.header(field).unwrap_or_else(|| panic!("no {field}: {answer:?}"));
    let list: List = Parser::new(text).parse().unwrap_or_else(|why| panic!("{field}: {text}: {why}"));
    let [ListEntry::Item(Item { bare_item: BareItem::String(name), params })] = list.as_slice() else {
        panic!("{field} is not one String: {text}")
    };
    let number = |value: &BareItem| match value {
        BareItem::Integer(number) => i64::from(*number),
        other => panic!("{field}: no Integer: {other:?}"),
    };
    let params = params.iter().map(|(key, value)| (key.as_str().to_owned(), number(value)));
    (name.as_str().to_owned(), params.collect())
}

fn keys(params: &HashMap<String, i64>) -> Vec<&str> {
    let mut keys: Vec<&str> = params.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// `Retry-After` in seconds (RFC 9110 10.2.3), checked against the document's milliseconds.
fn pause(answer: &Answer) -> Option<i64> {
    let text = answer.header("retry-after")?;
    assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
    let seconds: i64 = text.parse().unwrap();
    let millis = answer.json()["retry_after_ms"].as_i64().expect("retry_after_ms");
    assert!(seconds >= 1 && millis <= seconds * 1000 && millis > (seconds - 1) * 1000, "{answer:?}");
    Some(seconds)
}

/// A problem document as RFC 9457 has it, and the fields that belong to its status.
fn assert_problem(answer: &Answer, titles: &mut HashMap<String, String>) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let document = answer.json();
    let text =
        |name: &str| document[name].as_str().unwrap_or_else(|| panic!("{name}: {document}")).to_owned();
    let kind = text("type");
    assert!(is_urn(&kind), "{kind} is no URN");
    assert_eq!(kind, format!("urn:tidegate:problem:{}", text("code")));
    let title = titles.entry(kind).or_insert_with(|| text("title"));
    assert_eq!(*title, text("title"), "a type has one title");
    assert_eq!(document["status"], answer.status, "{document}");
    assert!(!text("detail").is_empty());
    assert_eq!(document.get("instance"), None, "there is nothing to be asked of one refusal");
    assert_eq!(answer.header("x-request-id").map(str::to_owned), Some(text("request_id")));

    let told_to_return = matches!(answer.status, 429 | 503);
    assert_eq!(pause(answer).is_some(), told_to_return || text("code") == "idempotency_in_progress");
    assert!(answer.header("cache-control") == Some("no-store") || pause(answer).is_none(), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), (answer.status == 401).then_some("Bearer"));
    assert_eq!(answer.header("allow").is_some(), answer.status == 405, "{answer:?}");
    assert_common(answer);
}

/// RFC 8141: `urn:`, a namespace, and characters that need no encoding.
fn is_urn(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let mut parts = text.split(':');
    parts.next() == Some("urn") && parts.clone().count() >= 2 && parts.all(plain)
}

/// What every answer has, and what none has.
fn assert_common(answer: &Answer) {
    let date = answer.header("date").expect("Date: the gateway has a clock (RFC 9110 6.6.1)");
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
    // Nothing can be fetched of a job that was taken: a receipt is all there is, in the 202 itself.
    assert_eq!(answer.header("location"), None, "{answer:?}");
    assert_eq!(answer.header("server"), None);
}

#[tokio::test]
async fn every_receipt_of_one_tier_has_its_limits() {
    let gateway = Setup::with(&Policy::calm().tier("p2", "rate", "{ min: 1/s, max: 5/s }")).start().await;
    for tier in ["p0", "p1", "p2"] {
        let typed = [("tidegate-type", type_of(tier)), ("idempotency-key", "k")];
        let first = gateway.post(tier, &[typed[0]]).await;
        assert_limits(&first);
        assert_common(&first);
        let key = format!("k-{tier}");
        for _ in 0..2 {
            let keyed = gateway.post(tier, &[typed[0], ("idempotency-key", &key)]).await;
            if keyed.status == 202 {
                assert_limits(&keyed);
            }
        }
        let lines = format!("{{\"type\":\"{0}\"}}\n{{\"type\":\"{0}\"}}\n", type_of(tier));
        let batch = gateway.batch(NDJSON, lines, &[]).await;
        if batch.status == 202 {
            assert_limits(&batch);
        }
    }
    let known = gateway.post("p1", &[("tidegate-type", "order"), ("idempotency-key", "k-p1")]).await;
    assert!(known.receipt().duplicate);
    assert_limits(&known);
    let mixed = gateway.batch(NDJSON, "{\"type\":\"payment\"}\n{\"type\":\"order\"}\n", &[]).await;
    for field in ["ratelimit", "ratelimit-policy", "tidegate-tier", "retry-after", "location"] {
        assert_eq!(mixed.header(field), None, "{field} is of one tier");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn every_refusal_of_one_tier_has_its_limits_and_a_time_to_return() {
    let throttled = Policy::calm().tier("p1", "target", "{ depth: 5 }").tier("p2", "max_depth", "3");
    let mut gateway = Setup::with(&throttled.tier("p2", "target", "{ depth: 3 }")).start().await;
    let refused = async |gateway: &Gateway, tier: &str, code: &str| {
        let mut last = gateway.post("{}", &[("tidegate-type", type_of(tier))]).await;
        for _ in 0..100 {
            if last.status == 429 && last.json()["code"] == code {
                break;
            }
            last = gateway.post("{}", &[("tidegate-type", type_of(tier))]).await;
        }
        assert_eq!(last.json()["code"], code, "{last:?}");
        last
    };
    let mut titles = HashMap::new();
    for (tier, code) in [("p1", "throttled"), ("p2", "queue_full")] {
        let answer = refused(&gateway, tier, code).await;
        assert_limits(&answer);
        assert_problem(&answer, &mut titles);
    }
    let batch = gateway.batch(NDJSON, "{\"type\":\"analytics\"}\n{\"type\":\"digest\"}\n", &[]).await;
    assert_limits(&batch);
    assert_problem(&batch, &mut titles);
    gateway.stop().await;
    gateway.change_policy(&Policy::calm().tier("p2", "target", "{ depth: 1 }").tier(
        "p2",
        "shed",
        "{ at: 2, until: 1 }",
    ));
    gateway.restart().await;
    let shed = refused(&gateway, "p2", "shed").await;
    assert_limits(&shed);
    assert_problem(&shed, &mut titles);
    gateway.finish().await;
}

#[tokio::test]
async fn every_refusal_is_a_problem_document_with_the_fields_of_its_status() {
    let setup = Setup::with(&Policy::calm()).set("limits.request_timeout", "1s");
    let gateway =
        setup.set("limits.max_in_flight_bytes", "400KB").set("limits.max_job_bytes", "400KB").start().await;
    let mut titles = HashMap::new();
    gateway.post("{}", &[("idempotency-key", "k")]).await.receipt();
    let mut told: Vec<Answer> = Vec::new();
    for fields in [
        [("tidegate-tier", "p9")],
        [("idempotency-key", "a b")],
        [("authorization", "Bearer x")],
        [("content-encoding", "br")],
        [("host", "a b")],
    ] {
        told.push(gateway.post("{}", &fields).await);
    }
    told.push(gateway.post("another", &[("idempotency-key", "k")]).await);
    told.push(gateway.post(&"x".repeat(399_000), &[("tidegate-type", "order")]).await);
    for (method, path) in
        [("GET", "/nowhere"), ("PUT", "/v1/jobs"), ("DELETE", "/v1/leases"), ("POST", "/healthz")]
    {
        told.push(gateway.ingest.ask(method.parse().unwrap(), path).send().await);
        gateway.tally.open(1);
    }
    told.push(gateway.batch("text/plain", "{}", &[]).await);
    assert_eq!(
        accepts(&told[told.len() - 1], "accept-post"),
        ["application/cloudevents-batch+json", "application/json", "application/x-ndjson"]
    );
    told.push(gateway.ingest.post("/v1/leases").header("content-encoding", "gzip").send().await);
    assert_eq!(accepts(&told[told.len() - 1], "accept-encoding"), ["identity"]);
    assert_eq!(accepts(&told[3], "accept-encoding"), ["gzip", "zstd"]);
    told.push(slow(&gateway).await);
    for path in ["/nowhere", "/v1/dead-letters?limit=0", "/v1/dead-letters/x"] {
        told.push(gateway.admin.get(path).send().await);
    }
    told.push(gateway.admin.get("/v1/status").header("origin", "http://evil.example").send().await);
    for answer in &told {
        assert_problem(answer, &mut titles);
    }
    let mut statuses: Vec<u16> = told.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [400, 401, 403, 404, 405, 408, 415, 422, 503]);
    gateway.finish().await;
}

/// What would have been taken in the place of what came (RFC 9110 15.5.16).
fn accepts<'a>(answer: &'a Answer, field: &str) -> Vec<&'a str> {
    assert_eq!(answer.status, 415, "{answer:?}");
    let mut listed: Vec<&str> = answer.header(field).expect(field).split(", ").collect();
    listed.sort_unstable();
    listed
}

/// 408: a body that does not come.
async fn slow(gateway: &Gateway) -> Answer {
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    connection.send("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\n").await;
    let answer = connection.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer
}

#[tokio::test]
async fn every_401_names_the_scheme() {
    let token = "a-long-enough-token-for-a-test-0123456789";
    let gateway = Setup::with(&Policy::calm()).admin_beyond_loopback().admin_token(token);
    let gateway = gateway.ingest_beyond_loopback().start().await;
    let stranger = Client::new(gateway.admin.address());
    let answers = [
        stranger.get("/metrics").send().await,
        stranger.get("/v1/status").header("authorization", "Bearer wrong").send().await,
        gateway.ingest.post_json("/v1/leases", &Value::Null).await,
        gateway.post("{}", &[("authorization", "Bearer wrong")]).await,
        gateway.batch(NDJSON, "{}", &[("authorization", "Bearer wrong")]).await,
    ];
    for answer in &answers {
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_problem(answer, &mut HashMap::new());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn whoever_meets_his_own_key_under_way_is_told_to_return() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let gateway = std::sync::Arc::new(gateway);
    let posts = (0..64).map(|n| {
        let gateway = std::sync::Arc::clone(&gateway);
        tokio::spawn(async move { gateway.post("{}", &[("idempotency-key", &format!("k{}", n / 32))]).await })
    });
    let mut titles = HashMap::new();
    for post in posts.collect::<Vec<_>>() {
        let answer = post.await.unwrap();
        match answer.status {
            202 => assert_limits(&answer),
            _ => {
                answer.problem(409, "idempotency_in_progress");
                assert_problem(&answer, &mut titles);
            }
        }
    }
    std::sync::Arc::into_inner(gateway).expect("all have posted").finish().await;
}

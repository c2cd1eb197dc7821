//! What a job takes along from its head to its worker: ordering key, expiry, trace.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::Setup;
use crate::support::jobs::{Leased, NDJSON};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

#[tokio::test]
async fn an_ordering_key_comes_from_the_first_source_that_has_one() {
    let gateway = Setup::with(&keyed_by_customer()).start().await;
    let header = ("tidegate-ordering-key", "by header");
    let event = ("ce-partitionkey", "by event");
    let body = r#"{"customer":"by body"}"#;
    let cases = [
        (&[header, event][..], body, json!("by header")),
        (&[event], body, json!("by event")),
        (&[("ce-partitionkey", "")], body, json!("by body")),
        (&[], body, json!("by body")),
        (&[], r#"{"customer":7}"#, json!("7")),
        (&[], r#"{"customer":null}"#, Value::Null),
        (&[], "no JSON", Value::Null),
    ];
    for (headers, body, key) in cases {
        gateway.post(body, headers).await.receipt();
        let jobs = gateway.lease(json!({})).await;
        assert_eq!(jobs[0].ordering_key, key, "{headers:?} {body}");
        gateway.ack(&jobs).await;
    }
    let long = "k".repeat(256);
    gateway.post("{}", &[("ce-partitionkey", &long)]).await.problem(400, "malformed_request");
    let long = json!({ "customer": long }).to_string();
    gateway.post(&long, &[]).await.problem(400, "malformed_request");
    gateway.finish().await;
}

#[tokio::test]
async fn jobs_of_a_key_come_one_by_one_and_in_order_wherever_the_key_is() {
    let gateway = Setup::with(&keyed_by_customer().tier("p1", "ordering", "block")).start().await;
    // Twelve jobs of three keys, by header, by event and, in a batch, by body.
    for n in 0..4 {
        gateway.post(&n.to_string(), &[("tidegate-ordering-key", "a")]).await.receipt();
        gateway.post(&n.to_string(), &[("ce-partitionkey", "b")]).await.receipt();
    }
    let lines: String = (0..4).map(|n| format!("{{\"customer\":\"c\",\"n\":{n}}}\n")).collect();
    assert_eq!(gateway.batch(NDJSON, lines, &[]).await.status, 202);

    let mut taken: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..4 {
        let jobs = gateway.lease(json!({ "max": 100 })).await;
        assert_eq!(jobs.len(), 3, "one of each key in round {round}: {jobs:?}");
        for job in &jobs {
            let key = job.ordering_key.as_str().unwrap().to_owned();
            taken.entry(key).or_default().push(number(job));
        }
        gateway.ack(&jobs).await;
    }
    assert_eq!(taken.len(), 3);
    assert!(taken.values().all(|numbers| *numbers == ["0", "1", "2", "3"]), "{taken:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn the_items_of_a_batch_inherit_what_its_head_says() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let head = [
        ("tidegate-ordering-key", "one for all"),
        ("traceparent", TRACE),
        ("tracestate", "a=1,b=2"),
        ("ce-source", "/shop"),
        ("tidegate-expires-in", "3600"),
    ];
    for (media, body) in [(NDJSON, "1\n2\n3\n"), ("application/json", "[1,2,3]")] {
        assert_eq!(gateway.batch(media, body, &head).await.status, 202);
        let jobs = gateway.lease(json!({})).await;
        assert_eq!(jobs.iter().map(Leased::text).collect::<Vec<_>>(), ["1", "2", "3"]);
        for job in &jobs {
            let carried: Vec<_> = job.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let expected = [("ce-source", "/shop"), ("traceparent", TRACE), ("tracestate", "a=1,b=2")];
            assert_eq!((carried, &job.ordering_key), (expected.to_vec(), &json!("one for all")));
        }
        gateway.ack(&jobs).await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn what_expired_is_counted_by_tier_and_given_to_nobody() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let brief = [("tidegate-expires-in", "0.2")];
    assert_eq!(gateway.batch(NDJSON, "1\n2\n{\"type\":\"payment\"}\n", &brief).await.status, 202);
    gateway.post("one more", &[brief[0], ("tidegate-type", "analytics")]).await.receipt();
    gateway.accept("p1", "this one stays").await;
    until("four jobs are counted as expired", Duration::from_secs(20), async || {
        let scrape = gateway.metrics().await;
        let expired = |tier| scrape.count("tidegate_expired_jobs_total", &[("tier", tier)]);
        ([expired("p0"), expired("p1"), expired("p2")] == [1, 2, 1]).then_some(())
    })
    .await;
    let jobs = gateway.drain().await;
    assert_eq!(jobs.iter().map(Leased::text).collect::<Vec<_>>(), ["this one stays"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_trace_is_carried_as_it_came_and_never_judged() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for trace in [TRACE, "00-not-a-trace", "ff", "käse"] {
        gateway.post("{}", &[("traceparent", trace)]).await.receipt();
        let jobs = gateway.lease(json!({})).await;
        assert_eq!(jobs[0].headers.get("traceparent").map(String::as_str), Some(trace));
        gateway.ack(&jobs).await;
    }
    // Several fields of tracestate are one list, in their order (W3C Trace Context 3.3.1).
    gateway.post("{}", &[("tracestate", "a=1"), ("tracestate", "b=2,c=3")]).await.receipt();
    let jobs = gateway.lease(json!({})).await;
    assert_eq!(jobs[0].headers["tracestate"], "a=1,b=2,c=3");
    gateway.ack(&jobs).await;

    let twice = [("traceparent", TRACE), ("traceparent", TRACE)];
    gateway.post("{}", &twice).await.problem(400, "malformed_request");
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\ntracestate: a=\xff\r\ncontent-length: 2\r\n\r\n{}").await;
    raw.answer().await.expect("an answer").problem(400, "malformed_request");
    gateway.tally.job(400);
    gateway.drain().await;
    gateway.finish().await;
}

fn keyed_by_customer() -> Policy {
    let sources = "[ \"header:Tidegate-Ordering-Key\", \"ce-partitionkey\", \"body:/customer\" ]";
    Policy::calm().top("ordering_key_from", sources)
}

/// The number of a job: its payload, or a member of it.
fn number(job: &Leased) -> String {
    let payload: Value = serde_json::from_str(job.text()).unwrap();
    payload.get("n").unwrap_or(&payload).to_string()
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

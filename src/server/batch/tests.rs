//! Batches over the router: what is stored, what each item is told, and what is counted.

use std::time::Duration;

use serde_json::json;

use crate::domain::tier::Tier;
use crate::queue::error::StoreError;
use crate::runtime::lifecycle::Phase;
use crate::server::limits::Limits;
use crate::server::testing::{Answer, Desk, LIMITS, chunks, send};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const ARRAY: (&str, &str) = ("content-type", "application/json; charset=utf-8");

/// `202` or the code of each item.
fn outcomes(answer: &Answer) -> Vec<String> {
    let document = answer.json();
    let items = document["items"].as_array().unwrap_or_else(|| panic!("no items: {document}"));
    let outcome = |(place, item): (usize, &serde_json::Value)| {
        assert_eq!(item["index"], json!(place));
        item["code"].as_str().unwrap_or("202").to_owned()
    };
    let outcomes: Vec<_> = items.iter().enumerate().map(outcome).collect();
    let accepted = outcomes.iter().filter(|outcome| *outcome == "202").count();
    assert_eq!(
        (&document["accepted"], &document["refused"]),
        (&json!(accepted), &json!(outcomes.len() - accepted))
    );
    outcomes
}

async fn payloads(desk: &Desk) -> Vec<String> {
    let leases = desk.leased().await;
    leases.iter().map(|lease| String::from_utf8(lease.job.payload.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn lines_of_one_tier_are_stored_in_order() {
    let desk = Desk::usual();
    let answer =
        desk.post("/v1/jobs/batch", &[NDJSON], chunks(&["{\"n\" :1}\n\n", "2\n\"th", "ree\""], true)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(outcomes(&answer), ["202"; 3]);
    assert_eq!(answer.header("tidegate-tier"), Some("p1"));
    assert!(answer.header("ratelimit").is_some());
    let leases = desk.leased().await;
    let ids: Vec<_> = leases.iter().map(|lease| json!(lease.job.id.to_string())).collect();
    let told: Vec<_> =
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, told);
    assert!(leases.iter().all(|lease| lease.job.content_type.as_deref() == Some("application/json")));
    assert_eq!(desk.counts(), [3.0, 3.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_mixed_batch_answers_each_item() {
    let desk = Desk::usual();
    desk.sees_depth(Tier::P2, 600_000);
    let body = "{\"type\":\"digest\"}\n{\"type\":\"payment\"}\nnot json\n";
    let answer = desk.post("/v1/jobs/batch", &[NDJSON], body).await;
    assert_eq!(answer.status, 207);
    assert_eq!(outcomes(&answer), ["shed", "202", "malformed_request"]);
    assert!(answer.json()["items"][0]["retry_after_ms"].as_u64() > Some(0));
    assert_eq!((answer.header("tidegate-tier"), answer.header("retry-after")), (None, None));
    assert_eq!(desk.counts(), [3.0, 1.0, 1.0, 1.0]);
}

#[tokio::test]
async fn a_batch_that_failed_alike_is_one_problem() {
    let desk = Desk::usual();
    desk.sees_depth(Tier::P2, 600_000);
    let answer = desk.post("/v1/jobs/batch", &[ARRAY], r#"[{"type":"digest"},{"type":"report"}]"#).await;
    assert_eq!(answer.code(), (429, "shed".to_owned()));
    assert_eq!(outcomes(&answer), ["shed", "shed"]);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("tidegate-tier"), Some("p2"));
    let seconds = answer.header("retry-after").unwrap().parse::<u64>().unwrap() * 1_000;
    let latest =
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["retry_after_ms"].as_u64()).max();
    assert!(latest.unwrap() <= Some(seconds), "all may come back together then");
    assert_eq!(desk.counts(), [2.0, 0.0, 2.0, 0.0]);

    let desk = Desk::failing(Some(StoreError::Unavailable { detail: "disk full".to_owned() }));
    let answer = desk.post("/v1/jobs/batch", &[ARRAY], r#"[{"type":"payment"},{"type":"report"}]"#).await;
    assert_eq!(answer.code(), (503, "backend_unavailable".to_owned()));
    assert_eq!(answer.json()["tier"], json!(null), "they were of two tiers");
    assert_eq!(desk.counts(), [2.0, 0.0, 2.0, 0.0]);
}

#[tokio::test]
async fn an_unreadable_batch_is_one_invalid_request() {
    let desk = Desk::usual();
    let cases = [
        (NDJSON, "\n \n", 400),
        (ARRAY, "[]", 400),
        (ARRAY, "[1,", 400),
        (ARRAY, "[1,2,3,4,5,6,7,8,9,10,11]", 413),
        (("content-type", "text/plain"), "1", 415),
        (("content-type", "application/cloudevents-batch+json"), "[]", 400),
        (("content-type", "application/cloudevents+json"), "{}", 415),
        (("idempotency-key", "k"), "1", 400),
        (("content-length", "4001"), "", 413),
    ];
    for (count, (field, body, status)) in cases.into_iter().enumerate() {
        let fields = if field.0 == "content-type" { vec![field] } else { vec![NDJSON, field] };
        let answer = desk.post("/v1/jobs/batch", &fields, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let count = f64::from(u32::try_from(count + 1).unwrap());
        assert_eq!(desk.counts(), [count, 0.0, 0.0, count]);
    }
    assert!(payloads(&desk).await.is_empty());
}

#[tokio::test]
async fn a_stream_that_passes_a_limit_keeps_what_it_stored() {
    let desk = Desk::usual();
    let answer = desk.post("/v1/jobs/batch", &[NDJSON], "1\n".repeat(12)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["ended"]), (207, &json!("too_large")));
    assert_eq!(outcomes(&answer)[..10], ["202"; 10]);
    assert_eq!(outcomes(&answer)[10..], ["too_large"]);
    assert_eq!(desk.counts(), [11.0, 10.0, 0.0, 1.0]);

    let desk = Desk::usual();
    let line: &'static str = format!("\"{}\"\n", "x".repeat(900)).leak();
    let stream: &'static str = line.repeat(5).leak();
    let answer = desk.post("/v1/jobs/batch", &[NDJSON], chunks(&[stream], true)).await;
    assert_eq!(outcomes(&answer), ["202", "202", "202", "202", "too_large"], "4,000 bytes hold four lines");

    let long: &'static str = format!("1\n\"{}\"\n2\n", "x".repeat(1_000)).leak();
    let answer = desk.post("/v1/jobs/batch", &[NDJSON], long).await;
    assert_eq!(outcomes(&answer), ["202", "too_large"]);
}

#[tokio::test]
async fn a_stream_that_stalls_or_must_stop_keeps_what_it_stored() {
    let desk = Desk::usual();
    let answer = desk.post("/v1/jobs/batch", &[NDJSON], chunks(&["1\n2\n3"], false)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["ended"]), (207, &json!("request_timeout")));
    assert_eq!(outcomes(&answer), ["202", "202"]);
    assert_eq!(payloads(&desk).await, ["1", "2"], "the unfinished line is no job");
    assert_eq!(desk.counts(), [2.0, 2.0, 0.0, 0.0]);

    let nothing = desk.post("/v1/jobs/batch", &[NDJSON], chunks(&["3"], false)).await;
    assert_eq!(nothing.code(), (408, "request_timeout".to_owned()));

    let lifecycle = desk.gateway.lifecycle.clone();
    let stopping = async { lifecycle.advance(Phase::Draining) };
    let (answer, ()) =
        tokio::join!(desk.post("/v1/jobs/batch", &[NDJSON], chunks(&["4\n"], false)), stopping);
    assert_eq!(answer.json()["ended"], json!("draining"), "{}", answer.text);
    assert_eq!(outcomes(&answer), ["202"]);
}

#[tokio::test]
async fn what_may_be_stored_is_not_called_lost() {
    let desk = Desk::failing(None);
    let answer = desk.post("/v1/jobs/batch", &[NDJSON], chunks(&["1\n"], false)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["ended"]), (207, &json!("request_timeout")));
    assert_eq!(outcomes(&answer), ["outcome_unknown"]);
    assert_eq!(desk.counts(), [1.0, 0.0, 1.0, 0.0]);
}

#[tokio::test]
async fn an_element_that_is_too_large_fails_alone() {
    let desk = Desk::usual();
    let body = format!("[1,\"{}\",2]", "x".repeat(1_000));
    let answer = desk.post("/v1/jobs/batch", &[ARRAY], body).await;
    assert_eq!(outcomes(&answer), ["202", "too_large", "202"]);
    assert_eq!(payloads(&desk).await, ["1", "2"]);
}

/// More items than are stored at once, in both forms.
fn many() -> [((&'static str, &'static str), String); 2] {
    [(ARRAY, format!("[{}1]", "1,".repeat(599))), (NDJSON, "1\n".repeat(600))]
}

const ROOM_FOR_MANY: Limits = Limits { max_batch_jobs: 1_000, ..LIMITS };

#[tokio::test]
async fn a_batch_ends_with_its_time_when_the_queue_is_slow() {
    for (form, body) in many() {
        let desk = Desk::failing(None);
        let router = desk.bounded(ROOM_FOR_MANY);
        let answer = send(&router, "POST", "/v1/jobs/batch", &[form], body.into()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["ended"]),
            (207, &json!("overloaded")),
            "{form:?}"
        );
        let outcomes = outcomes(&answer);
        assert!(outcomes.len() < 600, "the rest is not listed");
        assert!(outcomes.iter().all(|outcome| outcome == "outcome_unknown"), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_batch_ends_when_the_gateway_drains_however_fast_its_client_is() {
    for (form, body) in many() {
        let desk = Desk::usual();
        let router = desk.bounded(Limits { request_timeout: Duration::from_secs(60), ..ROOM_FOR_MANY });
        let lifecycle = desk.gateway.lifecycle.clone();
        let stopping = async { lifecycle.advance(Phase::Draining) };
        let fields = [form];
        let sending = send(&router, "POST", "/v1/jobs/batch", &fields, body.into());
        let (answer, ()) = tokio::join!(sending, stopping);
        assert_eq!((answer.status.as_u16(), &answer.json()["ended"]), (207, &json!("draining")), "{form:?}");
        let outcomes = outcomes(&answer);
        assert!(outcomes.len() < 600 && outcomes.iter().all(|outcome| outcome == "202"), "{outcomes:?}");
        assert_eq!(payloads(&desk).await.len(), outcomes.len());
    }
}

#[tokio::test]
async fn what_is_held_when_the_time_is_over_does_not_wait_tier_after_tier() {
    let desk = Desk::failing(None);
    let router = desk.bounded(ROOM_FOR_MANY);
    let body = format!("{{\"type\":\"payment\"}}\n{{\"type\":\"digest\"}}\n{}", "1\n".repeat(300));
    let answer = send(&router, "POST", "/v1/jobs/batch", &[NDJSON], body.into()).await;
    let outcomes = outcomes(&answer);
    assert_eq!(outcomes.len(), 2 + 256);
    assert_eq!(outcomes[..3], ["outcome_unknown", "overloaded", "outcome_unknown"]);
    assert_eq!(answer.json()["ended"], json!("overloaded"));
}

#[tokio::test]
async fn what_is_no_array_is_told_in_its_own_words() {
    let desk = Desk::usual();
    for (body, told) in [
        ("{\"a\":1}", "the body: expected a JSON array"),
        ("[1", "the body: it ends within its JSON"),
        ("[1,]", "the body: no JSON from line 1, column 4 on"),
    ] {
        let answer = desk.post("/v1/jobs/batch", &[ARRAY], body).await;
        assert_eq!(answer.json()["detail"], told);
    }
}

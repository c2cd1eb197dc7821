//! Lease calls over the router, on the real embedded queue.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::runtime::lifecycle::Phase;
use crate::server::testing::{Desk, send};

async fn call(desk: &Desk, path: &str, body: Value) -> Value {
    let answer = desk.post(path, &[], body.to_string()).await;
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_job_is_lent_with_all_that_is_known_of_it_and_finished() {
    let desk = Desk::usual();
    let fields =
        [("traceparent", "00-1-2-01"), ("content-type", "text/plain"), ("tidegate-ordering-key", "k")];
    desk.post("/v1/jobs", &fields, "naïve").await;
    let jobs = call(&desk, "/v1/leases", json!({ "worker": "w-7" })).await;
    let job = &jobs["jobs"][0];
    let members: Vec<_> = job.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["accepted_at", "attempt", "body", "content_type", "headers", "id", "lease", "ordering_key", "tier"];
    assert_eq!(members, expected);
    assert_eq!((&job["body"], &job["attempt"], &job["tier"]), (&json!("naïve"), &json!(1), &json!("p1")));
    assert_eq!((&job["content_type"], &job["ordering_key"]), (&json!("text/plain"), &json!("k")));
    assert_eq!(job["headers"], json!({ "traceparent": "00-1-2-01" }));
    assert!(job["accepted_at"].as_str().unwrap().ends_with('Z'));

    let asked = json!({ "leases": ["no lease", job["lease"], "0".repeat(32)] });
    let done = call(&desk, "/v1/leases/ack", asked).await;
    let status = |place: usize| done["results"][place]["status"].as_str().unwrap().to_owned();
    assert_eq!([status(0), status(1), status(2)], ["unknown", "ok", "unknown"], "in the order asked");
    assert_eq!(done["results"][0]["lease"], "no lease");
    assert_eq!(desk.counts(), [1.0, 1.0, 0.0, 0.0], "lease calls are no jobs");
}

#[tokio::test]
async fn a_payload_that_is_no_text_is_lent_as_base64() {
    let desk = Desk::usual();
    desk.post("/v1/jobs", &[], vec![0xff, 0x00, 0x80]).await;
    let job = call(&desk, "/v1/leases", json!({})).await["jobs"][0].clone();
    assert_eq!((&job["body_base64"], job.get("body")), (&json!("/wCA"), None));
    assert_eq!((&job["content_type"], &job["ordering_key"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_long_poll_ends_when_the_gateway_drains_and_a_new_one_is_refused() {
    let desk = Desk::usual();
    let started = Instant::now();
    let poll = call(&desk, "/v1/leases", json!({ "wait_seconds": 30 }));
    let (jobs, ()) = tokio::join!(poll, async { desk.gateway.lifecycle.advance(Phase::Draining) });
    assert_eq!(jobs, json!({ "jobs": [] }));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(desk.post("/v1/leases", &[], "{}").await.code(), (503, "draining".to_owned()));
    call(&desk, "/v1/leases/ack", json!({ "leases": [] })).await;
}

#[tokio::test]
async fn without_an_embedded_queue_the_way_in_is_named() {
    let answer = Desk::failing(None).post("/v1/leases", &[], "{}").await;
    assert_eq!(answer.code(), (404, "not_found".to_owned()));
    assert!(answer.json()["detail"].as_str().unwrap().contains("workers wait for the script"));
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_have_their_answers() {
    let desk = Desk::usual();
    for (path, method, allow) in [
        ("/v1/jobs", "GET", "POST, OPTIONS"),
        ("/v1/leases", "GET", "POST"),
        ("/healthz", "POST", "GET, HEAD"),
    ] {
        let answer = send(&desk.ingest, method, path, &[], "".into()).await;
        assert_eq!(answer.code(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        assert_eq!((answer.header("allow"), answer.header("connection")), (Some(allow), None));
        // The client has not sent the body it announced, and no further request can follow on the connection.
        let waits = [("expect", "100-continue"), ("content-length", "9")];
        let answer = send(&desk.ingest, method, path, &waits, "".into()).await;
        assert_eq!((answer.status.as_u16(), answer.header("connection")), (405, Some("close")));
    }
    let answer = send(&desk.ingest, Method::GET.as_str(), "/metrics", &[], "".into()).await;
    assert_eq!(answer.code(), (404, "not_found".to_owned()), "nothing of admin is reachable here");
    assert_eq!(desk.counts(), [3.0, 0.0, 0.0, 3.0], "two for the job route, one for the unknown path");
}

#[tokio::test]
async fn a_wrong_call_is_told_in_its_own_words() {
    let desk = Desk::usual();
    for (path, body, told) in [
        ("", "7", "the body: expected a JSON object"),
        ("", "[1]", "the body: expected a JSON object"),
        ("", "null", "the body: expected a JSON object"),
        ("", "{", "the body: it ends within its JSON"),
        ("", "{\"max\":1,}", "the body: no JSON from line 1, column 10 on"),
        ("", "{\"max\":1} {}", "the body: no JSON from line 1, column 11 on"),
        ("", r#"{"max":"7"}"#, "max: expected a whole number from 1 to 1000"),
        ("", r#"{"max":1.5}"#, "max: expected a whole number from 1 to 1000"),
        ("", r#"{"max":1001}"#, "max: expected a whole number from 1 to 1000"),
        ("", r#"{"max":1,"max":2}"#, "max: it is there more than once"),
        (
            "",
            r#"{"maximum":7}"#,
            "maximum: no such key, expected one of max, lease_seconds, wait_seconds, tiers, worker",
        ),
        ("", r#"{"tiers":"p0"}"#, "tiers: expected a list of texts"),
        ("", r#"{"tiers":[]}"#, "tiers: expected a list of p0, p1, p2, at least one of them"),
        ("", r#"{"worker":7}"#, "worker: expected a text"),
        ("/ack", "{}", "leases: it is missing, expected a list of texts"),
        ("/ack", "", "the body: it ends within its JSON"),
        ("/ack", r#"{"leases":[1]}"#, "leases: expected a list of texts"),
        ("/ack", r#"{"leases":[],"dead":true}"#, "dead: no such key, expected leases"),
        ("/nack", r#"{"leases":["a"],"dead":"yes"}"#, "dead: expected true or false"),
        (
            "/nack",
            r#"{"leases":[],"delay_seconds":86401}"#,
            "delay_seconds: expected a whole number from 0 to 86400",
        ),
        ("/nack", r#"{"leases":[],"reason":7}"#, "reason: expected a text"),
        (
            "/extend",
            r#"{"leases":[],"lease_seconds":"1"}"#,
            "lease_seconds: expected a whole number from 1 to 3600",
        ),
    ] {
        let answer = desk.post(&format!("/v1/leases{path}"), &[], body).await;
        assert_eq!(answer.code(), (400, "malformed_request".to_owned()), "{path} {body}");
        assert_eq!(answer.json()["detail"], told, "{path} {body}");
    }
}

//! The map from failure to HTTP, as a table.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

async fn parts(response: Response) -> (http::response::Parts, Value) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_document_has_every_member_every_time() {
    let (parts, document) = parts(Problem::malformed("a \"quoted\" detail").into_response()).await;
    let request_id = parts.headers["x-request-id"].to_str().unwrap();
    let expected = json!({
        "type": "urn:tidegate:problem:malformed_request",
        "title": "The request cannot be understood",
        "status": 400,
        "detail": "a \"quoted\" detail",
        "code": "malformed_request",
        "tier": null,
        "outcome": "not_stored",
        "retryable": false,
        "retry_after_ms": null,
        "request_id": request_id,
    });
    assert_eq!(document, expected);
    assert_eq!(parts.headers["content-type"], "application/problem+json");
    assert!(!parts.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let refusal = Refusal {
        reason: Reason::Throttled,
        retry_after: Duration::from_millis(1_250),
        limit: RateLimit { quota: 100, remaining: 0, reset: Duration::from_millis(1_250) },
    };
    let (parts, document) = parts(Problem::refusal(Tier::P2, &refusal).into_response()).await;
    assert_eq!(parts.status, 429);
    assert_eq!(parts.headers["retry-after"], "2");
    assert_eq!(parts.headers["cache-control"], "no-store");
    assert_eq!(parts.headers["tidegate-tier"], "p2");
    assert_eq!(parts.headers["ratelimit-policy"], "\"p2\";q=100;w=10");
    assert_eq!(parts.headers["ratelimit"], "\"p2\";r=0;t=2");
    assert_eq!(document["retry_after_ms"], 1_250);
    assert_eq!((&document["tier"], &document["retryable"]), (&json!("p2"), &json!(true)));
}

#[tokio::test]
async fn every_429_and_503_has_a_pause_and_is_not_cached() {
    for code in Code::ALL {
        let (parts, document) = parts(Problem::new(*code, "").into_response()).await;
        let has_pause = parts.headers.get("retry-after").is_some_and(|seconds| seconds == "1");
        assert_eq!(has_pause, matches!(parts.status.as_u16(), 429 | 503), "{code}");
        assert_eq!(parts.headers.contains_key("cache-control"), has_pause, "{code}");
        assert_eq!(document["retry_after_ms"].is_u64(), has_pause, "{code}");
        assert_eq!(document["status"], parts.status.as_u16());
    }
}

#[tokio::test]
async fn a_415_says_what_would_be_taken() {
    for (accepts, name, value) in [
        (Accepts::Codings, "accept-encoding", "gzip, zstd"),
        (Accepts::NoCoding, "accept-encoding", "identity"),
        (
            Accepts::BatchTypes,
            "accept-post",
            "application/x-ndjson, application/json, application/cloudevents-batch+json",
        ),
    ] {
        let (parts, document) = parts(Problem::unsupported("why", accepts).into_response()).await;
        assert_eq!((parts.status.as_u16(), &document["detail"]), (415, &json!("why")));
        assert_eq!(parts.headers[name], value);
    }
}

#[test]
fn what_is_too_large_says_the_way_round() {
    for (bound, way) in [
        (SizeLimit::JobBytes(1_000_000), "a job has at most 1000000 bytes: store the payload elsewhere"),
        (SizeLimit::BatchBytes(5), "a batch has at most 5 bytes: send it in smaller batches"),
        (SizeLimit::BatchJobs(5), "a batch has at most 5 jobs: send it in smaller batches"),
        (SizeLimit::CallBytes(5), "the body has at most 5 bytes: ask about fewer"),
        (SizeLimit::CallLeases(5), "a call names at most 5 leases: ask about fewer"),
    ] {
        let problem = Problem::body(&BodyError::TooLarge(bound));
        assert_eq!((problem.code(), bound.most() % 5), (Code::TooLarge, 0));
        assert!(problem.detail().starts_with(way), "{}", problem.detail());
    }
}

#[test]
fn codes_have_the_statuses_of_the_contract() {
    let status = |code| Problem::new(code, "").status().as_u16();
    let table = [
        (400, &[Code::MalformedRequest, Code::InvalidIdempotencyKey, Code::InvalidEvent][..]),
        (401, &[Code::Unauthenticated]),
        (403, &[Code::TierNotAllowed, Code::ScopeNotAllowed, Code::OriginNotAllowed]),
        (404, &[Code::NotFound]),
        (405, &[Code::MethodNotAllowed]),
        (408, &[Code::RequestTimeout]),
        (409, &[Code::IdempotencyInProgress]),
        (422, &[Code::IdempotencyMismatch, Code::InvalidPolicy]),
        (413, &[Code::TooLarge]),
        (415, &[Code::UnsupportedMediaType]),
        (429, &[Code::Throttled, Code::Shed, Code::QueueFull, Code::TenantQuota, Code::ClientLimit]),
        (503, &[Code::BackendUnavailable, Code::SignalStale, Code::Overloaded, Code::Draining]),
        (504, &[Code::OutcomeUnknown]),
    ];
    for (expected, codes) in table {
        assert!(codes.iter().all(|code| status(*code) == expected), "{expected}");
    }
    assert_eq!(table.iter().map(|(_, codes)| codes.len()).sum::<usize>(), Code::ALL.len());
}

#[test]
fn what_is_said_back_is_short() {
    let long = "/ü".repeat(30_000);
    for problem in
        [Problem::not_found(&long), Problem::not_allowed(&Method::from_bytes(&[b'M'; 60_000]).unwrap())]
    {
        assert!(problem.detail().chars().count() < 150, "{}", problem.detail());
    }
    assert_eq!(Problem::not_found("/v1/job").detail(), "nothing is at /v1/job");
}

#[test]
fn a_tier_may_be_shed_as_unavailable() {
    let refusal = |unavailable| Refusal {
        reason: Reason::Shed { unavailable },
        retry_after: LEAST_PAUSE,
        limit: RateLimit::default(),
    };
    assert_eq!(Problem::refusal(Tier::P1, &refusal(true)).status(), 503);
    assert_eq!(Problem::refusal(Tier::P1, &refusal(false)).status(), 429);
}

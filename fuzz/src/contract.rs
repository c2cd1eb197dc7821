//! What holds for every answer, whatever was asked: section 2.4 of the contract, and the counting identity of 2.5.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method};
use serde_json::{Map, Value};
use tidegate::telemetry::metrics::Answered;

use super::door::{Door, Seen};
use super::request::Written;

/// Fails where an answer, what was stored or what was counted breaks the contract.
pub fn check(door: &Door, asked: &Written, seen: &Seen) {
    let status = seen.status.as_u16();
    let route = Route::of(asked);
    assert!(STATUSES.contains(&status), "{status} is no status of the contract");
    check_promises(status, &seen.headers);
    let document = (status >= 400 && asked.method != Method::HEAD).then(|| object(&seen.body));
    if let Some(document) = &document {
        check_problem(status, &seen.headers, document);
    }
    let counted = seen.counted;
    let sum = counted.admitted + counted.duplicate + counted.refused + counted.invalid;
    assert_eq!(counted.received, sum, "received is what the answers add up to: {counted:?}");
    match route {
        Route::Job => check_single(asked, seen, document.as_ref()),
        Route::Batch => check_batch(asked, seen),
        Route::Uncounted => assert_eq!(counted, Answered::default(), "{} {}", asked.method, asked.uri),
        Route::Nowhere => {
            assert!(status >= 400, "{status}");
            assert_eq!((counted.received, counted.invalid), (1, 1), "{} {}", asked.method, asked.uri);
        }
    }
    if !asked.setting.mood.stores() {
        assert!(seen.stored.is_empty());
    }
    assert_eq!(door.held_bytes(), 0, "no body is held after the answer");
}

/// The document of a body.
pub fn object(body: &[u8]) -> Map<String, Value> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        other => panic!("no JSON object: {other:?}: {}", body.escape_ascii()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Job,
    Batch,
    /// Leases, health, and a handshake that succeeds.
    Uncounted,
    /// A path or a method of a job's path that is not there: one invalid request.
    Nowhere,
}

impl Route {
    fn of(asked: &Written) -> Route {
        match (asked.uri.path(), &asked.method) {
            ("/v1/jobs", &Method::POST) => Route::Job,
            ("/v1/jobs/batch", &Method::POST) => Route::Batch,
            // Answered as one job where it is refused, not counted where it is granted.
            ("/v1/jobs", &Method::OPTIONS) => Route::Job,
            ("/v1/leases" | "/v1/leases/ack" | "/v1/leases/nack" | "/v1/leases/extend", _) => {
                Route::Uncounted
            }
            ("/healthz" | "/readyz", _) => Route::Uncounted,
            _ => Route::Nowhere,
        }
    }
}

fn check_promises(status: u16, headers: &HeaderMap) {
    let field = |name: &http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if status == 429 || status == 503 {
        let seconds = field(&RETRY_AFTER).and_then(|text| text.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=86_400).contains(&seconds)), "Retry-After: {seconds:?}");
        assert_eq!(field(&CACHE_CONTROL), Some("no-store"));
    }
}

fn check_problem(status: u16, headers: &HeaderMap, document: &Map<String, Value>) {
    assert_eq!(
        headers.get(CONTENT_TYPE).map(|value| value.as_bytes()),
        Some(&b"application/problem+json"[..])
    );
    for member in MEMBERS {
        assert!(document.contains_key(*member), "`{member}` is missing: {document:?}");
    }
    let text = |member: &str| document[member].as_str().unwrap_or_default();
    let code = text("code");
    assert!(CODES.contains(&(status, code)), "{status} {code}");
    assert_eq!(text("type"), format!("urn:tidegate:problem:{code}"));
    assert!(!text("title").is_empty() && !text("detail").is_empty());
    assert!(text("detail").len() < 2_000, "a detail is no copy of the request: {document:?}");
    assert_eq!(document["status"], status);
    assert!(["not_stored", "stored", "unknown"].contains(&text("outcome")));
    assert!(document["tier"].is_null() || ["p0", "p1", "p2"].contains(&text("tier")));
    assert!(document["retryable"].is_boolean());
    let id = headers.get("x-request-id").map(|id| id.as_bytes());
    assert_eq!(id, Some(text("request_id").as_bytes()));
    let millis = document["retry_after_ms"].as_u64();
    let seconds = headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap_or_default().parse::<u64>());
    match (millis, seconds) {
        (None, None) => assert!(status != 429 && status != 503 && document["retry_after_ms"].is_null()),
        (Some(millis), Some(Ok(seconds))) => assert_eq!(millis.div_ceil(1_000).max(1), seconds),
        other => panic!("retry_after_ms and Retry-After: {other:?}"),
    }
}

fn check_single(asked: &Written, seen: &Seen, document: Option<&Map<String, Value>>) {
    let (status, counted) = (seen.status.as_u16(), seen.counted);
    if asked.method == Method::OPTIONS {
        let refused = u64::from(status >= 400);
        assert_eq!(counted.received, refused);
        assert_eq!(counted.refused + counted.invalid, refused);
        return;
    }
    assert_eq!(counted.received, 1, "one request is one job");
    let refusal = matches!(status, 429 | 503 | 504);
    assert_eq!(counted.refused, u64::from(refusal));
    assert_eq!(counted.invalid, u64::from(status >= 400 && !refusal));
    assert_eq!(
        seen.stored.len() as u64,
        counted.admitted,
        "a receipt stands for a stored job, and no other is stored"
    );
    let Some(document) = document else {
        assert_eq!(status, 202, "the one success");
        return check_receipt(seen);
    };
    let outcome = document["outcome"].as_str();
    assert_ne!(outcome, Some("stored"), "a stored job has a receipt");
    if status == 504 {
        assert_eq!(outcome, Some("unknown"));
    }
}

fn check_receipt(seen: &Seen) {
    let receipt = object(&seen.body);
    let text = |member: &str| receipt[member].as_str().unwrap_or_default();
    let id = text("id");
    assert!(id.len() == 36 && id.as_bytes().get(14) == Some(&b'7'), "{id}");
    assert_eq!(text("durability"), "disk");
    assert!(receipt["depth"].is_u64() && !text("queue").is_empty());
    assert_eq!(receipt["duplicate"].as_bool(), Some(seen.counted.duplicate == 1));
    let field = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    assert_eq!(field("tidegate-tier"), Some(text("tier")));
    for name in ["ratelimit", "ratelimit-policy"] {
        assert!(
            field(name).is_some_and(|value| value.starts_with(&format!("\"{}\";", text("tier")))),
            "{name}"
        );
    }
    if let [job] = seen.stored.as_slice() {
        assert_eq!(job.id.to_string(), id);
        assert_eq!(job.tier.as_str(), text("tier"));
    }
}

fn check_batch(asked: &Written, seen: &Seen) {
    let (status, counted) = (seen.status.as_u16(), seen.counted);
    assert_eq!(seen.stored.len() as u64, counted.admitted);
    let document = object(&seen.body);
    let Some(items) = document.get("items").and_then(Value::as_array) else {
        assert!(status >= 400, "{status}");
        assert_eq!(counted.received, 1, "a batch that failed as a whole is one request");
        return assert!(seen.stored.is_empty());
    };
    assert!(items.len() <= super::door::LIMITS.max_batch_jobs as usize + 1);
    assert_eq!(counted.received, items.len() as u64, "each item is counted once: {document:?}");
    let mut accepted = 0;
    for (index, item) in items.iter().enumerate() {
        assert_eq!(item["index"].as_u64(), Some(index as u64));
        let status = item["status"].as_u64().unwrap_or_default() as u16;
        match item["code"].as_str() {
            Some(code) => assert!(CODES.contains(&(status, code)), "{item}"),
            None => {
                assert!(status == 202 && item["id"].as_str().is_some_and(|id| id.len() == 36), "{item}");
                accepted += 1;
            }
        }
        assert_eq!(item["retry_after_ms"].is_u64(), matches!(status, 429 | 503), "{item}");
    }
    assert_eq!(document["accepted"].as_u64(), Some(accepted));
    assert_eq!(document["refused"].as_u64(), Some(items.len() as u64 - accepted));
    assert_eq!(counted.admitted + counted.duplicate, accepted);
    let complete = accepted == items.len() as u64 && !document.contains_key("ended");
    assert_eq!(status == 202, complete, "{status} {document:?}");
    if asked.setting.mood.stores() {
        let ids: Vec<_> = items.iter().filter_map(|item| item["id"].as_str()).collect();
        assert!(seen.stored.iter().all(|job| ids.contains(&job.id.to_string().as_str())));
    }
}

const STATUSES: &[u16] =
    &[200, 202, 204, 207, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 503, 504];

const MEMBERS: &[&str] = &[
    "type",
    "title",
    "status",
    "detail",
    "code",
    "tier",
    "outcome",
    "retryable",
    "retry_after_ms",
    "request_id",
];

/// The closed list.
const CODES: &[(u16, &str)] = &[
    (400, "malformed_request"),
    (400, "invalid_idempotency_key"),
    (400, "invalid_event"),
    (401, "unauthenticated"),
    (403, "tier_not_allowed"),
    (403, "scope_not_allowed"),
    (403, "origin_not_allowed"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (408, "request_timeout"),
    (409, "idempotency_in_progress"),
    (422, "idempotency_mismatch"),
    (422, "invalid_policy"),
    (413, "too_large"),
    (415, "unsupported_media_type"),
    (429, "throttled"),
    (429, "shed"),
    (429, "queue_full"),
    (429, "tenant_quota"),
    (429, "client_limit"),
    (503, "backend_unavailable"),
    (503, "signal_stale"),
    (503, "overloaded"),
    (503, "draining"),
    (503, "shed"),
    (504, "outcome_unknown"),
];

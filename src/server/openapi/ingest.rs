//! What clients and workers can ask: the operations of the ingest listener.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::domain::code::Code;
use crate::server::openapi::header_fields::{Answered, Asked};
use crate::server::openapi::operation::{BOTH, INGEST, Operation, reference};

/// Every operation of the ingest listener, those that admin has too included.
pub fn operations() -> Vec<Operation> {
    vec![submit(), handshake(), submit_batch(), lease(), ack(), nack(), extend(), live(), ready()]
}

fn submit() -> Operation {
    Operation::new(INGEST, Method::POST, "/v1/jobs", "submitJob", "Post one job")
        .described(
            "The body is the payload, opaque: any bytes of any content type, none included, up to \
             `limits.max_job_bytes`. The answer is sent only when the job is kept as durably as it says. The policy's \
             rules give the job its tier by its head and, where they ask, by its body; `Tidegate-Type` says its type \
             unless the policy reads that elsewhere. A CloudEvent comes in structured mode, or in binary mode with its \
             attributes as `ce-*` header fields; both are checked, and the worker gets the attributes as `ce-*`. A batch \
             of events goes to `/v1/jobs/batch`. The body may be compressed, with `Content-Encoding: gzip` or `zstd`; what it \
             decodes to keeps to the same bounds. `Idempotency-Key` names the job, so that it can be sent twice and is \
             stored once: 1 to 255 visible characters, bare or in double quotes; the second receipt has the first id and \
             `duplicate`, another payload under the key is 422. The policy can read keys elsewhere too.",
        )
        .asks(OF_JOBS)
        .takes_any(payloads(), false)
        .answers(StatusCode::ACCEPTED, "The job is stored: a receipt.", "Receipt")
        .with(StatusCode::ACCEPTED, &Answered::OF_ONE_TIER, true)
        .refuses(CALLER)
        .refuses(BODY)
        .refuses(JOB)
        .refuses(GATE)
}

fn handshake() -> Operation {
    Operation::new(INGEST, Method::OPTIONS, "/v1/jobs", "shakeHands", "May webhooks be delivered, and how fast")
        .described(
            "The validation request of CloudEvents' HTTP 1.1 Web Hooks for Event Delivery. A permission is no promise: \
             each delivery is asked at the gate like any other job. No key is asked for.",
        )
        .asks(&[Asked::WebHookOrigin, Asked::WebHookRate])
        .answers_empty(StatusCode::OK, "It may.")
        .with(StatusCode::OK, &[Answered::Allow, Answered::WebHookOrigin, Answered::WebHookRate], true)
        .answers_empty(StatusCode::NO_CONTENT, "No origin asked.")
        .with(StatusCode::NO_CONTENT, &[Answered::Allow], true)
        .refuses(&[Code::MalformedRequest, Code::ClientLimit, Code::Draining])
}

fn submit_batch() -> Operation {
    Operation::new(INGEST, Method::POST, "/v1/jobs/batch", "submitBatch", "Post many jobs")
        .described(
            "Each line of NDJSON, or each element of an array, is the payload of one job, itself `application/json`. \
             Lines are stored as they come. The header fields hold for every job; an `Idempotency-Key` \
             names one job and is refused here. The body may be compressed, with `Content-Encoding: gzip` or `zstd`.",
        )
        .asks(OF_JOBS)
        .takes_any(batches(), true)
        .of_batches()
        .answers(StatusCode::ACCEPTED, "All jobs are stored.", "BatchAnswer")
        .with(StatusCode::ACCEPTED, &Answered::OF_ONE_TIER, false)
        .answers(
            StatusCode::MULTI_STATUS,
            "Some jobs are stored and some refused, or the batch ended early.",
            "BatchAnswer",
        )
        .refuses(CALLER)
        .refuses(BODY)
        .refuses(JOB)
        .refuses(GATE)
}

fn lease() -> Operation {
    let leased = json!({ "requestBody": { "leases": ["$response.body#/jobs/0/lease"] } });
    of_leases("/v1/leases", "leaseJobs", "Lend jobs to a worker")
        .described(
            "Jobs of all tiers asked for, by the tiers' weights. With `wait_seconds` the answer waits for the first \
             job. A lease that runs out is a failed attempt. Other backends than the embedded queue have no leases.",
        )
        .takes("LeaseRequest", false)
        .answers(StatusCode::OK, "Jobs, perhaps none.", "Leases")
        .link(StatusCode::OK, "ackLeases", leased.clone())
        .link(StatusCode::OK, "nackLeases", leased.clone())
        .link(StatusCode::OK, "extendLeases", leased)
}

fn ack() -> Operation {
    of_leases("/v1/leases/ack", "ackLeases", "Say that jobs are done").takes("Ack", true).answers(
        StatusCode::OK,
        "The fate of each lease.",
        "LeaseResults",
    )
}

fn nack() -> Operation {
    of_leases("/v1/leases/nack", "nackLeases", "Say that attempts failed").takes("Nack", true).answers(
        StatusCode::OK,
        "The fate of each lease.",
        "LeaseResults",
    )
}

fn extend() -> Operation {
    of_leases("/v1/leases/extend", "extendLeases", "Keep jobs for longer").takes("Extend", true).answers(
        StatusCode::OK,
        "The fate of each lease.",
        "LeaseResults",
    )
}

fn of_leases(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(INGEST, Method::POST, path, id, summary).refuses(CALLER).refuses(BODY).refuses(&[
        Code::NotFound,
        Code::UnsupportedMediaType,
        Code::BackendUnavailable,
        Code::Draining,
        Code::Overloaded,
    ])
}

fn live() -> Operation {
    Operation::new(BOTH, Method::GET, "/healthz", "live", "Does the process live").answers_with(
        StatusCode::OK,
        "It does.",
        plain_text(),
    )
}

fn ready() -> Operation {
    Operation::new(BOTH, Method::GET, "/readyz", "ready", "Can this instance take jobs")
        .described(
            "Not while it starts or stops, nor while its own disk cannot be written. An overload makes no instance \
             unready.",
        )
        .answers_with(StatusCode::OK, "It can.", plain_text())
        .refuses(&[Code::BackendUnavailable, Code::Draining])
}

/// Bytes as they are. The media types named are those with which most clients come.
fn payloads() -> Value {
    let bytes = json!({});
    json!({
        "application/json": {},
        "application/octet-stream": bytes,
        "text/plain": { "schema": { "type": "string" } },
        "application/cloudevents+json": { "schema": reference("CloudEvent") },
        "*/*": bytes,
    })
}

fn batches() -> Value {
    json!({
        "application/x-ndjson": {
            "schema": { "type": "string", "description": "One JSON value a line; blank lines are skipped." },
        },
        "application/json": {
            "schema": { "type": "array", "minItems": 1, "items": {} },
            "example": [{ "type": "payment", "amount": 12 }, { "type": "report" }],
        },
        "application/cloudevents-batch+json": {
            "schema": { "type": "array", "minItems": 1, "items": reference("CloudEvent") },
        },
    })
}

fn plain_text() -> Value {
    json!({ "text/plain": { "schema": { "type": "string" } } })
}

/// What the head of every job, and of every batch, may say.
const OF_JOBS: &[Asked] =
    &[Asked::Tier, Asked::OrderingKey, Asked::ExpiresIn, Asked::Traceparent, Asked::Tracestate];

/// Who calls, and whether they may.
const CALLER: &[Code] = &[Code::Unauthenticated, Code::ScopeNotAllowed, Code::ClientLimit];

/// What can be wrong with any body.
const BODY: &[Code] = &[Code::MalformedRequest, Code::RequestTimeout, Code::TooLarge];

/// What can be wrong with a job.
const JOB: &[Code] = &[
    Code::InvalidIdempotencyKey,
    Code::InvalidEvent,
    Code::TierNotAllowed,
    Code::IdempotencyInProgress,
    Code::IdempotencyMismatch,
    Code::UnsupportedMediaType,
];

/// Why a good job may not come in now.
const GATE: &[Code] = &[
    Code::Throttled,
    Code::Shed,
    Code::QueueFull,
    Code::TenantQuota,
    Code::BackendUnavailable,
    Code::SignalStale,
    Code::Overloaded,
    Code::Draining,
    Code::OutcomeUnknown,
];

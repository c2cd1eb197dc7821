//! What workers get: jobs with their payloads as text or base64, and the fate of each lease.

use std::collections::BTreeMap;
use std::str;

use axum::body::Body;
use axum::response::Response;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::domain::job::{Job, JobId};
use crate::domain::time::Timestamp;
use crate::queue::embedded::lease::{Lease, LeaseStatus, LeaseToken};
use crate::server::fields::{JSON, Text};
use crate::server::openapi::words;

/// The answer to a lease call.
pub fn jobs(leases: &[Lease]) -> Response {
    json(&Jobs { jobs: leases.iter().map(LeasedJob::of).collect() })
}

/// The answer to ack, nack and extend, in the order asked.
pub fn results(results: impl Iterator<Item = (String, LeaseStatus)>) -> Response {
    let result = |(lease, status)| {
        let status = match status {
            LeaseStatus::Ok => "ok",
            LeaseStatus::Unknown => "unknown",
        };
        LeaseResult { lease, status }
    };
    json(&Results { results: results.map(result).collect() })
}

/// A 200 with this JSON.
pub fn json(value: &impl Serialize) -> Response {
    // Cannot fail: plain strings and numbers, and map keys that are strings.
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// What a worker or an operator sees of a job's content: `body` where the payload is UTF-8, else `body_base64`.
#[derive(Serialize, JsonSchema)]
pub struct Content<'a> {
    content_type: Option<&'a str>,
    ordering_key: Option<&'a str>,
    /// In lower case: `traceparent`, `tracestate` and `ce-*`.
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<&str>", extend("contentEncoding" = "base64"))]
    body_base64: Option<Base64<'a>>,
}

impl<'a> Content<'a> {
    /// The content of a job.
    pub fn of(job: &'a Job) -> Content<'a> {
        let body = str::from_utf8(&job.payload).ok();
        Content {
            content_type: job.content_type.as_deref(),
            ordering_key: job.ordering_key.as_deref(),
            headers: job.headers.iter().map(|(name, value)| (&**name, &**value)).collect(),
            body,
            body_base64: body.is_none().then(|| Base64(&job.payload)),
        }
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(self.0, &STANDARD))
    }
}

/// Jobs lent to a worker.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Leases")]
pub(in crate::server) struct Jobs<'a> {
    jobs: Vec<LeasedJob<'a>>,
}

/// A job lent to a worker.
#[derive(Serialize, JsonSchema)]
struct LeasedJob<'a> {
    id: Text<JobId>,
    lease: Text<LeaseToken>,
    #[schemars(schema_with = "words::tier")]
    tier: &'static str,
    /// 1 the first time.
    #[schemars(range(min = 1))]
    attempt: u32,
    accepted_at: Text<Timestamp>,
    #[serde(flatten)]
    content: Content<'a>,
}

impl<'a> LeasedJob<'a> {
    fn of(lease: &'a Lease) -> LeasedJob<'a> {
        LeasedJob {
            id: Text(lease.job.id),
            lease: Text(lease.token),
            tier: lease.job.tier.as_str(),
            attempt: lease.attempt,
            accepted_at: Text(lease.job.accepted_at),
            content: Content::of(&lease.job),
        }
    }
}

/// The fate of each lease, in the order asked.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LeaseResults")]
pub(in crate::server) struct Results {
    results: Vec<LeaseResult>,
}

#[derive(Serialize, JsonSchema)]
struct LeaseResult {
    lease: String,
    /// `unknown`: it has run out, is done already, or never was.
    #[schemars(schema_with = "words::lease_status")]
    status: &'static str,
}

//! The problem document of RFC 9457, with every member every time.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::domain::code::Code;
use crate::domain::tier::Tier;
use crate::server::fields;
use crate::server::openapi::words;
use crate::server::problem::Problem;

/// Writes the document of a problem, with further members.
pub(super) fn write(problem: &Problem, request_id: &str, members: &impl Serialize) -> Vec<u8> {
    let code = problem.code();
    let document = Document {
        kind: Kind(code),
        title: title(code),
        status: problem.status().as_u16(),
        detail: &problem.detail,
        code: code.as_str(),
        tier: problem.tier().map(Tier::as_str),
        outcome: problem.outcome().as_str(),
        retryable: problem.is_refusal() || matches!(code, Code::RequestTimeout | Code::IdempotencyInProgress),
        retry_after_ms: problem.retry_after().map(fields::whole_millis),
        request_id,
        members,
    };
    let mut text = Vec::with_capacity(USUAL_BYTES);
    // Cannot fail: the members are plain strings and numbers, and a vector takes every byte.
    let _ = serde_json::to_writer(&mut text, &document);
    text
}

/// A request that got no receipt: why, what became of its job, and when to come back (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(in crate::server) struct Document<'a, M: Serialize> {
    #[serde(rename = "type")]
    #[schemars(schema_with = "words::problem_type")]
    kind: Kind,
    title: &'static str,
    status: u16,
    /// Says how to mend the request, where that is possible.
    detail: &'a str,
    #[schemars(schema_with = "words::code")]
    code: &'static str,
    /// The tier it was for, where that is known.
    #[schemars(schema_with = "words::tier_or_null")]
    tier: Option<&'static str>,
    /// What became of the job.
    #[schemars(schema_with = "words::outcome")]
    outcome: &'static str,
    /// Whether the same request can succeed later.
    retryable: bool,
    /// `Retry-After`, more exactly.
    retry_after_ms: Option<u64>,
    /// Also in `X-Request-Id`.
    request_id: &'a str,
    #[serde(flatten)]
    members: &'a M,
}

/// No members beside those that every document has.
#[derive(Serialize, JsonSchema)]
pub(in crate::server) struct NoMembers {}

/// `urn:tidegate:problem:<code>`: a name, not an address, so it holds wherever the gateway runs.
struct Kind(Code);

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("urn:tidegate:problem:{}", self.0))
    }
}

const fn title(code: Code) -> &'static str {
    match code {
        Code::MalformedRequest => "The request cannot be understood",
        Code::InvalidIdempotencyKey => "The idempotency key is not valid",
        Code::InvalidEvent => "The CloudEvent is not valid",
        Code::Unauthenticated => "A key is needed",
        Code::TierNotAllowed => "The tier is above the caller's ceiling",
        Code::ScopeNotAllowed => "The caller may not do this",
        Code::OriginNotAllowed => "The request comes from elsewhere",
        Code::NotFound => "Nothing is here",
        Code::MethodNotAllowed => "The method is not available here",
        Code::RequestTimeout => "The request came too slowly",
        Code::IdempotencyInProgress => "A request with this key is under way",
        Code::IdempotencyMismatch => "The key belongs to another payload",
        Code::InvalidPolicy => "The policy has faults",
        Code::TooLarge => "The request is too large",
        Code::UnsupportedMediaType => "The media type is not taken here",
        Code::Throttled => "Too many jobs for now",
        Code::Shed => "The tier is shed",
        Code::QueueFull => "The queue is full",
        Code::TenantQuota => "The tenant's rate is used up",
        Code::ClientLimit => "The client sends too fast",
        Code::BackendUnavailable => "The queue is not available",
        Code::SignalStale => "The backlog cannot be seen",
        Code::Overloaded => "The gateway is overloaded",
        Code::Draining => "The gateway is stopping",
        Code::OutcomeUnknown => "The outcome is not known",
    }
}

/// Room for a usual document, so that writing one allocates once.
const USUAL_BYTES: usize = 512;

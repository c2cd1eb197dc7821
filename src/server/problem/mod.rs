//! The only map from failure to HTTP: every refusal becomes its status, its header fields and its problem document.

pub(super) mod document;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;

use crate::admission::decision::{RateLimit, Reason, Refusal};
use crate::domain::bound::Bound;
use crate::domain::code::{Code, Outcome};
use crate::domain::tier::Tier;
use crate::policy::classify::WishError;
use crate::queue::Outage;
use crate::queue::error::{QueueError, StoreError};
use crate::server::body::BodyError;
use crate::server::body::coding::CodingError;
use crate::server::event::fault::EventFault;
use crate::server::fields;
use crate::server::limits::SizeLimit;
use crate::server::pause;
use crate::telemetry::log::refusals::Sample;

/// A request that got no receipt: why, what became of its job, and when to come back.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    tier: Option<Tier>,
    outcome: Outcome,
    retry_after: Option<Duration>,
    limit: Option<RateLimit>,
    shed_unavailable: bool,
    accepts: Option<Accepts>,
    bound: Option<Bound>,
    tenant: Option<Arc<str>>,
}

/// What would have been taken in place of what came, told with a 415 (RFC 9110 15.5.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// The codings of a job's or a batch's body.
    Codings,
    /// Bodies as they are, without a coding.
    NoCoding,
    /// The media types of a batch.
    BatchTypes,
}

impl Problem {
    /// A request refused for this reason; nothing was stored.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            code,
            detail: detail.into(),
            tier: None,
            outcome: Outcome::NotStored,
            retry_after: None,
            limit: None,
            shed_unavailable: false,
            accepts: None,
            bound: None,
            tenant: None,
        }
    }

    /// The request, or one of its parts, cannot be understood.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(Code::MalformedRequest, detail)
    }

    /// It passes this bound.
    pub fn too_large(bound: SizeLimit) -> Problem {
        Problem::new(Code::TooLarge, bound.to_string())
    }

    /// The body comes in a way that is not taken here.
    pub fn unsupported(detail: impl Into<Cow<'static, str>>, accepts: Accepts) -> Problem {
        Problem { accepts: Some(accepts), ..Problem::new(Code::UnsupportedMediaType, detail) }
    }

    /// The body comes in a coding that is not taken.
    pub fn coding(error: &CodingError) -> Problem {
        Problem::unsupported(error.to_string(), Accepts::Codings)
    }

    /// Nothing is at this path.
    pub fn not_found(path: &str) -> Problem {
        Problem::new(Code::NotFound, format!("nothing is at {}", shortened(path)))
    }

    /// The path does not have this method.
    pub fn not_allowed(method: &Method) -> Problem {
        Problem::new(
            Code::MethodNotAllowed,
            format!("the method {} is not available here", shortened(method.as_str())),
        )
    }

    /// The gateway is stopping.
    pub fn draining() -> Problem {
        Problem::new(
            Code::Draining,
            "the gateway is stopping: send the request again, another instance will take it",
        )
    }

    /// The memory for bodies is used up.
    pub fn overloaded() -> Problem {
        Problem::beyond(Bound::Bytes)
    }

    /// The gateway protects itself: the request is beyond this bound.
    pub fn beyond(bound: Bound) -> Problem {
        let detail = match bound {
            Bound::Connections => "the gateway serves as many connections as it may",
            Bound::Bytes => "the gateway holds as many bytes of requests as it may",
            Bound::Batches => "the gateway reads as many batches as it may",
            Bound::Polls => "as many workers wait for a job as may",
            Bound::Store => "too many jobs wait to be stored",
            Bound::Time => {
                "the queue stores so slowly that the request's time is used up: send what is not stored again"
            }
        };
        let pause = Some(pause::while_overloaded());
        Problem { bound: Some(bound), retry_after: pause, ..Problem::new(Code::Overloaded, detail) }
    }

    /// The queue took so long that the request's time is used up: the gateway was slow, not the client.
    pub fn out_of_time() -> Problem {
        Problem::beyond(Bound::Time)
    }

    /// The client sends more than one client may; it may send once more after `pause`.
    pub fn client_limit(pause: Duration) -> Problem {
        let detail = "this client sends more requests than one may";
        Problem::new(Code::ClientLimit, detail).after(pause)
    }

    /// Another request is storing a job under the same idempotency key.
    pub fn key_in_progress() -> Problem {
        let detail = "a request with this idempotency key is under way: send it again for its receipt";
        Problem::new(Code::IdempotencyInProgress, detail).after(LEAST_PAUSE).unknown_outcome()
    }

    /// The gate refused a job of this tier.
    pub fn refusal(tier: Tier, refusal: &Refusal) -> Problem {
        let detail: Cow<'static, str> = match refusal.reason {
            Reason::Throttled => "the tier's rate is used up".into(),
            Reason::TenantQuota { rate } => {
                format!("the tenant's own rate of {} jobs a second is used up", rate.jobs_per_second()).into()
            }
            Reason::Shed { .. } => {
                "the tier is not taken now: its backlog, or that of a tier it yields to, is past the threshold".into()
            }
            Reason::QueueFull => "the tier's queue holds as many jobs as it may".into(),
            Reason::SignalStale => "the backlog cannot be seen, and the policy shuts the tier then".into(),
        };
        Problem {
            retry_after: Some(refusal.retry_after),
            limit: Some(refusal.limit),
            shed_unavailable: matches!(refusal.reason, Reason::Shed { unavailable: true }),
            ..Problem::new(refusal.reason.code(), detail).of(tier)
        }
    }

    /// The caller's wish for a tier cannot be met.
    pub fn wish(error: &WishError) -> Problem {
        match error {
            WishError::Unknown => Problem::malformed(error.to_string()),
            WishError::AboveCeiling { .. } => Problem::new(Code::TierNotAllowed, error.to_string()),
        }
    }

    /// The queue's backend is away for this tier.
    pub fn outage(tier: Tier, outage: &Outage) -> Problem {
        let detail = format!("the queue's backend is away: {}", outage.detail);
        Problem::new(Code::BackendUnavailable, detail).of(tier).after(pause::until_tried(outage.next_try))
    }

    /// The queue knows the job's idempotency key for a job of another content.
    pub fn key_mismatch() -> Problem {
        let detail = "the idempotency key stands for a job with another content: use a new key";
        Problem::new(Code::IdempotencyMismatch, detail)
    }

    /// The queue did not store jobs of this tier, whose allowance is `limit`; the client is asked to stay away
    /// for `pause`.
    pub fn store(tier: Tier, error: &StoreError, limit: RateLimit, pause: Duration) -> Problem {
        let detail = error.to_string();
        match error {
            StoreError::Unavailable { .. } => {
                Problem::new(Code::BackendUnavailable, detail).of(tier).after(pause)
            }
            StoreError::Full { .. } => {
                Problem { limit: Some(limit), ..Problem::new(Code::QueueFull, detail).of(tier).after(pause) }
            }
            StoreError::TooLarge { .. } => Problem::new(Code::TooLarge, detail).of(tier),
            StoreError::Overloaded => Problem::beyond(Bound::Store).of(tier).after(pause),
            StoreError::Closed => Problem::draining().of(tier),
            StoreError::Unknown => {
                Problem { outcome: Outcome::Unknown, ..Problem::new(Code::OutcomeUnknown, detail).of(tier) }
            }
        }
    }

    /// The queue cannot answer a worker or an operator.
    pub fn queue(error: &QueueError) -> Problem {
        match error {
            QueueError::BadPage => Problem::malformed(error.to_string()),
            QueueError::Unavailable { .. } => Problem::new(Code::BackendUnavailable, error.to_string()),
            QueueError::TooManyPolls => Problem::beyond(Bound::Polls),
            QueueError::Closed => Problem::draining(),
        }
    }

    /// The request, or an item of a batch, is no valid event.
    pub fn event(fault: &EventFault) -> Problem {
        match fault {
            EventFault::TooLong(_) => Problem::malformed(fault.to_string()),
            EventFault::Attribute { .. } | EventFault::Unreadable(_) => {
                Problem::new(Code::InvalidEvent, fault.to_string())
            }
        }
    }

    /// The body could not be read.
    pub fn body(error: &BodyError) -> Problem {
        match error {
            BodyError::TooLarge(bound) => Problem::too_large(*bound),
            BodyError::TooSlow => Problem::new(Code::RequestTimeout, error.to_string()),
            BodyError::Broken | BodyError::Undecodable(..) => Problem::malformed(error.to_string()),
            BodyError::Overloaded => Problem::overloaded(),
            BodyError::Stopping => Problem::draining(),
        }
    }

    /// The same for a job of this tier.
    #[must_use]
    pub fn of(self, tier: Tier) -> Problem {
        Problem { tier: Some(tier), ..self }
    }

    /// The same where the job may be stored all the same.
    #[must_use]
    pub fn unknown_outcome(self) -> Problem {
        Problem { outcome: Outcome::Unknown, ..self }
    }

    /// The same, where the job may be stored all the same if that is so.
    #[must_use]
    pub fn unknown_outcome_if(self, unsure: bool) -> Problem {
        if unsure { self.unknown_outcome() } else { self }
    }

    /// The same with a time to come back.
    #[must_use]
    pub fn after(self, pause: Duration) -> Problem {
        Problem { retry_after: Some(pause), ..self }
    }

    /// The same, told to this tenant.
    #[must_use]
    pub fn to(self, tenant: &Arc<str>) -> Problem {
        Problem { tenant: Some(Arc::clone(tenant)), ..self }
    }

    /// The same for several jobs, not all of one tier.
    #[must_use]
    pub fn of_several_tiers(self) -> Problem {
        Problem { tier: None, limit: None, ..self }
    }

    /// Why.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What is said to people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The tier it was for, where that is known.
    pub const fn tier(&self) -> Option<Tier> {
        self.tier
    }

    /// The bound that it was beyond, where the gateway protects itself.
    pub const fn bound(&self) -> Option<Bound> {
        self.bound
    }

    /// What became of the job.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self.code {
            Code::MalformedRequest | Code::InvalidIdempotencyKey | Code::InvalidEvent => {
                StatusCode::BAD_REQUEST
            }
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::TierNotAllowed | Code::ScopeNotAllowed | Code::OriginNotAllowed => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Code::IdempotencyInProgress => StatusCode::CONFLICT,
            Code::IdempotencyMismatch | Code::InvalidPolicy => StatusCode::UNPROCESSABLE_ENTITY,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::Shed if self.shed_unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Throttled | Code::Shed | Code::QueueFull | Code::TenantQuota | Code::ClientLimit => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Code::BackendUnavailable | Code::SignalStale | Code::Overloaded | Code::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Code::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The time to come back: always there with 429 and 503, otherwise where one was promised.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Some(self.retry_after.unwrap_or(LEAST_PAUSE))
            }
            _ => self.retry_after,
        }
    }

    /// What the log says of it.
    pub fn sample(&self) -> Sample<'_> {
        let in_millis = |pause: Duration| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Sample {
            tier: self.tier,
            code: self.code,
            detail: &self.detail,
            tenant: self.tenant.as_deref(),
            retry_after_ms: self.retry_after().map(in_millis),
        }
    }

    /// Whether the jobs count as refused (429, 503, 504) and not as invalid (every other 4xx).
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        )
    }

    /// The answer.
    pub fn into_response(self) -> Response {
        self.into_response_with(&document::NoMembers {})
    }

    /// The answer to a method that the path does not have; `allow` lists those it has.
    pub fn into_response_allowing(self, allow: &'static str) -> Response {
        let mut response = self.into_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        response
    }

    /// The answer, with further members in its document.
    pub fn into_response_with(self, members: &impl Serialize) -> Response {
        let request_id = fields::request_id();
        let document = document::write(&self, &request_id, members);
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Ok(value) = HeaderValue::try_from(request_id) {
            headers.insert(fields::X_REQUEST_ID, value);
        }
        let pause = self.retry_after();
        if let Some(pause) = pause {
            headers.insert(RETRY_AFTER, HeaderValue::from(fields::whole_seconds(pause)));
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        if let Some(accepts) = self.accepts {
            let (name, value) = accepts.field();
            headers.insert(name, value);
        }
        match (self.code, self.tier, self.limit) {
            (Code::Unauthenticated, ..) => {
                headers.insert(WWW_AUTHENTICATE, BEARER);
            }
            (Code::Draining | Code::RequestTimeout, ..) => {
                headers.insert(CONNECTION, CLOSE);
            }
            (_, Some(tier), Some(limit)) if self.status() == StatusCode::TOO_MANY_REQUESTS => {
                let reset = pause.unwrap_or_default().max(LEAST_PAUSE);
                fields::insert_limit(headers, tier, &RateLimit { remaining: 0, reset, ..limit });
            }
            _ => {}
        }
        response
    }
}

/// The statuses that a code can be answered with.
pub fn statuses(code: Code) -> impl Iterator<Item = StatusCode> {
    let usual = Problem::new(code, "");
    let unavailable = Problem { shed_unavailable: true, ..usual.clone() };
    let (usual, unavailable) = (usual.status(), unavailable.status());
    [usual, unavailable].into_iter().take(if usual == unavailable { 1 } else { 2 })
}

/// Whether answers with this code always say when to come back.
pub fn asks_to_wait(code: Code) -> bool {
    code == Code::IdempotencyInProgress || Problem::new(code, "").retry_after().is_some()
}

impl Accepts {
    const fn field(self) -> (HeaderName, HeaderValue) {
        match self {
            Accepts::Codings => (ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")),
            Accepts::NoCoding => (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            Accepts::BatchTypes => (
                ACCEPT_POST,
                HeaderValue::from_static(
                    "application/x-ndjson, application/json, application/cloudevents-batch+json",
                ),
            ),
        }
    }
}

/// What a client sent, as far as it is said back.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// The media types that POST takes (LDP 7.1).
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// What a client waits where nothing better is known.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Of a path or a method, in characters: a head may be thousands of times as long.
const LONGEST_SHOWN: usize = 100;

/// Header fields of a refusal, the date included.
const HEADERS: usize = 10;

#[cfg(test)]
mod tests;

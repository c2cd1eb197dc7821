//! The closed list of reasons a request can be answered with, and what became of its job.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// Why a request was refused or found invalid: the `code` of a problem document and of the metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as clients and dashboards see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }
        }
    };
}

codes! {
    /// 400: the request or one of its parts cannot be understood.
    MalformedRequest = "malformed_request",
    /// 400: the idempotency key is not 1..255 visible characters.
    InvalidIdempotencyKey = "invalid_idempotency_key",
    /// 400: the CloudEvent breaks the specification.
    InvalidEvent = "invalid_event",
    /// 401: no key, or one that nobody has.
    Unauthenticated = "unauthenticated",
    /// 403: the tier wished for is above the caller's ceiling.
    TierNotAllowed = "tier_not_allowed",
    /// 403: the caller's key does not carry the scope.
    ScopeNotAllowed = "scope_not_allowed",
    /// 403: a foreign `Origin` or `Host` on the admin listener.
    OriginNotAllowed = "origin_not_allowed",
    /// 404: there is nothing at that path.
    NotFound = "not_found",
    /// 405: the path exists, the method does not.
    MethodNotAllowed = "method_not_allowed",
    /// 408: the client was too slow.
    RequestTimeout = "request_timeout",
    /// 409: the first request with this key is still under way.
    IdempotencyInProgress = "idempotency_in_progress",
    /// 422: the key was used for another payload.
    IdempotencyMismatch = "idempotency_mismatch",
    /// 422: the policy document has faults.
    InvalidPolicy = "invalid_policy",
    /// 413: a limit on size or number is passed.
    TooLarge = "too_large",
    /// 415: the media type or encoding is not taken here.
    UnsupportedMediaType = "unsupported_media_type",
    /// 429: the tier's rate or window is used up.
    Throttled = "throttled",
    /// 429 or 503: a threshold is crossed and the whole tier is refused.
    Shed = "shed",
    /// 429: the hard bound on the tier's depth, or on the queue's bytes, is reached.
    QueueFull = "queue_full",
    /// 429: the tenant's own rate is used up.
    TenantQuota = "tenant_quota",
    /// 429: this client sends too fast.
    ClientLimit = "client_limit",
    /// 503: the queue cannot take jobs now.
    BackendUnavailable = "backend_unavailable",
    /// 503: the backlog signal is lost and the policy shuts this tier.
    SignalStale = "signal_stale",
    /// 503: the gateway protects itself.
    Overloaded = "overloaded",
    /// 503: the gateway is stopping.
    Draining = "draining",
    /// 504: whether the job was stored cannot be known.
    OutcomeUnknown = "outcome_unknown",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the job of a request that got no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not in the queue and will not be.
    NotStored,
    /// It is in the queue.
    Stored,
    /// It may or may not be in the queue.
    Unknown,
}

impl Outcome {
    /// The outcome as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::NotStored => "not_stored",
            Outcome::Stored => "stored",
            Outcome::Unknown => "unknown",
        }
    }
}

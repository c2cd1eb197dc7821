//! The header fields of the document: what a request may carry and what an answer does, each described once.

use serde_json::{Map, Value, json};

use crate::server::openapi::schemas::tiers;

/// A request header field, by its place among the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `Tidegate-Tier`.
    Tier,
    /// `Tidegate-Ordering-Key`.
    OrderingKey,
    /// `Tidegate-Expires-In`.
    ExpiresIn,
    /// `traceparent`.
    Traceparent,
    /// `tracestate`.
    Tracestate,
    /// `WebHook-Request-Origin`.
    WebHookOrigin,
    /// `WebHook-Request-Rate`.
    WebHookRate,
}

/// An answer's header field, by its place among the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// `Retry-After`.
    RetryAfter,
    /// `Cache-Control`.
    CacheControl,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// `X-Request-Id`.
    RequestId,
    /// `Tidegate-Tier`, where the answer is about one tier.
    Tier,
    /// `RateLimit-Policy`, beside [`Answered::Tier`].
    RateLimitPolicy,
    /// `RateLimit`, beside [`Answered::Tier`].
    RateLimit,
    /// `Allow`.
    Allow,
    /// `WebHook-Allowed-Origin`.
    WebHookOrigin,
    /// `WebHook-Allowed-Rate`.
    WebHookRate,
}

impl Asked {
    const ALL: [Asked; 7] = [
        Asked::Tier,
        Asked::OrderingKey,
        Asked::ExpiresIn,
        Asked::Traceparent,
        Asked::Tracestate,
        Asked::WebHookOrigin,
        Asked::WebHookRate,
    ];

    /// A reference to it.
    pub fn reference(self) -> Value {
        json!({ "$ref": format!("#/components/parameters/{}", self.name()) })
    }

    const fn name(self) -> &'static str {
        match self {
            Asked::Tier => "Tidegate-Tier",
            Asked::OrderingKey => "Tidegate-Ordering-Key",
            Asked::ExpiresIn => "Tidegate-Expires-In",
            Asked::Traceparent => "traceparent",
            Asked::Tracestate => "tracestate",
            Asked::WebHookOrigin => "WebHook-Request-Origin",
            Asked::WebHookRate => "WebHook-Request-Rate",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Asked::Tier => {
                "A wish for a tier: it takes the place of the policy's `default_tier`. A rule that matches beats it; \
                 above the caller's ceiling it is refused."
            }
            Asked::OrderingKey => {
                "Jobs of one key are handed out in the order of their acceptance. 1 to 255 bytes of UTF-8 without \
                 control characters; the pattern is the part of that which every client can send."
            }
            Asked::ExpiresIn => {
                "Positive decimal seconds: a job older than that is counted and dropped, not delivered."
            }
            Asked::Traceparent | Asked::Tracestate => "Trace context, carried to the worker as it is.",
            Asked::WebHookOrigin => {
                "Who wants to deliver. Without it the answer names the methods of the path and no more."
            }
            Asked::WebHookRate => "How many deliveries a minute the sender wants.",
        }
    }

    fn schema(self) -> Value {
        match self {
            Asked::Tier => json!({ "type": "string", "enum": tiers() }),
            Asked::OrderingKey => json!({
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "pattern": "^[!-~]([ -~]*[!-~])?$",
            }),
            Asked::ExpiresIn => json!({
                "type": "string",
                "pattern": r"^(0{0,9}[1-9][0-9]{0,9}(\.[0-9]{1,9})?|0{1,9}\.0{0,8}[1-9][0-9]{0,9})$",
                "example": "30",
            }),
            Asked::Traceparent | Asked::Tracestate => json!({ "type": "string", "pattern": "^[ -~]*$" }),
            Asked::WebHookOrigin => json!({ "type": "string", "pattern": "^[!-~]+$" }),
            Asked::WebHookRate => json!({ "type": "string", "pattern": "^0{0,9}[1-9][0-9]{0,9}$" }),
        }
    }
}

impl Answered {
    const ALL: [Answered; 10] = [
        Answered::RetryAfter,
        Answered::CacheControl,
        Answered::WwwAuthenticate,
        Answered::RequestId,
        Answered::Tier,
        Answered::RateLimitPolicy,
        Answered::RateLimit,
        Answered::Allow,
        Answered::WebHookOrigin,
        Answered::WebHookRate,
    ];

    /// Those of an answer about one tier.
    pub const OF_ONE_TIER: [Answered; 3] = [Answered::Tier, Answered::RateLimitPolicy, Answered::RateLimit];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Answered::RetryAfter => "Retry-After",
            Answered::CacheControl => "Cache-Control",
            Answered::WwwAuthenticate => "WWW-Authenticate",
            Answered::RequestId => "X-Request-Id",
            Answered::Tier => "Tidegate-Tier",
            Answered::RateLimitPolicy => "RateLimit-Policy",
            Answered::RateLimit => "RateLimit",
            Answered::Allow => "Allow",
            Answered::WebHookOrigin => "WebHook-Allowed-Origin",
            Answered::WebHookRate => "WebHook-Allowed-Rate",
        }
    }

    /// A reference to it.
    pub fn reference(self, always: bool) -> Value {
        let always = if always { "" } else { "-Where-Of-One-Tier" };
        json!({ "$ref": format!("#/components/headers/{}{always}", self.name()) })
    }

    const fn description(self) -> &'static str {
        match self {
            Answered::RetryAfter => "Whole seconds, rounded up: a promise of when a return finds room.",
            Answered::CacheControl => "The answer is of this moment.",
            Answered::WwwAuthenticate => "How to say who calls.",
            Answered::RequestId => "Names the request in reports to operators.",
            Answered::Tier => "The tier that the answer is about.",
            Answered::RateLimitPolicy => "The tier's allowance: jobs (`q`) in so many seconds (`w`).",
            Answered::Allow => "The methods of the path.",
            Answered::WebHookOrigin => "The sender that may deliver.",
            Answered::WebHookRate => {
                "Deliveries a minute that the default tier admits now, never more than asked for."
            }
            Answered::RateLimit => "Jobs admissible now (`r`), and the seconds until there are more (`t`).",
        }
    }

    fn schema(self) -> Value {
        let tiers = tiers().join("|");
        match self {
            Answered::RetryAfter => json!({ "type": "integer", "minimum": 1 }),
            Answered::CacheControl => json!({ "type": "string", "const": "no-store" }),
            Answered::WwwAuthenticate => json!({ "type": "string", "const": "Bearer" }),
            Answered::RequestId => json!({ "type": "string", "minLength": 1 }),
            Answered::Tier => json!({ "type": "string", "enum": self::tiers() }),
            Answered::Allow => json!({ "type": "string" }),
            Answered::WebHookOrigin => json!({ "type": "string" }),
            Answered::WebHookRate => json!({ "type": "integer", "minimum": 1 }),
            Answered::RateLimitPolicy => {
                json!({ "type": "string", "pattern": format!(r#"^"({tiers})";q=[0-9]+;w=[0-9]+$"#) })
            }
            Answered::RateLimit => {
                json!({ "type": "string", "pattern": format!(r#"^"({tiers})";r=[0-9]+;t=[0-9]+$"#) })
            }
        }
    }
}

/// The request header fields, by name.
pub fn parameters() -> Map<String, Value> {
    let parameter = |field: Asked| {
        json!({
            "name": field.name(),
            "in": "header",
            "description": field.description(),
            "schema": field.schema(),
        })
    };
    Asked::ALL.into_iter().map(|field| (field.name().to_owned(), parameter(field))).collect()
}

/// The answers' header fields, by name; those that come with one tier also as ones that may be missing.
pub fn headers() -> Map<String, Value> {
    let header = |field: Answered, required: bool| json!({ "description": field.description(), "required": required, "schema": field.schema() });
    let mut headers: Map<_, _> =
        Answered::ALL.into_iter().map(|field| (field.name().to_owned(), header(field, true))).collect();
    for field in Answered::OF_ONE_TIER {
        headers.insert(format!("{}-Where-Of-One-Tier", field.name()), header(field, false));
    }
    headers
}

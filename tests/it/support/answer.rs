//! An HTTP answer, and the strict readers of what tidegate says in one.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// One answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// From the request's first byte to the answer's last.
    pub took: Duration,
}

/// The body of a 202.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub id: String,
    pub tier: String,
    pub queue: String,
    pub durability: String,
    pub depth: u64,
    pub duplicate: bool,
}

/// The body of a refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    pub status: u16,
    pub code: String,
    pub tier: Option<String>,
    pub outcome: String,
    pub retry_after: Option<Duration>,
    /// The whole document.
    pub document: Value,
}

/// The RateLimit fields of an answer about one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub tier: String,
    pub quota: u64,
    pub remaining: u64,
    pub reset: u64,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of visible characters"))
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    pub fn json(&self) -> Value {
        let media = self.header("content-type").unwrap_or_default();
        assert!(media.ends_with("json"), "expected JSON, got {media}: {self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The 202 of a single job, with everything that belongs to it.
    #[track_caller]
    pub fn receipt(&self) -> Receipt {
        assert_eq!(self.status, 202, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let receipt: Receipt =
            serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"));
        let id = uuid::Uuid::parse_str(&receipt.id).expect("the id is a UUID");
        assert_eq!(id.as_hyphenated().to_string(), receipt.id, "the id is not in its usual form");
        assert_eq!(id.get_version_num(), 7, "the id is no version 7: {id}");
        assert_eq!(self.header("tidegate-tier"), Some(receipt.tier.as_str()));
        let limit = self.rate_limit();
        assert_eq!(limit.tier, receipt.tier);
        receipt
    }

    /// A refusal with this status and code, checked member by member.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        let problem = self.any_problem();
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{self:?}");
        problem
    }

    /// Any refusal, checked member by member.
    #[track_caller]
    pub fn any_problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"));
        let members: BTreeSet<&str> =
            document.as_object().expect("an object").keys().map(String::as_str).collect();
        for member in PROBLEM_MEMBERS {
            assert!(members.contains(member), "{member} is missing: {document}");
        }
        let batch = ["accepted", "refused", "items", "ended", "faults"];
        let stranger = members.iter().find(|name| !PROBLEM_MEMBERS.contains(name) && !batch.contains(name));
        assert_eq!(stranger, None, "{document}");

        let text =
            |name: &str| document[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {document}"));
        for member in ["type", "title", "detail", "request_id"] {
            assert!(!text(member).is_empty(), "{member} is empty: {document}");
        }
        assert_eq!(document["status"], self.status, "{document}");
        assert!(CODES.contains(&text("code")), "{document}");
        assert!(["not_stored", "stored", "unknown"].contains(&text("outcome")), "{document}");
        assert!(document["retryable"].is_boolean(), "{document}");
        assert!(document["tier"].is_null() || ["p0", "p1", "p2"].contains(&text("tier")), "{document}");

        if self.status == 413 {
            let (limit, way) = text("detail").split_once(": ").expect("a limit, then the way round it");
            assert!(limit.contains(char::is_numeric) && !way.is_empty(), "{document}");
        }
        let problem = Problem {
            status: self.status,
            code: text("code").into(),
            tier: document["tier"].as_str().map(Into::into),
            outcome: text("outcome").into(),
            retry_after: self.retry_after(&document),
            document: document.clone(),
        };
        if problem.status == 429 && problem.tier.is_some() && document.get("items").is_none() {
            let limit = self.rate_limit();
            assert_eq!((Some(&limit.tier), limit.remaining), (problem.tier.as_ref(), 0), "{self:?}");
            assert_eq!(Some(Duration::from_secs(limit.reset)), problem.retry_after, "{self:?}");
            assert_eq!(self.header("tidegate-tier"), problem.tier.as_deref());
        }
        problem
    }

    /// What the client is told about coming back; on 429 and 503 it must be told.
    #[track_caller]
    fn retry_after(&self, document: &Value) -> Option<Duration> {
        let must = matches!(self.status, 429 | 503);
        if must {
            assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
            assert_eq!(document["retryable"], true, "{document}");
        }
        let Some(header) = self.header("retry-after") else {
            assert!(!must, "no Retry-After: {self:?}");
            return None;
        };
        let seconds: u64 = header.parse().unwrap_or_else(|_| panic!("Retry-After is {header}"));
        assert!(seconds >= 1, "Retry-After is {seconds}");
        let millis =
            document["retry_after_ms"].as_u64().unwrap_or_else(|| panic!("no retry_after_ms: {document}"));
        assert_eq!(seconds, millis.div_ceil(1000).max(1), "Retry-After is not rounded up: {document}");
        Some(Duration::from_secs(seconds))
    }

    /// `RateLimit-Policy: "p1";q=100;w=10` and `RateLimit: "p1";r=7;t=1`, to the letter.
    #[track_caller]
    pub fn rate_limit(&self) -> RateLimit {
        let field = |name: &str| self.header(name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        let (policy_tier, [quota, window]) = parse_limit(field("ratelimit-policy"), ["q", "w"]);
        let (tier, [remaining, reset]) = parse_limit(field("ratelimit"), ["r", "t"]);
        assert_eq!((policy_tier, window), (tier, 10), "{self:?}");
        RateLimit { tier: tier.into(), quota, remaining, reset }
    }
}

#[track_caller]
fn parse_limit<'a>(text: &'a str, names: [&str; 2]) -> (&'a str, [u64; 2]) {
    let parse = || {
        let (tier, rest) = text.strip_prefix('"')?.split_once("\";")?;
        let (first, second) = rest.split_once(';')?;
        let number = |text: &str, name: &str| {
            let digits = text.strip_prefix(name)?.strip_prefix('=')?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        ["p0", "p1", "p2"].contains(&tier).then_some(())?;
        Some((tier, [number(first, names[0])?, number(second, names[1])?]))
    };
    parse().unwrap_or_else(|| panic!("not a RateLimit field: {text}"))
}

/// Times are RFC 3339 UTC with milliseconds and `Z`, everywhere.
#[track_caller]
pub fn assert_time(value: &Value) -> std::time::SystemTime {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "not a time: {text}");
    humantime::parse_rfc3339(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

const PROBLEM_MEMBERS: [&str; 10] = [
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

/// The closed list of codes.
pub const CODES: [&str; 25] = [
    "malformed_request",
    "invalid_idempotency_key",
    "invalid_event",
    "unauthenticated",
    "tier_not_allowed",
    "scope_not_allowed",
    "origin_not_allowed",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "idempotency_in_progress",
    "idempotency_mismatch",
    "invalid_policy",
    "too_large",
    "unsupported_media_type",
    "throttled",
    "shed",
    "queue_full",
    "tenant_quota",
    "client_limit",
    "backend_unavailable",
    "signal_stale",
    "overloaded",
    "draining",
    "outcome_unknown",
];

//! Header fields: the names that are ours and the forms in which numbers stand in them.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};

use crate::admission::decision::RateLimit;
use crate::domain::tier::Tier;
use crate::random;

/// A wish for a tier in requests, the tier in answers.
pub const TIDEGATE_TIER: HeaderName = HeaderName::from_static("tidegate-tier");
/// Jobs of one key are handed out in order.
pub const TIDEGATE_ORDERING_KEY: HeaderName = HeaderName::from_static("tidegate-ordering-key");
/// Seconds after which the job is dropped.
pub const TIDEGATE_EXPIRES_IN: HeaderName = HeaderName::from_static("tidegate-expires-in");
/// The span that a job belongs to (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Names a request so that it can be sent twice.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The allowance as such.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The addresses that a request has passed, as proxies add them.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Names the request in the answer and in reports to operators.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The media type of our JSON answers.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A value that stands in JSON as the text it displays as: ids, times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Adds `Tidegate-Tier`, `RateLimit-Policy` and `RateLimit` (IETF httpapi draft 10) to an answer of one tier.
pub fn insert_limit(headers: &mut HeaderMap, tier: Tier, limit: &RateLimit) {
    headers.insert(TIDEGATE_TIER, HeaderValue::from_static(tier.as_str()));
    let [quota, remaining, reset] =
        [limit.quota, limit.remaining, ceil_seconds(limit.reset)].map(|number| number.min(MOST));
    insert(headers, RATELIMIT_POLICY, format_args!("\"{tier}\";q={quota};w={WINDOW_SECONDS}"));
    insert(headers, RATELIMIT, format_args!("\"{tier}\";r={remaining};t={reset}"));
}

/// Adds a field of visible characters. Its value is a copy of the exact length: to keep a buffer that has room to
/// spare costs a value a second allocation, and every answer carries several.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: fmt::Arguments<'_>) {
    let mut text = String::with_capacity(USUAL_BYTES);
    if text.write_fmt(value).is_ok()
        && let Ok(value) = HeaderValue::from_str(&text)
    {
        headers.insert(name, value);
    }
}

/// A pause as `Retry-After` says it: whole seconds, rounded up, at least 1.
pub fn whole_seconds(pause: Duration) -> u64 {
    ceil_seconds(pause).max(1)
}

/// A pause in milliseconds, rounded up.
pub fn whole_millis(pause: Duration) -> u64 {
    u64::try_from(pause.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A name for one request.
pub fn request_id() -> String {
    format!("{:016x}", random::number())
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// `q` jobs in this many seconds.
const WINDOW_SECONDS: u64 = 10;

/// An Integer of a structured field has at most 15 digits (RFC 9651 3.3.1); a tier without a bound of its rate may
/// have more.
const MOST: u64 = 999_999_999_999_999;

/// Room for the longest of the fields in usual numbers.
const USUAL_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_rounded_up_and_never_zero() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(300)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::from_millis(2_001)), 3);
        assert_eq!(whole_millis(Duration::from_micros(1_500)), 2);
    }

    #[test]
    fn the_allowance_is_written_as_structured_fields() {
        let mut headers = HeaderMap::new();
        let limit = RateLimit { quota: 1_000, remaining: 12, reset: Duration::from_millis(1_200) };
        insert_limit(&mut headers, Tier::P1, &limit);
        assert_eq!(headers[TIDEGATE_TIER], "p1");
        assert_eq!(headers[RATELIMIT_POLICY], "\"p1\";q=1000;w=10");
        assert_eq!(headers[RATELIMIT], "\"p1\";r=12;t=2");
        let boundless = RateLimit { quota: u64::MAX, remaining: u64::MAX, reset: Duration::MAX };
        insert_limit(&mut headers, Tier::P1, &boundless);
        assert_eq!(headers[RATELIMIT_POLICY], "\"p1\";q=999999999999999;w=10");
        assert_eq!(headers[RATELIMIT], "\"p1\";r=999999999999999;t=999999999999999");
    }
}

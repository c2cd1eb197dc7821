//! The head of a job request: what must be well formed before anything else is looked at, and what of it a job
//! takes along.

use std::str;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::tier::Tier;
use crate::policy::classify::WishError;
use crate::server::body::coding::Coding;
use crate::server::fields::{TIDEGATE_EXPIRES_IN, TIDEGATE_ORDERING_KEY, TIDEGATE_TIER, TRACEPARENT};
use crate::server::problem::Problem;

/// Header fields that a job takes along to its worker, in lower case.
pub type Carried = Vec<(Box<str>, Box<str>)>;

/// Checks what every job request must keep to; gives the lifetime that the client asks for.
///
/// # Errors
/// 400 and 415, with the field that is wrong.
pub fn check(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    for name in [&TIDEGATE_TIER, &TIDEGATE_ORDERING_KEY, &TIDEGATE_EXPIRES_IN, &CONTENT_TYPE, &TRACEPARENT] {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Problem::malformed(format!("the header field {name} is there more than once")));
        }
    }
    Coding::of(headers).map_err(|error| Problem::coding(&error))?;
    check_carried(headers)?;
    if let Some(wish) = headers.get(TIDEGATE_TIER) {
        check_wish(wish)?;
    }
    if let Some(key) = headers.get(TIDEGATE_ORDERING_KEY) {
        check_ordering_key(text(&TIDEGATE_ORDERING_KEY, key)?)?;
    }
    headers.get(TIDEGATE_EXPIRES_IN).map(expires_in).transpose()
}

/// Checks an ordering key, wherever it was read: 1 to 255 bytes, none of them a control character.
///
/// # Errors
/// 400.
pub fn check_ordering_key(key: &str) -> Result<(), Problem> {
    if (1..=LONGEST_ORDERING_KEY).contains(&key.len()) && !key.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Problem::malformed("an ordering key has 1 to 255 bytes and no control characters"))
    }
}

/// The payload's media type as the client says it.
///
/// # Errors
/// 400 where it is not text.
pub fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    headers.get(CONTENT_TYPE).map(|value| text(&CONTENT_TYPE, value)).transpose()
}

/// The media type without its parameters, for comparing (without regard to case).
pub fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The fields that a job takes along; several of one name as one, joined as HTTP joins them.
pub fn carried(headers: &HeaderMap) -> Carried {
    let mut carried = Carried::new();
    for name in headers.keys().filter(|name| is_carried(name)) {
        let values = headers.get_all(name).iter().filter_map(|value| str::from_utf8(value.as_bytes()).ok());
        let joined = values.collect::<Vec<_>>().join(",");
        carried.push((name.as_str().into(), joined.into()));
    }
    carried
}

/// Checks what a job would take along: text, and not too much of it.
///
/// # Errors
/// 400.
pub fn check_carried(headers: &HeaderMap) -> Result<(), Problem> {
    let mut bytes = 0;
    for (name, value) in headers.iter().filter(|(name, _)| is_carried(name)) {
        text(name, value)?;
        bytes += name.as_str().len() + value.len();
    }
    if bytes > MOST_CARRIED_BYTES {
        let detail =
            format!("traceparent, tracestate and ce-* together are longer than {MOST_CARRIED_BYTES} bytes");
        return Err(Problem::malformed(detail));
    }
    Ok(())
}

fn is_carried(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("ce-") || name == TRACEPARENT.as_str() || name == "tracestate"
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    str::from_utf8(value.as_bytes()).map_err(|_| {
        // Some clients, Python's requests among them, send what is beyond ASCII in ISO 8859-1.
        let mend = if name.as_str().starts_with("ce-") {
            ": write what is beyond ASCII as %XX of its UTF-8 bytes"
        } else {
            ""
        };
        Problem::malformed(format!("the header field {name} is not valid UTF-8{mend}"))
    })
}

/// A word that is no tier is wrong whatever the policy, and whatever an idempotency key stands for.
fn check_wish(wish: &HeaderValue) -> Result<(), Problem> {
    let tier = wish.to_str().ok().and_then(|word| word.parse::<Tier>().ok());
    tier.map(|_| ()).ok_or_else(|| Problem::wish(&WishError::Unknown))
}

/// Positive decimal seconds such as `30` or `0.5`; less than a millisecond counts as one.
fn expires_in(value: &HeaderValue) -> Result<Duration, Problem> {
    let wrong =
        || Problem::malformed("Tidegate-Expires-In is a positive number of seconds such as 30 or 0.5");
    let text = value.to_str().map_err(|_| wrong())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) | Err(_) => Err(wrong()),
        Ok(duration) => Ok(duration.max(Duration::from_millis(1))),
    }
}

const LONGEST_ORDERING_KEY: usize = 255;

/// Bytes that a job takes along: as much as the head itself may be long on most servers.
pub const MOST_CARRIED_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::code::Code;

    fn head(fields: &[(&'static str, &[u8])]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    fn code(fields: &[(&'static str, &[u8])]) -> Code {
        check(&head(fields)).unwrap_err().code()
    }

    #[test]
    fn a_lifetime_is_positive_decimal_seconds() {
        let lifetime = |text: &'static str| check(&head(&[("tidegate-expires-in", text.as_bytes())]));
        assert_eq!(lifetime("30"), Ok(Some(Duration::from_secs(30))));
        assert_eq!(lifetime("0.5"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(lifetime("0.0001"), Ok(Some(Duration::from_millis(1))));
        for wrong in ["", "0", "0.0", "-1", "+1", "1e3", "inf", "NaN", "5s", ".5", "5.", "1 2", "1.2.3"] {
            assert_eq!(lifetime(wrong).unwrap_err().code(), Code::MalformedRequest, "{wrong}");
        }
        let beyond_the_clock = "9".repeat(400);
        let headers = HeaderMap::from_iter([(TIDEGATE_EXPIRES_IN, beyond_the_clock.try_into().unwrap())]);
        assert_eq!(check(&headers).unwrap_err().code(), Code::MalformedRequest);
    }

    #[test]
    fn an_ordering_key_is_short_visible_text() {
        assert_eq!(check_ordering_key("käufer-7"), Ok(()));
        assert_eq!(check_ordering_key(&"k".repeat(255)), Ok(()));
        for wrong in ["", "a\tb", "\u{7f}", &"k".repeat(256)] {
            assert_eq!(check_ordering_key(wrong).unwrap_err().code(), Code::MalformedRequest);
        }
        assert_eq!(code(&[("tidegate-ordering-key", b"\xff\xfe")]), Code::MalformedRequest);
    }

    #[test]
    fn a_wish_names_a_tier() {
        assert_eq!(check(&head(&[("tidegate-tier", b"p2")])), Ok(None));
        for wrong in [b"P2".as_slice(), b"", b"{}", b"p3", b"\xff"] {
            assert_eq!(code(&[("tidegate-tier", wrong)]), Code::MalformedRequest);
        }
    }

    #[test]
    fn what_is_there_twice_or_is_no_text_is_refused() {
        assert_eq!(code(&[("tidegate-tier", b"p0"), ("tidegate-tier", b"p1")]), Code::MalformedRequest);
        assert_eq!(code(&[("traceparent", b"00-1-2-01"), ("traceparent", b"")]), Code::MalformedRequest);
        assert_eq!(code(&[("ce-source", b"\xc3\x28")]), Code::MalformedRequest);
        assert_eq!(code(&[("ce-source", &[b'x'; 9_000])]), Code::MalformedRequest);
        let latin = check(&head(&[("ce-subject", b"Zo\xeb")])).unwrap_err();
        assert!(format!("{latin:?}").contains("as %XX of its UTF-8 bytes"), "{latin:?}");
    }

    #[test]
    fn a_body_has_one_coding_or_none() {
        for taken in ["gzip", "Zstd", "Identity"] {
            assert_eq!(check(&head(&[("content-encoding", taken.as_bytes())])), Ok(None), "{taken}");
        }
        assert_eq!(code(&[("content-encoding", b"br")]), Code::UnsupportedMediaType);
        let twice: [(_, &[u8]); 2] = [("content-encoding", b"zstd"), ("content-encoding", b"gzip")];
        assert_eq!(code(&twice), Code::UnsupportedMediaType);
    }

    #[test]
    fn trace_and_event_fields_go_along_and_no_others() {
        let headers = head(&[
            ("traceparent", b"00-1-2-01"),
            ("tracestate", b"a=1"),
            ("tracestate", b"b=2"),
            ("ce-type", b"sale"),
            ("authorization", b"secret"),
        ]);
        let mut carried = carried(&headers);
        carried.sort();
        let expected = [("ce-type", "sale"), ("traceparent", "00-1-2-01"), ("tracestate", "a=1,b=2")];
        let carried: Vec<_> = carried.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(carried, expected);
    }
}

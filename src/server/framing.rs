//! What HTTP itself asks of a request's head before its body can be believed: one host, and bytes as they are.

use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri, Version};

use crate::server::body::coding::Coding;
use crate::server::problem::{Accepts, Problem};

/// Checks the target's host and `Host` (RFC 9112 3.2), `Expect`, and `Transfer-Encoding`: hyper takes the chunks apart
/// and leaves whatever else was done to the body.
///
/// # Errors
/// 400.
pub fn check(parts: &Parts) -> Result<(), Problem> {
    check_target(&parts.uri)?;
    check_host(parts)?;
    check_expectation(&parts.headers)?;
    check_coding(&parts.headers)
}

/// As [`check`], where a body comes without a content coding or not at all.
///
/// # Errors
/// 400 and 415.
pub fn check_plain(parts: &Parts) -> Result<(), Problem> {
    check(parts)?;
    match Coding::of(&parts.headers) {
        Ok(None) => Ok(()),
        _ => Err(Problem::unsupported(
            "no Content-Encoding is taken here: send the body as it is",
            Accepts::NoCoding,
        )),
    }
}

/// A target may be whole, as proxies get it. One with a user is made to be misread (RFC 9110 4.2.4).
fn check_target(target: &Uri) -> Result<(), Problem> {
    let known = [None, Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&target.scheme());
    let user = target.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if known && !user {
        return Ok(());
    }
    Err(Problem::malformed("the request's target is a path, or a whole http or https address without a user"))
}

fn check_host(parts: &Parts) -> Result<(), Problem> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if parts.version <= Version::HTTP_10 => Ok(()),
        (None, _) => Err(Problem::malformed("the header field Host is missing")),
        (Some(_), Some(_)) => Err(Problem::malformed("the header field Host is there more than once")),
        (Some(host), None) if !is_host(host) => {
            Err(Problem::malformed("the header field Host names no host"))
        }
        // RFC 9113 8.3.1.
        (Some(host), None) if parts.version == Version::HTTP_2 && !is_authority(host, &parts.uri) => {
            Err(Problem::malformed("the header field Host and the target name two hosts"))
        }
        (Some(_), None) => Ok(()),
    }
}

fn is_authority(host: &HeaderValue, target: &Uri) -> bool {
    let named = target.authority().map(Authority::as_str).unwrap_or_default();
    named.is_empty() || named.as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

/// Empty where the target has no host; never `user@host`, nor a port that is no number.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let well_formed = |host: Authority| {
        let port = host.as_str().strip_prefix(host.host()).unwrap_or_default();
        port.is_empty() || port == ":" || host.port_u16().is_some()
    };
    bytes.is_empty() || (!bytes.contains(&b'@') && Authority::try_from(bytes).is_ok_and(well_formed))
}

/// RFC 9110 10.1.1 knows one expectation. To go on without another one would be to hide that it is not met.
fn check_expectation(headers: &HeaderMap) -> Result<(), Problem> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) {
        return Ok(());
    }
    Err(Problem::malformed("Expect is anything but 100-continue: leave it away"))
}

fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if chunked(coding) => Ok(()),
        _ => Err(Problem::malformed(
            "Transfer-Encoding is anything but chunked: send the body as it is, in chunks or with its length",
        )),
    }
}

//! What HTTP itself asks of a request's head before its body can be believed: one host, and bytes as they are.

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Version};

use crate::server::body::coding::Coding;
use crate::server::problem::{Accepts, Problem};

/// Checks `Host` (RFC 9112 3.2) and `Transfer-Encoding`: hyper takes the chunks apart and leaves whatever else was
/// done to the body.
///
/// # Errors
/// 400.
pub fn check(parts: &Parts) -> Result<(), Problem> {
    check_host(&parts.headers, parts.version)?;
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

fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version <= Version::HTTP_10 => Ok(()),
        (None, _) => Err(Problem::malformed("the header field Host is missing")),
        (Some(_), Some(_)) => Err(Problem::malformed("the header field Host is there more than once")),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(Problem::malformed("the header field Host names no host")),
    }
}

/// Empty where the target has no host; never `user@host`.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    bytes.is_empty() || (!bytes.contains(&b'@') && Authority::try_from(bytes).is_ok())
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

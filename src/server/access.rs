//! Who may do what on the ingest listener. Without keys there is one caller: `anonymous`.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::domain::code::Code;
use crate::domain::tier::Tier;
use crate::server::problem::Problem;

/// The name under which callers without a key act.
pub const ANONYMOUS: &str = "anonymous";

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// In whose name.
    pub tenant: Arc<str>,
    /// The highest tier that the caller's key reaches; the policy may say less of the tenant.
    pub ceiling: Tier,
}

impl Caller {
    /// Somebody without a key.
    pub fn anonymous() -> Caller {
        Caller { tenant: Arc::from(ANONYMOUS), ceiling: Tier::P0 }
    }
}

/// What a caller without a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Post jobs: `auth.anonymous` contains `submit`.
    pub anonymous_submits: bool,
    /// Lease and finish jobs: the ingest listener is on loopback, or `auth.anonymous` contains `lease`.
    pub anonymous_leases: bool,
}

impl Access {
    /// Who posts jobs with this head.
    ///
    /// # Errors
    /// 401: a key is needed, or the key given is not one of ours.
    pub fn submitter(self, headers: &HeaderMap) -> Result<Caller, Problem> {
        check(self.anonymous_submits, headers)
    }

    /// Who leases and finishes jobs with this head.
    ///
    /// # Errors
    /// As [`Access::submitter`].
    pub fn worker(self, headers: &HeaderMap) -> Result<Caller, Problem> {
        check(self.anonymous_leases, headers)
    }
}

fn check(anonymous_may: bool, headers: &HeaderMap) -> Result<Caller, Problem> {
    let gives_key = headers.get(AUTHORIZATION).is_some_and(|value| {
        let scheme = value.as_bytes().split(u8::is_ascii_whitespace).next();
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(BEARER))
    });
    match (gives_key, anonymous_may) {
        // No key is ours yet. To go on as anonymous would hide that from whoever relies on the key.
        (true, _) => {
            Err(Problem::new(Code::Unauthenticated, "the key is not known: keys are not available yet"))
        }
        (false, false) => {
            Err(Problem::new(Code::Unauthenticated, "callers without a key may not do this here"))
        }
        (false, true) => Ok(Caller::anonymous()),
    }
}

const BEARER: &[u8] = b"bearer";

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn anonymous_callers_do_what_they_are_allowed_to() {
        let access = Access { anonymous_submits: true, anonymous_leases: false };
        let none = HeaderMap::new();
        assert_eq!(access.submitter(&none), Ok(Caller::anonymous()));
        assert_eq!(access.worker(&none).unwrap_err().code(), Code::Unauthenticated);
    }

    #[test]
    fn an_unknown_key_is_refused_and_not_ignored() {
        let access = Access { anonymous_submits: true, anonymous_leases: true };
        let mut headers = HeaderMap::new();
        for key in ["Bearer sesame", "bearer\tsesame", "Bearer"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(key));
            assert_eq!(access.submitter(&headers).unwrap_err().code(), Code::Unauthenticated, "{key}");
        }
        for other in ["Basic c2VzYW1l", "Bearers of news"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(other));
            assert_eq!(access.submitter(&headers), Ok(Caller::anonymous()), "{other}");
        }
    }
}

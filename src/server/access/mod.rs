//! Who may do what on the ingest listener, and how often.

pub mod bearer;
pub mod key_ring;
pub mod key_table;
pub mod keys_file;

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use crate::domain::code::Code;
use crate::domain::tier::Tier;
use crate::server::access::key_ring::KeyRing;
use crate::server::access::key_table::Key;
use crate::server::client_limit::ClientLimit;
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

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Post jobs.
    Submit,
    /// Lease and finish jobs.
    Lease,
}

/// The rules of one listener.
#[derive(Clone, Debug)]
pub struct Access {
    /// A caller without a key may post jobs: `auth.anonymous` contains `submit`.
    pub anonymous_submits: bool,
    /// It may lease and finish jobs: the ingest listener is on loopback, or `auth.anonymous` contains `lease`.
    pub anonymous_leases: bool,
    /// The keys that are ours, where there is a file of them.
    pub keys: Option<Arc<KeyRing>>,
    /// How many requests one client may send, where that is bounded.
    pub clients: Option<Arc<ClientLimit>>,
}

impl Access {
    /// No keys and no bound: what callers may do without a key is all there is.
    pub const fn without_keys(anonymous_submits: bool, anonymous_leases: bool) -> Access {
        Access { anonymous_submits, anonymous_leases, keys: None, clients: None }
    }

    /// Who posts jobs with this head.
    ///
    /// # Errors
    /// 401: a key is needed, or what is given is no key of ours. 403: the key may not do this.
    pub fn submitter(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.identify(headers, Scope::Submit).map(|(caller, _)| caller)
    }

    /// Lets a request in: who sends it, if they may do this and not too often. One request is let in once.
    ///
    /// # Errors
    /// As [`Access::submitter`]; 429: the client sends more than one client may.
    pub fn enter(&self, parts: &Parts, scope: Scope) -> Result<Caller, Problem> {
        let (caller, key) = self.identify(&parts.headers, scope)?;
        self.bound(parts, key)?;
        Ok(caller)
    }

    /// Bounds a request that needs no key.
    ///
    /// # Errors
    /// 429: the client sends more than one client may.
    pub fn enter_unnamed(&self, parts: &Parts) -> Result<(), Problem> {
        self.bound(parts, None)
    }

    fn bound(&self, parts: &Parts, key: Option<Arc<str>>) -> Result<(), Problem> {
        let Some(clients) = &self.clients else { return Ok(()) };
        let client = clients.client(parts, key);
        clients.check(&client).map_err(Problem::client_limit)
    }

    /// The caller, and the name of the key that it gave.
    fn identify(&self, headers: &HeaderMap, scope: Scope) -> Result<(Caller, Option<Arc<str>>), Problem> {
        let Some(given) = bearer::given(headers).map_err(|wrong| unauthenticated(wrong.to_string()))? else {
            return self.anonymous_may(scope).then(|| (Caller::anonymous(), None)).ok_or_else(needs_key);
        };
        let keys = self.keys.as_ref().ok_or_else(|| unauthenticated(NO_KEYS))?.in_force();
        let Key { name, tenant, ceiling, scopes } =
            keys.find(given).ok_or_else(|| unauthenticated(UNKNOWN))?;
        if !scopes.contain(scope) {
            let detail = match scope {
                Scope::Submit => "the key may not post jobs: it lacks the scope submit",
                Scope::Lease => "the key may not lease jobs: it lacks the scope lease",
            };
            return Err(Problem::new(Code::ScopeNotAllowed, detail));
        }
        let caller = Caller { tenant: Arc::clone(tenant), ceiling: *ceiling };
        Ok((caller, Some(Arc::clone(name))))
    }

    const fn anonymous_may(&self, scope: Scope) -> bool {
        match scope {
            Scope::Submit => self.anonymous_submits,
            Scope::Lease => self.anonymous_leases,
        }
    }
}

fn needs_key() -> Problem {
    unauthenticated("callers without a key may not do this here: send Authorization: Bearer KEY")
}

fn unauthenticated(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

/// To go on as anonymous would hide from whoever relies on the key that it counts for nothing.
const NO_KEYS: &str = "the key is not known: this gateway has no keys (auth.keys_file is not set)";
const UNKNOWN: &str = "the key is not known";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::access::keys_file::read_keys;
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    fn bearing(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }

    fn with_keys(submits: bool, leases: bool) -> Access {
        let digest = key_table::hex_digest(b"sesame");
        let text = format!(
            "keys:\n  - {{ name: shop, tenant: acme, sha256: {digest}, scopes: [submit], ceiling: p1 }}\n"
        );
        let ring = KeyRing::new(read_keys(&text, "keys.yaml").unwrap());
        Access { keys: Some(Arc::new(ring)), ..Access::without_keys(submits, leases) }
    }

    fn code(access: &Access, headers: &HeaderMap, scope: Scope) -> Code {
        access.identify(headers, scope).unwrap_err().code()
    }

    #[test]
    fn anonymous_callers_do_what_they_are_allowed_to() {
        let access = Access::without_keys(true, false);
        let none = HeaderMap::new();
        assert_eq!(access.submitter(&none), Ok(Caller::anonymous()));
        assert_eq!(code(&access, &none, Scope::Lease), Code::Unauthenticated);
    }

    #[test]
    fn an_unknown_key_is_refused_and_not_ignored() {
        for access in [Access::without_keys(true, true), with_keys(true, true)] {
            for value in
                ["Bearer thyme", "bearer\tsesame", "Bearer", "Bearer ", "Basic c2VzYW1l", "Bearers of", ""]
            {
                assert_eq!(code(&access, &bearing(value), Scope::Submit), Code::Unauthenticated, "{value}");
            }
        }
        assert_eq!(
            code(&Access::without_keys(true, true), &bearing("Bearer sesame"), Scope::Submit),
            Code::Unauthenticated
        );
    }

    #[test]
    fn a_key_gives_its_tenant_and_ceiling_and_only_its_scopes() {
        let access = with_keys(false, true);
        let acme = Caller { tenant: "acme".into(), ceiling: Tier::P1 };
        assert_eq!(access.submitter(&bearing("Bearer sesame")), Ok(acme.clone()));
        assert_eq!(access.submitter(&bearing("bEARER   sesame")), Ok(acme));
        // Also where a caller without a key might.
        assert_eq!(code(&access, &bearing("Bearer sesame"), Scope::Lease), Code::ScopeNotAllowed);
        assert_eq!(code(&access, &HeaderMap::new(), Scope::Submit), Code::Unauthenticated);
    }
}

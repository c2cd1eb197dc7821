//! Who may reach the admin listener: pages of other origins never, beyond loopback only who has the token.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri};
use subtle::ConstantTimeEq;

use crate::domain::code::Code;
use crate::server::admin::dashboard;
use crate::server::problem::Problem;

/// The rules of one admin listener.
#[derive(Clone)]
pub struct Guard {
    token: Option<Box<[u8]>>,
    hosts: Vec<String>,
    any_address: bool,
    speaks_tls: bool,
}

impl Guard {
    /// The guard of a listener at this address. `token` must be there beyond loopback; where it is there, it is
    /// asked for. `hosts` are names that operators reach the listener by, besides loopback's and its address.
    pub fn new(listen: SocketAddr, token: Option<String>, hosts: Vec<String>, speaks_tls: bool) -> Guard {
        let mut hosts: Vec<_> = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.push(listen.ip().to_string());
        let token = token.map(|token| token.into_bytes().into_boxed_slice());
        Guard { token, hosts, any_address: listen.ip().is_unspecified(), speaks_tls }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// 403 `origin_not_allowed` for a foreign host or origin, 401 `unauthenticated` without the token. The dashboard's page
    /// holds no data and must be there to ask for the token.
    pub fn check(&self, request: &Request) -> Result<(), Problem> {
        if matches!(request.uri().path(), "/healthz" | "/readyz") {
            return Ok(());
        }
        self.check_host(request.uri(), request.headers())?;
        if dashboard::holds(request.uri().path()) {
            return Ok(());
        }
        self.check_token(request.headers())
    }

    /// A page whose own name was bound to our address (DNS rebinding) still sends that name as the host; a page of
    /// another origin says so.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let foreign_host = || Problem::new(Code::OriginNotAllowed, "the Host is none that this listener has");
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(foreign_host()) };
        let host = authority(host).ok_or_else(foreign_host)?;
        if !self.is_ours(&host) || uri.authority().is_some_and(|target| *target != host) {
            return Err(foreign_host());
        }
        let own = |origin: &HeaderValue| {
            let Ok(origin) = Uri::try_from(origin.as_bytes()) else { return false };
            self.is_our_scheme(origin.scheme()) && origin.authority() == Some(&host)
        };
        if headers.get_all(ORIGIN).iter().all(own) {
            Ok(())
        } else {
            Err(Problem::new(Code::OriginNotAllowed, "the Origin is another than this listener's"))
        }
    }

    /// A page that came without TLS may have been written by anybody on the way: where we speak TLS it is none of ours.
    /// Where we do not, a proxy before us may, and then the browser says https.
    fn is_our_scheme(&self, scheme: Option<&Scheme>) -> bool {
        scheme.is_some_and(|scheme| *scheme == Scheme::HTTPS || (*scheme == Scheme::HTTP && !self.speaks_tls))
    }

    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if name == "localhost" || self.hosts.contains(&name) {
            return true;
        }
        // A literal address cannot be rebound. Which ones are ours is not known when we listen on all.
        name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || self.any_address)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let given =
            headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(BEARER.len()));
        match given {
            Some((scheme, given))
                if scheme.eq_ignore_ascii_case(BEARER) && bool::from(given.ct_eq(token)) =>
            {
                Ok(())
            }
            _ => Err(Problem::new(Code::Unauthenticated, "the admin listener asks for its token")),
        }
    }
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    let authority = Authority::try_from(value.as_bytes()).ok()?;
    // `user@host` is no Host.
    (!authority.as_str().contains('@')).then_some(authority)
}

const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(path: &str, fields: &[(&str, &str)]) -> Request {
        let builder = fields
            .iter()
            .fold(Request::builder().uri(path), |builder, (name, value)| builder.header(*name, *value));
        builder.body(Body::empty()).unwrap()
    }

    fn guard(listen: &str, token: Option<&str>) -> Guard {
        Guard::new(listen.parse().unwrap(), token.map(str::to_owned), vec!["ops.example".to_owned()], false)
    }

    fn refusal(guard: &Guard, fields: &[(&str, &str)]) -> Option<Code> {
        guard.check(&request("/v1/status", fields)).err().map(|problem| problem.code())
    }

    #[test]
    fn hosts_of_loopback_and_of_the_configuration_are_ours() {
        let guard = guard("127.0.0.1:9090", None);
        for ours in
            ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "127.8.8.8", "[::1]:9090", "ops.example"]
        {
            assert_eq!(refusal(&guard, &[("host", ours)]), None, "{ours}");
        }
        for foreign in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "a@localhost", "0.0.0.0"] {
            assert_eq!(refusal(&guard, &[("host", foreign)]), Some(Code::OriginNotAllowed), "{foreign}");
        }
        assert_eq!(refusal(&guard, &[]), Some(Code::OriginNotAllowed));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(refusal(&guard, &twice), Some(Code::OriginNotAllowed));
    }

    #[test]
    fn a_request_line_with_another_host_is_refused() {
        let guard = guard("127.0.0.1:9090", None);
        let request = request("http://evil.example/v1/status", &[("host", "localhost")]);
        assert_eq!(guard.check(&request).unwrap_err().code(), Code::OriginNotAllowed);
    }

    #[test]
    fn a_foreign_origin_is_refused_and_another_port_is_foreign() {
        let guard = guard("127.0.0.1:9090", None);
        let with = |origin| refusal(&guard, &[("host", "localhost:9090"), ("origin", origin)]);
        assert_eq!(with("http://localhost:9090"), None);
        assert_eq!(with("https://localhost:9090"), None, "through a proxy that speaks TLS");
        for foreign in [
            "ftp://localhost:9090",
            "localhost:9090",
            "//localhost:9090",
            "http://localhost:3000",
            "http://localhost",
            "http://127.0.0.1:9090",
            "null",
            "https://evil.example",
        ] {
            assert_eq!(with(foreign), Some(Code::OriginNotAllowed), "{foreign}");
        }
    }

    #[test]
    fn a_page_that_came_without_tls_is_foreign_where_tls_is_spoken() {
        let guard = Guard { speaks_tls: true, ..guard("127.0.0.1:9090", None) };
        let with = |origin| refusal(&guard, &[("host", "localhost:9090"), ("origin", origin)]);
        assert_eq!(with("https://localhost:9090"), None);
        for foreign in ["http://localhost:9090", "localhost:9090", "https://localhost"] {
            assert_eq!(with(foreign), Some(Code::OriginNotAllowed), "{foreign}");
        }
    }

    #[test]
    fn the_token_is_asked_for_where_there_is_one() {
        let guard = guard("0.0.0.0:9090", Some("sesame"));
        let host = ("host", "10.0.0.7:9090");
        assert_eq!(refusal(&guard, &[host, ("authorization", "Bearer sesame")]), None);
        for wrong in ["Bearer sesam", "Bearer sesame ", "Bearer Sesame", "Bearer ", "sesame", "Basic sesame"]
        {
            assert_eq!(
                refusal(&guard, &[host, ("authorization", wrong)]),
                Some(Code::Unauthenticated),
                "{wrong}"
            );
        }
        assert_eq!(refusal(&guard, &[host]), Some(Code::Unauthenticated));
        assert_eq!(
            refusal(&guard, &[("host", "evil.example"), ("authorization", "Bearer sesame")]),
            Some(Code::OriginNotAllowed)
        );
    }

    #[test]
    fn the_page_is_given_without_the_token_but_not_to_foreigners() {
        let guard = guard("0.0.0.0:9090", Some("sesame"));
        let asked =
            |path, host| guard.check(&request(path, &[("host", host)])).err().map(|problem| problem.code());
        for path in ["/dashboard", "/dashboard/main.js"] {
            assert_eq!(asked(path, "localhost:9090"), None, "{path}");
            assert_eq!(asked(path, "evil.example"), Some(Code::OriginNotAllowed), "{path}");
        }
        for path in ["/dashboards", "/v1/dashboard", "/v1/history", "//dashboard"] {
            assert_eq!(asked(path, "localhost:9090"), Some(Code::Unauthenticated), "{path}");
        }
    }

    #[test]
    fn health_is_for_everybody() {
        let guard = guard("0.0.0.0:9090", Some("sesame"));
        for path in ["/healthz", "/readyz"] {
            assert_eq!(guard.check(&request(path, &[("host", "evil.example"), ("origin", "null")])), Ok(()));
        }
    }
}

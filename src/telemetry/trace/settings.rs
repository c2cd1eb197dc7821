//! Where spans are sent, as the configuration says it.

use http::Uri;

/// A collector's address, checked: http or https, without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(String);

/// Why a text is no address of a collector. What is wrong is told without the text: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCollectorUrl {
    /// It is no such URL.
    #[error("expects the URL of a collector such as http://127.0.0.1:4318")]
    NotAUrl,
    /// It has a user's name or password.
    #[error(
        "expects a URL without credentials: give them by OTEL_EXPORTER_OTLP_HEADERS, such as authorization=Bearer%20KEY"
    )]
    Credentials,
    /// It has a query or a fragment.
    #[error("expects a URL without a query or fragment")]
    Query,
    /// It already names the signal.
    #[error("expects a URL without {TRACES_PATH}, which is added to it")]
    NamesTheSignal,
}

impl CollectorUrl {
    /// Reads an address such as `http://127.0.0.1:4318`; it may have a path, below which the collector lies.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<CollectorUrl, BadCollectorUrl> {
        if text.contains(['?', '#']) {
            return Err(BadCollectorUrl::Query);
        }
        let uri: Uri = text.parse().map_err(|_| BadCollectorUrl::NotAUrl)?;
        let authority = uri.authority().ok_or(BadCollectorUrl::NotAUrl)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
            return Err(BadCollectorUrl::NotAUrl);
        }
        if authority.as_str().contains('@') {
            return Err(BadCollectorUrl::Credentials);
        }
        let base = text.trim_end_matches('/');
        if base.ends_with(TRACES_PATH) {
            return Err(BadCollectorUrl::NamesTheSignal);
        }
        Ok(CollectorUrl(base.to_owned()))
    }

    /// Where spans are posted.
    pub(super) fn traces(&self) -> String {
        format!("{}{TRACES_PATH}", self.0)
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.0.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

/// The path of traces below a collector's address (OTLP/HTTP).
const TRACES_PATH: &str = "/v1/traces";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_that_spans_can_be_posted_below() {
        for (text, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("http://[::1]:4318/gateway//", "http://[::1]:4318/gateway/v1/traces"),
        ] {
            assert_eq!(CollectorUrl::parse(text).map(|url| url.traces()), Ok(traces.to_owned()));
        }
        assert!(CollectorUrl::parse("HTTPS://otel.example").unwrap().is_secure());
        assert!(!CollectorUrl::parse("http://otel.example").unwrap().is_secure());
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        use BadCollectorUrl::{Credentials, NamesTheSignal, NotAUrl, Query};
        for (text, fault) in [
            ("", NotAUrl),
            ("127.0.0.1:4318", NotAUrl),
            ("localhost", NotAUrl),
            ("/v1/traces", NotAUrl),
            ("grpc://otel.example:4317", NotAUrl),
            ("http://", NotAUrl),
            ("http://otel example", NotAUrl),
            ("http://user:s3cr3t@otel.example", Credentials),
            ("http://user@otel.example", Credentials),
            ("http://otel.example/?key=s3cr3t", Query),
            ("http://otel.example/#s3cr3t", Query),
            ("http://otel.example/v1/traces/", NamesTheSignal),
        ] {
            let refused = CollectorUrl::parse(text).unwrap_err();
            assert_eq!(refused, fault, "{text}");
            assert!(!refused.to_string().contains("s3cr3t"));
        }
    }
}

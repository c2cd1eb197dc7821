//! `X-Forwarded-For` and `Forwarded`: whatever a client writes there, it is nobody else behind a proxy that is trusted.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tidegate::server::client_limit::forwarded::TrustedProxies;
use tidegate::server::listen::peer::Peer;

/// Fields as a client sends them, one a line: `f ` and a `Forwarded`, or else an `X-Forwarded-For`.
pub fn run(data: &[u8]) {
    let mut sent = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(MOST_FIELDS) {
        let (name, value) = line.strip_prefix(b"f ").map_or((LISTED, line), |value| (FORWARDED, value));
        if let Ok(value) = HeaderValue::from_bytes(value) {
            sent.append(name, value);
        }
    }
    let proxies = TRUSTED.map(|network| network.parse().unwrap_or_else(|error| panic!("{error}")));
    let proxies = TrustedProxies::new(proxies.to_vec());
    assert_eq!(sender(&proxies, CLIENT, &sent), address(CLIENT), "who is no trusted proxy is itself");
    let found = sender(&proxies, PROXY, &sent);
    assert_eq!(found, found.to_canonical());
    assert_eq!(found, sender(&proxies, PROXY, &sent));

    for (name, hop) in [(LISTED, CLIENT.to_owned()), (FORWARDED, format!("for={CLIENT};proto=https"))] {
        let mut alone = sent.clone();
        alone.remove(if name == LISTED { FORWARDED } else { LISTED });
        for passed_on in [&alone, &sent] {
            let appended = sender(&proxies, PROXY, &with_field(passed_on, &name, &hop));
            let joined = sender(&proxies, PROXY, &with_hop(passed_on, &name, &hop));
            for found in [appended, joined] {
                assert!(
                    [CLIENT, PROXY].map(address).contains(&found),
                    "{found} is neither client nor proxy: {name}"
                );
            }
        }
        let appended = sender(&proxies, PROXY, &with_field(&alone, &name, &hop));
        assert_eq!(appended, address(CLIENT), "a field of the proxy's own: {name}");
    }
}

/// Who sent a request with these fields that came from this address.
fn sender(proxies: &TrustedProxies, peer: &str, fields: &HeaderMap) -> IpAddr {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.extensions.insert(Peer(SocketAddr::new(address(peer), 4711)));
    parts.headers = fields.clone();
    proxies.sender(&parts)
}

/// A proxy tells where it was reached from in a field behind the others.
fn with_field(fields: &HeaderMap, name: &HeaderName, hop: &str) -> HeaderMap {
    let mut fields = fields.clone();
    fields.append(name, value(hop.as_bytes()));
    fields
}

/// The same at the end of the last field.
fn with_hop(fields: &HeaderMap, name: &HeaderName, hop: &str) -> HeaderMap {
    let mut values: Vec<HeaderValue> = fields.get_all(name).iter().cloned().collect();
    let last = values.pop().map(|last| [last.as_bytes(), b", ", hop.as_bytes()].concat());
    values.push(value(&last.unwrap_or_else(|| hop.as_bytes().to_vec())));
    let mut fields = fields.clone();
    fields.remove(name);
    for value in values {
        fields.append(name, value);
    }
    fields
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or_else(|error| panic!("{error}"))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

const LISTED: HeaderName = HeaderName::from_static("x-forwarded-for");
const TRUSTED: [&str; 2] = ["10.0.0.0/8", "fd00::/8"];
const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "192.0.2.7";
const MOST_FIELDS: usize = 20;

//! The address that a request came from, seen through proxies that are trusted, and through no others.
//!
//! Each proxy appends the address that it was reached from. From the right, the hops are believed for as long as who
//! appended them is trusted; the first that is not is the client. What stands left of it may be invented.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use http::request::Parts;
use ipnet::IpNet;

use crate::server::fields::X_FORWARDED_FOR;
use crate::server::listen::peer::Peer;

/// The networks whose proxies are believed: `ingest.trusted_proxies`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Proxies in these networks.
    pub const fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Who sent a request with this head. Where what a trusted proxy passes on cannot be read, or says two things, it is
    /// the proxy itself: its clients then are one.
    pub fn sender(&self, parts: &Parts) -> IpAddr {
        let peer = parts.extensions.get::<Peer>();
        let peer =
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address.ip()).to_canonical();
        if self.trusts(peer) { self.behind(peer, &parts.headers).unwrap_or(peer) } else { peer }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let listed = headers.contains_key(X_FORWARDED_FOR).then(|| self.client(hops_listed(headers)));
        let standard = headers.contains_key(FORWARDED).then(|| self.client(hops_forwarded(headers)));
        match (listed, standard) {
            (None, None) => Some(peer),
            (Some(client), None) | (None, Some(client)) => client,
            // A proxy that writes the one passes on the other as its client sent it.
            (Some(listed), Some(standard)) => listed.filter(|_| listed == standard),
        }
    }

    /// The first hop from the right that is not trusted; where all are, the first of all.
    fn client<'a>(&self, from_the_right: impl Iterator<Item = Option<&'a str>>) -> Option<IpAddr> {
        let mut furthest = None;
        for hop in from_the_right {
            let hop = address(hop?)?;
            if !self.trusts(hop) {
                return Some(hop);
            }
            furthest = Some(hop);
        }
        furthest
    }
}

/// The hops of `X-Forwarded-For`, the last first; `None` for what is no text.
fn hops_listed(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    let fields = headers.get_all(X_FORWARDED_FOR).into_iter().rev();
    fields.flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b',')).map(|hop| str::from_utf8(hop).ok())
}

/// The hops of `Forwarded` (RFC 7239), the last first; `None` for one that does not say where it was reached from.
///
/// A quote that is left open would hide the hop that the next proxy appends to the field: such a field is not read.
fn hops_forwarded(headers: &HeaderMap) -> impl Iterator<Item = Option<&str>> {
    let fields = headers.get_all(FORWARDED).into_iter().rev();
    fields.flat_map(|field| {
        let text = str::from_utf8(field.as_bytes()).ok().filter(|text| text.matches('"').count() % 2 == 0);
        let hops = text.map_or_else(|| vec![""], |text| parted(text, ','));
        hops.into_iter().rev().map(|hop| {
            let mut pairs = parted(hop, ';').into_iter().filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, hop)| hop.trim_matches('"'))
        })
    })
}

/// The parts of a text between these signs, those within double quotes excepted.
fn parted(text: &str, sign: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == sign && !quoted
    })
    .collect()
}

/// An address, with or without a port: `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, Request};

    /// The sender of a request from this address with these fields, where 10.0.0.0/8 and fd00::/8 are trusted.
    fn sender(peer: &str, fields: &[(&str, &str)]) -> String {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 4711)));
        for (name, value) in fields {
            parts.headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        TrustedProxies::new(proxies.to_vec()).sender(&parts).to_string()
    }

    #[test]
    fn nobody_is_believed_but_trusted_proxies() {
        let said = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7")];
        assert_eq!(sender("198.51.100.1", &said[..1]), "198.51.100.1");
        assert_eq!(sender("198.51.100.1", &said[1..]), "198.51.100.1");
        assert_eq!(sender("10.0.0.1", &said[..1]), "192.0.2.7");
        assert_eq!(sender("::ffff:10.0.0.1", &said[1..]), "192.0.2.7");
        assert_eq!(sender("fd00::1", &said), "192.0.2.7");
        assert_eq!(sender("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_rightmost_hop_that_is_not_trusted_is_the_client() {
        let of = |hops: &str| sender("10.0.0.1", &[("x-forwarded-for", hops)]);
        assert_eq!(of("1.1.1.1, 192.0.2.7"), "192.0.2.7", "what stands before it may be invented");
        assert_eq!(of("192.0.2.7, 10.0.0.9, 10.0.0.8"), "192.0.2.7");
        assert_eq!(of("10.0.0.7, 10.0.0.9"), "10.0.0.7");
        assert_eq!(of("nonsense, 192.0.2.7:4711,10.0.0.2"), "192.0.2.7");
        assert_eq!(of("[2001:db8::1]:80"), "2001:db8::1");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        let twice = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.7, 10.0.0.3")];
        assert_eq!(sender("10.0.0.1", &twice), "192.0.2.7", "several fields are one list");
        let of = |hops: &str| sender("10.0.0.1", &[("forwarded", hops)]);
        assert_eq!(
            of("for=1.1.1.1, For=\"[2001:db8:cafe::17]:4711\";proto=https;by=10.0.0.2"),
            "2001:db8:cafe::17"
        );
        assert_eq!(of("for=192.0.2.7;host=\"a,b;for=1.1.1.1\", for=10.0.0.4"), "192.0.2.7");
    }

    #[test]
    fn what_cannot_be_read_counts_for_the_proxy() {
        for hops in
            ["", "unknown", "192.0.2.7, ", "192.0.2.7;10.0.0.1", "192.0.2.256", "192.0.2.7/32", "a\u{e4}"]
        {
            assert_eq!(sender("10.0.0.1", &[("x-forwarded-for", hops)]), "10.0.0.1", "{hops}");
        }
        for hops in ["", "for=unknown", "for=_hidden", "proto=https", "for=\"192.0.2.7", "for=192.0.2.7,"] {
            assert_eq!(sender("10.0.0.1", &[("forwarded", hops)]), "10.0.0.1", "{hops}");
        }
        let open = "for=1.1.1.1;x=\", for=192.0.2.7";
        assert_eq!(sender("10.0.0.1", &[("forwarded", open)]), "10.0.0.1", "an open quote hides no hop");
        let two = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(sender("10.0.0.1", &two), "10.0.0.1", "a proxy writes one of them: which is not known");
    }
}

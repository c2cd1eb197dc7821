//! Whom a request counts for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The bearer of the key of this name.
    Key(Arc<str>),
    /// Who is at this address: an IPv4 address, or the first 64 bits of an IPv6 address, of which each subscriber has
    /// at least all the rest.
    Address(IpAddr),
}

impl Client {
    /// The client without a key at this address.
    pub fn at(address: IpAddr) -> Client {
        Client::Address(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & SUBSCRIBER)),
        })
    }
}

/// The network of a client's address, as one that has many addresses has them: a /16 of IPv4, a /32 of IPv6, which is
/// what registries give to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// By its first 16 bits.
    V4(u16),
    /// By a number for its first 32 bits; there are as many numbers as networks of IPv4, so that a table of them is
    /// bounded.
    V6(u16),
}

impl Network {
    /// The network of an address as [`Client::Address`] has it.
    pub const fn of(address: IpAddr) -> Network {
        match address {
            IpAddr::V4(address) => {
                let [first, second, ..] = Ipv4Addr::octets(&address);
                Network::V4(u16::from_be_bytes([first, second]))
            }
            IpAddr::V6(address) => {
                let [first, second, ..] = address.segments();
                Network::V6(first ^ second.rotate_left(5))
            }
        }
    }
}

/// The first 64 bits.
const SUBSCRIBER: u128 = !(u64::MAX as u128);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Client {
        Client::at(address.parse().unwrap())
    }

    #[test]
    fn addresses_that_one_client_has_are_one_client() {
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.7"), at("192.0.2.7"));
        assert_ne!(at("192.0.2.7"), at("192.0.2.8"));
        assert_eq!(at("::1"), at("::2"), "loopback is one client");
    }

    #[test]
    fn a_network_is_what_one_provider_has() {
        let of = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(of("192.0.2.7"), of("192.0.200.1"));
        assert_ne!(of("192.0.2.7"), of("192.1.2.7"));
        assert_eq!(of("2001:db8:1::"), of("2001:db8:ffff::"));
        assert_ne!(of("2001:db8::"), of("2001:db9::"));
    }
}

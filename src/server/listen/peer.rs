//! Who is at the other end of a connection, as far as the network tells.

use std::net::SocketAddr;

/// The address that a connection came from; every request of a listener carries it as an extension. Behind a proxy it is
/// the proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

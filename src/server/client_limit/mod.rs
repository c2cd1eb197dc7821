//! How many requests one client may send: by the name of its key where it has one, else by its address.

pub mod client;
pub mod forwarded;
mod limiter;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::server::client_limit::client::{Client, Network};
use crate::server::client_limit::forwarded::TrustedProxies;
use crate::server::client_limit::limiter::Limiter;

/// What one client may send: `limits.client_rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRate {
    /// The time in which a client earns one request.
    pub period: Duration,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
}

/// The bound on what each client sends, and whose client sends what.
///
/// The law is that of the limiter inside tower-governor. Its layer is not used: it would answer before the body of a
/// refused request is dealt with, so that a client which sends before it reads might not hear the answer, and would cut
/// the time to return down to whole seconds.
#[derive(Debug)]
pub struct ClientLimit {
    proxies: TrustedProxies,
    clients: Limiter<Client>,
    /// Newcomers without a key, while there are as many clients as are told apart.
    networks: Limiter<Network>,
    most: usize,
}

impl ClientLimit {
    /// A bound that nobody has used yet.
    pub fn new(rate: ClientRate, proxies: TrustedProxies, clock: Clock) -> ClientLimit {
        ClientLimit::telling_apart(MOST_CLIENTS, rate, proxies, clock)
    }

    /// As [`ClientLimit::new`], where `most` clients are told apart.
    fn telling_apart(most: usize, rate: ClientRate, proxies: TrustedProxies, clock: Clock) -> ClientLimit {
        let of_network = ClientRate {
            period: rate.period / CLIENTS_OF_NETWORK.get(),
            burst: rate.burst.saturating_mul(CLIENTS_OF_NETWORK),
        };
        ClientLimit {
            proxies,
            clients: Limiter::new(rate, clock),
            networks: Limiter::new(of_network, clock),
            most,
        }
    }

    /// Who sent a request with this head, if it bears the key of this name.
    pub fn client(&self, parts: &Parts, key: Option<Arc<str>>) -> Client {
        key.map_or_else(|| Client::at(self.proxies.sender(parts)), Client::Key)
    }

    /// Counts one request of a client's.
    ///
    /// # Errors
    /// It is one too many; one more may be sent after this time.
    pub fn check(&self, client: &Client) -> Result<(), Duration> {
        match client {
            // There are no more of these than keys.
            Client::Key(_) => self.clients.check(client),
            Client::Address(address) if self.clients.is_beyond(client, self.most) => {
                self.networks.check(&Network::of(*address))
            }
            Client::Address(_) => self.clients.check(client),
        }
    }

    /// How many clients and networks are remembered.
    pub fn remembered(&self) -> usize {
        self.clients.len() + self.networks.len()
    }

    /// Forgets those who may send a whole burst again: that they were there makes no difference any more.
    pub fn sweep(&self) {
        self.clients.sweep();
        self.networks.sweep();
    }

    /// Sweeps once a minute, for as long as this is awaited.
    pub async fn keep_swept(self: Arc<Self>) {
        let mut minutes = interval(SWEEP_EVERY);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minutes.tick().await;
            self.sweep();
        }
    }
}

/// Clients that are told apart: less than 10 MB of memory. Who is known keeps a place; a newcomer without a key then shares
/// what 64 clients have with the newcomers of its network, so that somebody with many addresses fills up the own network's
/// share, and nobody else's.
pub const MOST_CLIENTS: usize = 100_000;

/// What the newcomers of one network have together, in clients.
const CLIENTS_OF_NETWORK: NonZeroU32 = match NonZeroU32::new(64) {
    Some(clients) => clients,
    None => NonZeroU32::MIN,
};

/// Between two sweeps a table only grows.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

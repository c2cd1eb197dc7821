//! Connections to Redis: a bounded pool, with a limit on every wait.

use std::fmt;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::io::tcp::TcpSettings;
use deadpool_redis::redis::{AsyncConnectionConfig, IntoConnectionInfo, RedisResult};
use deadpool_redis::{Connection, Manager, Pool, PoolConfig, Runtime, Timeouts};

use crate::queue::redis::failure::Failure;
use crate::queue::redis::settings::{RedisSettings, RedisUrl};

/// The address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client cannot use the address of redis.url")]
pub struct BadAddress;

/// Gives out connections. Clones share the pool.
#[derive(Clone)]
pub(in crate::queue) struct Connector {
    pool: Pool,
}

impl Connector {
    /// A pool of connections, none of them made yet. The forwarders' connections are beside it, within
    /// `settings.connections` in all.
    ///
    /// # Errors
    /// The client cannot use the address.
    pub(super) fn new(settings: &RedisSettings, forwarders: usize) -> Result<Connector, BadAddress> {
        let beside = settings.connections.saturating_sub(forwarders);
        Connector::to(&settings.url, settings.timeout, beside)
    }

    /// A pool of so many connections, none of them made yet; `timeout` bounds every wait.
    ///
    /// # Errors
    /// The client cannot use the address.
    pub(in crate::queue) fn to(
        url: &RedisUrl,
        timeout: Duration,
        connections: usize,
    ) -> Result<Connector, BadAddress> {
        let manager = manager(url, timeout).map_err(|_| BadAddress)?;
        let limit = Some(timeout);
        let config = PoolConfig {
            max_size: connections.max(1),
            timeouts: Timeouts { wait: limit, create: limit, recycle: limit },
            ..PoolConfig::default()
        };
        let pool = Pool::builder(manager).config(config).runtime(Runtime::Tokio1).build();
        Ok(Connector { pool: pool.map_err(|_| BadAddress)? })
    }

    /// A connection that goes back when it is dropped. One whose answer was not awaited must be thrown away instead.
    ///
    /// # Errors
    /// Redis cannot be reached, or all connections are in use.
    pub(in crate::queue) async fn pooled(&self) -> Result<Connection, Failure> {
        self.pool.get().await.map_err(|error| Failure::of_connecting(&error))
    }

    /// A connection for good.
    ///
    /// # Errors
    /// As [`Connector::pooled`].
    pub(super) async fn own(&self) -> Result<MultiplexedConnection, Failure> {
        self.pooled().await.map(Connection::take)
    }

    /// Throws away the connections that wait in the pool: those to a server that is gone are of no use, nor are those to
    /// one that is a replica by now.
    pub(super) fn forget(&self) {
        self.pool.retain(|_, _| false);
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("status", &self.pool.status()).finish_non_exhaustive()
    }
}

/// Throws a connection away over which something failed: an answer may still be on its way.
pub(in crate::queue) fn keep_if_sound(connection: Connection, sound: bool) {
    if !sound {
        drop(Connection::take(connection));
    }
}

fn manager(url: &RedisUrl, timeout: Duration) -> RedisResult<Manager> {
    let address = url.reveal().into_connection_info()?;
    let address = address.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout.max(LEAST_TIMEOUT)));
    Manager::new_with_config(address, config)
}

/// An answer is waited for this long at least.
const LEAST_TIMEOUT: Duration = Duration::from_millis(10);

//! What the Redis queue must be told.

use std::fmt;
use std::time::Duration;

use crate::queue::keys::KeySettings;

/// Where and how accepted jobs are kept in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// The server.
    pub url: RedisUrl,
    /// What a tier's queue is made of.
    pub structure: Structure,
    /// The consumer groups of a stream whose backlog counts: the slowest does.
    pub groups: Vec<String>,
    /// Connections at most.
    pub connections: usize,
    /// The longest wait for a connection or an answer.
    pub timeout: Duration,
    /// Replicas that must have a job before its receipt.
    pub wait_replicas: u32,
    /// What is removed from streams.
    pub trim: Trim,
    /// How long idempotency keys are kept.
    pub keys: KeySettings,
}

/// What a tier's queue is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// A stream, read with XREADGROUP.
    Stream,
    /// A list, read with BRPOP.
    List,
}

/// What is removed from streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// What every group has acknowledged.
    Acknowledged,
    /// Nothing.
    Never,
}

/// The address of a Redis server, with its credentials: shown without them.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

/// A text that is no address of a Redis server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a Redis server: write redis://HOST:PORT, or rediss://HOST:PORT for TLS, with user and password as USER:PASSWORD@HOST"
)]
pub struct NotARedisUrl;

impl RedisUrl {
    /// The address in this text.
    ///
    /// # Errors
    /// It is none that the client understands.
    pub fn parse(text: &str) -> Result<RedisUrl, NotARedisUrl> {
        let known = text.starts_with("redis://") || text.starts_with("rediss://");
        let url = RedisUrl(text.to_owned());
        let readable = deadpool_redis::redis::parse_redis_url(text).is_some();
        if known && readable && url.has_host() { Ok(url) } else { Err(NotARedisUrl) }
    }

    fn has_host(&self) -> bool {
        self.to_string()
            .split_once("://")
            .is_some_and(|(_, address)| !address.is_empty() && !address.starts_with([':', '/']))
    }

    /// The address with its credentials, for the client alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", &self.0));
        // A password may have an @ of its own; a host never has.
        let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
        write!(f, "{scheme}://{address}")
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Default for RedisSettings {
    fn default() -> RedisSettings {
        RedisSettings {
            url: RedisUrl("redis://127.0.0.1:6379".to_owned()),
            structure: Structure::Stream,
            groups: vec!["workers".to_owned()],
            connections: 8,
            timeout: Duration::from_secs(2),
            wait_replicas: 0,
            trim: Trim::Acknowledged,
            keys: KeySettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_credentials() {
        let url = RedisUrl::parse("rediss://worker:p%40ss@redis.internal:6380/2").unwrap();
        assert_eq!(url.to_string(), "rediss://redis.internal:6380/2");
        assert_eq!(format!("{url:?}"), "rediss://redis.internal:6380/2");
        assert_eq!(RedisUrl::parse("redis://127.0.0.1:6379").unwrap().to_string(), "redis://127.0.0.1:6379");
    }

    #[test]
    fn what_the_client_cannot_reach_is_no_address() {
        for text in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis+unix:///tmp/x", "redis://"] {
            assert_eq!(RedisUrl::parse(text), Err(NotARedisUrl), "{text}");
        }
    }
}

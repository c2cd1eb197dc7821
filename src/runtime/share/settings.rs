//! Whether and where gateways share.

use crate::queue::redis::settings::RedisUrl;

/// Whether this gateway has its backend for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ShareSettings {
    /// It has.
    #[default]
    Alone,
    /// It shares the backend with those that meet at this Redis.
    Redis(RedisUrl),
}

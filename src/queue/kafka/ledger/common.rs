//! The keys of all gateways before one Kafka: agreed on in the Redis in which they share.
//!
//! Without that Redis each gateway knows its own keys alone, and says so once in the log. It is asked before a job with a
//! key is sent and told after; jobs without keys never wait for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_redis::redis;
use deadpool_redis::redis::{Script, ScriptInvocation, Value, cmd};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::domain::idempotency::Key;
use crate::queue::keys::index::KeyEntry;
use crate::queue::keys::{KeySettings, KnownJob};
use crate::queue::redis::BadAddress;
use crate::queue::redis::connect::{Connector, keep_if_sound};
use crate::queue::redis::keys;
use crate::queue::redis::settings::RedisUrl;

/// What all gateways know of a key that one of them wants to store under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is this gateway's.
    Ours,
    /// A job is stored under it.
    Stored(KnownJob),
    /// Another gateway claimed it so long ago, and never told what became of its job.
    Open(KnownJob, Duration),
}

/// The index that all gateways share.
pub(super) struct Common {
    connector: Connector,
    settings: KeySettings,
    /// What the name of every key begins with.
    prefix: String,
    claim: Script,
    settle: Script,
    away: AtomicBool,
}

impl Common {
    /// An index in this Redis, for all gateways whose tiers have topics of these names.
    ///
    /// # Errors
    /// The client cannot use the address.
    pub(super) fn new(url: &RedisUrl, topics: &str, settings: KeySettings) -> Result<Common, BadAddress> {
        Ok(Common {
            connector: Connector::to(url, PATIENCE, CONNECTIONS)?,
            settings,
            prefix: format!("tidegate:kafka:{topics}:"),
            claim: Script::new(CLAIM),
            settle: Script::new(SETTLE),
            away: AtomicBool::new(false),
        })
    }

    /// Claims keys for the jobs that are about to be sent, or says whose they are. `None` while Redis is away.
    pub(super) async fn claim(&self, entries: &[KeyEntry]) -> Option<Vec<Claim>> {
        let mut call = self.claim.prepare_invoke();
        call.key(format!("{}keys", self.prefix));
        call.arg(millis(self.settings.keep)).arg(self.settings.most);
        for entry in entries {
            call.key(self.name(entry.keyed.key)).arg(claimed(entry));
        }
        let answers: Vec<(String, i64)> = pairs(self.ask(&call).await?)?;
        if answers.len() != entries.len() {
            return None;
        }
        answers.into_iter().map(|(held, age)| Claim::read(&held, age)).collect()
    }

    /// Tells what became of jobs under claimed keys.
    pub(super) async fn settle(&self, entries: &[KeyEntry], stored: bool) {
        let mut call = self.settle.prepare_invoke();
        for entry in entries {
            let now =
                if stored { format!("{STORED}{}", keys::encode_known(&entry.job())) } else { String::new() };
            call.key(self.name(entry.keyed.key)).arg(claimed(entry)).arg(now);
        }
        let _ = self.ask(&call).await;
    }

    /// The job that some gateway stored under a key. `None` where there is none, and while Redis is away.
    pub(super) async fn find(&self, key: Key) -> Option<KnownJob> {
        let name = self.name(key);
        let held = timeout(PATIENCE, async {
            let mut connection = self.connector.pooled().await.ok()?;
            let held = cmd("GET").arg(name).query_async::<Option<String>>(&mut connection).await;
            keep_if_sound(connection, held.is_ok());
            held.ok().flatten()
        });
        match Claim::read(&held.await.ok().flatten()?, 0)? {
            Claim::Stored(job) => Some(job),
            Claim::Ours | Claim::Open(..) => None,
        }
    }

    async fn ask(&self, call: &ScriptInvocation<'_>) -> Option<Value> {
        let asked = timeout(PATIENCE, async {
            let mut connection =
                self.connector.pooled().await.map_err(|failure| failure.detail().to_owned())?;
            let answer = call.invoke_async::<Value>(&mut connection).await;
            keep_if_sound(connection, answer.is_ok());
            answer.map_err(|error| error.to_string())
        });
        let answer = asked.await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        match &answer {
            Ok(_) => {
                if self.away.swap(false, Ordering::AcqRel) {
                    info!("the Redis in which gateways share keys is back");
                }
            }
            Err(detail) => {
                if !self.away.swap(true, Ordering::AcqRel) {
                    warn!(detail, "the Redis in which gateways share keys is away: each knows its own alone");
                }
            }
        }
        answer.ok()
    }

    fn name(&self, key: Key) -> String {
        format!("{}{}", self.prefix, keys::name(key))
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Claim {
    /// What is held under a key; a text that is none of ours stands for nothing that could be told.
    fn read(held: &str, age: i64) -> Option<Claim> {
        if held.is_empty() {
            return Some(Claim::Ours);
        }
        let job = |text: &str| keys::decode(text.as_bytes());
        match (held.strip_prefix(STORED), held.strip_prefix(OPEN)) {
            (Some(stored), _) => job(stored).map(Claim::Stored),
            (_, Some(open)) => {
                let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
                job(open).map(|job| Claim::Open(job, age))
            }
            _ => None,
        }
    }
}

fn pairs(answer: Value) -> Option<Vec<(String, i64)>> {
    let flat: Vec<Value> = redis::from_redis_value(answer).ok()?;
    let pair = |pair: &[Value]| match pair {
        [held, age] => {
            Some((redis::from_redis_value(held.clone()).ok()?, redis::from_redis_value(age.clone()).ok()?))
        }
        _ => None,
    };
    flat.chunks(2).map(pair).collect()
}

fn claimed(entry: &KeyEntry) -> String {
    format!("{OPEN}{}", keys::encode_known(&entry.job()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a key of a stored job begins with.
const STORED: &str = "stored ";

/// What a claimed key begins with.
const OPEN: &str = "open ";

/// The longest wait for Redis: a job with a key is sent without it then.
const PATIENCE: Duration = Duration::from_millis(500);

/// Scripts take turns at Redis anyway.
const CONNECTIONS: usize = 4;

const CLAIM: &str = include_str!("common.lua");
const SETTLE: &str = include_str!("settle.lua");

//! How well this Redis keeps what it is given, as its settings say now, and the command that would make it keep it better.

use std::fmt::Write;

use deadpool_redis::redis::{Pipeline, ServerError, Value};
use tracing::{info, warn};

use crate::policy::Requirement;
use crate::queue::Durability;
use crate::queue::error::QueueError;
use crate::queue::redis::failure::Refusal;
use crate::queue::redis::settings::RedisSettings;

/// Looks at the server's settings again and again: a failover or a CONFIG SET changes them.
#[derive(Debug)]
pub struct DurabilityWatch {
    url: String,
    wait_replicas: u32,
    /// The append-only file was whole when it was last looked at.
    settled: bool,
    told: Option<Given>,
}

/// What a server gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// What a receipt may say.
    pub durability: Durability,
    /// Why it is no better, where it is `memory`.
    pub shortfall: Option<Shortfall>,
    /// It is a replica: it takes no writes.
    pub replica: bool,
    /// Replicas that are connected to it.
    pub replicas: u32,
    /// The longest value it takes, where it says so.
    pub longest_value: Option<u64>,
}

/// Why stored jobs may not survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// Its settings may not be read.
    Hidden,
    /// There is no append-only file.
    NoAppendOnlyFile,
    /// The append-only file is being made.
    AppendOnlyFileUnfinished,
    /// It is written to disk from time to time.
    NotAlwaysSynced,
    /// Whole queues may be thrown away when memory runs out.
    Evicts,
}

impl Shortfall {
    /// In words, for the log and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Shortfall::Hidden => {
                "this user may not read its settings (CONFIG GET), so nothing better can be promised"
            }
            Shortfall::NoAppendOnlyFile => "appendonly is off",
            Shortfall::AppendOnlyFileUnfinished => "the append-only file is still being made",
            Shortfall::NotAlwaysSynced => "appendfsync is not always",
            Shortfall::Evicts => "maxmemory-policy lets it evict whole queues",
        }
    }
}

impl DurabilityWatch {
    /// Nothing was looked at yet.
    pub fn new(settings: &RedisSettings) -> DurabilityWatch {
        DurabilityWatch {
            url: settings.url.to_string(),
            wait_replicas: settings.wait_replicas,
            settled: false,
            told: None,
        }
    }

    /// Adds the commands of one look, [`COMMANDS`] of them.
    pub fn ask(&self, pipeline: &mut Pipeline) {
        pipeline.cmd("CONFIG").arg("GET").arg(SETTINGS);
        pipeline.cmd("INFO").arg("replication").arg("persistence");
    }

    /// What the answers say. A change is logged.
    ///
    /// # Errors
    /// What Redis says is wrong; that its settings may not be read is none.
    pub fn read(&mut self, values: &[Value]) -> Result<Given, QueueError> {
        let [config, info] = values else { return Err(unexpected()) };
        let info = match info {
            Value::ServerError(error) if is_forbidden(error) => String::new(),
            value => text(value)?,
        };
        let line = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let shortfall = match config {
            Value::ServerError(error) if is_forbidden(error) => Some(Shortfall::Hidden),
            Value::ServerError(error) => return Err(refused(error)),
            config => {
                let making = line("aof_rewrite_in_progress") == "1" || line("aof_rewrite_scheduled") == "1";
                // A first look at a file that has a base cannot tell its making from its usual rewriting.
                let has_base = self.told.is_none() && !matches!(line("aof_base_size"), "" | "0");
                self.shortfall(config, making && !has_base)?
            }
        };
        let durability = match (shortfall, self.wait_replicas) {
            (Some(_), _) => Durability::Memory,
            (None, 0) => Durability::Disk,
            (None, _) => Durability::Replicated,
        };
        let given = Given {
            durability,
            shortfall,
            replica: line("role") == "slave",
            replicas: line("connected_slaves").parse().unwrap_or(0),
            longest_value: setting(config, "proto-max-bulk-len").and_then(|text| text.parse().ok()),
        };
        self.tell(&given);
        Ok(given)
    }

    fn shortfall(&mut self, config: &Value, making: bool) -> Result<Option<Shortfall>, QueueError> {
        let named = |name| setting(config, name).ok_or_else(unexpected);
        let appends = named("appendonly")? == "yes";
        self.settled = appends && (self.settled || !making);
        Ok(if !appends {
            Some(Shortfall::NoAppendOnlyFile)
        } else if named("appendfsync")? != "always" {
            Some(Shortfall::NotAlwaysSynced)
        } else if named("maxmemory-policy")?.starts_with(EVICTS_ANY_KEY) {
            Some(Shortfall::Evicts)
        } else if !self.settled {
            Some(Shortfall::AppendOnlyFileUnfinished)
        } else {
            None
        })
    }

    fn tell(&mut self, given: &Given) {
        let before = self.told.replace(given.clone());
        let same = before.as_ref().is_some_and(|before| {
            (before.durability, before.shortfall, before.replica)
                == (given.durability, given.shortfall, given.replica)
        });
        if same {
            return;
        }
        let durability = given.durability.as_str();
        let fell = before.is_some_and(|before| before.durability != Durability::Memory);
        match given.shortfall {
            Some(shortfall) if fell || shortfall == Shortfall::Hidden => {
                warn!(redis = %self.url, durability, "Redis keeps jobs in memory: {}", shortfall.as_str());
            }
            Some(shortfall) => {
                info!(redis = %self.url, durability, "what Redis gives: {}", shortfall.as_str())
            }
            None => info!(redis = %self.url, durability, "what Redis gives"),
        }
        if given.replica {
            warn!(redis = %self.url, "this Redis is a replica: it takes no jobs");
        }
    }

    /// What to do so that this server gives what a tier requires; `None` where it does. A command where one does it.
    pub fn fix(&self, given: &Given, required: Requirement) -> Option<String> {
        if given.durability.meets(required) {
            return None;
        }
        let Some(shortfall) = given.shortfall else {
            return Some("set redis.wait_replicas to 1 or more".to_owned());
        };
        let mut fix = match shortfall {
            Shortfall::Hidden => format!("redis-cli -u {} ACL SETUSER {USER} +config|get +info", self.url),
            Shortfall::AppendOnlyFileUnfinished => "wait until the append-only file is made".to_owned(),
            Shortfall::NoAppendOnlyFile | Shortfall::NotAlwaysSynced | Shortfall::Evicts => format!(
                "redis-cli -u {} CONFIG SET appendonly yes appendfsync always maxmemory-policy noeviction",
                self.url
            ),
        };
        if required == Requirement::Replicated && self.wait_replicas == 0 {
            // Writing into a string cannot fail.
            let _ = write!(fix, " and set redis.wait_replicas to 1 or more");
        }
        Some(fix)
    }
}

/// A setting in the answer of CONFIG GET, in whichever protocol it came.
fn setting(config: &Value, name: &str) -> Option<String> {
    let is_name = |value: &Value| text(value).is_ok_and(|text| text == name);
    match config {
        Value::Array(values) => values.chunks_exact(2).find_map(|pair| match pair {
            [key, value] if is_name(key) => text(value).ok(),
            _ => None,
        }),
        Value::Map(pairs) => {
            pairs.iter().find(|(key, _)| is_name(key)).and_then(|(_, value)| text(value).ok())
        }
        _ => None,
    }
}

fn text(value: &Value) -> Result<String, QueueError> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text.clone()),
        Value::ServerError(error) => Err(refused(error)),
        _ => Err(unexpected()),
    }
}

/// The user may not ask this, or the command was renamed.
fn is_forbidden(error: &ServerError) -> bool {
    error.code() == "NOPERM"
        || error.code() == "ERR"
            && error.details().is_some_and(|details| details.starts_with("unknown command"))
}

fn refused(error: &ServerError) -> QueueError {
    QueueError::Unavailable { detail: Refusal::of_reply(error).detail }
}

fn unexpected() -> QueueError {
    QueueError::Unavailable {
        detail: "Redis answers what it should not when asked for its settings".to_owned(),
    }
}

/// Commands of one look.
pub const COMMANDS: usize = 2;

/// The settings that matter.
const SETTINGS: &[&str] = &["appendonly", "appendfsync", "maxmemory-policy", "proto-max-bulk-len"];

/// Policies that begin so evict keys that have no time to live too: queues have none.
const EVICTS_ANY_KEY: &str = "allkeys";

/// Stands for the user in a command that only the operator can complete.
const USER: &str = "USER";

#[cfg(test)]
mod tests {
    use super::*;

    fn config(appendonly: &str, appendfsync: &str, policy: &str) -> Value {
        let pairs = [
            ("appendonly", appendonly),
            ("appendfsync", appendfsync),
            ("maxmemory-policy", policy),
            ("proto-max-bulk-len", "536870912"),
        ];
        let text = |text: &str| Value::BulkString(text.into());
        Value::Array(pairs.iter().flat_map(|(name, value)| [text(name), text(value)]).collect())
    }

    fn info(role: &str, making: u8, base: u32) -> Value {
        let lines = format!(
            "# Replication\r\nrole:{role}\r\nconnected_slaves:2\r\n\r\n# Persistence\r\naof_enabled:1\r\naof_rewrite_in_progress:{making}\r\naof_rewrite_scheduled:0\r\naof_base_size:{base}\r\n"
        );
        Value::BulkString(lines.into())
    }

    fn watch(wait_replicas: u32) -> DurabilityWatch {
        DurabilityWatch::new(&RedisSettings { wait_replicas, ..RedisSettings::default() })
    }

    fn given(watch: &mut DurabilityWatch, config: Value) -> Given {
        watch.read(&[config, info("master", 0, 0)]).unwrap()
    }

    #[test]
    fn only_a_file_synced_at_every_write_is_a_disk() {
        let cases = [
            (("no", "always", "noeviction"), Some(Shortfall::NoAppendOnlyFile)),
            (("yes", "everysec", "noeviction"), Some(Shortfall::NotAlwaysSynced)),
            (("yes", "no", "noeviction"), Some(Shortfall::NotAlwaysSynced)),
            (("yes", "always", "allkeys-lru"), Some(Shortfall::Evicts)),
            (("yes", "always", "volatile-ttl"), None),
            (("yes", "always", "noeviction"), None),
        ];
        for ((appendonly, appendfsync, policy), shortfall) in cases {
            for wait_replicas in [0, 1] {
                let given = given(&mut watch(wait_replicas), config(appendonly, appendfsync, policy));
                assert_eq!(given.shortfall, shortfall, "{appendonly} {appendfsync} {policy}");
                let best = if wait_replicas == 0 { Durability::Disk } else { Durability::Replicated };
                assert_eq!(given.durability, if shortfall.is_some() { Durability::Memory } else { best });
            }
        }
    }

    #[test]
    fn settings_that_may_not_be_read_promise_nothing() {
        let forbidden = |reply: &str| {
            let (code, details) = reply.split_once(' ').unwrap();
            Value::ServerError(server_error(code, details))
        };
        for reply in ["NOPERM User app has no permissions", "ERR unknown command 'CONFIG'"] {
            let given = watch(0).read(&[forbidden(reply), info("master", 0, 0)]).unwrap();
            assert_eq!((given.durability, given.shortfall), (Durability::Memory, Some(Shortfall::Hidden)));
        }
        assert!(watch(0).read(&[forbidden("LOADING Redis is loading"), info("master", 0, 0)]).is_err());
        assert!(watch(0).read(&[Value::Nil, info("master", 0, 0)]).is_err());
        assert!(watch(0).read(&[]).is_err());
    }

    fn server_error(code: &str, details: &str) -> ServerError {
        let reply = format!("-{code} {details}\r\n");
        match deadpool_redis::redis::parse_redis_value(reply.as_bytes()).unwrap() {
            Value::ServerError(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_is_still_being_made_is_none_and_rewriting_it_later_changes_nothing() {
        let on = || config("yes", "always", "noeviction");
        let mut watch = watch(0);
        given(&mut watch, config("no", "always", "noeviction"));
        let read = |watch: &mut DurabilityWatch, making, base| {
            watch.read(&[on(), info("master", making, base)]).unwrap().shortfall
        };
        assert_eq!(read(&mut watch, 1, 500), Some(Shortfall::AppendOnlyFileUnfinished));
        assert_eq!(read(&mut watch, 0, 500), None);
        assert_eq!(read(&mut watch, 1, 500), None);
        let mut first = super::tests::watch(0);
        assert_eq!(read(&mut first, 1, 500), None, "a usual rewrite when the gateway starts");
        let mut first = super::tests::watch(0);
        assert_eq!(read(&mut first, 1, 0), Some(Shortfall::AppendOnlyFileUnfinished));
    }

    #[test]
    fn the_fix_is_what_the_server_needs() {
        let (mut alone, mut with) = (watch(0), watch(1));
        let everysec = given(&mut alone, config("yes", "everysec", "noeviction"));
        let command = "redis-cli -u redis://127.0.0.1:6379 CONFIG SET appendonly yes appendfsync always maxmemory-policy noeviction";
        assert_eq!(alone.fix(&everysec, Requirement::Disk).unwrap(), command);
        assert!(
            alone
                .fix(&everysec, Requirement::Replicated)
                .unwrap()
                .ends_with("redis.wait_replicas to 1 or more")
        );
        let always = given(&mut alone, config("yes", "always", "noeviction"));
        assert_eq!(alone.fix(&always, Requirement::Disk), None);
        assert!(alone.fix(&always, Requirement::Replicated).is_some());
        let both = given(&mut with, config("yes", "always", "noeviction"));
        assert_eq!(with.fix(&both, Requirement::Replicated), None);
    }

    #[test]
    fn a_replica_and_the_longest_value_are_told() {
        let read = watch(0).read(&[config("no", "no", "noeviction"), info("slave", 0, 0)]).unwrap();
        assert_eq!((read.replica, read.replicas, read.longest_value), (true, 2, Some(536_870_912)));
    }
}

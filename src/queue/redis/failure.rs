//! What a failure of Redis means: the one map from its errors to what became of jobs, and what people are told.

use deadpool_redis::PoolError;
use deadpool_redis::TimeoutType;
use deadpool_redis::redis::{ErrorKind, RedisError, ServerError, Value};

use crate::queue::error::{QueueError, StoreError};

/// Why Redis did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Failure {
    /// It answered that it does not: nothing was done.
    Refused(Refusal),
    /// It could not even be asked: nothing was done.
    Unreached(String),
    /// The answer is missing: it may have been done or not.
    Lost(String),
}

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Refusal {
    /// What is wrong, for people; never what Redis repeats of a command.
    pub detail: String,
    /// Whom it concerns.
    pub concerns: Concerns,
}

/// How far an error reply reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Concerns {
    /// This command or this key.
    Command,
    /// Every write to this server.
    Server,
    /// Every write to this server that is not small enough for the room that is left.
    Memory,
    /// Every write to this server, and another one may serve by now: connect anew.
    Connection,
}

impl Failure {
    /// What a command failed with, on a connection that was there.
    pub(super) fn of_command(error: &RedisError) -> Failure {
        match error.code() {
            Some(code) => Failure::Refused(Refusal::of(code, error.detail())),
            None if error.is_timeout() => Failure::Lost("Redis does not answer in time".to_owned()),
            None => Failure::Lost(connection_detail(error)),
        }
    }

    /// What taking a connection failed with.
    pub(super) fn of_connecting(error: &PoolError) -> Failure {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => Failure::Refused(Refusal {
                detail: "every connection to Redis is in use (redis.connections)".to_owned(),
                concerns: Concerns::Command,
            }),
            PoolError::Timeout(_) => Failure::Unreached("Redis does not answer in time".to_owned()),
            PoolError::Backend(error) => match error.code() {
                Some(code) => Failure::Refused(Refusal::of(code, error.detail())),
                None if error.kind() == ErrorKind::AuthenticationFailed => {
                    Failure::Refused(Refusal::of("WRONGPASS", None))
                }
                None if error.is_timeout() => Failure::Unreached("Redis does not answer in time".to_owned()),
                None => Failure::Unreached(connection_detail(error)),
            },
            _ => Failure::Unreached("no connection to Redis".to_owned()),
        }
    }

    /// What people are told.
    pub(in crate::queue) fn detail(&self) -> &str {
        match self {
            Failure::Refused(refusal) => &refusal.detail,
            Failure::Unreached(detail) | Failure::Lost(detail) => detail,
        }
    }

    /// Whether other commands would fail as this one did.
    pub(super) fn concerns_server(&self) -> bool {
        match self {
            Failure::Refused(refusal) => refusal.concerns != Concerns::Command,
            Failure::Unreached(_) | Failure::Lost(_) => true,
        }
    }

    /// Whether a smaller write may be taken all the same.
    pub(super) fn is_of_memory(&self) -> bool {
        matches!(self, Failure::Refused(refusal) if refusal.concerns == Concerns::Memory)
    }

    /// Whether the connection is of no use any more.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Failure::Refused(refusal) => refusal.concerns == Concerns::Connection,
            Failure::Unreached(_) | Failure::Lost(_) => true,
        }
    }

    /// What became of jobs that were sent.
    pub(super) fn to_store_error(&self) -> StoreError {
        match self {
            Failure::Lost(_) => StoreError::Unknown,
            Failure::Refused(_) | Failure::Unreached(_) => {
                StoreError::Unavailable { detail: self.detail().to_owned() }
            }
        }
    }

    /// The same for everything that is not storing.
    pub(super) fn to_queue_error(&self) -> QueueError {
        QueueError::Unavailable { detail: self.detail().to_owned() }
    }
}

impl Refusal {
    /// What an error reply in a pipeline says.
    pub(super) fn of_reply(error: &ServerError) -> Refusal {
        Refusal::of(error.code(), error.details())
    }

    /// A server that says itself that it is a replica: even where it takes writes, its master knows nothing of them.
    pub(super) fn replica() -> Refusal {
        Refusal::of("READONLY", None)
    }

    /// What an error reply means, by its first word. Of the rest only what Redis itself wrote is looked at: it may
    /// repeat the command.
    fn of(code: &str, details: Option<&str>) -> Refusal {
        let details = details.unwrap_or_default();
        let (detail, concerns) = match code {
            "OOM" => ("Redis is out of memory (maxmemory)", Concerns::Memory),
            "MISCONF" => ("Redis cannot write to its disk and refuses writes (MISCONF)", Concerns::Server),
            "NOREPLICAS" => ("Redis has too few replicas and refuses writes (NOREPLICAS)", Concerns::Server),
            "LOADING" => ("Redis is still loading its data", Concerns::Server),
            "BUSY" => ("Redis is busy with a script", Concerns::Server),
            "CLUSTERDOWN" => ("the Redis cluster is down", Concerns::Server),
            "TRYAGAIN" => ("the Redis cluster is moving keys", Concerns::Command),
            "READONLY" => ("this Redis is a replica that takes no writes (READONLY)", Concerns::Connection),
            "MASTERDOWN" => ("Redis has lost its master (MASTERDOWN)", Concerns::Connection),
            "NOAUTH" => ("Redis wants a password and none is configured (NOAUTH)", Concerns::Connection),
            "WRONGPASS" => ("Redis refuses the user or the password (WRONGPASS)", Concerns::Connection),
            "NOPERM" => ("the Redis user may not do this (NOPERM)", Concerns::Command),
            "WRONGTYPE" => (
                "a key of the queue holds another kind of value than it should (WRONGTYPE)",
                Concerns::Command,
            ),
            "MOVED" | "ASK" | "CROSSSLOT" => {
                ("another node of the Redis cluster serves this queue", Concerns::Command)
            }
            "NOSCRIPT" => ("Redis forgot a script", Concerns::Command),
            "EXECABORT" => return Refusal::of_abort(details),
            "ERR" if details.contains("max number of clients") => {
                ("Redis has as many clients as it takes", Concerns::Connection)
            }
            _ => {
                return Refusal {
                    detail: format!("Redis refused: {}", shown(code)),
                    concerns: Concerns::Command,
                };
            }
        };
        Refusal { detail: detail.to_owned(), concerns }
    }

    /// A transaction that was discarded says the reason behind its own words.
    fn of_abort(details: &str) -> Refusal {
        let reason = details.split_once("because of: ").map(|(_, reason)| reason);
        match reason.and_then(|reason| reason.split_once(' ')) {
            Some((code, details)) => Refusal::of(code.trim_start_matches('-'), Some(details)),
            None => {
                Refusal { detail: "Redis discarded the transaction".to_owned(), concerns: Concerns::Command }
            }
        }
    }
}

/// The first error among replies.
pub(super) fn first_refusal(replies: &[Value]) -> Option<Refusal> {
    replies.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(Refusal::of_reply(error)),
        _ => None,
    })
}

/// An error code that may be shown: one word in capitals, whatever Redis or something in its place sends.
fn shown(code: &str) -> &str {
    let word = code.len() <= LONGEST_CODE && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if word { code } else { "an unknown error" }
}

fn connection_detail(error: &RedisError) -> String {
    let detail = match error.kind() {
        ErrorKind::AuthenticationFailed => "Redis refuses the user or the password",
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => "what answers is no Redis",
        _ if error.is_connection_refusal() => "Redis refuses connections",
        _ => "no connection to Redis",
    };
    detail.to_owned()
}

/// The longest code of Redis has eleven characters.
const LONGEST_CODE: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aborted_transaction_says_why() {
        let abort = Refusal::of(
            "EXECABORT",
            Some("Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'."),
        );
        assert_eq!(abort, Refusal::of("OOM", None));
        let earlier = Refusal::of("EXECABORT", Some("Transaction discarded because of previous errors."));
        assert_eq!(earlier.concerns, Concerns::Command);
    }

    #[test]
    fn nothing_of_a_command_is_repeated() {
        for (code, details) in
            [("ERR", "unknown command 'secret'"), ("secret payload", ""), ("WRONGTYPE", "secret")]
        {
            let refusal = Refusal::of(code, Some(details));
            assert!(!refusal.detail.contains("secret"), "{refusal:?}");
        }
    }

    #[test]
    fn what_stops_every_write_concerns_the_server() {
        for code in ["OOM", "MISCONF", "LOADING", "READONLY", "NOAUTH", "MASTERDOWN"] {
            let failure = Failure::Refused(Refusal::of(code, None));
            assert!(failure.concerns_server(), "{code}");
            assert!(matches!(failure.to_store_error(), StoreError::Unavailable { .. }));
        }
        for code in ["WRONGTYPE", "NOPERM", "MOVED"] {
            assert!(!Failure::Refused(Refusal::of(code, None)).concerns_server(), "{code}");
        }
        assert_eq!(Failure::Lost(String::new()).to_store_error(), StoreError::Unknown);
    }
}

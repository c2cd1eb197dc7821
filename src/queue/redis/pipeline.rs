//! One pipeline: readings and groups of jobs as commands, and what their replies say.

use std::time::Duration;

use deadpool_redis::redis::{Cmd, Pipeline, RedisWrite, Script, Value, cmd};

use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::queue::keys::{KeySettings, KnownJob};
use crate::queue::redis::entry::{element, stream};
use crate::queue::redis::failure::{Failure, first_refusal};
use crate::queue::redis::keys;
use crate::queue::redis::layout::Layout;
use crate::queue::redis::settings::{RedisSettings, Structure};
use crate::queue::tries::Tries;
use crate::queue::{Known, StoringAnswer};

/// Writes groups of one tier's jobs as commands.
#[derive(Debug)]
pub(super) struct Writer {
    structure: Structure,
    queue: String,
    key_list: String,
    key_prefix: String,
    keys: KeySettings,
    script: String,
    wait: Option<(u32, u64)>,
}

/// Jobs that were sent, all or none.
#[derive(Debug)]
pub(super) struct Sent {
    /// How many.
    pub count: usize,
    /// The jobs themselves, where sending them again would not store them twice: each has an idempotency key.
    pub jobs: Vec<Job>,
    /// Whom to tell.
    pub answer: StoringAnswer,
}

/// How a group was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One command, which does all or nothing.
    Command,
    /// A transaction of as many commands.
    Transaction,
    /// The script of idempotency keys.
    Script,
}

/// What became of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Jobs that were not stored, as earlier ones hold their keys.
    pub known: Vec<Known>,
    /// How many idempotency keys there are now, and the age of the oldest.
    pub index: Option<(usize, Duration)>,
}

impl Writer {
    /// A writer for this tier's queue.
    pub(super) fn new(settings: &RedisSettings, layout: &Layout, tier: Tier) -> Writer {
        let patience = settings.timeout.mul_f64(WAIT_SHARE).as_millis();
        let patience = u64::try_from(patience).unwrap_or(u64::MAX).max(1);
        Writer {
            structure: settings.structure,
            queue: layout.tier(tier).queue.clone(),
            key_list: layout.keys().to_owned(),
            key_prefix: layout.key_prefix().to_owned(),
            keys: settings.keys,
            script: Script::new(STORE).get_hash().to_owned(),
            wait: (settings.wait_replicas > 0).then_some((settings.wait_replicas, patience)),
        }
    }

    /// Adds a group; says how, and how many replies it will have. The first script of a pipeline carries its text: Redis
    /// may have forgotten it.
    pub(super) fn add(
        &self,
        jobs: &[Job],
        script_known: &mut bool,
        pipeline: &mut Pipeline,
    ) -> (Form, usize) {
        if jobs.iter().any(|job| job.keyed.is_some()) {
            pipeline.add_command(self.script(jobs, std::mem::replace(script_known, true)));
            return (Form::Script, 1);
        }
        match (self.structure, jobs) {
            (Structure::List, _) => {
                pipeline.add_command(self.push(jobs));
                (Form::Command, 1)
            }
            (Structure::Stream, [job]) => {
                pipeline.add_command(self.append(job));
                (Form::Command, 1)
            }
            (Structure::Stream, _) => {
                pipeline.cmd("MULTI");
                for job in jobs {
                    pipeline.add_command(self.append(job));
                }
                pipeline.cmd("EXEC");
                (Form::Transaction, jobs.len() + 2)
            }
        }
    }

    /// Adds the wait for replicas, where there is one; says how many must have the jobs.
    pub(super) fn add_wait(&self, pipeline: &mut Pipeline) -> Option<u32> {
        let (replicas, patience) = self.wait?;
        pipeline.cmd("WAIT").arg(replicas).arg(patience);
        Some(replicas)
    }

    fn append(&self, job: &Job) -> Cmd {
        let mut command =
            Cmd::with_capacity(stream::arguments(job) + 3, stream::size(job) + self.queue.len());
        command.write_arg(b"XADD");
        command.write_arg(self.queue.as_bytes());
        command.write_arg(b"*");
        stream::write(job, &mut command);
        command
    }

    fn push(&self, jobs: &[Job]) -> Cmd {
        let bytes: usize = jobs.iter().map(stream::size).sum();
        let mut command = Cmd::with_capacity(jobs.len() + 2, bytes + bytes / 4 + self.queue.len());
        command.write_arg(b"LPUSH");
        command.write_arg(self.queue.as_bytes());
        for job in jobs {
            command.write_arg(&element::encode(job, Tries::NONE));
        }
        command
    }

    fn script(&self, jobs: &[Job], known: bool) -> Cmd {
        let mut command = cmd(if known { "EVALSHA" } else { "EVAL" });
        command.arg(if known { self.script.as_str() } else { STORE });
        command.arg(2).arg(&self.queue).arg(&self.key_list);
        command.arg(match self.structure {
            Structure::Stream => "stream",
            Structure::List => "list",
        });
        let keep = u64::try_from(self.keys.keep.as_millis()).unwrap_or(u64::MAX);
        command.arg(&self.key_prefix).arg(keep).arg(self.keys.most);
        for job in jobs {
            match &job.keyed {
                Some(keyed) => command.arg(keys::name(keyed.key)).arg(keys::encode(job, keyed)),
                None => command.arg("").arg(""),
            };
            match self.structure {
                Structure::Stream => {
                    command.arg(stream::arguments(job));
                    stream::write(job, &mut command);
                }
                Structure::List => {
                    command.arg(1);
                    command.write_arg(&element::encode(job, Tries::NONE));
                }
            }
        }
        command
    }
}

/// What the replies to a group say.
///
/// # Errors
/// It was not stored, or it is not known.
pub(super) fn outcome(form: Form, ids: &[JobId], replies: &[Value]) -> Result<Outcome, Failure> {
    match form {
        Form::Command => match first_refusal(replies) {
            Some(refusal) => Err(Failure::Refused(refusal)),
            None => Ok(Outcome::default()),
        },
        Form::Transaction => transaction(replies).map(|()| Outcome::default()),
        Form::Script => match replies {
            [Value::Array(parts)] => script(ids, parts).ok_or_else(garbled),
            _ => Err(first_refusal(replies).map_or_else(garbled, Failure::Refused)),
        },
    }
}

/// The replies are `OK`, one `QUEUED` per job, and what the transaction did.
fn transaction(replies: &[Value]) -> Result<(), Failure> {
    let Some((done, queued)) = replies.split_last() else { return Err(garbled()) };
    let Value::Array(done) = done else {
        // Refused while it was queued, or at its end: then nothing was done. If it never began, each command stood alone.
        let alone = !matches!(queued.first(), Some(Value::Okay)) && queued.iter().any(is_stored);
        let refusal = first_refusal(queued).or_else(|| first_refusal(replies));
        return Err(if alone { garbled() } else { refusal.map_or_else(garbled, Failure::Refused) });
    };
    match first_refusal(done) {
        None => Ok(()),
        // One stream takes all of them or none.
        Some(refusal) if !done.iter().any(is_stored) => Err(Failure::Refused(refusal)),
        Some(_) => Err(garbled()),
    }
}

fn is_stored(reply: &Value) -> bool {
    matches!(reply, Value::BulkString(_) | Value::Int(_))
}

/// The number of keys, the age of the oldest, then per job nothing or what its key stands for.
fn script(ids: &[JobId], parts: &[Value]) -> Option<Outcome> {
    let [Value::Int(keys), Value::Int(age), jobs @ ..] = parts else { return None };
    if jobs.len() != ids.len() {
        return None;
    }
    let mut known = Vec::new();
    for (index, (id, reply)) in ids.iter().zip(jobs).enumerate() {
        let Value::BulkString(value) = reply else { return None };
        if value.is_empty() {
            continue;
        }
        let job: KnownJob = keys::decode(value)?;
        // Sent again after a cut, a job may meet itself: then it was stored the first time.
        if job.id != *id {
            known.push(Known { index, job });
        }
    }
    let age = Duration::from_millis(u64::try_from(*age).unwrap_or_default());
    Some(Outcome { known, index: Some((usize::try_from(*keys).unwrap_or_default(), age)) })
}

fn garbled() -> Failure {
    Failure::Lost("Redis answers what it should not".to_owned())
}

/// Stores jobs under idempotency keys.
const STORE: &str = include_str!("store.lua");

/// The share of the timeout in which replicas must have the jobs: the answer has to come back in the rest.
const WAIT_SHARE: f64 = 0.75;

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::parse_redis_value;

    use super::*;
    use crate::domain::idempotency::Fingerprint;
    use crate::domain::time::Timestamp;

    fn replies(wire: &[&str]) -> Vec<Value> {
        let parsed = wire.iter().map(|reply| parse_redis_value(format!("{reply}\r\n").as_bytes()).unwrap());
        parsed.collect()
    }

    fn refused(form: Form, wire: &[&str]) -> String {
        match outcome(form, &[], &replies(wire)) {
            Err(Failure::Refused(refusal)) => refusal.detail,
            other => panic!("{other:?}"),
        }
    }

    const STORED: &str = "*2\r\n$3\r\n1-0\r\n$3\r\n1-1";

    #[test]
    fn a_transaction_is_done_refused_or_in_doubt() {
        let done = ["+OK", "+QUEUED", "+QUEUED", STORED];
        assert_eq!(outcome(Form::Transaction, &[], &replies(&done)), Ok(Outcome::default()));
        let queued = [
            "+OK",
            "-OOM command not allowed",
            "-OOM command not allowed",
            "-EXECABORT Transaction discarded because of previous errors.",
        ];
        assert!(refused(Form::Transaction, &queued).contains("maxmemory"));
        let late = [
            "+OK",
            "+QUEUED",
            "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
        ];
        assert!(refused(Form::Transaction, &late).contains("READONLY"));
        let inside = ["+OK", "+QUEUED", "+QUEUED", "*2\r\n-WRONGTYPE x\r\n-WRONGTYPE x"];
        assert!(refused(Form::Transaction, &inside).contains("WRONGTYPE"));
        for doubtful in [
            &["-NOPERM no multi", "$3\r\n1-0", "$3\r\n1-1", "-ERR EXEC without MULTI"][..],
            &["+OK", "+QUEUED", "+QUEUED", "*2\r\n$3\r\n1-0\r\n-OOM x"],
            &["+OK", "+QUEUED", "*-1"],
            &[],
        ] {
            let outcome = outcome(Form::Transaction, &[], &replies(doubtful));
            assert!(matches!(outcome, Err(Failure::Lost(_))), "{doubtful:?}: {outcome:?}");
        }
    }

    #[test]
    fn a_job_that_meets_itself_under_its_key_was_stored() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let (own, other) = (JobId::new(at, [1; 10]), JobId::new(at, [2; 10]));
        let entry = |id: JobId| format!("{id} p1 {}", "ab".repeat(16));
        let bulk = |text: &str| format!("${}\r\n{text}", text.len());
        let wire = format!("*4\r\n:7\r\n:1500\r\n{}\r\n{}", bulk(&entry(own)), bulk(&entry(other)));
        let Outcome { known, index } = outcome(Form::Script, &[own, own], &replies(&[&wire])).unwrap();
        let job = KnownJob { id: other, tier: Tier::P1, fingerprint: Fingerprint([0xab; 16]) };
        assert_eq!(known, [Known { index: 1, job }]);
        assert_eq!(index, Some((7, Duration::from_millis(1500))));
        assert!(refused(Form::Script, &["-OOM command not allowed. script: x"]).contains("maxmemory"));
        let short = outcome(Form::Script, &[own, own], &replies(&["*3\r\n:1\r\n:1\r\n$0\r\n"]));
        assert!(matches!(short, Err(Failure::Lost(_))), "{short:?}");
    }
}

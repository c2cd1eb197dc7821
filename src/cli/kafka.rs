//! `tidegate kafka`: makes the topics in Kafka, and tells whether they are fit for the gateway.

use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::{BAD_USAGE, Options};
use crate::config::Settings;
use crate::config::load::load;
use crate::domain::tier::{Tier, TierMap};
use crate::policy::Policy;
use crate::queue::kafka::checks::init::{InitError, Outcome, Plan, Wishes, init};
use crate::queue::kafka::checks::{Checks, Given, Look, TopicFault};
use crate::queue::kafka::client;
use crate::queue::kafka::topics::Topics;
use crate::yaml::scalar;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes the topics of jobs, of retries and of dead letters; what is there is compared and never changed.
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
    /// Looks at the topics as the gateway does when it starts, and tells what it finds.
    #[command(after_help = CHECK_EXAMPLES)]
    Check,
}

/// How topics shall be.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Partitions of each topic of jobs or retries: as many workers of one group can work at once [default: 6].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    partitions: Option<u16>,
    /// Copies of each partition [default: 3, or as many as there are brokers].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    replication: Option<u16>,
    /// How long jobs are kept, read or not: 12h, 7d [default: 7d].
    #[arg(long, value_name = "DURATION", value_parser = retention)]
    retention: Option<Duration>,
    /// Copies that must have a job before it is confirmed [default: 2 where there are 3 copies, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    min_insync: Option<u16>,
    /// Tells what would be made, and makes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command under the settings and the policy in force.
pub(super) fn run(options: &Options, command: &Command) -> ExitCode {
    let ready = load(&options.sources()).and_then(|loaded| Ok((loaded.policy()?.policy, loaded.settings)));
    let (policy, settings) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    let topics = Topics::of(&TierMap::from_fn(|tier| policy.tiers[tier].queue.to_string()));
    let done = match command {
        Command::Init(wishes) => finished(make(&settings, &policy, &topics, wishes)),
        Command::Check => finished(check(&settings, &policy, &topics)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs to its end what asks brokers.
fn finished(asking: impl Future<Output = Result<bool, String>>) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(asking)
}

async fn make(settings: &Settings, policy: &Policy, topics: &Topics, init_: &Init) -> Result<bool, String> {
    let required = TierMap::from_fn(|tier| policy.tiers[tier].require);
    let Init { partitions, replication, retention, min_insync, dry_run } = *init_;
    let wishes = Wishes { partitions, replication, retention, min_insync };
    let outcomes = init(&settings.kafka, topics, &required, wishes, dry_run).await;
    let outcomes = outcomes.map_err(|error: InitError| error.to_string())?;
    let mut good = true;
    for outcome in outcomes {
        match outcome {
            Outcome::Made(plan) => tell(&plan.topic, "made", &planned(&plan)),
            Outcome::WouldBeMade(plan) => tell(&plan.topic, "would be made", &planned(&plan)),
            Outcome::Fits(given) => tell(&given.topic, "is there and fits", &found(&given)),
            Outcome::Wrong { topic, why } => {
                good = false;
                why.iter().for_each(|why| tell(&topic, "does not fit", why));
            }
        }
    }
    Ok(good)
}

async fn check(settings: &Settings, policy: &Policy, topics: &Topics) -> Result<bool, String> {
    let checks =
        Checks::open(&settings.kafka, topics).map_err(|error| client::said(&settings.kafka, &error))?;
    let Look { jobs, retry, dead_letters } = checks.look().await.map_err(|error| error.to_string())?;
    let mut good = true;
    for tier in Tier::ALL {
        let (topic, required) = (&topics.jobs[tier], policy.tiers[tier].require);
        match &jobs[tier] {
            Ok(given) => {
                tell(topic, "ok", &found(given));
                if let Some(fix) = required.and_then(|required| checks.fix(given, required)) {
                    good = false;
                    tell(topic, "does not fit", &format!("tier {tier} requires more: {fix}"));
                }
            }
            Err(fault) => {
                good = false;
                tell(topic, "does not fit", &fault.to_string());
            }
        }
    }
    // Without them no job waits for a retry, none is dead: the gateway works.
    let others = retry.iter().map(|(tier, given)| (&topics.retry[tier], given));
    for (topic, given) in others.chain([(&topics.dead_letters, &dead_letters)]) {
        match given {
            Ok(given) => tell(topic, "ok", &found(given)),
            Err(fault @ TopicFault::Missing { .. }) => tell(topic, "not needed yet", &fault.to_string()),
            Err(fault) => {
                good = false;
                tell(topic, "does not fit", &fault.to_string());
            }
        }
    }
    Ok(good)
}

/// One line. A reader who has gone away, as `head` does, changes nothing.
fn tell(topic: &str, word: &str, what: &str) {
    let _ = writeln!(io::stdout(), "{topic}: {word}: {what}");
}

fn planned(plan: &Plan) -> String {
    let settings: Vec<_> = plan.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} partition(s), {} replica(s), {}", plan.partitions, plan.replication, settings.join(" "))
}

fn found(given: &Given) -> String {
    let Given { partitions, replicas, min_insync, .. } = given;
    let kept = if given.compacts { "the last of each key is kept".to_owned() } else { given.kept() };
    let durability = given.durability().as_str();
    format!(
        "{partitions} partition(s), {replicas} replica(s), {min_insync} must be in sync, {kept}: receipts say {durability}"
    )
}

fn retention(text: &str) -> Result<Duration, String> {
    let retention = scalar::duration(text).filter(|retention| *retention >= SHORTEST_RETENTION);
    retention.ok_or_else(|| "expects a duration of 1min or longer, such as 12h or 7d".to_owned())
}

/// Shorter, and jobs are deleted before a worker that is restarted has read them.
const SHORTEST_RETENTION: Duration = Duration::from_secs(60);

const INIT_EXAMPLES: &str = "Examples:
  tidegate kafka init --dry-run                   what would be made, with the defaults
  tidegate kafka init --config config/kafka.yaml --partitions 12 --retention 3d
  tidegate kafka init --set kafka.brokers=kafka-1:9092,kafka-2:9092 --replication 3 --min-insync 2

A tier whose policy says `require: disk` gets flush.messages=1 where fewer than 2 copies must be in sync; `require: replicated` needs
--replication 2 and --min-insync 2 or more. Options that are not given are not compared with what is there.
Exit code: 0 every topic is there and fits, 1 one does not or Kafka is away, 2 the configuration or the policy is wrong.";

const CHECK_EXAMPLES: &str = "Examples:
  tidegate kafka check
  tidegate kafka check --config config/kafka.yaml

Exit code: 0 all that is there fits, 1 something does not or Kafka is away, 2 the configuration or the policy is wrong.";

//! The commands: what the operator types, one file each.

mod check;
mod demo;
mod explain;
mod kafka;
pub mod serve;
mod simulate;
mod status;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::simulate::Simulation;
use crate::config::load::{PREFIX, Sources, load};

/// A backpressure-aware ingestion gateway: critical work flows, bulk waits its turn, nothing accepted is lost.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 110, after_help = EXAMPLES)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
struct Options {
    /// The configuration; without it config/tidegate.yaml if it exists, else the built-in defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, stronger than file and environment; can be given several times.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway (what `tidegate` alone does).
    #[command(after_help = serve::EXAMPLES)]
    Serve,
    /// Validates configuration and policy files, and tells all their faults at once.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Plays a flash sale: the gateway in a temporary folder, modelled clients and workers, a dashboard and a commentary.
    #[command(after_help = demo::EXAMPLES)]
    Demo(demo::Arguments),
    /// Explains a request: which rule gives which tier, each check with its numbers, the answer at a given depth.
    #[command(after_help = explain::EXAMPLES)]
    Explain(Box<explain::Arguments>),
    /// Makes the topics in Kafka, or tells whether they are fit for the gateway.
    #[command(subcommand)]
    Kafka(kafka::Command),
    /// Plays scenarios on a virtual clock: the gateway's own law against a modelled queue, workers and clients.
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(Simulation),
    /// Shows the live state of a running gateway: which tier is in trouble, why, who is refused until when, what to turn.
    #[command(after_help = status::EXAMPLES)]
    Status(Box<status::Arguments>),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // Prints help, version or what is wrong by itself, and exits with 0 or 2.
    let line = CommandLine::parse();
    match line.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&line.options),
        Command::Check(arguments) => check::run(&line.options, &arguments),
        Command::Demo(arguments) => demo::run(&line.options, arguments),
        Command::Explain(arguments) => explain::run(&line.options, *arguments),
        Command::Kafka(command) => kafka::run(&line.options, &command),
        Command::Simulate(simulation) => simulate::run(&line.options, &simulation),
        Command::Status(arguments) => status::run(&line.options, &arguments),
    }
}

/// Loads settings and policy, then runs the gateway.
fn serve(options: &Options) -> ExitCode {
    let ready = load(&options.sources())
        .and_then(|loaded| Ok((loaded.policy()?, loaded.has_policy_file(), loaded.settings)));
    match ready {
        Ok((compiled, from_file, settings)) => serve::run(settings, compiled, from_file),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

impl Options {
    /// Where the settings of a command come from.
    fn sources(&self) -> Sources {
        Sources { file: self.config.clone(), variables: variables(), sets: self.sets.clone() }
    }
}

/// The environment variables that are ours.
fn variables() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let all = env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// Whether a terminal wants colours: <https://no-color.org>.
fn is_coloured() -> bool {
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !plain && env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// The exit code for bad usage and bad files.
const BAD_USAGE: u8 = 2;

const EXAMPLES: &str = "Examples:
  tidegate                                        run with config/tidegate.yaml, else with built-in defaults
  tidegate --set ingest.listen=127.0.0.1:8081     the same on another port
  TIDEGATE_LOG__FORMAT=json tidegate serve        the same with logs for machines
  tidegate demo                                   see it work: a flash sale, with a dashboard
  tidegate check policies/default.yaml            is this policy good?
  tidegate explain --header Tidegate-Type:digest --depth p2=520000   why would this job be refused?
  tidegate kafka init --dry-run                   which topics would be made?
  tidegate simulate --scenario load-tests/sim/flash-sale.yaml
  tidegate status --watch                         what is going on, drawn anew each second";

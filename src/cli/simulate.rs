//! `tidegate simulate`: plays scenarios against the gateway's own law on a virtual clock.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::{BAD_USAGE, Options};
use crate::clock::Clock;
use crate::config::load::{LoadError, load, read_text};
use crate::sim::document::read_draft;
use crate::sim::law::LawName;
use crate::sim::play::play;
use crate::sim::report::Report;
use crate::sim::rival::Method;
use crate::sim::scenario::Scenario;

/// What is played, under which policy, and what is made of it.
#[derive(Clone, Debug, Args)]
pub(super) struct Simulation {
    /// The scenarios to play.
    #[arg(long = "scenario", value_name = "FILE", num_args = 1.., required = true)]
    scenarios: Vec<PathBuf>,
    /// The policy to play them under, in place of the one they name; without either the configured one.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Another law to play for comparison; can be given several times, `all` is all of them.
    #[arg(long, value_name = "LAW")]
    against: Vec<Against>,
    /// Prints figures as JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// The laws that can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Against {
    /// All below the target, nothing above.
    OnOff,
    /// Additive increase, multiplicative decrease.
    Aimd,
    /// Additive increase and decrease by shares of the recent rate.
    Aiad,
    /// A plain PID on the depth.
    Pid,
    /// A proportional-derivative law every 5 s.
    Article,
    /// All of them.
    All,
}

/// Plays the scenarios. Exit code 1 where a band is missed, 2 where a file is bad.
pub(super) fn run(options: &Options, simulation: &Simulation) -> ExitCode {
    match played(options, simulation) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
enum SimulateError {
    /// A scenario or its policy.
    #[error(transparent)]
    File(#[from] LoadError),
}

/// Reads all files before the first is played, and says whether every band held.
fn played(options: &Options, simulation: &Simulation) -> Result<bool, SimulateError> {
    let read = |file: &PathBuf| read_scenario(file, options, simulation.policy.as_deref());
    let scenarios = simulation.scenarios.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (clock, rivals) = (Clock::start(), rivals(&simulation.against));
    let (mut passed, mut documents) = (true, Vec::new());
    for scenario in &scenarios {
        let begun = clock.now();
        let outcome = play(scenario, LawName::Tidegate);
        let wall_seconds = clock.now().seconds_since(begun);
        let mut report = Report::new(scenario, &outcome);
        let against = |method: &Method| {
            let law = LawName::Rival(*method);
            (law, play(scenario, law).figures)
        };
        report.against = rivals.iter().map(against).collect();
        passed &= report.passed();
        if simulation.json {
            documents.push(report.json(wall_seconds));
        } else {
            say(&report.table());
        }
    }
    if simulation.json {
        say(&format!("{:#}\n", Value::Array(documents)));
    }
    Ok(passed)
}

fn read_scenario(file: &Path, options: &Options, policy: Option<&Path>) -> Result<Scenario, LoadError> {
    let mut draft = read_draft(&read_text(file)?, &file.display().to_string())?;
    let beside = |named: String| file.parent().unwrap_or(Path::new("")).join(named);
    let path = policy.map(Path::to_owned).or_else(|| draft.policy.take().map(beside));
    let scenario = match path {
        Some(path) => draft.under(&read_text(&path)?, &path.display().to_string())?,
        None => {
            let compiled = load(&options.sources())?.policy()?;
            draft.under(&compiled.policy.document, &compiled.warnings.document)?
        }
    };
    Ok(scenario)
}

fn rivals(against: &[Against]) -> Vec<Method> {
    let asked = |method: &Method| {
        against.iter().any(|against| match against {
            Against::All => true,
            Against::OnOff => *method == Method::OnOff,
            Against::Aimd => *method == Method::Aimd,
            Against::Aiad => *method == Method::Aiad,
            Against::Pid => *method == Method::Pid,
            Against::Article => *method == Method::Article,
        })
    };
    Method::ALL.into_iter().filter(asked).collect()
}

/// A reader who has gone away, as `head` does, changes nothing about the outcome.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate simulate --scenario load-tests/sim/flash-sale.yaml
  tidegate simulate --scenario tomorrow.yaml --policy policies/flash-sale.yaml
  tidegate simulate --scenario load-tests/sim/*.yaml --against all --json

Exit code: 0 every band of every scenario held, 1 one was missed (it is named), 2 a file is bad.
The same files give the same figures, to the last bit.";

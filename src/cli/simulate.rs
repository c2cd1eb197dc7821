//! `tidegate simulate`: plays scenarios against the gateway's own law on a virtual clock.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::{BAD_USAGE, Options};
use crate::clock::Clock;
use crate::config::load::{LoadError, load, read_text};
use crate::sim::document::read_draft;
use crate::sim::laws::LawName;
use crate::sim::laws::rival::Method;
use crate::sim::league::league;
use crate::sim::play::play;
use crate::sim::plot::plot;
use crate::sim::report::Report;
use crate::sim::scenario::Scenario;
use crate::yaml::fault::{Fault, Faults};

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
    /// Draws what happened under the gateway's law; with several scenarios a folder, one picture each.
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
    /// Prints figures as JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Writes the league table of all scenarios and all laws as Markdown; implies `--against all`.
    #[arg(long, value_name = "OUT.md")]
    league: Option<PathBuf>,
}

/// What can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Against {
    One(Method),
    All,
}

impl ValueEnum for Against {
    fn value_variants<'a>() -> &'a [Against] {
        const { &AGAINST }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Against::One(method) => PossibleValue::new(method.as_str()).help(method.what_it_does()),
            Against::All => PossibleValue::new("all").help("every one of them"),
        })
    }
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
    /// A picture or the league table.
    #[error("{path}: cannot be written: {source}")]
    Unwritable {
        /// Where it should go.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads all files before the first is played, and says whether every band held.
fn played(options: &Options, simulation: &Simulation) -> Result<bool, SimulateError> {
    let read = |file: &PathBuf| read_scenario(file, options, simulation.policy.as_deref());
    let scenarios = simulation.scenarios.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (clock, rivals) = (Clock::start(), simulation.rivals());
    let (mut reports, mut documents) = (Vec::new(), Vec::new());
    for (file, scenario) in simulation.scenarios.iter().zip(&scenarios) {
        let begun = clock.now();
        let outcome = play(scenario, LawName::Tidegate);
        let wall_seconds = clock.now().seconds_since(begun);
        let mut report = Report::new(scenario, &outcome);
        let against = |method: &Method| {
            let law = LawName::Rival(*method);
            (law, play(scenario, law).figures)
        };
        report.against = rivals.iter().map(against).collect();
        if let Some(place) = &simulation.plot {
            write(&picture(place, file, scenarios.len() > 1), &plot(scenario, &outcome))?;
        }
        if simulation.json {
            documents.push(report.json(wall_seconds));
        } else {
            say(&report.table());
        }
        reports.push(report);
    }
    if simulation.json {
        say(&format!("{:#}\n", Value::Array(documents)));
    }
    if let Some(path) = &simulation.league {
        write(path, &league(&reports))?;
    }
    Ok(reports.iter().all(Report::passed))
}

fn read_scenario(file: &Path, options: &Options, policy: Option<&Path>) -> Result<Scenario, LoadError> {
    let name = file.display().to_string();
    let mut draft = read_draft(&read_text(file)?, &name)?;
    let (path, text) = match (policy, draft.policy.take()) {
        (Some(path), _) => (path.display().to_string(), read_text(path)?),
        (None, Some(named)) => {
            let path = file.parent().unwrap_or(Path::new("")).join(&named.path);
            let text = read_text(&path).map_err(|error| match error {
                // The path stands in the scenario: that is where to mend it.
                LoadError::Unreadable { .. } => {
                    let list = vec![Fault::error(named.place, "policy", error.to_string())];
                    Faults { document: name, list }.into()
                }
                faulty @ LoadError::Faulty(_) => faulty,
            })?;
            (path.display().to_string(), text)
        }
        (None, None) => {
            let compiled = load(&options.sources())?.policy()?;
            (compiled.warnings.document, compiled.policy.document)
        }
    };
    Ok(draft.under(&text, &path)?)
}

impl Simulation {
    /// The laws asked for, in the order of tables.
    fn rivals(&self) -> Vec<Method> {
        let all = self.league.is_some() || self.against.contains(&Against::All);
        let asked = |method: &Method| all || self.against.contains(&Against::One(*method));
        Method::ALL.into_iter().filter(asked).collect()
    }
}

/// The picture's file: the one named, or in a folder one called after the scenario's file.
fn picture(place: &Path, scenario: &Path, several: bool) -> PathBuf {
    if several || place.is_dir() {
        place.join(scenario.file_stem().unwrap_or_default()).with_extension("svg")
    } else {
        place.to_owned()
    }
}

/// Writes a file, and makes its folder where there is none.
fn write(path: &Path, text: &str) -> Result<(), SimulateError> {
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder).and_then(|()| fs::write(path, text)),
        None => fs::write(path, text),
    };
    written.map_err(|source| SimulateError::Unwritable { path: path.display().to_string(), source })
}

/// A reader who has gone away, as `head` does, changes nothing about the outcome.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Every rival, and all of them.
const AGAINST: [Against; 6] = {
    let [a, b, c, d, e] = Method::ALL;
    [Against::One(a), Against::One(b), Against::One(c), Against::One(d), Against::One(e), Against::All]
};

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate simulate --scenario load-tests/sim/flash-sale.yaml
  tidegate simulate --scenario tomorrow.yaml --policy policies/flash-sale.yaml --plot tomorrow.svg
  tidegate simulate --scenario load-tests/sim/*.yaml --against all --json
  tidegate simulate --scenario load-tests/sim/*.yaml --plot pictures --league league.md

Exit code: 0 every band of every scenario held, 1 one was missed (it is named), 2 a file is bad.
The same files give the same figures, to the last bit.";

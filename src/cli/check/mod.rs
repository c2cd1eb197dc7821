//! `tidegate check`: validates configuration and policy files, and tells all their faults at once.

mod advice;
mod chart;
mod github;
mod json;
mod judge;
mod lines;
mod play;
mod rich;
mod source_line;
mod verdict;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::check::judge::{check_file, check_in_force};
use crate::cli::check::verdict::Verdict;
use crate::cli::{BAD_USAGE, Options, is_coloured};
use crate::policy::schema;

/// What is checked, and how it is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Files to validate, each as it stands; without one, the configuration with the policy it names.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the faults are told.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Counts warnings as errors.
    #[arg(long)]
    strict: bool,
    /// Prints the JSON Schema of policies, for editors, and checks nothing.
    #[arg(long, conflicts_with_all = ["files", "strict", "format"])]
    schema: bool,
}

/// The forms of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each fault; on a terminal the line of the file with it.
    Text,
    /// An array with an object for each file.
    Json,
    /// Annotations of GitHub's workflows.
    Github,
}

/// Checks the files; without any, the configuration in force and the policy it names.
pub(super) fn run(options: &Options, arguments: &Arguments) -> ExitCode {
    if arguments.schema {
        say(&schema::text());
        return ExitCode::SUCCESS;
    }
    let verdicts: Vec<Verdict> = if arguments.files.is_empty() {
        check_in_force(options)
    } else {
        // A configuration that is named beside the files is one of them.
        let files = options.config.iter().chain(&arguments.files);
        files.flat_map(|file| check_file(file, &options.sets)).collect()
    };
    let strict = arguments.strict;
    say(&match arguments.format {
        Format::Text if io::stdout().is_terminal() => rich::told(&verdicts, strict, is_coloured()),
        Format::Text => lines::told(&verdicts, strict),
        Format::Json => json::told(&verdicts, strict),
        Format::Github => github::told(&verdicts, strict),
    });
    if verdicts.iter().all(|verdict| verdict.is_good(strict)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(BAD_USAGE)
    }
}

/// A reader who has gone away, as `head` does, changes nothing about the verdicts.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate check                                  the configuration in force and the policy it names
  tidegate check policies/*.yaml                  these files, each as it stands
  tidegate check --config config/tidegate.yaml --set log.format=json
  tidegate check --strict policies/*.yaml         warnings count too: for CI
  tidegate check --format github policies/*.yaml  as annotations of a pull request
  tidegate check --schema > schema.json           what editors complete and underline policies by

Each fault is one line `file:line:column: key: message`; on a terminal it is shown in its line of the file, in colour
unless NO_COLOR is set. A policy is played for a minute of virtual time too: if its controller does not hold the depth,
a warning names the knob. Exit code: 0 all good, 2 not.
A file named is checked without the environment; --set goes into every configuration among them.";

#[cfg(test)]
mod tests;

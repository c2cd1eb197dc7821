//! `tidegate check`: validates configuration and policy files, and tells all their faults at once.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{BAD_USAGE, Options};
use crate::config::load::{self, LoadError, Sources, load, read_text};
use crate::policy::compile::{self, compile};
use crate::yaml::fault::{Fault, Faults, nearest};
use crate::yaml::node::{Node, Place, Value};
use crate::yaml::read::read;

/// Checks the files; without any, the configuration in force and the policy it names.
pub(super) fn run(options: &Options, files: &[PathBuf]) -> ExitCode {
    let faults = if files.is_empty() {
        check_in_force(options)
    } else {
        files.iter().map(|file| told(check_file(file, &options.sets))).sum()
    };
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::from(BAD_USAGE) }
}

/// What a good file is, for the one line that says so, with what is doubtful about it.
struct Good {
    line: String,
    warnings: Option<Faults>,
}

fn check_in_force(options: &Options) -> usize {
    let loaded = match load(&options.sources()) {
        Ok(loaded) => loaded,
        Err(error) => return told(Err(error)),
    };
    let name = loaded.file.as_ref().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    let configuration = told(Ok(Good { line: format!("{name}: configuration ok"), warnings: None }));
    configuration + told(loaded.policy().map(good_policy))
}

/// Checks one file as it stands: without the environment, with `--set` where it is a configuration.
fn check_file(file: &Path, sets: &[String]) -> Result<Good, LoadError> {
    let name = file.display().to_string();
    let text = read_text(file)?;
    let tree = read(&text).map_err(|list| Faults { document: name.clone(), list })?;
    match kind(&tree) {
        Some(Kind::Policy) => Ok(good_policy(compile(&text, &name)?)),
        Some(Kind::Configuration) => {
            load(&Sources { file: Some(file.to_owned()), variables: Vec::new(), sets: sets.to_vec() })?;
            Ok(Good { line: format!("{name}: configuration ok"), warnings: None })
        }
        None => {
            let fault = Fault::error(Place::Document, "", NEITHER);
            Err(Faults { document: name, list: vec![fault] }.into())
        }
    }
}

fn good_policy(compiled: compile::Compiled) -> Good {
    let line = format!("{}: policy ok, revision {}", compiled.warnings.document, compiled.policy.revision);
    Good { line, warnings: Some(compiled.warnings).filter(|warnings| !warnings.list.is_empty()) }
}

/// Prints what was found and gives the number of faults.
fn told(checked: Result<Good, LoadError>) -> usize {
    match checked {
        Ok(good) => {
            if let Some(warnings) = good.warnings {
                say(&warnings);
            }
            say(&good.line);
            0
        }
        Err(error) => {
            say(&error);
            error.faults()
        }
    }
}

/// Writes to standard output. A reader who has gone away, as `head` does, changes nothing about the verdict.
fn say(text: &dyn fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// The two kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Configuration,
    Policy,
}

/// Which kind of file this is by its top-level keys, those that are nearly right counting too. `None` where no key
/// tells; an empty file is an empty configuration.
fn kind(tree: &Node) -> Option<Kind> {
    let Value::Mapping(entries) = &tree.value else { return None };
    if entries.is_empty() {
        return Some(Kind::Configuration);
    }
    let likeness = |known: &[&'static str]| -> usize {
        entries
            .iter()
            .map(|entry| match nearest(&entry.key, known.iter().copied()) {
                Some(near) if near == entry.key => 2,
                Some(_) => 1,
                None => 0,
            })
            .sum()
    };
    let (configuration, policy) = (likeness(&load::TOP_LEVEL_KEYS), likeness(&compile::TOP_LEVEL_KEYS));
    match configuration.max(policy) {
        0 => None,
        most if most == configuration => Some(Kind::Configuration),
        _ => Some(Kind::Policy),
    }
}

const NEITHER: &str = "neither a policy (type_from, rules, tiers, controller, tenants ..) nor a configuration (ingest, \
                       admin, policy, embedded, limits ..)";

/// For `--help`.
pub(super) const EXAMPLES: &str = "Examples:
  tidegate check                                  the configuration in force and the policy it names
  tidegate check policies/*.yaml                  these files, each as it stands
  tidegate check --config config/tidegate.yaml --set log.format=json

Each fault is one line `file:line:column: key: message`. Exit code: 0 all good, 2 not.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_top_level_keys() {
        for (text, expected) in [
            ("tiers: {}\nrules: []\n", Some(Kind::Policy)),
            ("policy: x.yaml\n", Some(Kind::Configuration)),
            ("ingst: {}\nlimit: {}\n", Some(Kind::Configuration)),
            ("tier: {}\n", Some(Kind::Policy)),
            ("", Some(Kind::Configuration)),
            ("colour: red\n", None),
            ("[tiers]\n", None),
        ] {
            assert_eq!(kind(&read(text).unwrap()), expected, "{text:?}");
        }
    }
}

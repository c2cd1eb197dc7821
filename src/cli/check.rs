//! `tidegate check`: validates configuration and policy files, and tells all their faults at once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{BAD_USAGE, Options};
use crate::config::load::{self, LoadError, Sources, load, read_text};
use crate::policy::compile::{self, Compiled, compile};
use crate::runtime::shadow::candidate;
use crate::server::access::keys_file::{self, read_keys};
use crate::yaml::fault::{Fault, Faults, nearest};
use crate::yaml::node::{Node, Value};
use crate::yaml::read::read;

/// Checks the files; without any, the configuration in force and the policy it names.
pub(super) fn run(options: &Options, files: &[PathBuf]) -> ExitCode {
    let verdicts: Vec<Verdict> = if files.is_empty() {
        check_in_force(options)
    } else {
        // A configuration that is named beside the files is one of them.
        options.config.iter().chain(files).map(|file| check_file(file, &options.sets)).collect()
    };
    // A reader who has gone away, as `head` does, changes nothing about the verdicts.
    let _ = verdicts.iter().try_for_each(|verdict| writeln!(io::stdout(), "{}", verdict.text));
    if verdicts.iter().all(|verdict| verdict.good) { ExitCode::SUCCESS } else { ExitCode::from(BAD_USAGE) }
}

/// What is said of one file.
#[derive(Debug)]
struct Verdict {
    good: bool,
    /// Its faults, or its warnings and the line that says it is good.
    text: String,
}

fn check_in_force(options: &Options) -> Vec<Verdict> {
    match load(&options.sources()) {
        Ok(loaded) => {
            let file = loaded.file.as_ref().map(|path| path.display().to_string());
            let configuration = good_configuration(file.as_deref().unwrap_or("built-in configuration"));
            let file = &loaded.settings.policy;
            vec![configuration, loaded.policy().map_or_else(bad, |policy| with_candidate(&policy, file))]
        }
        Err(error) => vec![bad(error)],
    }
}

/// Checks one file as it stands: without the environment, with `--set` where it is a configuration.
fn check_file(file: &Path, sets: &[String]) -> Verdict {
    judge(file, sets).unwrap_or_else(bad)
}

fn judge(file: &Path, sets: &[String]) -> Result<Verdict, LoadError> {
    let name = file.display().to_string();
    let text = read_text(file)?;
    let tree = read(&text).map_err(|list| Faults { document: name.clone(), list })?;
    match kind(&tree) {
        Some(Kind::Keys) => {
            let keys = read_keys(&text, &name)?.len();
            Ok(Verdict { good: true, text: format!("{name}: keys file ok, {keys} keys") })
        }
        Some(Kind::Policy) => Ok(with_candidate(&compile(&text, &name)?, file)),
        Some(Kind::Configuration) => {
            load(&Sources { file: Some(file.to_owned()), variables: Vec::new(), sets: sets.to_vec() })?;
            Ok(good_configuration(&name))
        }
        None => {
            let fault = Fault::error(tree.place, "", NEITHER);
            Err(Faults { document: name, list: vec![fault] }.into())
        }
    }
}

fn good_configuration(name: &str) -> Verdict {
    Verdict { good: true, text: format!("{name}: configuration ok") }
}

/// A policy that compiles, and the candidate that it names.
fn with_candidate(compiled: &Compiled, file: &Path) -> Verdict {
    let good = good_policy(compiled);
    let Some(named) = &compiled.policy.shadow else { return good };
    match candidate::read(&candidate::path(named, file)) {
        Ok(candidate) => {
            Verdict { good: true, text: format!("{}\n{}", good.text, good_policy(&candidate).text) }
        }
        Err(faults) => {
            let fault = Fault::error(named.place.clone(), "shadow", "the candidate cannot be tried");
            let own = Faults { document: file.display().to_string(), list: vec![fault] };
            Verdict { good: false, text: format!("{own}\n{faults}") }
        }
    }
}

fn good_policy(compiled: &Compiled) -> Verdict {
    let warnings = &compiled.warnings;
    let told = if warnings.list.is_empty() { String::new() } else { format!("{warnings}\n") };
    let text = format!("{told}{}: policy ok, revision {}", warnings.document, compiled.policy.revision);
    Verdict { good: true, text }
}

fn bad(error: LoadError) -> Verdict {
    Verdict { good: false, text: error.to_string() }
}

/// The kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Configuration,
    Policy,
    Keys,
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
    if likeness(&keys_file::TOP_LEVEL_KEYS) > 0 {
        return Some(Kind::Keys);
    }
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

Each fault is one line `file:line:column: key: message`. Exit code: 0 all good, 2 not.
A file named is checked without the environment; --set goes into every configuration among them.";

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
            ("keys: []\n", Some(Kind::Keys)),
            ("kyes: []\n", Some(Kind::Keys)),
            ("colour: red\n", None),
            ("[tiers]\n", None),
        ] {
            assert_eq!(kind(&read(text).unwrap()), expected, "{text:?}");
        }
    }

    /// Every broken file of `tests/fixtures` beside what is said of it.
    #[test]
    fn every_broken_file_is_told_its_faults() {
        let mut checked = 0;
        for folder in ["tests/fixtures/config", "tests/fixtures/policy"] {
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
            for file in files {
                let expected = std::fs::read_to_string(file.with_extension("expected")).unwrap();
                assert_eq!(check_file(&file, &[]).text.trim(), expected.trim(), "{}", file.display());
                checked += 1;
            }
        }
        assert!(checked >= 40, "only {checked} files were found");
    }
}

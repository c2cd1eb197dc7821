//! Judges one file: what it is, whether it can be used, and what will come of it.

use std::path::Path;

use crate::cli::Options;
use crate::cli::check::play::{Unsteady, played};
use crate::cli::check::verdict::{Kind, Verdict};
use crate::config::load::{self, LoadError, Sources, load, read_text};
use crate::policy::compile::{self, Compiled, compile, says_nothing};
use crate::runtime::shadow::candidate;
use crate::server::access::keys_file::{self, read_keys};
use crate::yaml::decode::Field;
use crate::yaml::fault::{Fault, FaultLog, Faults, Severity, nearest};
use crate::yaml::node::{Node, Place, Value};
use crate::yaml::read::read;

/// Checks the configuration in force and the policy it names.
pub(super) fn check_in_force(options: &Options) -> Vec<Verdict> {
    match load(&options.sources()) {
        Ok(loaded) => {
            let file = loaded.file.as_ref().map(|path| path.display().to_string());
            let configuration =
                Verdict::good_configuration(file.unwrap_or_else(|| "built-in configuration".to_owned()));
            let mut verdicts = vec![configuration];
            match loaded.policy() {
                Ok(policy) => verdicts.extend(with_candidate(policy, &loaded.settings.policy)),
                Err(error) => verdicts.push(Verdict::bad(Some(Kind::Policy), error)),
            }
            verdicts
        }
        Err(error) => vec![Verdict::bad(Some(Kind::Configuration), error)],
    }
}

/// Checks one file as it stands: without the environment, with `--set` where it is a configuration. A policy's candidate is
/// judged after it.
pub(super) fn check_file(file: &Path, sets: &[String]) -> Vec<Verdict> {
    let name = file.display().to_string();
    let tree = read_text(file).and_then(|text| match read(&text) {
        Ok(tree) => Ok((text, tree)),
        Err(list) => Err(Faults { document: name.clone(), list }.into()),
    });
    let (text, tree) = match tree {
        Ok(tree) => tree,
        Err(error) => return vec![Verdict::bad(None, error)],
    };
    let kind = kind(&tree);
    let judged: Result<Vec<Verdict>, LoadError> = match kind {
        Some(Kind::Policy) => {
            compile(&text, &name).map(|policy| with_candidate(policy, file)).map_err(LoadError::from)
        }
        Some(Kind::Keys) => read_keys(&text, &name)
            .map(|keys| vec![Verdict::good_keys(name, keys.len())])
            .map_err(LoadError::from),
        Some(Kind::Configuration) => {
            let sources = Sources { file: Some(file.to_owned()), variables: Vec::new(), sets: sets.to_vec() };
            load(&sources).map(|_| vec![configuration(name, &text)])
        }
        None => Err(Faults { document: name, list: vec![Fault::error(tree.place, "", NEITHER)] }.into()),
    };
    judged.unwrap_or_else(|error| vec![Verdict::bad(kind, error)])
}

/// A configuration that can be used. What says nothing may have been meant as a policy as well.
fn configuration(name: String, text: &str) -> Verdict {
    let mut verdict = Verdict::good_configuration(name);
    if says_nothing(text) {
        let severity = Severity::Warning;
        verdict.faults.push(Fault { severity, ..Fault::error(Place::Document, "", SAYS_NOTHING) });
    }
    verdict
}

/// A policy that compiles, and the candidate that it names, if it names one.
fn with_candidate(compiled: Compiled, file: &Path) -> Vec<Verdict> {
    let Some(named) = compiled.policy.shadow.clone() else { return vec![good_policy(compiled)] };
    let mut own = good_policy(compiled);
    let candidate = match candidate::read(&candidate::path(&named, file)) {
        Ok(candidate) => good_policy(candidate),
        Err(faults) => {
            own.faults.push(Fault::error(named.place, "shadow", "the candidate cannot be tried"));
            Verdict::bad(Some(Kind::Policy), faults.into())
        }
    };
    vec![own, candidate]
}

/// A policy that can be used: its warnings, and what it does when it is played.
fn good_policy(compiled: Compiled) -> Verdict {
    let unsteady = played(&compiled.policy);
    let mut faults = compiled.warnings.list;
    if let Some(unsteady) = &unsteady {
        faults.extend(warning(&compiled.policy.document, unsteady));
        faults.sort_by(|one, other| one.place.cmp(&other.place));
    }
    Verdict {
        file: compiled.warnings.document,
        kind: Some(Kind::Policy),
        faults,
        revision: Some(compiled.policy.revision),
        keys: None,
        unsteady,
    }
}

/// Points at the knob that calms the tier, where it is written; else at the tier's target.
fn warning(document: &str, unsteady: &Unsteady) -> Vec<Fault> {
    let Ok(tree) = read(document) else { return Vec::new() };
    let log = FaultLog::default();
    let root = Field::root(&tree, &log);
    let knob = unsteady.advice.as_ref().map(|advice| root.at(&["controller", advice.knob]));
    let target = || root.at(&["tiers", unsteady.course.tier.as_str(), "target"]);
    let field = match knob {
        Some(knob) if knob.is_written() => knob,
        Some(knob) if !target().is_written() => knob,
        _ => target(),
    };
    field.warn(unsteady.to_string());
    log.into_list()
}

/// Which kind of file this is by its top-level keys, those that are nearly right counting too. `None` where no key
/// tells; an empty file is an empty configuration.
pub(super) fn kind(tree: &Node) -> Option<Kind> {
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

const SAYS_NOTHING: &str = "says nothing: as a configuration and as a policy it leaves every key at its default, and a \
                            running gateway does not take it in place of a policy that says something";

const NEITHER: &str = "neither a policy (type_from, rules, tiers, controller, tenants ..) nor a configuration (ingest, \
                       admin, policy, embedded, limits ..)";

//! The candidate's file: read, compiled, and held to what a candidate may be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::policy::compile::{Compiled, compile};
use crate::policy::{Policy, ShadowFile};
use crate::yaml::fault::{Fault, Faults};
use crate::yaml::node::Place;
use crate::yaml::text;

/// Where a candidate's file is: a relative path counts from the folder of the policy that names it.
pub fn path(named: &ShadowFile, policy: &Path) -> PathBuf {
    policy.parent().unwrap_or_else(|| Path::new("")).join(&named.path)
}

/// Reads and compiles a candidate.
///
/// # Errors
/// It cannot be read, or every fault in it.
pub fn read(path: &Path) -> Result<Compiled, Faults> {
    match fs::read(path) {
        Ok(bytes) => candidate(bytes, path),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Compiles a candidate from what was read under its path.
///
/// # Errors
/// Every fault in it; that it has a candidate of its own is one.
pub fn candidate(bytes: Vec<u8>, path: &Path) -> Result<Compiled, Faults> {
    let document = path.display().to_string();
    let faulty = |fault| Faults { document: document.clone(), list: vec![fault] };
    let text = text::of(bytes).map_err(faulty)?;
    let compiled = compile(&text, &document)?;
    match own_shadow(&compiled.policy) {
        Some(fault) => Err(faulty(fault)),
        None => Ok(compiled),
    }
}

/// The faults of a file that cannot be read.
pub fn unreadable(path: &Path, error: &std::io::Error) -> Faults {
    let fault = Fault::error(Place::Document, "", format!("cannot be read: {error}"));
    Faults { document: path.display().to_string(), list: vec![fault] }
}

fn own_shadow(policy: &Policy) -> Option<Fault> {
    let shadow = policy.shadow.as_ref()?;
    Some(Fault::error(shadow.place.clone(), "shadow", "a candidate has no candidate of its own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_found_beside_the_policy_that_names_it() {
        let named = |path: &str| ShadowFile { path: path.into(), place: Place::Document };
        assert_eq!(
            path(&named("next.yaml"), Path::new("policies/now.yaml")),
            Path::new("policies/next.yaml")
        );
        assert_eq!(path(&named("next.yaml"), Path::new("now.yaml")), Path::new("next.yaml"));
        assert_eq!(
            path(&named("/etc/next.yaml"), Path::new("policies/now.yaml")),
            Path::new("/etc/next.yaml")
        );
    }

    #[test]
    fn a_fault_says_the_candidates_name_and_line() {
        let faults = |text: &str| candidate(text.into(), Path::new("next.yaml")).unwrap_err().to_string();
        assert_eq!(
            faults("rules: []\nshadow: other.yaml\n"),
            "next.yaml:2:1: shadow: a candidate has no candidate of its own"
        );
        assert!(faults("rules: []\ncolour: red\n").starts_with("next.yaml:2:1: colour: unknown key"));
        let missing = read(Path::new("/nowhere/next.yaml")).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/next.yaml: cannot be read: "), "{missing}");
    }
}

//! Putting the settings together: defaults, then the file, then the environment, then `--set`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::decode::decode;
pub use crate::config::overrides::PREFIX;
use crate::config::overrides::{put_sets, put_variables};
use crate::config::{Backend, Settings};
use crate::policy::compile::{Compiled, compile};
use crate::policy::{DEFAULT_DOCUMENT, Requirement};
use crate::queue::embedded::settings::EmbeddedDurability;
use crate::yaml::decode::Field;
use crate::yaml::fault::{FaultLog, Faults};
use crate::yaml::node::{Node, Place};
use crate::yaml::read::read;

/// Settings, and where they came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The file they were read from, if there was one.
    pub file: Option<PathBuf>,
    /// Whether anything named the policy's file: then it must be there.
    pub policy_named: bool,
}

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named with `--config`; else [`DEFAULT_FILE`], if it exists.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with [`PREFIX`] are not ours.
    pub variables: Vec<(String, String)>,
    /// The values of `--set`, each `key=value`.
    pub sets: Vec<String>,
}

/// Why there are no settings, or no policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read: it is missing, a folder, not ours to read, not text.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and is wrong.
    #[error(transparent)]
    Faulty(#[from] Faults),
}

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "config/tidegate.yaml";

/// The top-level keys of a configuration: what tells it from a policy.
pub const TOP_LEVEL_KEYS: [&str; 15] = [
    "ingest",
    "admin",
    "policy",
    "backend",
    "embedded",
    "redis",
    "kafka",
    "spool",
    "limits",
    "auth",
    "share",
    "idempotency",
    "shutdown",
    "log",
    "telemetry",
];

/// Puts the settings together.
///
/// # Errors
/// A named file cannot be read; or every fault of file, environment and `--set`, each with its origin.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let default = Path::new(DEFAULT_FILE);
    let file = sources.file.clone().or_else(|| default.exists().then(|| default.to_owned()));
    let document = match &file {
        Some(path) => read_text(path)?,
        None => String::new(),
    };
    let name = file.as_ref().map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
    let (settings, policy_named) = assemble(&document, name, sources)?;
    Ok(Loaded { settings, file, policy_named })
}

/// The settings of a document and of what stands beside it, and whether they name a policy.
fn assemble(document: &str, name: String, sources: &Sources) -> Result<(Settings, bool), Faults> {
    let mut faults = Vec::new();
    let mut root = read(document).unwrap_or_else(|found| {
        faults = found;
        Node::empty(Place::Document)
    });
    put_variables(&mut root, &sources.variables, &mut faults);
    put_sets(&mut root, &sources.sets, &mut faults);
    let log = FaultLog::default();
    let settings = decode(&Field::root(&root, &log), &log);
    faults.extend(log.into_list());
    if faults.is_empty() {
        return Ok((settings, root.entry("policy").is_some()));
    }
    faults.sort_by(|a, b| a.place.cmp(&b.place));
    Err(Faults { document: name, list: faults })
}

impl Loaded {
    /// Compiles the policy that the settings name; the built-in one where nothing names a policy and the default
    /// file does not exist.
    ///
    /// # Errors
    /// The policy's file cannot be read; or every fault in it, tiers that require more than the backend gives included.
    pub fn policy(&self) -> Result<Compiled, LoadError> {
        let path = &self.settings.policy;
        let name = path.display().to_string();
        let compiled = if self.policy_named || path.exists() {
            compile(&read_text(path)?, &name)?
        } else {
            compile(DEFAULT_DOCUMENT, "built-in policy")?
        };
        let unmet = compiled.policy.unmet_requirements(self.settings.reached_durability());
        if unmet.is_empty() { Ok(compiled) } else { Err(Faults { document: name, list: unmet }.into()) }
    }
}

impl Settings {
    /// The durability that a receipt reaches under these settings; `None` is less than a disk's.
    pub const fn reached_durability(&self) -> Option<Requirement> {
        match (self.backend, self.embedded.durability) {
            (Backend::Embedded, EmbeddedDurability::Disk) => Some(Requirement::Disk),
            (Backend::Embedded, EmbeddedDurability::Relaxed) => None,
        }
    }
}

/// Reads a text file.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, LoadError> {
    let path_text = path.display().to_string();
    fs::read_to_string(path).map_err(|source| LoadError::Unreadable { path: path_text, source })
}

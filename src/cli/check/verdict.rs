//! What is said of one file, before anybody decides how.

use crate::cli::check::play::Unsteady;
use crate::config::load::LoadError;
use crate::yaml::fault::{Fault, Severity};
use crate::yaml::node::Place;

/// What is said of one file.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The file, or what stands in its place.
    pub(super) file: String,
    /// What it is; `None` where that cannot be told.
    pub(super) kind: Option<Kind>,
    /// Its errors and warnings, from top to bottom.
    pub(super) faults: Vec<Fault>,
    /// The revision of a policy that can be used.
    pub(super) revision: Option<String>,
    /// How many keys are in a file of them.
    pub(super) keys: Option<usize>,
    /// The tier that its controller does not hold.
    pub(super) unsteady: Option<Unsteady>,
}

/// The kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What needs a restart.
    Configuration,
    /// What operators tune.
    Policy,
    /// Who may ask.
    Keys,
}

impl Kind {
    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Kind::Configuration => "configuration",
            Kind::Policy => "policy",
            Kind::Keys => "keys file",
        }
    }
}

impl Verdict {
    /// A faultless configuration.
    pub(super) const fn good_configuration(file: String) -> Verdict {
        let kind = Some(Kind::Configuration);
        Verdict { file, kind, faults: Vec::new(), revision: None, keys: None, unsteady: None }
    }

    /// A faultless file of keys.
    pub(super) const fn good_keys(file: String, keys: usize) -> Verdict {
        let kind = Some(Kind::Keys);
        Verdict { file, kind, faults: Vec::new(), revision: None, keys: Some(keys), unsteady: None }
    }

    /// What cannot be used.
    pub(super) fn bad(kind: Option<Kind>, error: LoadError) -> Verdict {
        let (file, faults) = match error {
            LoadError::Faulty(faults) => (faults.document, faults.list),
            LoadError::Unreadable { path, source } => {
                (path, vec![Fault::error(Place::Document, "", source.to_string())])
            }
        };
        Verdict { file, kind, faults, revision: None, keys: None, unsteady: None }
    }

    /// Whether it passes; where it is strict, only without warnings.
    pub(super) fn is_good(&self, strict: bool) -> bool {
        self.faults.iter().all(|fault| fault.severity == Severity::Warning && !strict)
    }

    /// The line that ends what is said: that all is good, or that warnings alone refuse it.
    pub(super) fn conclusion(&self, strict: bool) -> Option<String> {
        let (file, kind) = (&self.file, self.kind.map_or("file", Kind::as_str));
        if !self.is_good(false) {
            return None;
        }
        if !self.is_good(strict) {
            return Some(format!("{file}: {kind} refused, warnings count (--strict)"));
        }
        Some(match (&self.revision, self.keys) {
            (Some(revision), _) => format!("{file}: {kind} ok, revision {revision}"),
            (None, Some(keys)) => format!("{file}: {kind} ok, {keys} keys"),
            (None, None) => format!("{file}: {kind} ok"),
        })
    }
}

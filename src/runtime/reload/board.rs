//! What operators see of the policy in force, published as a whole.

use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::time::Timestamp;
use crate::runtime::reload::history::History;
use crate::runtime::reload::{Outcome, Source};
use crate::yaml::fault::Faults;

/// The state of one moment.
#[derive(Clone, Debug)]
pub struct Board {
    /// The revision in force.
    pub revision: String,
    /// Since when.
    pub loaded_at: Timestamp,
    /// Where it came from.
    pub source: Source,
    /// Whether a rollback holds it against the file, until that changes.
    pub pinned: bool,
    /// The file that is watched.
    pub file: PathBuf,
    /// What was tried last, if anything was since the start.
    pub last_reload: Option<Attempt>,
    /// What was in force, the latest first.
    pub history: Arc<History>,
    /// The candidate.
    pub shadow: Candidate,
}

/// One attempt to put a policy in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// By what.
    pub source: Source,
    /// What became of it.
    pub outcome: Outcome,
    /// What was wrong, where it was rejected; what is doubtful, where it was applied.
    pub faults: Arc<Faults>,
}

/// What is in the shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// The policy in force names none.
    None,
    /// One is being tried.
    On {
        /// Its file.
        file: PathBuf,
        /// Its revision.
        revision: String,
    },
    /// The policy names one that cannot be used.
    Faulty {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        faults: Arc<Faults>,
    },
}

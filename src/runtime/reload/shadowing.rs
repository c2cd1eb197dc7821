//! The candidate's file: watched as long as the policy in force names it.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::policy::ShadowFile;
use crate::runtime::admission::Admission;
use crate::runtime::file_watch::{Content, WatchedFile};
use crate::runtime::reload::board::Candidate;
use crate::runtime::shadow::candidate;
use crate::yaml::fault::{Fault, Faults};
use crate::yaml::node::Place;

/// The watch, if there is a candidate.
#[derive(Debug, Default)]
pub(super) struct Shadowing(Option<WatchedFile>);

impl Shadowing {
    /// Watches the file that the policy names from now on, if it names one; whether that is another than before.
    ///
    /// # Errors
    /// It cannot be watched.
    pub(super) fn follow(&mut self, named: Option<&ShadowFile>, policy: &Path) -> Result<bool, Candidate> {
        let file = named.map(|named| candidate::path(named, policy));
        if self.0.as_ref().map(WatchedFile::path) == file.as_deref() {
            return Ok(false);
        }
        let watched = file.as_deref().map(WatchedFile::watch).transpose();
        match (watched, file) {
            (Err(error), Some(file)) => {
                self.0 = None;
                let faults = candidate::unreadable(&file, &error);
                Err(Candidate::Faulty { file, faults: Arc::new(faults) })
            }
            (watched, _) => {
                self.0 = watched.ok().flatten();
                Ok(true)
            }
        }
    }

    /// Waits until there is other content.
    pub(super) async fn changed(&mut self) -> Content {
        match &mut self.0 {
            Some(file) => file.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Tries the candidate of this content, or says why that cannot be.
    pub(super) async fn candidate(&self, content: Content, admission: &Admission) -> Candidate {
        let Some(file) = self.0.as_ref().map(|file| file.path().to_owned()) else { return Candidate::None };
        match try_content(&file, content, admission).await {
            Ok(revision) => Candidate::On { file, revision },
            Err(faults) => Candidate::Faulty { file, faults: Arc::new(faults) },
        }
    }
}

async fn try_content(file: &Path, content: Content, admission: &Admission) -> Result<String, Faults> {
    let failed = |why: &str| {
        let fault = Fault::error(Place::Document, "", why.to_owned());
        Faults { document: file.display().to_string(), list: vec![fault] }
    };
    let bytes = content.map_err(|error| candidate::unreadable(file, &error))?;
    let path = file.to_owned();
    let compiled = spawn_blocking(move || candidate::candidate(bytes.to_vec(), &path)).await;
    let policy = compiled.map_err(|_| failed("the compiler failed on it: please report this"))??.policy;
    let revision = policy.revision.clone();
    admission.try_in_shadow(Arc::new(policy)).map_err(|_| failed("there is no thread to try it on"))?;
    Ok(revision)
}

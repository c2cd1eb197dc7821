//! The keys in force: replaced when their file changes, kept when what is there now is wrong.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::runtime::file_watch::{Content, WatchedFile};
use crate::server::access::key_table::KeyTable;
use crate::server::access::keys_file::read_keys;
use crate::telemetry::metrics::{KeysReload, Metrics};

/// The keys in force, and what is wrong with their file, if something is.
#[derive(Debug)]
pub struct KeyRing {
    keys: ArcSwap<KeyTable>,
    fault: Mutex<Option<String>>,
}

impl KeyRing {
    /// These keys.
    pub fn new(keys: KeyTable) -> KeyRing {
        KeyRing { keys: ArcSwap::from_pointee(keys), fault: Mutex::new(None) }
    }

    /// The keys in force.
    pub fn in_force(&self) -> arc_swap::Guard<Arc<KeyTable>> {
        self.keys.load()
    }

    /// Why the file as it is now is not in force; `None` where it is.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows the file for as long as this is awaited.
    ///
    /// # Errors
    /// There is no thread to watch it with.
    pub fn follow(
        self: Arc<KeyRing>,
        path: &Path,
        metrics: Arc<Metrics>,
    ) -> io::Result<impl Future<Output = ()> + use<>> {
        let mut file = WatchedFile::watch(path)?;
        metrics.api_keys(self.in_force().len());
        Ok(async move {
            loop {
                let content = file.changed().await;
                let name = file.path().display().to_string();
                // Thousands of keys take a while; nobody else waits for them.
                let read = spawn_blocking(move || read(&content, &name)).await;
                if let Ok(read) = read {
                    self.take(read, &metrics);
                }
            }
        })
    }

    fn take(&self, read: Result<KeyTable, String>, metrics: &Metrics) {
        let (taken, fault) = match read {
            Ok(keys) if **self.in_force() == keys => (KeysReload::Unchanged, None),
            Ok(keys) => {
                info!(keys = keys.len(), "the keys are replaced");
                metrics.api_keys(keys.len());
                self.keys.store(Arc::new(keys));
                (KeysReload::Applied, None)
            }
            Err(faults) => {
                let faults = shortened(faults);
                for fault in faults.lines() {
                    warn!(fault, "the keys file is wrong: the keys from before stay in force");
                }
                (KeysReload::Rejected, Some(faults))
            }
        };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        metrics.keys_reload(taken);
    }
}

fn read(content: &Content, name: &str) -> Result<KeyTable, String> {
    let bytes = content.as_ref().map_err(|error| format!("{name}: {error}"))?;
    let text = str::from_utf8(bytes).map_err(|_| format!("{name}: not text: a byte here is not UTF-8"))?;
    read_keys(text, name).map_err(|faults| faults.to_string())
}

/// The first faults: a status and a log are no place for thousands.
fn shortened(faults: String) -> String {
    match faults.match_indices('\n').nth(MOST_FAULTS_SHOWN - 1) {
        Some((end, _)) => format!("{}\n..", faults.get(..end).unwrap_or_default()),
        None => faults,
    }
}

const MOST_FAULTS_SHOWN: usize = 10;

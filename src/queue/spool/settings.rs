//! What the spool must be told.

use std::path::PathBuf;

/// Where jobs wait for a backend that is away, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The spool's file; its folder is made if it is missing.
    pub path: PathBuf,
    /// The file may not grow beyond this many bytes.
    pub max_bytes: u64,
}

impl Default for SpoolSettings {
    fn default() -> SpoolSettings {
        SpoolSettings { path: PathBuf::from("data/spool.db"), max_bytes: 1 << 30 }
    }
}

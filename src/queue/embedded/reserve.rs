//! The reserve: disk space kept beside the queue's file, so that a disk full of jobs can still be worked off.
//!
//! Deleting jobs needs room too: for the write-ahead log, and for bringing it into the file. On a full disk the
//! reserve is given up for that; the disk counts as healthy only when the reserve is back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::random;

/// A file of written blocks, given up when the disk is full.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// The reserve beside the queue's file: the one that an earlier process left, or a new one. Smaller on a disk
    /// without room for a whole one, missing on a full one; both are logged.
    pub(super) fn beside(queue: &Path) -> Reserve {
        let mut name = queue.as_os_str().to_owned();
        name.push(".reserve");
        let mut reserve = Reserve { path: PathBuf::from(name), bytes: RESERVE_BYTES, held: false };
        if fs::metadata(&reserve.path).is_ok_and(|found| found.is_file() && found.len() == RESERVE_BYTES) {
            reserve.held = true;
            return reserve;
        }
        while let Err(error) = reserve.hold() {
            if reserve.bytes == LEAST_BYTES {
                tracing::warn!(%error, "no room for the queue's reserve: once full, the disk may need help to recover");
                return reserve;
            }
            reserve.bytes /= 2;
        }
        if reserve.bytes < RESERVE_BYTES {
            tracing::warn!(bytes = reserve.bytes, "the disk has room for a small reserve only");
        }
        reserve
    }

    /// Writes the reserve, if it is not there.
    ///
    /// # Errors
    /// There is no room, or the disk fails; then nothing is held.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        let written = write(&self.path, self.bytes);
        self.held = written.is_ok();
        if written.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        written
    }

    /// Gives the space up.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            // If the file cannot be removed, the next attempt to hold it writes over it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A failed attempt costs memory only on most file systems: what is removed before it is synced never reaches the
/// disk.
fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    // Random: a file system may store zeros, or what it can compress, in less than their size.
    let chunk: Vec<u8> = (0..CHUNK_BYTES / 8).flat_map(|_| random::number().to_le_bytes()).collect();
    for _ in 0..bytes / CHUNK_BYTES {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

/// Holds a write-ahead log at its usual most (4 MiB and one transaction of 1 MiB) and leaves room for the deletions.
const RESERVE_BYTES: u64 = 8 << 20;
/// The smallest reserve that helps: one transaction of the drain.
const LEAST_BYTES: u64 = CHUNK_BYTES;
const CHUNK_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_written_given_up_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db.reserve");
        let mut reserve = Reserve::beside(&folder.path().join("queue.db"));
        assert_eq!(fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
        reserve.release();
        assert!(!path.exists());
        reserve.hold().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
    }

    #[test]
    fn a_torn_reserve_of_an_earlier_process_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db.reserve");
        fs::write(&path, b"torn").unwrap();
        let _reserve = Reserve::beside(&folder.path().join("queue.db"));
        assert_eq!(fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
    }
}

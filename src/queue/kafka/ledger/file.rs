//! The ledger's file: its tables, and reading it at the start.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::domain::idempotency::Key;
use crate::domain::time::Timestamp;
use crate::queue::file::{Format, OpenError, OwnFile, refused};
use crate::queue::kafka::ledger::book::Book;
use crate::queue::keys::index::KeyEntry;
use crate::queue::keys::{KeySettings, rows};

/// Opens or creates the file, and reads what is in it.
///
/// # Errors
/// It cannot be opened, is another process's, or is no ledger.
pub(super) fn open(path: &Path, settings: KeySettings, now: Timestamp) -> Result<(OwnFile, Book), OpenError> {
    let file = OwnFile::open(path, FORMAT)?;
    let book = prepare(&file, settings, now).map_err(|error| refused(path, &error))?;
    if file.blank {
        file.sync_folder(path)?;
    }
    Ok((file, book))
}

fn prepare(file: &OwnFile, settings: KeySettings, now: Timestamp) -> rusqlite::Result<Book> {
    let db = &file.connection;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 512;
         PRAGMA journal_size_limit = 16777216; PRAGMA temp_store = MEMORY;",
    )?;
    if file.blank {
        db.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             {}
             CREATE TABLE open (key BLOB PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID;
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {VERSION};
             COMMIT;",
            rows::TABLE
        ))?;
    }
    let open = read_open(db, settings, now)?;
    Ok(Book::read(settings, rows::read(db, settings, now)?, open))
}

/// The open keys. Those that are too old to be kept are deleted; a damaged one is none.
fn read_open(db: &Connection, settings: KeySettings, now: Timestamp) -> rusqlite::Result<Vec<KeyEntry>> {
    let mut select = db.prepare("SELECT entry FROM open")?;
    let entries = select
        .query_map([], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(KeyEntry::decode)))?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let (kept, past): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_kept(settings, now));
    for entry in past {
        close(db, entry.keyed.key)?;
    }
    Ok(kept)
}

/// Writes a key down as open.
pub(super) fn write_open(db: &Connection, entry: &KeyEntry) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT OR REPLACE INTO open (key, entry) VALUES (?1, ?2)")?;
    insert.execute(params![entry.keyed.key.0, entry.encode()])?;
    Ok(())
}

/// Deletes an open key.
pub(super) fn close(db: &Connection, key: Key) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM open WHERE key = ?1")?.execute(params![key.0])?;
    Ok(())
}

const FORMAT: Format = Format { application: APPLICATION_ID, version: VERSION, oldest: VERSION };

/// `TIDK`: marks the file as a ledger of keys.
const APPLICATION_ID: i64 = 0x5449_444b;

/// The format this program writes; raised by one with every change of the tables.
const VERSION: i64 = 1;

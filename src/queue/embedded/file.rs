//! The queue's file: what format it has, and how SQLite keeps it.

use rusqlite::Connection;

use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings};
use crate::queue::file::{Format, OpenError, OwnFile, refused};
use crate::queue::keys::rows::TABLE as KEYS_TABLE;

/// Opens or creates the queue's file.
///
/// # Errors
/// It cannot be opened, is another process's, or is no queue of a version that is known.
pub(super) fn open(settings: &EmbeddedSettings) -> Result<OwnFile, OpenError> {
    let path = settings.path.as_path();
    let file = OwnFile::open(path, FORMAT)?;
    prepare(&file, settings.durability).map_err(|error| refused(path, &error))?;
    if file.blank {
        file.sync_folder(path)?;
    }
    Ok(file)
}

fn prepare(file: &OwnFile, durability: EmbeddedDurability) -> rusqlite::Result<()> {
    configure(&file.connection, file.blank, durability)?;
    if file.blank { file.connection.execute_batch(&create_statement()) } else { upgrade(&file.connection) }
}

/// Brings a file of an earlier format to this one, in one transaction.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == FORMAT_VERSION {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {KEYS_TABLE} PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
    ))
}

fn configure(connection: &Connection, blank: bool, durability: EmbeddedDurability) -> rusqlite::Result<()> {
    if blank {
        // Both must be set before the first table.
        connection.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    let synchronous = match durability {
        EmbeddedDurability::Disk => "FULL",
        EmbeddedDurability::Relaxed => "NORMAL",
    };
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 512;
         PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
    ))
}

fn create_statement() -> String {
    let tiers = ["p0", "p1", "p2"].map(|tier| {
        format!(
            "CREATE TABLE jobs_{tier} (seq INTEGER PRIMARY KEY, expires_at INTEGER, key INTEGER, due INTEGER,
                 history BLOB, job BLOB NOT NULL);
             CREATE INDEX expiring_{tier} ON jobs_{tier} (expires_at, due, key) WHERE expires_at IS NOT NULL;
             CREATE INDEX retries_{tier} ON jobs_{tier} (due, key) WHERE due IS NOT NULL;"
        )
    });
    format!(
        "BEGIN IMMEDIATE;
         {}
         CREATE TABLE dead (seq INTEGER PRIMARY KEY, tier INTEGER NOT NULL, id BLOB NOT NULL,
             expires_at INTEGER, key INTEGER, died_at INTEGER NOT NULL, history BLOB NOT NULL, job BLOB NOT NULL);
         CREATE INDEX dead_id ON dead (id);
         CREATE INDEX dead_tier ON dead (tier);
         CREATE TABLE stock (tier INTEGER PRIMARY KEY, jobs INTEGER NOT NULL, dead INTEGER NOT NULL);
         INSERT INTO stock VALUES (0, 0, 0), (1, 0, 0), (2, 0, 0);
         {KEYS_TABLE}
         CREATE TABLE probe (one INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT_VERSION};
         COMMIT;",
        tiers.concat()
    )
}

const FORMAT: Format =
    Format { application: APPLICATION_ID, version: FORMAT_VERSION, oldest: OLDEST_VERSION };

/// `TIDE`: marks the file as a queue of ours.
const APPLICATION_ID: i64 = 0x5449_4445;

/// The format this program writes; raised by one with every change of the tables or the records.
const FORMAT_VERSION: i64 = 2;

/// The oldest format it reads; such a file is brought to this one when it is opened.
const OLDEST_VERSION: i64 = 1;

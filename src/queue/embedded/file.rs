//! The queue's file: who may open it, what format it has, and what is in it at start.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, OpenError};

/// The file, open for writing and locked against other processes.
#[derive(Debug)]
pub(super) struct QueueFile {
    /// The connection that writes.
    pub connection: Connection,
    /// Held for life: its lock is the queue's.
    _lock: File,
}

impl QueueFile {
    /// Opens or creates the file.
    pub(super) fn open(settings: &EmbeddedSettings) -> Result<QueueFile, OpenError> {
        let path = settings.path.as_path();
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder).map_err(|error| io(path, &error))?;
        let lock = lock(path)?;
        let new = is_new(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
            .map_err(|error| refused(path, &error))?;
        let blank = new || check_format(&connection, path)?;
        configure(&connection, blank, settings.durability).map_err(|error| refused(path, &error))?;
        if !blank {
            upgrade(&connection).map_err(|error| refused(path, &error))?;
        }
        if blank {
            connection.execute_batch(&create_statement()).map_err(|error| refused(path, &error))?;
            sync_folder(folder).map_err(|error| io(path, &error))?;
        }
        Ok(QueueFile { connection, _lock: lock })
    }
}

/// A second connection to the same file, for reading beside the writer.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| refused(path, &error))
}

/// What an error of the storage means to who opens the file.
pub(super) fn refused(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy,
        ) => OpenError::Io { path, detail: error.to_string() },
        _ => OpenError::Corrupt { path, detail: error.to_string() },
    }
}

fn io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), detail: error.to_string() }
}

fn corrupt(path: &Path, detail: &str) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), detail: detail.to_owned() }
}

/// Makes the folder and what is missing above it, so that they survive a power loss.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    fs::create_dir(folder).or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })?;
    sync_folder(above)
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().write(true).create(true).truncate(false).open(PathBuf::from(name));
    let file = file.map_err(|error| io(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io(path, &error)),
    }
}

/// Whether there is nothing at the path yet; an error if there is something else than an SQLite file.
fn is_new(path: &Path) -> Result<bool, OpenError> {
    if !path.exists() {
        return Ok(true);
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| io(path, &error))?;
    file.take(SQLITE_HEADER.len() as u64).read_to_end(&mut start).map_err(|error| io(path, &error))?;
    match start.as_slice() {
        [] => Ok(true),
        header if header == SQLITE_HEADER => Ok(false),
        _ => Err(corrupt(path, "it does not start like an SQLite file")),
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Nobody else writes; a checkpoint may meet a reader for a moment.
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// True if the file was made but never filled (a crash between the two).
fn check_format(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let number = |sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| refused(path, &error))
    };
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(true);
    }
    if application != APPLICATION_ID {
        return Err(corrupt(path, "it is an SQLite file of another program"));
    }
    if version > FORMAT_VERSION {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    if version < OLDEST_VERSION {
        return Err(corrupt(path, "its format version was never in use"));
    }
    Ok(false)
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

const SQLITE_HEADER: &[u8] = b"SQLite format 3\0";

/// `TIDE`: marks the file as ours.
const APPLICATION_ID: i64 = 0x5449_4445;

/// Idempotency keys, in order of storing; since format 2.
const KEYS_TABLE: &str = "CREATE TABLE keys (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL);";

/// The format this program writes; raised by one with every change of the tables or the records.
const FORMAT_VERSION: i64 = 2;

/// The oldest format it reads; such a file is brought to this one when it is opened.
const OLDEST_VERSION: i64 = 1;

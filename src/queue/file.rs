//! Files of SQLite: who may open them, in folders that survive a power loss.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds it.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "{path} has format version {found}, this program knows up to {known}: use the newer program that wrote it"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is no file of ours, or is damaged.
    #[error("{path} is damaged or not a tidegate queue: {detail}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file or its folder cannot be read or written.
    #[error("{path} cannot be opened: {detail}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// A file that is ours alone while it is open.
#[derive(Debug)]
pub(super) struct OwnFile {
    /// The connection that writes.
    pub connection: Connection,
    /// Nothing is in it yet.
    pub blank: bool,
    folder: PathBuf,
    /// Held for life: its lock is the file's.
    _lock: File,
}

/// What marks a file as of one kind and version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// The kind.
    pub application: i64,
    /// The version that this program writes.
    pub version: i64,
    /// The oldest one that it reads.
    pub oldest: i64,
}

impl OwnFile {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// It cannot be opened, is another process's, or is none of this kind and these versions.
    pub(super) fn open(path: &Path, format: Format) -> Result<OwnFile, OpenError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder).map_err(|error| io(path, &error))?;
        let lock = lock(path)?;
        let new = is_new(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
            .map_err(|error| refused(path, &error))?;
        let blank = new || check_format(&connection, path, format)?;
        Ok(OwnFile { connection, blank, folder: folder.to_owned(), _lock: lock })
    }

    /// Makes a file that was blank survive a power loss.
    pub(super) fn sync_folder(&self, path: &Path) -> Result<(), OpenError> {
        sync_folder(&self.folder).map_err(|error| io(path, &error))
    }
}

/// A second connection to a file, for reading beside the writer.
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
fn check_format(connection: &Connection, path: &Path, format: Format) -> Result<bool, OpenError> {
    let number = |sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| refused(path, &error))
    };
    let (application, version) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(true);
    }
    if application != format.application {
        return Err(corrupt(path, "it is an SQLite file of another program"));
    }
    if version > format.version {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found: version, known: format.version });
    }
    if version < format.oldest {
        return Err(corrupt(path, "its format version was never in use"));
    }
    Ok(false)
}

const SQLITE_HEADER: &[u8] = b"SQLite format 3\0";

//! The SQL of the writer: what one transaction does to the file. No policy here, no memory of jobs.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::queue::embedded::line::Known;
use crate::queue::embedded::record::{self, Encoded, History, KeyHash};

/// Rows of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// Jobs, leased ones included.
    pub jobs: u64,
    /// Dead letters.
    pub dead: u64,
}

/// What a tier holds at start.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How many.
    pub stock: Stock,
    /// The last job's number.
    pub tail: i64,
    /// Jobs that wait for a retry.
    pub retries: Vec<(Timestamp, Known)>,
    /// Records of the oldest and the newest job.
    pub ends: Option<(Vec<u8>, Vec<u8>)>,
    /// When the first job expires.
    pub next_expiry: Option<Timestamp>,
}

/// A job found past its expiry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expired {
    /// Which.
    pub job: Known,
    /// If it waited for a retry, until when.
    pub due: Option<Timestamp>,
    /// When it expired.
    pub at: Timestamp,
}

/// A dead letter without its job.
#[derive(Debug)]
pub(super) struct Letter {
    /// Its tier.
    pub tier: Tier,
    /// When the job expires.
    pub expires_at: Option<Timestamp>,
    seq: i64,
    /// How it died; `None` if that is damaged.
    history: Option<History>,
}

/// What is in the tier's table.
pub(super) fn find(db: &Connection, tier: Tier) -> rusqlite::Result<Found> {
    let stock = db.query_row("SELECT jobs, dead FROM stock WHERE tier = ?1", [tier.number()], |row| {
        Ok(Stock { jobs: row.get::<_, i64>(0)?.unsigned_abs(), dead: row.get::<_, i64>(1)?.unsigned_abs() })
    })?;
    let end = |order: &str| {
        let sql = format!("SELECT seq, job FROM jobs_{tier} ORDER BY seq {order} LIMIT 1");
        db.query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()
    };
    let (oldest, newest) = (end("ASC")?, end("DESC")?);
    let mut retries = db.prepare(&format!("SELECT seq, key, due FROM jobs_{tier} WHERE due IS NOT NULL"))?;
    let retries = retries.query_map([], |row| Ok((time(row, 2)?.unwrap_or_default(), known(row)?)))?;
    Ok(Found {
        stock,
        tail: newest.as_ref().map_or(0, |(seq, _)| *seq),
        retries: retries.collect::<Result<_, _>>()?,
        ends: oldest.zip(newest).map(|((_, oldest), (_, newest))| (oldest, newest)),
        next_expiry: next_expiry(db, tier, Timestamp::default())?,
    })
}

/// Appends a job.
pub(super) fn append(db: &Connection, tier: Tier, seq: i64, job: &Encoded) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(match tier {
        Tier::P0 => "INSERT INTO jobs_p0 (seq, expires_at, key, job) VALUES (?1, ?2, ?3, ?4)",
        Tier::P1 => "INSERT INTO jobs_p1 (seq, expires_at, key, job) VALUES (?1, ?2, ?3, ?4)",
        Tier::P2 => "INSERT INTO jobs_p2 (seq, expires_at, key, job) VALUES (?1, ?2, ?3, ?4)",
    })?;
    let (expires_at, key) = (job.expires_at.map(millis), job.key.map(|key| key.0));
    insert.execute(params![seq, expires_at, key, job.record.as_ref()])?;
    Ok(())
}

/// Deletes a job; how many rows went.
pub(super) fn delete(db: &Connection, tier: Tier, seq: i64) -> rusqlite::Result<usize> {
    let mut delete = db.prepare_cached(match tier {
        Tier::P0 => "DELETE FROM jobs_p0 WHERE seq = ?1",
        Tier::P1 => "DELETE FROM jobs_p1 WHERE seq = ?1",
        Tier::P2 => "DELETE FROM jobs_p2 WHERE seq = ?1",
    })?;
    delete.execute([seq])
}

/// Lets a failed job wait until it is due.
pub(super) fn retry(
    db: &Connection,
    tier: Tier,
    seq: i64,
    due: Timestamp,
    history: &History,
) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(match tier {
        Tier::P0 => "UPDATE jobs_p0 SET due = ?2, history = ?3 WHERE seq = ?1",
        Tier::P1 => "UPDATE jobs_p1 SET due = ?2, history = ?3 WHERE seq = ?1",
        Tier::P2 => "UPDATE jobs_p2 SET due = ?2, history = ?3 WHERE seq = ?1",
    })?;
    update.execute(params![seq, millis(due), history.encode()])?;
    Ok(())
}

/// Moves a failed job to the dead letters.
pub(super) fn bury(
    db: &Connection,
    tier: Tier,
    seq: i64,
    died_at: Timestamp,
    history: &History,
) -> rusqlite::Result<()> {
    let columns = "INSERT INTO dead (tier, id, expires_at, key, died_at, history, job)
        SELECT ?2, substr(job, 1, 16), expires_at, key, ?3, ?4, job";
    let mut insert = db.prepare_cached(&format!("{columns} FROM jobs_{tier} WHERE seq = ?1"))?;
    insert.execute(params![seq, tier.number(), millis(died_at), history.encode()])?;
    delete(db, tier, seq)?;
    Ok(())
}

/// Whether the dead letter's record is what was written.
pub(super) fn is_sound(db: &Connection, letter: &Letter) -> rusqlite::Result<bool> {
    let mut select = db.prepare_cached("SELECT job FROM dead WHERE seq = ?1")?;
    select.query_row([letter.seq], |row| Ok(row.get_ref(0)?.as_blob().is_ok_and(record::is_sound)))
}

/// Moves a dead letter to the end of its tier's line, as job number `seq`.
pub(super) fn replay(db: &Connection, letter: &Letter, seq: i64) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(&format!(
        "INSERT INTO jobs_{} (seq, expires_at, key, history, job)
         SELECT ?2, expires_at, key, ?3, job FROM dead WHERE seq = ?1",
        letter.tier
    ))?;
    insert.execute(params![
        letter.seq,
        seq,
        letter.history.as_ref().map(|history| history.replayed().encode())
    ])?;
    purge(db, letter)
}

/// Deletes a dead letter.
pub(super) fn purge(db: &Connection, letter: &Letter) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM dead WHERE seq = ?1")?.execute([letter.seq])?;
    Ok(())
}

/// Jobs whose expiry lies after `after` and not after `upto`, at most `limit`, earliest first.
pub(super) fn expired(
    db: &Connection,
    tier: Tier,
    after: Timestamp,
    upto: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Expired>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT seq, key, due, expires_at FROM jobs_{tier}
         WHERE expires_at > ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3"
    ))?;
    let rows = select.query_map(params![millis(after), millis(upto), limit as i64], |row| {
        Ok(Expired { job: known(row)?, due: time(row, 2)?, at: time(row, 3)?.unwrap_or_default() })
    })?;
    rows.collect()
}

/// The earliest expiry after a time.
pub(super) fn next_expiry(
    db: &Connection,
    tier: Tier,
    after: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = format!("SELECT min(expires_at) FROM jobs_{tier} WHERE expires_at > ?1");
    db.prepare_cached(&sql)?.query_row([millis(after)], |row| time(row, 0))
}

/// Writes the numbers of rows that changed.
pub(super) fn write_stock(
    db: &Connection,
    before: &TierMap<Stock>,
    after: &TierMap<Stock>,
) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached("UPDATE stock SET jobs = ?2, dead = ?3 WHERE tier = ?1")?;
    for (tier, stock) in after.iter().filter(|(tier, stock)| before[*tier] != **stock) {
        update.execute(params![tier.number(), stock.jobs.cast_signed(), stock.dead.cast_signed()])?;
    }
    Ok(())
}

/// Bytes of the file that hold something.
pub(super) fn used_bytes(db: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = db.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
    Ok((pages - free_pages(db)?).unsigned_abs() * PAGE_BYTES)
}

/// Pages of the file that hold nothing.
pub(super) fn free_pages(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))
}

/// Gives some free pages back to the file system.
pub(super) fn shrink(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("PRAGMA incremental_vacuum(256)")
}

/// Brings the log into the file and gives the log's space back.
pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Gives free pages back to the file system, a few at a time with the log brought in after each, so that hardly any
/// space is needed for it. What does not work now is tried after the next deletion.
pub(super) fn give_back(db: &Connection) {
    for _ in 0..GIVE_BACK_ROUNDS {
        let more = free_pages(db).is_ok_and(|free| free > 0);
        if checkpoint(db).is_err() || !more || db.execute_batch("PRAGMA incremental_vacuum(128)").is_err() {
            return;
        }
    }
}

/// Whether the file can be written: fails while the disk is full. First the log goes into the file, so that trying
/// does not itself use up what little room there is.
pub(super) fn probe(db: &Connection) -> rusqlite::Result<()> {
    checkpoint(db)?;
    db.execute_batch(
        "BEGIN IMMEDIATE; INSERT OR REPLACE INTO probe VALUES (1, randomblob(65536)); COMMIT;
         DELETE FROM probe;",
    )
}

/// The dead letter of a job, the oldest if there are several.
pub(super) fn letter(db: &Connection, id: JobId) -> rusqlite::Result<Option<Letter>> {
    let sql = "SELECT seq, tier, expires_at, history FROM dead WHERE id = ?1 ORDER BY seq LIMIT 1";
    db.prepare_cached(sql)?
        .query_row([id.as_bytes().as_slice()], |row| {
            Ok(Letter {
                seq: row.get(0)?,
                tier: tier(row, 1)?,
                expires_at: time(row, 2)?,
                history: history(row, 3),
            })
        })
        .optional()
}

/// The number and key in a row's first two columns.
pub(super) fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known { seq: row.get(0)?, key: row.get::<_, Option<i64>>(1)?.map(KeyHash) })
}

/// The time in a column.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|millis| Timestamp::from_millis(millis.unsigned_abs())))
}

/// The tier in a column.
pub(super) fn tier(row: &Row<'_>, column: usize) -> rusqlite::Result<Tier> {
    let number = row.get::<_, u8>(column)?;
    Tier::from_number(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number.into()))
}

/// The history in a column; a damaged one is none, so that it costs a job its past and not the queue its service.
pub(super) fn history(row: &Row<'_>, column: usize) -> Option<History> {
    row.get_ref(column).ok()?.as_blob().ok().and_then(History::decode)
}

/// A time as the file keeps it.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.millis().cast_signed()
}

const PAGE_BYTES: u64 = 8192;
/// Bounds the time of one call: 32 MiB.
const GIVE_BACK_ROUNDS: usize = 32;

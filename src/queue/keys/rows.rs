//! The rows of idempotency keys in a file of SQLite.

use rusqlite::{Connection, params};

use crate::domain::time::Timestamp;
use crate::queue::keys::KeySettings;
use crate::queue::keys::index::{KeyEntry, Keys};

/// Makes the table: keys in order of storing.
pub(in crate::queue) const TABLE: &str = "CREATE TABLE keys (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL);";

/// Appends an idempotency key.
pub(in crate::queue) fn append(db: &Connection, seq: i64, entry: &KeyEntry) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO keys (seq, entry) VALUES (?1, ?2)")?;
    insert.execute(params![seq, entry.encode()])?;
    Ok(())
}

/// Deletes the keys before a number.
pub(in crate::queue) fn forget(db: &Connection, before: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM keys WHERE seq < ?1")?.execute([before])?;
    Ok(())
}

/// The numbers of the first and the last key; `None` where there is none.
pub(in crate::queue) fn ends(db: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    let ends =
        db.query_row("SELECT min(seq), max(seq) FROM keys", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match ends {
        (Some(first), Some(last)) => Some((first, last)),
        _ => None,
    })
}

/// The idempotency keys that the file holds, as many as are kept.
pub(in crate::queue) fn read(
    db: &Connection,
    settings: KeySettings,
    now: Timestamp,
) -> rusqlite::Result<Keys> {
    let Some((first, last)) = ends(db)? else { return Ok(Keys::none(settings, 1)) };
    let most = i64::try_from(settings.most).unwrap_or(i64::MAX);
    let from = first.max(last.saturating_sub(most).saturating_add(1));
    let (mut keys, mut damaged) = (Keys::none(settings, from), 0_u64);
    each(db, from, |number, entry| {
        if number != keys.next() {
            // Rows are missing in between: the numbers go on from here.
            keys = Keys::none(settings, number);
        }
        damaged += u64::from(entry.is_none());
        keys.add_again(entry);
    })?;
    if damaged > 0 {
        tracing::warn!(damaged, "some idempotency keys are damaged: jobs sent again under them are new ones");
    }
    keys.forget(now);
    Ok(keys)
}

/// Hands on the keys from a number on, in their order, each with its number; a damaged one without its entry.
fn each(db: &Connection, from: i64, mut with: impl FnMut(i64, Option<KeyEntry>)) -> rusqlite::Result<()> {
    let mut select = db.prepare("SELECT seq, entry FROM keys WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = select.query([from])?;
    while let Some(row) = rows.next()? {
        with(row.get(0)?, row.get_ref(1)?.as_blob().ok().and_then(KeyEntry::decode));
    }
    Ok(())
}

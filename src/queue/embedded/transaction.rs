//! One transaction of the writer: lease changes, appends, orders and the sweep of what expired, all or none.

use rusqlite::{Connection, ErrorCode};

use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::queue::embedded::inbox::{Append, Order};
use crate::queue::embedded::shared::Shared;
use crate::queue::embedded::state::{Change, End};
use crate::queue::embedded::store::{self, Expired, Stock};
use crate::queue::keys::rows;

/// What the file holds, as of the last commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Rows.
    pub stock: TierMap<Stock>,
    /// The last number given.
    pub tails: TierMap<i64>,
    /// What expires when.
    pub expiry: TierMap<Expiry>,
    /// The rows of idempotency keys.
    pub keys: KeyRows,
}

/// Which numbers the rows of idempotency keys have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyRows {
    /// No row has a smaller one.
    pub first: i64,
    /// The next row's.
    pub next: i64,
}

/// What is known of a tier's expiries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expiry {
    /// The next one.
    pub next: Option<Timestamp>,
    /// Jobs with an earlier one have been dropped, or somebody holds them.
    pub swept: Timestamp,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Lease changes.
    pub changes: Vec<Change>,
    /// Jobs to store.
    pub appends: Vec<Append>,
    /// Orders.
    pub orders: Vec<Order>,
    /// Expired jobs of each tier to drop at most.
    pub expired: usize,
}

/// What one transaction did, to be published after its commit.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What the file holds now.
    pub content: Content,
    /// Per order that replays or purges: the tier of each dead letter that was there.
    pub letters: Vec<Vec<Option<Tier>>>,
    /// Jobs dropped past their expiry.
    pub swept: Vec<(Tier, Expired)>,
}

/// A transaction that failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Why.
    pub error: rusqlite::Error,
    /// It failed while committing: what the disk has cannot be known.
    pub unknown: bool,
}

/// Does the batch in one transaction.
pub(super) fn transact(
    db: &Connection,
    shared: &Shared,
    content: &Content,
    batch: &Batch,
    now: Timestamp,
) -> Result<Done, Failed> {
    let mut done = Done { content: content.clone(), ..Done::default() };
    let applied = db
        .prepare_cached("BEGIN IMMEDIATE")
        .and_then(|mut begin| begin.execute([]))
        .and_then(|_| apply(db, shared, batch, &mut done, now));
    if let Err(error) = applied {
        roll_back(db);
        return Err(Failed { error, unknown: false });
    }
    if let Err(error) = db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
        roll_back(db);
        // A full disk refuses a write, and the commit is the last one; after a failed sync anything is possible.
        let unknown = error.sqlite_error_code() != Some(ErrorCode::DiskFull);
        return Err(Failed { error, unknown });
    }
    Ok(done)
}

pub(super) fn roll_back(db: &Connection) {
    if !db.is_autocommit() {
        let _ = db.execute_batch("ROLLBACK");
    }
}

fn apply(
    db: &Connection,
    shared: &Shared,
    batch: &Batch,
    done: &mut Done,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let before = done.content.stock;
    for change in &batch.changes {
        apply_change(db, change, &mut done.content.stock[change.tier])?;
    }
    for append in &batch.appends {
        for job in &append.jobs {
            let seq = done.content.admit(append.tier, job.expires_at);
            store::append(db, append.tier, seq, job)?;
            if let Some(entry) = &job.keyed {
                rows::append(db, done.content.keys.next, entry)?;
                done.content.keys.next += 1;
            }
        }
    }
    for order in &batch.orders {
        let letters = match order {
            #[cfg(test)]
            Order::Tamper(_) => Vec::new(),
            Order::Flush(_) => Vec::new(),
            Order::Replay(ids, _) => {
                ids.iter().map(|id| replay(db, *id, &mut done.content)).collect::<Result<_, _>>()?
            }
            Order::Purge(ids, _) => {
                ids.iter().map(|id| purge(db, *id, &mut done.content)).collect::<Result<_, _>>()?
            }
        };
        done.letters.push(letters);
    }
    for tier in Tier::ALL {
        if batch.expired > 0 && done.content.expiry[tier].next.is_some_and(|next| next <= now) {
            sweep(db, shared, tier, done, batch.expired, now)?;
        }
    }
    forget_keys(db, shared, &mut done.content.keys)?;
    store::write_stock(db, &before, &done.content.stock)
}

/// Deletes the rows of forgotten keys, some at a time.
fn forget_keys(db: &Connection, shared: &Shared, rows: &mut KeyRows) -> rusqlite::Result<()> {
    let known_from = shared.state().keys.first();
    if rows.first < known_from {
        // A file opened with a smaller bound has many: the first of them may have any number.
        let first =
            if rows.first == 0 { rows::ends(db)?.map_or(known_from, |(first, _)| first) } else { rows.first };
        rows.first = known_from.min(first.saturating_add(FORGOTTEN_AT_ONCE));
        rows::forget(db, rows.first)?;
    }
    Ok(())
}

/// Rows of keys deleted in one transaction: more than it appends.
const FORGOTTEN_AT_ONCE: i64 = 4096;

/// Drops what expired, some at a time.
fn sweep(
    db: &Connection,
    shared: &Shared,
    tier: Tier,
    done: &mut Done,
    most: usize,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let expiry = &mut done.content.expiry[tier];
    let mut expired = store::expired(db, tier, expiry.swept, now, most)?;
    let last = expired.last().map_or(now, |last| last.at);
    let all = expired.len() < most;
    {
        let mut state = shared.state();
        state.lines[tier].sweep(now);
        expired.retain(|expired| !state.lines[tier].is_out(expired.job.seq));
    }
    for expired in &expired {
        drop_rows(&mut done.content.stock[tier], store::delete(db, tier, expired.job.seq)?);
    }
    expiry.swept = match (all, expired.is_empty()) {
        (true, _) => now,
        (false, true) => last,
        // More may have expired in the same millisecond.
        (false, false) => Timestamp::from_millis(last.millis().saturating_sub(1)).max(expiry.swept),
    };
    expiry.next = store::next_expiry(db, tier, expiry.swept)?;
    done.swept.extend(expired.into_iter().map(|expired| (tier, expired)));
    Ok(())
}

impl Batch {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.appends.is_empty() && self.orders.is_empty()
    }
}

impl Content {
    /// The number of one more job in the tier.
    fn admit(&mut self, tier: Tier, expires_at: Option<Timestamp>) -> i64 {
        self.tails[tier] += 1;
        self.stock[tier].jobs += 1;
        if let Some(expires_at) = expires_at {
            let expiry = &mut self.expiry[tier];
            expiry.next = Some(expiry.next.map_or(expires_at, |next| next.min(expires_at)));
            expiry.swept = expiry.swept.min(Timestamp::from_millis(expires_at.millis().saturating_sub(1)));
        }
        self.tails[tier]
    }
}

fn apply_change(db: &Connection, change: &Change, stock: &mut Stock) -> rusqlite::Result<()> {
    let (tier, seq) = (change.tier, change.job.seq);
    match &change.end {
        End::Gone => drop_rows(stock, store::delete(db, tier, seq)?),
        End::Retry(due, history) => store::retry(db, tier, seq, *due, history)?,
        End::Dead(died_at, history) => {
            store::bury(db, tier, seq, *died_at, history)?;
            drop_rows(stock, 1);
            stock.dead += 1;
        }
    }
    Ok(())
}

fn replay(db: &Connection, id: JobId, content: &mut Content) -> rusqlite::Result<Option<Tier>> {
    let Some(letter) = store::letter(db, id)? else { return Ok(None) };
    if !store::is_sound(db, &letter)? {
        return Ok(None);
    }
    let seq = content.admit(letter.tier, letter.expires_at);
    store::replay(db, &letter, seq)?;
    drop_letter(&mut content.stock[letter.tier]);
    Ok(Some(letter.tier))
}

fn purge(db: &Connection, id: JobId, content: &mut Content) -> rusqlite::Result<Option<Tier>> {
    let Some(letter) = store::letter(db, id)? else { return Ok(None) };
    store::purge(db, &letter)?;
    drop_letter(&mut content.stock[letter.tier]);
    Ok(Some(letter.tier))
}

// A damaged file may say that it holds less than it does.
fn drop_rows(stock: &mut Stock, rows: usize) {
    stock.jobs = stock.jobs.saturating_sub(rows as u64);
}

fn drop_letter(stock: &mut Stock) {
    stock.dead = stock.dead.saturating_sub(1);
}

//! The writer thread: one transaction after the other, critical appends first, answers after the commit.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::{Moment, Timestamp};
use crate::queue::Stored;
use crate::queue::dead_letter::{PurgeResult, ReplayResult};
use crate::queue::embedded::file::QueueFile;
use crate::queue::embedded::inbox::{Append, Order, Work};
use crate::queue::embedded::line::Waiting;
use crate::queue::embedded::record::Encoded;
use crate::queue::embedded::shared::{Shared, detail, is_damage};
use crate::queue::embedded::state::{Change, End, State};
use crate::queue::embedded::store::{self, Expired, Stock};
use crate::queue::error::{QueueError, StoreError};

/// The writer, with what it alone knows.
#[derive(Debug)]
pub(super) struct Writer {
    /// The file.
    pub file: QueueFile,
    /// The meeting point.
    pub shared: Arc<Shared>,
    /// The thread that reads beside it.
    pub reader: JoinHandle<()>,
    /// What the file holds.
    pub held: Held,
    /// Bytes that the file may hold.
    pub max_bytes: u64,
    /// Bytes that it holds.
    pub used_bytes: u64,
    /// Set while the storage fails.
    pub outage: Option<Outage>,
}

/// What the file holds, as of the last commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Rows.
    pub stock: TierMap<Stock>,
    /// The last number given.
    pub tails: TierMap<i64>,
    /// What expires when.
    pub expiry: TierMap<Expiry>,
}

/// What is known of a tier's expiries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expiry {
    /// The next one.
    pub next: Option<Timestamp>,
    /// Jobs with an earlier one have been dropped, or somebody holds them.
    pub swept: Timestamp,
}

/// A failing storage.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    detail: String,
    /// The file's content is wrong: trying again would help nobody.
    damaged: bool,
    next_probe: Moment,
}

/// What goes into one transaction.
#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    appends: Vec<Append>,
    orders: Vec<Order>,
}

/// What one transaction did, to be published after its commit.
#[derive(Debug, Default)]
struct Done {
    held: Held,
    /// Per order that replays or purges: the tier of each dead letter that was there.
    letters: Vec<Vec<Option<Tier>>>,
    swept: Vec<(Tier, Expired)>,
}

/// A transaction that failed.
#[derive(Debug)]
struct Failed {
    error: rusqlite::Error,
    /// It failed while committing: what the disk has cannot be known.
    unknown: bool,
}

impl Writer {
    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        loop {
            self.take_over_outage();
            let patience = self.patience();
            let work = self.shared.inbox.take(patience);
            let last = work.last;
            if self.outage.is_some() {
                self.wait_out(work);
            } else {
                self.step(work);
            }
            if last && (self.outage.is_some() || !self.shared.state().has_changes()) {
                break;
            }
        }
        let _ = self.file.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        self.shared.stop_reader();
        let _ = self.reader.join();
    }

    /// How long nothing is to be done unasked.
    fn patience(&self) -> Duration {
        let now = self.shared.now();
        let expiry = self.held.expiry.iter().filter_map(|(_, expiry)| expiry.next).min();
        let mut state = self.shared.state();
        let timers = state.quiet(now).into_iter().chain(expiry.map(|at| at.since(now.1)));
        let probe = self.outage.as_ref().map(|_| PROBE_EVERY);
        // One more millisecond: a timer must be over, not about to be.
        let patience = timers.min().map_or(MAX_PATIENCE, |timer| timer.saturating_add(TICK));
        let patience = probe.into_iter().chain([patience, MAX_PATIENCE]).min().unwrap_or(MAX_PATIENCE);
        state.writer_wakes = now.0.plus(patience);
        patience
    }

    fn step(&mut self, work: Work) {
        let now = self.shared.now();
        let changes = self.pass_time(now);
        let appends = self.refuse_what_is_too_much(work.appends);
        let batch = Batch { changes, appends, orders: work.orders };
        let sweeps = self.held.expiry.iter().any(|(_, expiry)| expiry.next.is_some_and(|next| next <= now.1));
        if !sweeps && batch.is_empty() {
            self.shrink();
            return;
        }
        match self.transact(&batch, now.1) {
            Ok(done) => {
                self.publish(batch, done, now.1);
                self.measure();
            }
            Err(failed) => self.fail(batch, failed),
        }
    }

    /// Lets timers act and takes the lease changes that wait.
    fn pass_time(&self, now: (Moment, Timestamp)) -> Vec<Change> {
        let mut state = self.shared.state();
        state.advance(now);
        self.shared.stir(&mut state);
        if self.outage.is_some() { Vec::new() } else { state.take_changes(BATCH_CHANGES) }
    }

    /// The appends for which the file has room.
    fn refuse_what_is_too_much(&self, appends: Vec<Append>) -> Vec<Append> {
        let mut room = self.max_bytes.saturating_sub(self.used_bytes);
        let mut fitting = Vec::with_capacity(appends.len());
        for append in appends {
            let bytes = (append.bytes + append.jobs.len() * ROW_BYTES) as u64;
            if bytes <= room {
                room -= bytes;
                fitting.push(append);
            } else {
                let detail = format!("its file may hold {} bytes", self.max_bytes);
                let _ = append.answer.send(Err(StoreError::Full { detail }));
            }
        }
        fitting
    }

    fn transact(&self, batch: &Batch, now: Timestamp) -> Result<Done, Failed> {
        let db = &self.file.connection;
        let mut done = Done { held: self.held.clone(), ..Done::default() };
        let applied = db
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]))
            .and_then(|_| self.apply(batch, &mut done, now));
        if let Err(error) = applied {
            self.roll_back();
            return Err(Failed { error, unknown: false });
        }
        if let Err(error) = db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            self.roll_back();
            // A full disk refuses a write, and the commit is the last one; after a failed sync anything is possible.
            let unknown = error.sqlite_error_code() != Some(ErrorCode::DiskFull);
            return Err(Failed { error, unknown });
        }
        Ok(done)
    }

    fn roll_back(&self) {
        if !self.file.connection.is_autocommit() {
            let _ = self.file.connection.execute_batch("ROLLBACK");
        }
    }

    fn apply(&self, batch: &Batch, done: &mut Done, now: Timestamp) -> rusqlite::Result<()> {
        let db = &self.file.connection;
        for change in &batch.changes {
            apply_change(db, change, &mut done.held.stock[change.tier])?;
        }
        for append in &batch.appends {
            for job in &append.jobs {
                let seq = done.held.admit(append.tier, job.expires_at);
                store::append(db, append.tier, seq, job)?;
            }
        }
        for order in &batch.orders {
            let letters = match order {
                Order::Flush(_) => Vec::new(),
                Order::Replay(ids, _) => {
                    ids.iter().map(|id| replay(db, *id, &mut done.held)).collect::<Result<_, _>>()?
                }
                Order::Purge(ids, _) => {
                    ids.iter().map(|id| purge(db, *id, &mut done.held)).collect::<Result<_, _>>()?
                }
            };
            done.letters.push(letters);
        }
        for tier in Tier::ALL {
            if done.held.expiry[tier].next.is_some_and(|next| next <= now) {
                self.sweep(tier, done, now)?;
            }
        }
        store::write_stock(db, &self.held.stock, &done.held.stock)
    }

    /// Drops what expired, some at a time.
    fn sweep(&self, tier: Tier, done: &mut Done, now: Timestamp) -> rusqlite::Result<()> {
        let db = &self.file.connection;
        let expiry = &mut done.held.expiry[tier];
        let mut expired = store::expired(db, tier, expiry.swept, now, BATCH_EXPIRED)?;
        let last = expired.last().map_or(now, |last| last.at);
        let all = expired.len() < BATCH_EXPIRED;
        {
            let mut state = self.shared.state();
            state.lines[tier].sweep(now);
            expired.retain(|expired| !state.lines[tier].is_out(expired.job.seq));
        }
        for expired in &expired {
            done.held.stock[tier].jobs -= store::delete(db, tier, expired.job.seq)? as u64;
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

    /// Makes a committed transaction known, all at once, then answers.
    fn publish(&mut self, batch: Batch, done: Done, now: Timestamp) {
        let durability = self.shared.durability;
        let mut answers = Vec::with_capacity(batch.appends.len());
        let mut tails = std::mem::replace(&mut self.held, done.held).tails;
        let mut state = self.shared.state();
        state.changes_stored(batch.changes);
        for append in batch.appends {
            let jobs = numbered(append.jobs, &mut tails[append.tier]);
            state.stored(append.tier, jobs, now);
            answers.push((append.answer, Stored { durability, depth: state.depth(append.tier) }));
        }
        for (order, letters) in batch.orders.iter().zip(&done.letters) {
            self.publish_order(&mut state, order, letters, now);
        }
        for (tier, expired) in done.swept {
            state.dropped(tier, expired.job, expired.due);
        }
        self.shared.stir(&mut state);
        drop(state);
        for (answer, stored) in answers {
            let _ = answer.send(Ok(stored));
        }
        for (order, letters) in batch.orders.into_iter().zip(done.letters) {
            answer_order(order, &letters);
        }
    }

    fn publish_order(&self, state: &mut State, order: &Order, letters: &[Option<Tier>], now: Timestamp) {
        for tier in letters.iter().flatten() {
            match order {
                Order::Replay(..) => state.replayed(*tier, self.held.tails[*tier], now),
                Order::Purge(..) => state.purged(*tier),
                Order::Flush(_) => {}
            }
        }
    }

    fn fail(&mut self, batch: Batch, failed: Failed) {
        let detail = detail(&failed.error);
        let outage = Outage {
            detail: detail.clone(),
            damaged: is_damage(&failed.error),
            next_probe: self.shared.clock.now().plus(PROBE_EVERY),
        };
        tracing::error!(error = %failed.error, "the queue cannot write its file; jobs are refused until it can");
        self.set_outage(Some(outage));
        self.shared.state().put_back(batch.changes);
        for append in batch.appends {
            let detail = detail.clone();
            let error = if failed.unknown { StoreError::Unknown } else { StoreError::Unavailable { detail } };
            let _ = append.answer.send(Err(error));
        }
        batch.orders.into_iter().for_each(|order| refuse_order(order, &detail));
    }

    /// Refuses work while the storage fails, and looks now and then whether it still does.
    fn wait_out(&mut self, work: Work) {
        let now = self.shared.now();
        let _ = self.pass_time(now);
        let Some(outage) = self.outage.clone() else { return };
        for append in work.appends {
            let _ = append.answer.send(Err(StoreError::Unavailable { detail: outage.detail.clone() }));
        }
        work.orders.into_iter().for_each(|order| refuse_order(order, &outage.detail));
        if outage.damaged || now.0 < outage.next_probe {
            return;
        }
        let probed = store::probe(&self.file.connection);
        self.roll_back();
        if probed.is_ok() {
            tracing::info!("the queue can write its file again");
            self.set_outage(None);
        } else {
            self.outage = Some(Outage { next_probe: now.0.plus(PROBE_EVERY), ..outage });
        }
    }

    /// An outage that the reader met is tried again in its time like every other.
    fn take_over_outage(&mut self) {
        let met = self.shared.state().reader_outage();
        if let (None, Some((detail, damaged))) = (&self.outage, met) {
            let next_probe = self.shared.clock.now().plus(PROBE_EVERY);
            self.outage = Some(Outage { detail, damaged, next_probe });
        }
    }

    fn set_outage(&mut self, outage: Option<Outage>) {
        let detail = outage.as_ref().map(|outage| outage.detail.clone());
        self.outage = outage;
        self.shared.state().set_outage(detail.clone());
        self.shared.inbox.set_outage(detail);
    }

    /// Notes how much the file holds.
    fn measure(&mut self) {
        // A failure shows in the next transaction too, where it is handled.
        if let Ok(used) = store::used_bytes(&self.file.connection) {
            self.used_bytes = used;
        }
    }

    /// Gives space back to the file system, a little at a time, when there is nothing else to do.
    fn shrink(&self) {
        let db = &self.file.connection;
        if store::free_pages(db).is_ok_and(|free| free > SPARE_PAGES) {
            let _ = store::shrink(db);
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.appends.is_empty() && self.orders.is_empty()
    }
}

impl Held {
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
        End::Gone => stock.jobs -= store::delete(db, tier, seq)? as u64,
        End::Retry(due, history) => store::retry(db, tier, seq, *due, history)?,
        End::Dead(died_at, history) => {
            store::bury(db, tier, seq, *died_at, history)?;
            stock.jobs -= 1;
            stock.dead += 1;
        }
    }
    Ok(())
}

fn replay(db: &Connection, id: JobId, held: &mut Held) -> rusqlite::Result<Option<Tier>> {
    let Some(letter) = store::letter(db, id)? else { return Ok(None) };
    let seq = held.admit(letter.tier, letter.expires_at);
    store::replay(db, &letter, seq)?;
    held.stock[letter.tier].dead -= 1;
    Ok(Some(letter.tier))
}

fn purge(db: &Connection, id: JobId, held: &mut Held) -> rusqlite::Result<Option<Tier>> {
    let Some(letter) = store::letter(db, id)? else { return Ok(None) };
    store::purge(db, &letter)?;
    held.stock[letter.tier].dead -= 1;
    Ok(Some(letter.tier))
}

fn numbered(jobs: Vec<Encoded>, tail: &mut i64) -> Vec<Waiting> {
    let number = |job: Encoded| {
        *tail += 1;
        Waiting { seq: *tail, key: job.key, expires_at: job.expires_at, history: None, record: job.record }
    };
    jobs.into_iter().map(number).collect()
}

fn answer_order(order: Order, letters: &[Option<Tier>]) {
    match order {
        Order::Flush(answer) => drop(answer.send(Ok(()))),
        Order::Replay(_, answer) => {
            let result =
                |found: &Option<Tier>| found.map_or(ReplayResult::Unknown, |_| ReplayResult::Replayed);
            let _ = answer.send(Ok(letters.iter().map(result).collect()));
        }
        Order::Purge(_, answer) => {
            let result = |found: &Option<Tier>| found.map_or(PurgeResult::Unknown, |_| PurgeResult::Purged);
            let _ = answer.send(Ok(letters.iter().map(result).collect()));
        }
    }
}

fn refuse_order(order: Order, detail: &str) {
    let error = QueueError::Unavailable { detail: detail.to_owned() };
    match order {
        Order::Flush(answer) => drop(answer.send(Err(error))),
        Order::Replay(_, answer) => drop(answer.send(Err(error))),
        Order::Purge(_, answer) => drop(answer.send(Err(error))),
    }
}

/// Lease changes stored at once.
const BATCH_CHANGES: usize = 4096;
/// Expired jobs dropped at once.
const BATCH_EXPIRED: usize = 1024;
/// What a row needs beside its record, and its share of the pages above: on the safe side.
const ROW_BYTES: usize = 64;
/// Free pages that stay in the file (8 MiB): the next jobs need them anyway.
const SPARE_PAGES: i64 = 1024;
/// How often a failing storage is tried.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// The writer looks at its timers at least this often, should the wall clock have been set.
const MAX_PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(1);

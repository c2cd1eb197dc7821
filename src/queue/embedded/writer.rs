//! The writer thread: one transaction after the other, critical appends first, answers after the commit.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::domain::tier::Tier;
use crate::domain::time::{Moment, Timestamp};
use crate::queue::Stored;
use crate::queue::dead_letter::{PurgeResult, ReplayResult};
use crate::queue::embedded::inbox::{Append, Order, Work};
use crate::queue::embedded::line::Waiting;
use crate::queue::embedded::outage::{Outage, PROBE_EVERY};
use crate::queue::embedded::record::Encoded;
use crate::queue::embedded::reserve::Reserve;
use crate::queue::embedded::shared::Shared;
use crate::queue::embedded::state::{Change, State};
use crate::queue::embedded::store;
use crate::queue::embedded::transaction::{self, Batch, Content, Done};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::file::OwnFile;

/// The writer, with what it alone knows.
#[derive(Debug)]
pub(super) struct Writer {
    /// The file.
    pub file: OwnFile,
    /// The meeting point.
    pub shared: Arc<Shared>,
    /// Space for working off a full disk.
    pub reserve: Reserve,
    /// The thread that reads beside it.
    pub reader: JoinHandle<()>,
    /// What the file holds.
    pub content: Content,
    /// Bytes that the file may hold.
    pub max_bytes: u64,
    /// Bytes that it holds.
    pub used_bytes: u64,
    /// Set while the storage fails.
    pub outage: Option<Outage>,
}

impl Writer {
    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        loop {
            self.take_over_outage();
            let patience = self.patience();
            let work = self.shared.inbox.take(patience);
            #[cfg(test)]
            let work = self.tampered(work);
            let last = work.last;
            if self.has_recovered() {
                self.step(work);
            } else {
                self.endure(work);
            }
            if last && (self.outage.is_some() || self.shared.state().changes() == 0) {
                break;
            }
        }
        let _ = self.file.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        self.shared.stop_reader();
        let _ = self.reader.join();
    }

    #[cfg(test)]
    fn tampered(&self, mut work: Work) -> Work {
        for order in std::mem::take(&mut work.orders) {
            match order {
                Order::Tamper(tampering) => tampering.0(&self.file.connection),
                other => work.orders.push(other),
            }
        }
        work
    }

    /// How long nothing is to be done unasked.
    fn patience(&self) -> Duration {
        let now = self.shared.now();
        let sweeping = self.outage.is_none() || self.drains();
        let expiry =
            self.content.expiry.iter().filter_map(|(_, expiry)| expiry.next.filter(|_| sweeping)).min();
        let mut state = self.shared.state();
        let timers = state.quiet(now).into_iter().chain(expiry.map(|at| at.since(now.1)));
        let probe = self.outage.as_ref().map(|_| PROBE_EVERY);
        // One more millisecond: a timer must be over, not about to be.
        let patience = timers.min().map_or(MAX_PATIENCE, |timer| timer.saturating_add(TICK));
        // What did not fit the last transaction need not wait for company.
        let more = (self.outage.is_none() && state.changes() >= BATCH_CHANGES).then_some(Duration::ZERO);
        let patience = probe.into_iter().chain(more).fold(patience.min(MAX_PATIENCE), Duration::min);
        state.writer_wakes = now.0.plus(patience);
        patience
    }

    fn step(&mut self, work: Work) {
        let now = self.shared.now();
        let changes = self.pass_time(now, BATCH_CHANGES);
        let appends = self.refuse_what_is_too_much(work.appends);
        let batch = Batch { changes, appends, orders: work.orders, expired: BATCH_EXPIRED };
        if batch.is_empty() && !self.sweeps(now.1) {
            self.shrink();
            return;
        }
        match transaction::transact(&self.file.connection, &self.shared, &self.content, &batch, now.1) {
            Ok(done) => {
                self.publish(batch, done, now.1);
                self.measure();
            }
            Err(failed) => self.fail(batch, failed),
        }
    }

    /// Lets timers act and takes the lease changes that wait, up to `most`.
    pub(super) fn pass_time(&self, now: (Moment, Timestamp), most: usize) -> Vec<Change> {
        let mut state = self.shared.state();
        state.advance(now);
        self.shared.stir(&mut state);
        state.take_changes(most)
    }

    /// Whether jobs are past their expiry.
    pub(super) fn sweeps(&self, now: Timestamp) -> bool {
        self.content.expiry.iter().any(|(_, expiry)| expiry.next.is_some_and(|next| next <= now))
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

    /// Makes a committed transaction known, all at once, then answers.
    pub(super) fn publish(&mut self, batch: Batch, done: Done, now: Timestamp) {
        let durability = self.shared.durability;
        let mut answers = Vec::with_capacity(batch.appends.len());
        let mut tails = std::mem::replace(&mut self.content, done.content).tails;
        let mut state = self.shared.state();
        state.changes_stored(batch.changes);
        for append in batch.appends {
            append.jobs.iter().filter_map(|job| job.keyed).for_each(|entry| state.keys.add(entry));
            let jobs = numbered(append.jobs, &mut tails[append.tier]);
            state.stored(append.tier, jobs, now);
            let depth = state.depth(append.tier);
            answers.push((append.answer, Stored { durability, depth, known: Vec::new() }));
        }
        for (order, letters) in batch.orders.iter().zip(&done.letters) {
            self.publish_order(&mut state, order, letters, now);
        }
        state.keys.forget(now);
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
                Order::Replay(..) => state.replayed(*tier, self.content.tails[*tier], now),
                Order::Purge(..) => state.purged(*tier),
                #[cfg(test)]
                Order::Tamper(_) => {}
                Order::Flush(_) => {}
            }
        }
    }

    /// Notes how much the file holds.
    pub(super) fn measure(&mut self) {
        // A failure shows in the next transaction too, where it is handled.
        if let Ok(used) = store::used_bytes(&self.file.connection) {
            self.used_bytes = used;
            self.shared.used_bytes.store(used, Relaxed);
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

fn numbered(jobs: Vec<Encoded>, tail: &mut i64) -> Vec<Waiting> {
    let number = |job: Encoded| {
        *tail += 1;
        Waiting { seq: *tail, key: job.key, expires_at: job.expires_at, history: None, record: job.record }
    };
    jobs.into_iter().map(number).collect()
}

fn answer_order(order: Order, letters: &[Option<Tier>]) {
    match order {
        #[cfg(test)]
        Order::Tamper(_) => {}
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

pub(super) fn refuse_order(order: Order, detail: &str) {
    let error = QueueError::Unavailable { detail: detail.to_owned() };
    match order {
        #[cfg(test)]
        Order::Tamper(_) => {}
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
/// The writer looks at its timers at least this often, should the wall clock have been set.
const MAX_PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(1);

//! One tier's waiting line as far as it is in memory: its head, the retries, and which ordering keys must wait.
//!
//! Jobs lie on disk in order of their number (`seq`). Memory holds the records of the head only, at most
//! [`HEAD_JOBS`] and about [`HEAD_BYTES`]; when it runs low the reader loads on from `read_to`. A job that failed
//! is known by its due time until then, and is loaded again when it is due.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use bytes::Bytes;

use crate::domain::time::Timestamp;
use crate::policy::Ordering;
use crate::queue::embedded::record::{History, KeyHash};

/// A job that waits, with its record in memory.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Its number.
    pub seq: i64,
    /// Its ordering key.
    pub key: Option<KeyHash>,
    /// From when on it is dropped.
    pub expires_at: Option<Timestamp>,
    /// What it has been through.
    pub history: Option<Box<History>>,
    /// The record.
    pub record: Bytes,
}

/// A job known by its number only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its number.
    pub seq: i64,
    /// Its ordering key.
    pub key: Option<KeyHash>,
}

/// What the reader is to fetch from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// The next jobs of the line, after one number and up to another, at most `limit`.
    Next {
        /// Not this number yet.
        after: i64,
        /// Nor any beyond this one.
        upto: i64,
        /// At most this many.
        limit: usize,
    },
    /// These jobs.
    These(Vec<Known>),
}

/// The line. Invariant: a key with parked jobs has a hold.
#[derive(Debug, Default)]
pub(super) struct Line {
    head: VecDeque<Waiting>,
    head_bytes: usize,
    /// Every job up to this number is or was in memory.
    read_to: i64,
    /// The last job on disk.
    tail: i64,
    /// Failed jobs, by the time they are due.
    retries: BTreeMap<(Timestamp, i64), Option<KeyHash>>,
    /// Due or no longer blocked, to be loaded; then served before the head, because they are older.
    wanted: VecDeque<Known>,
    returned: VecDeque<Waiting>,
    loading: bool,
    /// What is in memory waits for earlier jobs of its keys: asking again is of no use before something happens.
    stuck: bool,
    holds: HashMap<KeyHash, Hold>,
    /// Jobs set aside, by key, because an earlier job of their key is not done (`ordering: block`).
    parked: HashMap<KeyHash, VecDeque<i64>>,
    parked_jobs: usize,
    /// Jobs that may expire and are leased, or were and the disk does not know their end yet.
    out: HashSet<i64>,
    /// Jobs that expired by this time are being dropped, or were.
    swept: Timestamp,
}

/// Why later jobs of a key wait: earlier ones are out of the line and not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hold {
    /// Leased.
    leased: u32,
    /// Waiting for a retry, or on their way back from it.
    back: u32,
}

impl Line {
    /// The line of a file: its last job and the jobs that wait for a retry.
    pub(super) fn recovered(tail: i64, retries: Vec<(Timestamp, Known)>) -> Line {
        let mut line = Line { tail, ..Line::default() };
        for (due, job) in retries {
            line.change_hold(job.key, |hold| hold.back += 1);
            line.retries.insert((due, job.seq), job.key);
        }
        line
    }

    /// Takes the next job that may be handed out.
    pub(super) fn take(&mut self, ordering: Ordering, now: Timestamp) -> Option<Waiting> {
        while let Some(job) = self.take_returned(ordering) {
            self.change_hold(job.key, |hold| hold.back = hold.back.saturating_sub(1));
            if let Some(job) = self.hand_out(job, now) {
                return Some(job);
            }
        }
        while let Some(front) = self.head.front() {
            let blocked = front.key.filter(|key| ordering == Ordering::Block && self.holds.contains_key(key));
            if blocked.is_some() && self.parked_jobs >= LOOK_AHEAD {
                break;
            }
            let job = self.head.pop_front()?;
            self.head_bytes = self.head_bytes.saturating_sub(job.record.len());
            if let Some(key) = blocked {
                self.parked.entry(key).or_default().push_back(job.seq);
                self.parked_jobs += 1;
            } else if let Some(job) = self.hand_out(job, now) {
                return Some(job);
            }
        }
        self.stuck = true;
        None
    }

    fn take_returned(&mut self, ordering: Ordering) -> Option<Waiting> {
        let free = |job: &Waiting| match (ordering, job.key) {
            (Ordering::Block, Some(key)) => self.holds.get(&key).is_none_or(|hold| hold.leased == 0),
            _ => true,
        };
        let index = self.returned.iter().position(free)?;
        self.returned.remove(index)
    }

    /// Notes the job as leased; `None` if it is past its expiry and the sweep drops it.
    fn hand_out(&mut self, job: Waiting, now: Timestamp) -> Option<Waiting> {
        if self.is_past(job.expires_at, now) {
            self.settle(job.key);
            return None;
        }
        self.change_hold(job.key, |hold| hold.leased += 1);
        if job.expires_at.is_some() {
            self.out.insert(job.seq);
        }
        Some(job)
    }

    /// A leased job is finished (done, dead or dropped): later ones of its key may go.
    pub(super) fn finished(&mut self, key: Option<KeyHash>) {
        self.change_hold(key, |hold| hold.leased = hold.leased.saturating_sub(1));
        self.settle(key);
    }

    /// The disk knows that a leased job waits for its retry.
    pub(super) fn retry_stored(&mut self, job: Known, due: Timestamp) {
        self.change_hold(job.key, |hold| {
            hold.leased = hold.leased.saturating_sub(1);
            hold.back += 1;
        });
        self.stuck = false;
        self.retries.insert((due, job.seq), job.key);
        self.out.remove(&job.seq);
    }

    /// The disk knows how a leased job ended.
    pub(super) fn end_stored(&mut self, seq: i64) {
        self.out.remove(&seq);
    }

    /// Jobs were stored: each with its record, in order. They join the head if nothing older is still on disk only.
    pub(super) fn stored(&mut self, jobs: impl Iterator<Item = Waiting>) {
        for job in jobs {
            let adjoins = self.read_to == self.tail;
            self.tail = job.seq;
            if adjoins && self.head_room() > 0 {
                self.read_to = job.seq;
                self.push_head(job);
            }
        }
    }

    /// Jobs up to this number were stored, their records are on disk only.
    pub(super) fn stored_unseen(&mut self, tail: i64) {
        self.tail = tail;
    }

    /// From now on no job is handed out that expired by this time: the sweep drops them.
    pub(super) fn sweep(&mut self, upto: Timestamp) {
        self.swept = self.swept.max(upto);
    }

    /// Whether somebody holds the job, or did and the disk does not know how that ended.
    pub(super) fn is_out(&self, seq: i64) -> bool {
        self.out.contains(&seq)
    }

    /// Whether a job with this expiry is to be dropped.
    pub(super) fn is_past(&self, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
        expires_at.is_some_and(|expires_at| expires_at <= now.max(self.swept))
    }

    /// A job was dropped; `due` if it waited for a retry.
    pub(super) fn dropped(&mut self, job: Known, due: Option<Timestamp>) {
        if due.is_some_and(|due| self.retries.remove(&(due, job.seq)).is_some()) {
            self.change_hold(job.key, |hold| hold.back = hold.back.saturating_sub(1));
            self.settle(job.key);
        }
    }

    /// Lets retries that are due by now come back. True if there are any.
    pub(super) fn fall_due(&mut self, now: Timestamp) -> bool {
        let before = self.wanted.len();
        while let Some(entry) = self.retries.first_entry().filter(|entry| entry.key().0 <= now) {
            let seq = entry.key().1;
            let key = entry.remove();
            self.wanted.push_back(Known { seq, key });
        }
        self.wanted.len() > before
    }

    /// When the next retry is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.retries.first_key_value().map(|((due, _), _)| *due)
    }

    /// What is to be loaded now, if anything; the reader answers with `loaded_next` or `loaded_these`.
    pub(super) fn load(&mut self) -> Option<Load> {
        if self.loading {
            return None;
        }
        let load = if !self.wanted.is_empty() && self.returned.len() < LOAD_JOBS {
            let count = self.wanted.len().min(LOAD_JOBS);
            Load::These(self.wanted.drain(..count).collect())
        } else if self.read_to < self.tail && self.head.len() < LOW_JOBS && self.head_bytes < LOW_BYTES {
            Load::Next { after: self.read_to, upto: self.tail, limit: self.head_room() }
        } else {
            return None;
        };
        self.loading = true;
        Some(load)
    }

    /// The next jobs of the line were loaded, and with them every job up to `read_to`.
    pub(super) fn loaded_next(&mut self, jobs: Vec<Waiting>, read_to: i64) {
        self.loading = false;
        self.read_to = read_to;
        jobs.into_iter().for_each(|job| self.push_head(job));
    }

    /// These jobs were loaded, as far as they still exist; the rest was not reached.
    pub(super) fn loaded_these(&mut self, jobs: Vec<Waiting>, missing: Vec<Known>, rest: Vec<Known>) {
        self.loading = false;
        self.stuck = false;
        self.returned.extend(jobs);
        rest.into_iter().rev().for_each(|job| self.wanted.push_front(job));
        for job in missing {
            self.change_hold(job.key, |hold| hold.back = hold.back.saturating_sub(1));
            self.settle(job.key);
        }
    }

    /// Loading failed; `these` are wanted again.
    pub(super) fn load_failed(&mut self, load: Load) {
        self.loading = false;
        if let Load::These(jobs) = load {
            jobs.into_iter().rev().for_each(|job| self.wanted.push_front(job));
        }
    }

    /// Nothing is set aside any more: the tier's order is `pass` from now on.
    pub(super) fn unpark(&mut self) {
        for (key, jobs) in std::mem::take(&mut self.parked) {
            let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
            self.change_hold(Some(key), |hold| hold.back = hold.back.saturating_add(count));
            self.wanted.extend(jobs.into_iter().map(|seq| Known { seq, key: Some(key) }));
        }
        self.parked_jobs = 0;
    }

    /// Whether a job in memory may be ready.
    pub(super) fn has_jobs(&self) -> bool {
        !(self.stuck || self.head.is_empty() && self.returned.is_empty())
    }

    /// Whether jobs are on their way from the disk.
    pub(super) const fn is_loading(&self) -> bool {
        self.loading
    }

    /// Whether no job waits its turn, in memory or on disk.
    pub(super) fn is_idle(&self) -> bool {
        let in_memory = self.head.len() + self.returned.len() + self.wanted.len();
        in_memory == 0 && !self.loading && self.read_to == self.tail
    }

    fn head_room(&self) -> usize {
        if self.head_bytes >= HEAD_BYTES { 0 } else { HEAD_JOBS.saturating_sub(self.head.len()) }
    }

    fn push_head(&mut self, job: Waiting) {
        self.stuck = false;
        self.head_bytes += job.record.len();
        self.head.push_back(job);
    }

    fn change_hold(&mut self, key: Option<KeyHash>, change: impl FnOnce(&mut Hold)) {
        if let Some(key) = key {
            change(self.holds.entry(key).or_default());
        }
    }

    /// Lifts a hold that nothing keeps any more and lets the next job of the key come.
    fn settle(&mut self, key: Option<KeyHash>) {
        self.stuck = false;
        let Some(key) = key else { return };
        let Some(hold) = self.holds.get_mut(&key).filter(|hold| **hold == Hold::default()) else { return };
        let parked = self.parked.get_mut(&key);
        let Some(seq) = parked.and_then(VecDeque::pop_front) else {
            self.holds.remove(&key);
            return;
        };
        hold.back = 1;
        self.parked_jobs = self.parked_jobs.saturating_sub(1);
        if self.parked.get(&key).is_some_and(VecDeque::is_empty) {
            self.parked.remove(&key);
        }
        self.wanted.push_back(Known { seq, key: Some(key) });
    }
}

/// Jobs of a tier kept ready in memory.
const HEAD_JOBS: usize = 4096;
/// Bytes of them; the last one may pass it.
const HEAD_BYTES: usize = 4 << 20;
/// Below these the head is filled up again from the disk.
const LOW_JOBS: usize = HEAD_JOBS / 2;
const LOW_BYTES: usize = HEAD_BYTES / 2;
/// Jobs loaded by their numbers at once.
const LOAD_JOBS: usize = 256;
/// How many blocked jobs are set aside while one behind them is sought (`ordering: block`).
const LOOK_AHEAD: usize = 10_000;

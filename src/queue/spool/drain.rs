//! The drain: moves spooled jobs to the backend, in their order, a chunk at a time.
//!
//! A chunk is leased from the file and held until the backend has it: a failure never costs an attempt. Each job is sent
//! under an idempotency key, so that a backend which has it already says so, after a cut or a crash.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use crate::domain::job::Job;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::Moment;
use crate::queue::Stored;
use crate::queue::embedded::lease::{Lease, LeaseRequest, LeaseToken, Nack};
use crate::queue::error::{QueueError, StoreError};
use crate::queue::spool::envelope;
use crate::queue::spool::shared::Shared;

/// Moves what is in the spool; the one that takes jobs out of it.
pub struct Drain {
    shared: Arc<Shared>,
    tiers: TierMap<Draining>,
}

/// What a step of the drain did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Jobs left the spool.
    Moved,
    /// There is nothing to move, or not now.
    Idle,
    /// The queue is closed.
    Closed,
}

/// One tier's.
#[derive(Debug, Default)]
struct Draining {
    /// Leased, not yet stored in the backend; in order.
    chunk: VecDeque<Held>,
    /// Of these the backend may have some: an answer was lost.
    unsure: usize,
    /// Stored in the backend, and the file could not take it in yet.
    finished: Vec<LeaseToken>,
    /// Jobs to send at once; fewer after one of them was too large for the backend.
    at_once: Option<usize>,
    /// After a failure: not before.
    rests_until: Moment,
    failures: u32,
    /// Since when jobs behind the last ones wait for them.
    holding_since: Option<Moment>,
    /// They are not asked to wait before.
    next_hold: Moment,
}

#[derive(Debug)]
struct Held {
    token: LeaseToken,
    job: Job,
}

impl Drain {
    pub(super) fn new(shared: Arc<Shared>) -> Drain {
        Drain { shared, tiers: TierMap::default() }
    }

    /// Moves some jobs of a tier on, if the backend is there and its depth stays below `limit`, of the room to which this
    /// gateway has this share.
    pub async fn step(&mut self, tier: Tier, limit: u64, share: f64) -> Step {
        let shared = Arc::clone(&self.shared);
        let _begun = shared.under_way.begin();
        if shared.is_closed() {
            return Step::Closed;
        }
        let now = shared.clock.now();
        self.end_long_holds(now);
        let draining = &mut self.tiers[tier];
        let away = shared.backend.outage(tier).is_some();
        let room = shared.lane(tier).room(limit, share);
        draining.tend_hold(&shared, tier, !away && room > 0, now);
        if away || now < draining.rests_until || !draining.finish(&shared).await {
            return Step::Idle;
        }
        draining.drop_expired(&shared, tier).await;
        if draining.chunk.is_empty() && !draining.lease(&shared, tier, room).await {
            return Step::Idle;
        }
        let step = draining.send(&shared, tier, room).await;
        draining.tend_hold(&shared, tier, true, shared.clock.now());
        step
    }

    /// Jobs of one tier do not wait longer because another one is worked off.
    fn end_long_holds(&mut self, now: Moment) {
        for (tier, draining) in self.tiers.iter_mut() {
            if draining.holding_since.is_some_and(|since| now.since(since) >= LONGEST_HOLD) {
                draining.tend_hold(&self.shared, tier, false, now);
            }
        }
    }
}

impl Draining {
    /// Takes jobs out of the file; false if there are none.
    async fn lease(&mut self, shared: &Shared, tier: Tier, room: u64) -> bool {
        let max = usize::try_from(room).unwrap_or(usize::MAX).min(CHUNK);
        if max == 0 || shared.in_file(tier) == 0 {
            return false;
        }
        let tiers = TierSet::only(tier);
        let request = LeaseRequest { max, period: FOR_EVER, wait: Duration::ZERO, tiers };
        let held = |Lease { token, mut job, .. }: Lease| {
            envelope::unseal(&mut job);
            Held { token, job }
        };
        match shared.file.lease(request).await {
            Ok(leases) => self.chunk.extend(leases.into_iter().map(held)),
            Err(QueueError::Closed) => {}
            Err(failure) => self.rest(shared.clock.now(), &failure),
        }
        !self.chunk.is_empty()
    }

    /// Sends the head of the chunk and waits what becomes of it.
    async fn send(&mut self, shared: &Shared, tier: Tier, room: u64) -> Step {
        // What the backend may have already takes no room.
        let room = usize::try_from(room).unwrap_or(usize::MAX).max(self.unsure);
        let count = self.head().min(room);
        if count == 0 {
            return Step::Idle;
        }
        let jobs: Vec<Job> = self.chunk.iter().take(count).map(|held| held.job.clone()).collect();
        shared.lane(tier).moved.on_the_way = count.max(self.unsure) as u64;
        let answer = match shared.backend.enqueue(tier, jobs) {
            Ok(storing) => storing.await,
            Err(error) => Err(error),
        };
        if answer == Err(StoreError::Unknown) {
            self.unsure = self.unsure.max(count);
        }
        match answer {
            Ok(stored) => {
                self.stored(shared, tier, count, &stored);
                self.finish(shared).await;
                return Step::Moved;
            }
            Err(StoreError::TooLarge { detail }) if count > 1 => {
                self.at_once = Some(count / 2);
                tracing::debug!(%tier, count, detail, "spooled jobs are too large together");
            }
            Err(StoreError::TooLarge { detail }) => self.bury(shared, tier, detail).await,
            Err(StoreError::Closed) => return Step::Closed,
            Err(failure) => self.rest(shared.clock.now(), &failure),
        }
        shared.lane(tier).moved.on_the_way = self.unsure as u64;
        Step::Idle
    }

    /// How many jobs of the chunk are sent together.
    fn head(&self) -> usize {
        let mut bytes = 0;
        let fitting = self.chunk.iter().take_while(|held| {
            let before = bytes;
            bytes += held.job.payload.len();
            before == 0 || bytes <= CHUNK_BYTES
        });
        fitting.count().min(self.at_once.unwrap_or(CHUNK)).max(1).min(self.chunk.len())
    }

    /// The backend has the head of the chunk, or had it before.
    fn stored(&mut self, shared: &Shared, tier: Tier, count: usize, stored: &Stored) {
        let head: Vec<Held> = self.chunk.drain(..count).collect();
        let (mut landed, mut dropped, mut duplicates) = (0, 0, 0);
        for known in &stored.known {
            let Some(held) = head.get(known.index) else { continue };
            if known.job.id != held.job.id {
                (dropped, duplicates) = (dropped + 1, duplicates + 1);
                warn!(%tier, id = %held.job.id, first = %known.job.id,
                    "a spooled job is dropped: another one was stored under its idempotency key meanwhile");
            } else if known.index < self.unsure {
                landed += 1;
            } else {
                dropped += 1;
            }
        }
        self.unsure = self.unsure.saturating_sub(count);
        (self.failures, self.at_once) = (0, None);
        let keys = {
            let jobs: Vec<Job> = head.iter().map(|held| held.job.clone()).collect();
            shared.hashes(&jobs)
        };
        let mut lane = shared.lane(tier);
        lane.moved.stored += (count as u64).saturating_sub(landed + dropped);
        lane.moved.landed += landed;
        lane.moved.dropped += dropped;
        lane.moved.on_the_way = self.unsure as u64;
        lane.duplicates += duplicates;
        lane.was_told(stored.depth);
        lane.leave(&keys);
        drop(lane);
        self.finished.extend(head.into_iter().map(|held| held.token));
    }

    /// Takes what is stored out of the file; false while that fails.
    async fn finish(&mut self, shared: &Shared) -> bool {
        if self.finished.is_empty() {
            return true;
        }
        match shared.file.ack(self.finished.clone()).await {
            Ok(_) => self.finished.clear(),
            Err(failure) => self.rest(shared.clock.now(), &failure),
        }
        self.finished.is_empty()
    }

    /// Jobs that expired while they were held are dropped as the file drops those it holds.
    async fn drop_expired(&mut self, shared: &Shared, tier: Tier) {
        let now = shared.clock.wall();
        let is_past = |held: &Held| held.job.expires_at.is_some_and(|expires_at| expires_at <= now);
        // The backend may have what is unsure: whoever works it off finds out.
        let from = self.unsure.min(self.chunk.len());
        if !self.chunk.iter().skip(from).any(is_past) {
            return;
        }
        let rest = self.chunk.split_off(from);
        let (past, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_past);
        self.chunk.extend(rest);
        let tokens = past.iter().map(|held| held.token).collect();
        let jobs: Vec<Job> = past.into_iter().map(|held| held.job).collect();
        if let Err(failure) = shared.file.nack(tokens, Nack::default()).await {
            self.rest(shared.clock.now(), &failure);
        }
        shared.lane(tier).leave(&shared.hashes(&jobs));
    }

    /// Moves the head of the chunk, which the backend will never take, to the spool's dead letters.
    async fn bury(&mut self, shared: &Shared, tier: Tier, detail: String) {
        let Some(held) = self.chunk.pop_front() else { return };
        error!(%tier, id = %held.job.id, detail, "the backend does not take a spooled job: it goes to the dead letters");
        shared.lane(tier).leave(&shared.hashes(std::slice::from_ref(&held.job)));
        let nack = Nack { dead: true, reason: Some(detail), ..Nack::default() };
        if let Err(failure) = shared.file.nack(vec![held.token], nack).await {
            self.rest(shared.clock.now(), &failure);
        }
    }

    /// Lets the tier rest after a failure, longer after each.
    fn rest(&mut self, now: Moment, failure: &impl fmt::Display) {
        let pause = (FIRST_REST * 2_u32.saturating_pow(self.failures)).min(LONGEST_REST);
        if self.failures == 0 {
            warn!(error = %failure, "spooled jobs cannot be moved on now");
        }
        self.failures = self.failures.saturating_add(1).min(16);
        self.rests_until = now.plus(pause);
    }

    /// While few jobs are left, those behind them wait in memory for the moment that they take. Else the spool of a key
    /// under which jobs keep coming would never be empty: each would find another one before it.
    fn tend_hold(&mut self, shared: &Arc<Shared>, tier: Tier, moving: bool, now: Moment) {
        let mut lane = shared.lane(tier);
        // Asked with the lane in hand: nothing comes in between.
        let in_file = shared.in_file(tier);
        let empty = lane.settle(in_file);
        if lane.holds() {
            let in_time = self.holding_since.is_some_and(|since| now.since(since) < LONGEST_HOLD);
            if empty || !moving || !in_time {
                drop(lane);
                self.holding_since = None;
                self.next_hold = now.plus(BETWEEN_HOLDS);
                shared.release_held(tier, empty && moving);
            }
        } else if !empty && moving && now >= self.next_hold && lane.spooled(in_file) <= CHUNK as u64 {
            lane.begin_hold();
            self.holding_since = Some(now);
        }
    }
}

/// Jobs taken out at once, and sent at once.
const CHUNK: usize = 256;

/// Payload bytes sent at once; the last job may pass it.
const CHUNK_BYTES: usize = 1 << 20;

/// A lease of the drain ends with the process.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const FIRST_REST: Duration = Duration::from_millis(50);
/// A backend that is away says when it is back; this is for one that refuses some jobs only.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Jobs behind the last spooled ones wait no longer for them: they are stored in a few milliseconds, or not at all.
const LONGEST_HOLD: Duration = Duration::from_millis(500);
/// After jobs were held in vain the next ones go on at once for a while.
const BETWEEN_HOLDS: Duration = Duration::from_secs(1);

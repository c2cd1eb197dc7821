//! What waits for the writer: one bounded line of appends per tier, orders, and one signal for all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::queue::StoringAnswer;
use crate::queue::dead_letter::{PurgeResult, ReplayResult};
use crate::queue::embedded::record::Encoded;
use crate::queue::error::{QueueError, StoreError};

/// Jobs of one tier to be stored, all or none.
#[derive(Debug)]
pub(super) struct Append {
    /// Their tier.
    pub tier: Tier,
    /// The jobs.
    pub jobs: Vec<Encoded>,
    /// Bytes of their records.
    pub bytes: usize,
    /// Whom to tell.
    pub answer: StoringAnswer,
}

/// Something the writer is asked to do beside appending.
#[derive(Debug)]
pub(super) enum Order {
    /// Bring every lease change so far to disk.
    Flush(oneshot::Sender<Result<(), QueueError>>),
    /// Move dead letters back into their queues.
    Replay(Vec<JobId>, oneshot::Sender<Result<Vec<ReplayResult>, QueueError>>),
    /// Delete dead letters.
    Purge(Vec<JobId>, oneshot::Sender<Result<Vec<PurgeResult>, QueueError>>),
    /// Do something to the writer's connection: how tests make a disk fail.
    #[cfg(test)]
    Tamper(Tampering),
}

/// What a test does to the writer's connection.
#[cfg(test)]
pub(super) struct Tampering(pub Box<dyn FnOnce(&rusqlite::Connection) + Send>);

#[cfg(test)]
impl std::fmt::Debug for Tampering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tampering")
    }
}

impl Order {
    /// Whether it can be followed on a full disk.
    pub(super) const fn frees_space(&self) -> bool {
        matches!(self, Order::Flush(_) | Order::Purge(..))
    }
}

/// What the writer took out at once.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// To store, most important tier first.
    pub appends: Vec<Append>,
    /// To do.
    pub orders: Vec<Order>,
    /// The queue is closing and nothing is left here.
    pub last: bool,
}

/// The writer's inbox.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    inner: Mutex<Inner>,
    signal: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    lines: TierMap<AppendLine>,
    orders: VecDeque<Order>,
    /// Lease changes wait to be stored.
    changes: bool,
    /// The writer has to look at its timers again.
    poked: bool,
    /// The writer waits to be woken.
    writer_sleeps: bool,
    closed: bool,
    outage: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct AppendLine {
    appends: VecDeque<Append>,
    jobs: usize,
    bytes: usize,
}

impl Inbox {
    /// Hands jobs over.
    pub(super) fn append(&self, append: Append) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.admits()?;
        let line = &mut inner.lines[append.tier];
        let (jobs, bytes) = (line.jobs + append.jobs.len(), line.bytes + append.bytes);
        if !line.appends.is_empty() && (jobs > MAX_WAITING_JOBS || bytes > MAX_WAITING_BYTES) {
            return Err(StoreError::Overloaded);
        }
        (line.jobs, line.bytes) = (jobs, bytes);
        line.appends.push_back(append);
        self.wake_writer(inner);
        Ok(())
    }

    /// Hands an order over.
    pub(super) fn order(&self, order: Order) -> Result<(), QueueError> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(QueueError::Closed);
        }
        if inner.orders.len() >= MAX_ORDERS {
            return Err(QueueError::Unavailable { detail: "too many requests for dead letters".into() });
        }
        inner.orders.push_back(order);
        self.wake_writer(inner);
        Ok(())
    }

    /// Says that lease changes wait.
    pub(super) fn changes_wait(&self) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.changes, true) {
            self.wake_writer(inner);
        }
    }

    /// Makes the writer look at its timers again.
    pub(super) fn poke(&self) {
        let mut inner = self.lock();
        inner.poked = true;
        self.wake_writer(inner);
    }

    /// From now on nothing is handed over; what is here is still worked off.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.wake_writer(inner);
    }

    /// While there is an outage, jobs are refused at the door.
    pub(super) fn set_outage(&self, outage: Option<&str>) {
        self.lock().outage = outage.map(Arc::from);
    }

    /// Why jobs are refused at the door, while they are; also once the writer died.
    pub(super) fn outage(&self) -> Option<Arc<str>> {
        self.lock().outage.clone()
    }

    /// Throws everything out: whoever waits learns that the writer is gone.
    pub(super) fn abandon(&self) {
        let mut inner = self.lock();
        let outage = inner.outage.take();
        *inner = Inner { closed: true, outage, ..Inner::default() };
    }

    /// Waits for work, at most `patience`, and takes what fits one transaction. Lease changes alone wait for
    /// [`CHANGES_LINGER`], so that they can ride with an append.
    pub(super) fn take(&self, patience: Duration) -> Work {
        let mut inner = self.lock();
        let mut patience = patience;
        while !(inner.has_work() || std::mem::take(&mut inner.poked)) {
            if inner.changes {
                patience = patience.min(CHANGES_LINGER);
            }
            inner.writer_sleeps = true;
            let (woken, waited) =
                self.signal.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
            inner = woken;
            inner.writer_sleeps = false;
            if waited.timed_out() {
                break;
            }
        }
        inner.changes = false;
        inner.take_work()
    }

    /// A signal is a system call, even where nobody waits for it: one for every append would cost more than the
    /// append.
    fn wake_writer(&self, mut inner: MutexGuard<'_, Inner>) {
        let sleeps = std::mem::take(&mut inner.writer_sleeps);
        drop(inner);
        if sleeps {
            self.signal.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn admits(&self) -> Result<(), StoreError> {
        match &self.outage {
            Some(detail) => Err(StoreError::Unavailable { detail: detail.as_ref().to_owned() }),
            None if self.closed => Err(StoreError::Closed),
            None => Ok(()),
        }
    }

    fn has_work(&self) -> bool {
        self.closed || !self.orders.is_empty() || self.lines.iter().any(|(_, line)| !line.appends.is_empty())
    }

    fn take_work(&mut self) -> Work {
        let mut work = Work::default();
        let (mut jobs, mut bytes) = (0, 0);
        for (_, line) in self.lines.iter_mut() {
            while let Some(append) = line.appends.pop_front_if(|append| {
                jobs == 0 || (jobs + append.jobs.len() <= BATCH_JOBS && bytes + append.bytes <= BATCH_BYTES)
            }) {
                line.jobs = line.jobs.saturating_sub(append.jobs.len());
                line.bytes = line.bytes.saturating_sub(append.bytes);
                jobs += append.jobs.len();
                bytes += append.bytes;
                work.appends.push(append);
            }
        }
        work.orders = self.orders.drain(..).collect();
        work.last = self.closed && work.appends.is_empty() && work.orders.is_empty();
        work
    }
}

/// Jobs of one tier that may wait for the writer: a quarter of a second's work.
const MAX_WAITING_JOBS: usize = 32_768;
/// Bytes of them: four of the largest batches.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Orders that may wait.
const MAX_ORDERS: usize = 256;
/// One transaction takes about this much, so that bulk never stands long before a critical job.
const BATCH_JOBS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;
/// How long lease changes wait for an append to ride with.
const CHANGES_LINGER: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::queue::Storing;

    fn append(tier: Tier, jobs: usize, bytes: usize) -> (Append, Storing) {
        let (answer, storing) = Storing::channel();
        let job =
            Encoded { record: Bytes::from(vec![0; bytes / jobs]), key: None, expires_at: None, keyed: None };
        (Append { tier, jobs: vec![job; jobs], bytes, answer }, storing)
    }

    fn tiers(work: &Work) -> Vec<Tier> {
        work.appends.iter().map(|append| append.tier).collect()
    }

    #[test]
    fn critical_appends_go_first_and_bulk_fills_what_is_left_of_a_transaction() {
        let inbox = Inbox::default();
        for (tier, jobs) in [(Tier::P2, 600), (Tier::P2, 600), (Tier::P0, 1), (Tier::P1, 300)] {
            inbox.append(append(tier, jobs, jobs).0).unwrap();
        }
        assert_eq!(tiers(&inbox.take(Duration::ZERO)), [Tier::P0, Tier::P1, Tier::P2]);
        assert_eq!(tiers(&inbox.take(Duration::ZERO)), [Tier::P2]);
        assert_eq!(tiers(&inbox.take(Duration::ZERO)), []);
    }

    #[test]
    fn an_append_larger_than_a_transaction_goes_alone() {
        let inbox = Inbox::default();
        inbox.append(append(Tier::P2, 16, 16 << 20).0).unwrap();
        inbox.append(append(Tier::P2, 1, 1).0).unwrap();
        assert_eq!(tiers(&inbox.take(Duration::ZERO)), [Tier::P2]);
        assert_eq!(tiers(&inbox.take(Duration::ZERO)), [Tier::P2]);
    }

    #[test]
    fn a_tier_that_is_full_refuses_and_the_others_do_not() {
        let inbox = Inbox::default();
        inbox.append(append(Tier::P2, MAX_WAITING_JOBS, MAX_WAITING_JOBS).0).unwrap();
        assert_eq!(inbox.append(append(Tier::P2, 1, 1).0), Err(StoreError::Overloaded));
        inbox.append(append(Tier::P1, 1, MAX_WAITING_BYTES).0).unwrap();
        assert_eq!(inbox.append(append(Tier::P1, 1, 1).0), Err(StoreError::Overloaded));
        assert_eq!(inbox.append(append(Tier::P0, 1, 1).0), Ok(()));
        while !inbox.take(Duration::ZERO).appends.is_empty() {}
        assert_eq!(inbox.append(append(Tier::P2, 1, 1).0), Ok(()));
    }

    #[test]
    fn a_closed_inbox_is_worked_off_to_the_end() {
        let inbox = Inbox::default();
        inbox.append(append(Tier::P0, 1, 1).0).unwrap();
        inbox.close();
        assert_eq!(inbox.append(append(Tier::P0, 1, 1).0), Err(StoreError::Closed));
        let work = inbox.take(Duration::MAX);
        assert_eq!((work.appends.len(), work.last), (1, false));
        assert!(inbox.take(Duration::MAX).last);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_writer_that_is_gone_learns_that_nothing_is_known() {
        let inbox = Inbox::default();
        let (waiting, storing) = append(Tier::P0, 1, 1);
        inbox.append(waiting).unwrap();
        inbox.abandon();
        assert_eq!(storing.await, Err(StoreError::Unknown));
        assert_eq!(inbox.append(append(Tier::P0, 1, 1).0), Err(StoreError::Closed));
    }
}

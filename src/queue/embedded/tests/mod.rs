//! What the embedded queue promises beyond the contract that every backend passes (`tests/queue_contract`).

mod damage;
mod dead_letters;
mod expiry;
mod faults;
mod files;
mod keys;
mod leases;
mod oracle;
mod ordering;
mod shares;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::inbox::{Order, Tampering};
use super::lease::{Lease, LeaseRequest, LeaseStatus, LeaseToken, Nack};
use super::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
use super::*;
use crate::clock::{Clock, ClockHand};
use crate::domain::tier::TierSet;
use crate::policy::{Ordering, RetryPolicy};
use crate::queue::keys::KeySettings;
use crate::random;

/// A folder, a clock moved by hand and the rules for queues of a test.
struct Rig {
    folder: TempDir,
    clock: Clock,
    hand: ClockHand,
    rules: TierMap<TierRules>,
    max_bytes: u64,
    keys: KeySettings,
}

impl Rig {
    /// Three attempts, 1 s then 2 s apart; shares 60 to 30 to 10.
    fn new(ordering: Ordering) -> Rig {
        let (clock, hand) = Clock::by_hand();
        let retry = RetryPolicy {
            attempts: 3,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
        };
        let weights = [60, 30, 10];
        let rules = TierMap::from_fn(|tier| TierRules {
            weight: weights[usize::from(tier.number())],
            retry,
            ordering,
        });
        Rig {
            folder: tempfile::tempdir().unwrap(),
            clock,
            hand,
            rules,
            max_bytes: 1 << 30,
            keys: KeySettings::default(),
        }
    }

    fn settings(&self) -> EmbeddedSettings {
        EmbeddedSettings {
            path: self.folder.path().join("queue.db"),
            durability: EmbeddedDurability::Relaxed,
            max_bytes: self.max_bytes,
            keys: self.keys,
        }
    }

    fn open(&self) -> EmbeddedQueue {
        let open = || EmbeddedQueue::open(&self.settings(), self.rules, self.clock);
        // A program that another test starts has our files, and their locks, from its fork to its exec.
        let in_use = |opened: &Result<_, _>| matches!(opened, Err(OpenError::InUse { .. }));
        let freed = (0..100_000).map(|_| open()).find(|opened| {
            thread::yield_now();
            !in_use(opened)
        });
        freed.expect("the file is free again").unwrap()
    }

    fn job(&self, tier: Tier, payload: &str) -> Job {
        let accepted_at = self.clock.wall();
        Job {
            id: random::job_id(accepted_at),
            tier,
            tenant: Arc::from("anonymous"),
            job_type: Some("order".into()),
            ordering_key: None,
            content_type: None,
            accepted_at,
            expires_at: None,
            headers: Vec::new(),
            keyed: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        }
    }

    /// A job whose payload starts with its ordering key.
    fn keyed(&self, payload: &str) -> Job {
        let key = payload.get(..1).map(Box::from);
        Job { ordering_key: key, ..self.job(Tier::P1, payload) }
    }
}

const PERIOD: Duration = Duration::from_secs(30);

fn request(max: usize) -> LeaseRequest {
    let tiers = Tier::ALL.into_iter().fold(TierSet::EMPTY, TierSet::with);
    LeaseRequest { max, period: PERIOD, wait: Duration::ZERO, tiers }
}

async fn store(queue: &EmbeddedQueue, jobs: Vec<Job>) {
    let tier = jobs[0].tier;
    queue.enqueue(tier, jobs).unwrap().await.unwrap();
}

async fn lease(queue: &EmbeddedQueue, max: usize) -> Vec<Lease> {
    queue.lease(request(max)).await.unwrap()
}

/// Leases one job; `None` if there is none.
async fn lease_one(queue: &EmbeddedQueue) -> Option<Lease> {
    lease(queue, 1).await.pop()
}

async fn nack(queue: &EmbeddedQueue, lease: &Lease, nack: Nack) {
    assert_eq!(queue.nack(vec![lease.token], nack).await.unwrap(), [LeaseStatus::Ok]);
    flush(queue).await;
}

async fn ack(queue: &EmbeddedQueue, lease: &Lease) {
    assert_eq!(queue.ack(vec![lease.token]).await.unwrap(), [LeaseStatus::Ok]);
}

/// Lets the writer store the lease changes so far and look at its timers.
async fn flush(queue: &EmbeddedQueue) {
    queue.order(Order::Flush).await.unwrap();
}

fn payloads(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(payload).collect()
}

fn payload(lease: &Lease) -> &str {
    std::str::from_utf8(&lease.job.payload).unwrap()
}

fn tamper(queue: &EmbeddedQueue, act: impl FnOnce(&rusqlite::Connection) + Send + 'static) {
    queue.shared.inbox.order(Order::Tamper(Tampering(Box::new(act)))).unwrap();
}

impl EmbeddedQueue {
    /// Makes the disk read-only, or lets it be written again: for queues that have one inside.
    pub(in crate::queue) fn make_read_only(&self, read_only: bool) {
        tamper(self, move |db| db.execute_batch(&format!("PRAGMA query_only = {read_only}")).unwrap());
    }
}

/// The identity that holds at every instant.
fn assert_balanced(queue: &EmbeddedQueue) {
    for (tier, totals) in queue.totals().iter() {
        let came = totals.recovered + totals.stored + totals.dead_at_start;
        let is = totals.waiting + totals.leased + totals.done + totals.expired + totals.dead + totals.purged;
        assert_eq!(came, is, "{tier}: {totals:?}");
    }
}

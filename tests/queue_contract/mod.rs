//! What every queue promises, whatever keeps it: each backend's tests run every one of these functions.
//!
//! A backend brings a [`Backend`]: how to open its queue (again, on the same storage) and how a worker takes, finishes
//! and gives up jobs. Everything else is asked through `Arc<dyn JobQueue>`, as the gateway asks.

pub mod remote;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tidegate::clock::Clock;
use tidegate::domain::backlog::Reading;
use tidegate::domain::idempotency::{Fingerprint, Key, Keyed};
use tidegate::domain::job::{Job, JobId};
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::dead_letter::{DeadLetterQuery, PurgeResult, ReplayResult};
use tidegate::queue::error::StoreError;
use tidegate::queue::{JobQueue, Storing};
use tidegate::random;

/// A queue under test, with a worker.
pub trait Backend {
    /// The queue with what its worker needs; closing and opening it again finds the same storage.
    type Queue;

    /// Whether the backend itself knows which jobs are in a worker's hands.
    const LEASES: bool = true;

    /// Opens the storage, empty the first time.
    fn open(&self) -> impl Future<Output = Self::Queue>;

    /// The queue as the gateway sees it.
    fn queue(queue: &Self::Queue) -> Arc<dyn JobQueue>;

    /// Takes up to `max` jobs of a tier, waiting a moment for the first.
    fn take(queue: &Self::Queue, tier: Tier, max: usize) -> impl Future<Output = Vec<Taken>>;

    /// Finishes a job.
    fn finish(queue: &Self::Queue, taken: Taken) -> impl Future<Output = ()>;

    /// Gives a job up for good.
    fn give_up(queue: &Self::Queue, taken: Taken, reason: &str) -> impl Future<Output = ()>;
}

/// A job in a worker's hands.
pub struct Taken {
    /// The job.
    pub job: Job,
    /// Which attempt it is.
    pub attempt: u32,
    /// How the backend knows it.
    pub handle: u128,
}

/// A job with every field filled, accepted now.
pub fn job(tier: Tier, payload: &str) -> Job {
    let accepted_at = Clock::start().wall();
    Job {
        id: random::job_id(accepted_at),
        tier,
        tenant: "acme".into(),
        job_type: Some("order".into()),
        ordering_key: Some("customer 7".into()),
        content_type: Some("application/json".into()),
        accepted_at,
        expires_at: None,
        headers: vec![(
            "traceparent".into(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        )],
        keyed: None,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

fn jobs(tier: Tier, count: usize) -> Vec<Job> {
    (0..count).map(|number| job(tier, &number.to_string())).collect()
}

async fn store(queue: &dyn JobQueue, jobs: Vec<Job>) {
    let tier = jobs[0].tier;
    queue.enqueue(tier, jobs).unwrap().await.unwrap();
}

async fn reading(queue: &dyn JobQueue, tier: Tier) -> Reading {
    queue.backlog().await[tier].clone().unwrap()
}

fn assert_balanced(queue: &dyn JobQueue) {
    for (tier, totals) in queue.totals().iter() {
        let came = totals.recovered + totals.stored + totals.dead_at_start;
        let is = totals.waiting + totals.leased + totals.done + totals.expired + totals.dead + totals.purged;
        assert_eq!(came, is, "{tier}: {totals:?}");
    }
}

async fn take_all<B: Backend>(queue: &B::Queue, tier: Tier, count: usize) -> Vec<Taken> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let more = B::take(queue, tier, count - taken.len()).await;
        assert!(!more.is_empty(), "only {} of {count} jobs came", taken.len());
        taken.extend(more);
    }
    taken
}

/// Every field of a job reaches the worker, in order of acceptance, as a first attempt.
pub async fn jobs_reach_workers_whole_and_in_order<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    for tier in Tier::ALL {
        let sent = jobs(tier, 250);
        for batch in sent.chunks(100) {
            store(&*queue, batch.to_vec()).await;
        }
        let taken = take_all::<B>(&opened, tier, sent.len()).await;
        assert!(taken.iter().all(|taken| taken.attempt == 1));
        assert!(taken.iter().map(|taken| &taken.job).eq(&sent), "{tier}");
    }
}

/// A receipt says the durability and the depth just after.
pub async fn a_receipt_says_durability_and_depth<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let first = queue.enqueue(Tier::P1, jobs(Tier::P1, 3)).unwrap().await.unwrap();
    assert_eq!((first.durability, first.depth), (queue.durability(Tier::P1), 3));
    let second = queue.enqueue(Tier::P1, jobs(Tier::P1, 2)).unwrap().await.unwrap();
    assert_eq!(second.depth, 5);
    assert_eq!(queue.enqueue(Tier::P0, jobs(Tier::P0, 1)).unwrap().await.unwrap().depth, 1);
}

/// Depth and flows follow storing, taking, finishing and dying.
pub async fn the_backlog_follows_every_job<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    assert_eq!(reading(&*queue, Tier::P2).await.backlog.oldest_age, None);
    store(&*queue, jobs(Tier::P2, 10)).await;
    let full = reading(&*queue, Tier::P2).await;
    assert_eq!((full.backlog.waiting, full.backlog.leased, full.flows.stored), (10, 0, 10));
    assert!(full.backlog.oldest_age.is_some() && full.backlog.p99_age <= full.backlog.oldest_age);
    let mut taken = take_all::<B>(&opened, Tier::P2, 4).await;
    let out = reading(&*queue, Tier::P2).await.backlog;
    let leased = if B::LEASES { 4 } else { 0 };
    assert_eq!((out.waiting, out.leased, out.depth()), (10 - leased, leased, 10));
    B::give_up(&opened, taken.pop().unwrap(), "broken").await;
    for taken in taken {
        B::finish(&opened, taken).await;
    }
    let after = reading(&*queue, Tier::P2).await;
    assert_eq!((after.backlog.depth(), after.flows.dead), (6, 1));
    assert!(after.taken >= full.taken);
    assert_eq!(reading(&*queue, Tier::P0).await.backlog.depth(), 0, "tiers do not mix");
    assert_balanced(&*queue);
}

/// What was stored and not finished is there after a restart, once.
pub async fn a_restart_loses_nothing_and_invents_nothing<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let sent = jobs(Tier::P1, 20);
    store(&*B::queue(&opened), sent.clone()).await;
    for taken in take_all::<B>(&opened, Tier::P1, 5).await {
        B::finish(&opened, taken).await;
    }
    take_all::<B>(&opened, Tier::P1, 5).await;
    B::queue(&opened).close().await;
    drop(opened);
    let opened = backend.open().await;
    assert_eq!(reading(&*B::queue(&opened), Tier::P1).await.backlog.depth(), 15);
    let taken = take_all::<B>(&opened, Tier::P1, 15).await;
    let found: HashSet<JobId> = taken.iter().map(|taken| taken.job.id).collect();
    assert_eq!(found, sent[5..].iter().map(|job| job.id).collect());
    assert_balanced(&*B::queue(&opened));
}

/// Closing stores what was handed over; later nothing is taken, and closing twice is closing once.
pub async fn closing_stores_what_was_handed_over<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let storing: Vec<Storing> =
        (0..30).map(|_| queue.enqueue(Tier::P2, jobs(Tier::P2, 10)).unwrap()).collect();
    queue.close().await;
    for storing in storing {
        storing.await.unwrap();
    }
    queue.close().await;
    assert!(matches!(queue.enqueue(Tier::P2, jobs(Tier::P2, 1)), Err(StoreError::Closed)));
    drop((queue, opened));
    let opened = backend.open().await;
    assert_eq!(reading(&*B::queue(&opened), Tier::P2).await.backlog.waiting, 300);
}

/// Nobody has to wait for the answer for a job to be stored.
pub async fn jobs_are_stored_though_nobody_waits<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    drop(queue.enqueue(Tier::P0, jobs(Tier::P0, 2)).unwrap());
    assert_eq!(take_all::<B>(&opened, Tier::P0, 2).await.len(), 2);
}

/// A dead letter is listed, shown, replayed with its id and payload, and purged for good.
pub async fn dead_letters_are_kept_until_somebody_decides<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    // Those that die within one millisecond may be listed by their ids.
    let mut sent = jobs(Tier::P1, 3);
    sent.sort_by_key(|job| job.id.to_string());
    store(&*queue, sent.clone()).await;
    for taken in take_all::<B>(&opened, Tier::P1, 3).await {
        B::give_up(&opened, taken, "no such customer").await;
    }
    let query = DeadLetterQuery { tier: None, limit: 2, after: None };
    let first = queue.dead_letters(query.clone()).await.unwrap();
    let second = queue.dead_letters(DeadLetterQuery { after: first.next.clone(), ..query }).await.unwrap();
    let listed = first.dead_letters.iter().chain(&second.dead_letters).map(|letter| letter.id);
    assert!(listed.eq(sent.iter().map(|job| job.id)));
    assert_eq!((first.dead_letters.len(), second.next), (2, None));
    let letter = queue.dead_letter(sent[0].id).await.unwrap().unwrap();
    assert_eq!((&letter.job, letter.death.attempts), (&sent[0], 1));
    assert_eq!(letter.death.reason, "no such customer");

    let unknown = random::job_id(Clock::start().wall());
    let replayed = queue.replay(vec![sent[1].id, unknown]).await.unwrap();
    assert_eq!(replayed, [ReplayResult::Replayed, ReplayResult::Unknown]);
    let after = reading(&*queue, Tier::P1).await;
    assert_eq!((after.backlog.waiting, after.flows.replayed), (1, 1));
    let again = take_all::<B>(&opened, Tier::P1, 1).await;
    assert_eq!((&again[0].job, again[0].attempt), (&sent[1], 1));

    assert_eq!(
        queue.purge(vec![sent[0].id, unknown]).await.unwrap(),
        [PurgeResult::Purged, PurgeResult::Unknown]
    );
    assert_eq!(queue.dead_letter(sent[0].id).await.unwrap(), None);
    assert_eq!(reading(&*queue, Tier::P1).await.backlog.depth(), 1, "a purge does not touch the depth");
    assert_balanced(&*queue);
}

/// A job is known by its idempotency key from its receipt on, when it is done too, also after a restart.
pub async fn a_job_is_known_by_its_key<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let key = |text: &str| Key::of("acme", "/v1/jobs", text).unwrap();
    let keyed = |text: &str| Keyed { key: key(text), fingerprint: Fingerprint::of([text.as_bytes()]) };
    let named = |text: &str| Job { keyed: Some(keyed(text)), ..job(Tier::P1, text) };
    let sent = vec![named("a"), job(Tier::P1, "without"), named("b")];
    assert_eq!(queue.job_of_key(key("a")).await, Ok(None));
    store(&*queue, sent.clone()).await;
    for taken in take_all::<B>(&opened, Tier::P1, 3).await {
        assert_eq!(taken.job.keyed, None, "a key is the client's, not the worker's");
        B::finish(&opened, taken).await;
    }
    let knows_both = async |queue: &dyn JobQueue| {
        for (text, sent) in [("a", &sent[0]), ("b", &sent[2])] {
            let known = queue.job_of_key(key(text)).await.unwrap().unwrap();
            assert_eq!((known.id, known.tier), (sent.id, Tier::P1));
            assert_eq!(known.fingerprint, keyed(text).fingerprint);
        }
        assert_eq!(queue.job_of_key(key("c")).await, Ok(None));
        assert_eq!(queue.key_index().keys, 2);
    };
    knows_both(&*queue).await;
    queue.close().await;
    drop((queue, opened));
    let opened = backend.open().await;
    knows_both(&*B::queue(&opened)).await;
}

/// Jobs of one ordering key are handed out in the order in which they were confirmed, whoever else stores meanwhile.
pub async fn jobs_of_one_key_keep_their_order<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for number in (0..60).step_by(3) {
                    let own = |number: u32| Job {
                        ordering_key: Some(format!("caller {caller}").into()),
                        ..job(Tier::P2, &number.to_string())
                    };
                    store(&*queue, vec![own(number)]).await;
                    store(&*queue, vec![own(number + 1), own(number + 2)]).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let taken = take_all::<B>(&opened, Tier::P2, 16 * 60).await;
    for caller in 0..16 {
        let key = format!("caller {caller}");
        let own = taken.iter().filter(|taken| taken.job.ordering_key.as_deref() == Some(&key));
        assert!(
            own.map(|taken| taken.job.payload.to_vec())
                .eq((0..60).map(|number| number.to_string().into_bytes())),
            "{key}"
        );
    }
}

/// A call's jobs are stored together, however many they are and whoever else stores meanwhile.
pub async fn a_batch_is_stored_whole<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let batches: Vec<Vec<Job>> = (0..4).map(|_| jobs(Tier::P1, 600)).collect();
    let storing: Vec<Storing> =
        batches.iter().map(|batch| queue.enqueue(Tier::P1, batch.clone()).unwrap()).collect();
    for (storing, depth) in storing.into_iter().zip([600, 1200, 1800, 2400]) {
        assert_eq!(storing.await.unwrap().depth, depth);
    }
    let taken = take_all::<B>(&opened, Tier::P1, 2400).await;
    assert!(taken.iter().map(|taken| taken.job.id).eq(batches.iter().flatten().map(|job| job.id)));
}

/// Many callers at once: every receipt is a stored job, and depths given in receipts never repeat.
pub async fn many_callers_at_once_get_true_receipts<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut depths = Vec::new();
                for _ in 0..25 {
                    depths.push(queue.enqueue(Tier::P0, jobs(Tier::P0, 1)).unwrap().await.unwrap().depth);
                }
                depths
            })
        })
        .collect();
    let mut depths = Vec::new();
    for caller in callers {
        depths.extend(caller.await.unwrap());
    }
    depths.sort_unstable();
    assert!(depths.into_iter().eq(1..=1000));
    let taken = take_all::<B>(&opened, Tier::P0, 1000).await;
    assert_eq!(taken.iter().map(|taken| taken.job.id).collect::<HashSet<_>>().len(), 1000);
}

/// Totals of every tier that saw nothing are zero.
pub async fn an_empty_queue_counts_nothing<B: Backend>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    assert_eq!(queue.totals(), TierMap::default());
    assert_eq!(queue.check_own_disk(), Ok(()));
    assert_eq!(
        queue.dead_letters(DeadLetterQuery { limit: 10, ..Default::default() }).await.unwrap().next,
        None
    );
}

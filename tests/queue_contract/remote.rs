//! What a queue promises whose backend is another process: it may die, hang, come back and be full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::domain::idempotency::{Fingerprint, Key, Keyed};
use tidegate::domain::job::{Job, JobId};
use tidegate::domain::tier::Tier;
use tidegate::queue::error::StoreError;
use tidegate::queue::{JobQueue, Stored};

use super::{Backend, job, jobs, reading, store, take_all};

/// A backend beyond the process.
pub trait Remote: Backend {
    /// Whether it keeps the idempotency keys, too: then they cannot be asked for while it is away.
    const KEYS_WITH_JOBS: bool = true;

    /// It dies; what it answered is on its disk.
    fn die(&self) -> impl Future<Output = ()>;

    /// It is there again, with what was on its disk.
    fn revive(&self) -> impl Future<Output = ()>;

    /// It stands still: connections stay open, nothing is answered.
    fn hang(&self) -> impl Future<Output = ()>;

    /// It goes on where it stood.
    fn go_on(&self) -> impl Future<Output = ()>;

    /// It takes no jobs any more for want of room.
    fn fill(&self) -> impl Future<Output = ()>;

    /// There is room again.
    fn make_room(&self) -> impl Future<Output = ()>;

    /// It closes every connection, in the middle of whatever is on its way.
    fn cut(&self) -> impl Future<Output = ()>;
}

/// Waits until the queue knows that its backend is away, or is there, for every tier.
async fn until_away(queue: &dyn JobQueue, away: bool) {
    let started = Instant::now();
    while Tier::ALL.into_iter().any(|tier| queue.outage(tier).is_some() != away) {
        assert!(started.elapsed() < PATIENCE, "waited in vain for outage = {away}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn keyed(text: &str, job: Job) -> Job {
    let key = Key::of("acme", "/v1/jobs", text).unwrap();
    Job { keyed: Some(Keyed { key, fingerprint: Fingerprint::of([text.as_bytes()]) }), ..job }
}

async fn try_store(queue: &dyn JobQueue, jobs: Vec<Job>) -> Result<Stored, StoreError> {
    let tier = jobs[0].tier;
    queue.enqueue(tier, jobs)?.await
}

/// While the backend is away jobs are refused at once and nothing is told of it; what was stored before is there after.
pub async fn a_backend_that_died_refuses_at_once_and_comes_back<B: Remote>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    store(&*queue, jobs(Tier::P1, 10)).await;
    let died = Instant::now();
    backend.die().await;
    until_away(&*queue, true).await;
    assert!(died.elapsed() < Duration::from_secs(5), "{:?}", died.elapsed());
    for tier in Tier::ALL {
        let refused = Instant::now();
        let error = try_store(&*queue, jobs(tier, 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert!(refused.elapsed() < Duration::from_millis(200), "nobody waits for a probe");
    }
    assert!(queue.backlog().await.iter().all(|(_, reading)| reading.is_err()), "no zero in its place");
    let asked = queue.job_of_key(Key::of("acme", "/v1/jobs", "k").unwrap()).await;
    assert_eq!(asked.is_err(), B::KEYS_WITH_JOBS, "{asked:?}");
    let outage = queue.outage(Tier::P1).unwrap();
    assert!(!outage.detail.is_empty() && outage.next_try < Duration::from_secs(4));

    backend.revive().await;
    until_away(&*queue, false).await;
    store(&*queue, jobs(Tier::P1, 5)).await;
    let after = reading(&*queue, Tier::P1).await;
    assert_eq!((after.backlog.depth(), after.flows.stored), (15, 15));
    drop((queue, opened));
    let opened = backend.open().await;
    assert_eq!(take_all::<B>(&opened, Tier::P1, 15).await.len(), 15);
}

/// What was sent to a backend that hangs may be stored or not; it is said so in bounded time, and what comes after is
/// refused.
pub async fn what_a_hanging_backend_was_sent_is_unknown<B: Remote>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    store(&*queue, jobs(Tier::P1, 1)).await;
    backend.hang().await;
    let hung = Instant::now();
    assert_eq!(try_store(&*queue, jobs(Tier::P1, 2)).await, Err(StoreError::Unknown));
    assert!(hung.elapsed() < Duration::from_secs(5), "{:?}", hung.elapsed());
    until_away(&*queue, true).await;
    assert!(matches!(try_store(&*queue, jobs(Tier::P1, 1)).await, Err(StoreError::Unavailable { .. })));
    backend.go_on().await;
    until_away(&*queue, false).await;
    store(&*queue, jobs(Tier::P1, 1)).await;
    let depth = reading(&*queue, Tier::P1).await.backlog.depth();
    assert!(depth == 2 || depth == 4, "all of a call or none: {depth}");
}

/// A job with an idempotency key whose sending was cut is settled when the backend is back: stored once.
pub async fn a_key_settles_what_a_cut_left_open<B: Remote>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    backend.hang().await;
    let sent = vec![keyed("a", job(Tier::P1, "a")), keyed("b", job(Tier::P1, "b"))];
    let storing = queue.enqueue(Tier::P1, sent.clone()).unwrap();
    until_away(&*queue, true).await;
    backend.go_on().await;
    let stored = storing.await.unwrap();
    assert_eq!(stored.known, []);
    let taken = take_all::<B>(&opened, Tier::P1, 2).await;
    assert!(taken.iter().map(|taken| taken.job.id).eq(sent.iter().map(|job| job.id)));
    assert_eq!(reading(&*queue, Tier::P1).await.backlog.depth(), 2, "once");
}

/// A full backend refuses; what it refused is not stored; it takes jobs again unaided.
pub async fn a_full_backend_refuses_and_takes_jobs_again<B: Remote>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    store(&*queue, jobs(Tier::P2, 3)).await;
    backend.fill().await;
    for sent in [jobs(Tier::P2, 1), jobs(Tier::P2, 7), vec![keyed("k", job(Tier::P2, "k"))]] {
        let error = try_store(&*queue, sent).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. } | StoreError::Full { .. }), "{error:?}");
    }
    backend.make_room().await;
    until_away(&*queue, false).await;
    assert_eq!(queue.job_of_key(Key::of("acme", "/v1/jobs", "k").unwrap()).await, Ok(None));
    store(&*queue, jobs(Tier::P2, 2)).await;
    assert_eq!(reading(&*queue, Tier::P2).await.backlog.depth(), 5);
}

/// Connections cut under load: what was confirmed is there once, what was refused is not, and order is kept.
pub async fn cuts_under_load_leave_receipts_true<B: Remote>(backend: &B) {
    let opened = backend.open().await;
    let queue = B::queue(&opened);
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { send_through_cuts(&*queue, sender).await })
        })
        .collect();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        backend.cut().await;
    }
    let (mut confirmed, mut refused, mut open) = (Vec::new(), Vec::new(), 0);
    for sender in senders {
        let sent = sender.await.unwrap();
        for (id, outcome) in sent {
            match outcome {
                Ok(_) => confirmed.push(id),
                Err(StoreError::Unknown) => open += 1,
                Err(_) => refused.push(id),
            }
        }
    }
    until_away(&*queue, false).await;
    let depth = usize::try_from(reading(&*queue, Tier::P1).await.backlog.depth()).unwrap();
    assert!((confirmed.len()..=confirmed.len() + open).contains(&depth), "{depth} of {}", confirmed.len());
    let taken = take_all::<B>(&opened, Tier::P1, depth).await;
    let mut found: Vec<JobId> = taken.iter().map(|taken| taken.job.id).collect();
    found.sort_unstable();
    let all = found.len();
    found.dedup();
    assert_eq!(found.len(), all, "no job twice");
    assert!(confirmed.iter().all(|id| found.binary_search(id).is_ok()), "nothing confirmed is missing");
    assert!(refused.iter().all(|id| found.binary_search(id).is_err()), "nothing refused was stored");
    for sender in 0..8 {
        let key = format!("sender {sender}");
        let own = taken.iter().filter(|taken| taken.job.ordering_key.as_deref() == Some(&key));
        let numbers: Vec<u32> =
            own.map(|taken| std::str::from_utf8(&taken.job.payload).unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
}

/// Sends jobs one after the other, every second one with an idempotency key; what became of each.
async fn send_through_cuts(queue: &dyn JobQueue, sender: usize) -> Vec<(JobId, Result<Stored, StoreError>)> {
    let started = Instant::now();
    let mut sent = Vec::new();
    for number in 0.. {
        if started.elapsed() > Duration::from_secs(1) {
            break;
        }
        let plain = Job {
            ordering_key: Some(format!("sender {sender}").into()),
            ..job(Tier::P1, &number.to_string())
        };
        let job = if number % 2 == 0 { plain } else { keyed(&format!("{sender}-{number}"), plain) };
        let (id, has_key) = (job.id, job.keyed.is_some());
        let outcome = try_store(queue, vec![job]).await;
        assert!(!has_key || outcome != Err(StoreError::Unknown), "a key settles what a cut left open");
        let refused = matches!(outcome, Err(StoreError::Unavailable { .. }));
        sent.push((id, outcome));
        if refused {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    sent
}

/// Two gateways of one backend: a key that one stored under is known to the other, and storing says so.
pub async fn a_key_is_known_to_every_gateway<B: Remote>(backend: &B) {
    let (one, other) = (backend.open().await, backend.open().await);
    let (one, other) = (B::queue(&one), B::queue(&other));
    assert!(one.tells_known_jobs());
    let first = keyed("k", job(Tier::P1, "k"));
    store(&*one, vec![first.clone()]).await;
    let again = keyed("k", job(Tier::P1, "k"));
    let mixed = vec![keyed("new", job(Tier::P1, "n")), again.clone(), job(Tier::P1, "without")];
    let stored = try_store(&*other, mixed).await.unwrap();
    let known: Vec<_> = stored.known.iter().map(|known| (known.index, known.job.id)).collect();
    assert_eq!(known, [(1, first.id)]);
    assert_eq!(stored.known[0].job.fingerprint, again.keyed.unwrap().fingerprint);
    let twice = vec![keyed("t", job(Tier::P1, "1")), keyed("t", job(Tier::P1, "2"))];
    assert_eq!(try_store(&*one, twice.clone()).await.unwrap().known[0].job.id, twice[0].id);
    assert_eq!(reading(&*one, Tier::P1).await.backlog.depth(), 4);
    assert_eq!(other.job_of_key(twice[0].keyed.unwrap().key).await.unwrap().unwrap().id, twice[0].id);
}

/// Longer than anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

//! What the embedded queue stores and hands out per second, and how fast it reopens: `cargo bench --bench store`.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::clock::Clock;
use tidegate::domain::idempotency::{Fingerprint, Key, Keyed};
use tidegate::domain::job::Job;
use tidegate::domain::tier::{Tier, TierMap, TierSet};
use tidegate::policy::{Ordering, RetryPolicy};
use tidegate::queue::JobQueue;
use tidegate::queue::embedded::EmbeddedQueue;
use tidegate::queue::embedded::lease::LeaseRequest;
use tidegate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
use tidegate::queue::keys::KeySettings;
use tidegate::random;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    println!("{:<48} {:>12}", "payload 256 B", "per second");
    line("the disk alone: 8 KiB written and synced", syncs(folder.path())?);
    for (durability, word) in [(EmbeddedDurability::Disk, "disk"), (EmbeddedDurability::Relaxed, "relaxed")] {
        let queue = Arc::new(open(&folder.path().join(format!("single-{word}.db")), durability)?);
        line(&format!("{word}: jobs, 64 single enqueues in flight"), runtime.block_on(singles(&queue, job))?);
        let queue = Arc::new(open(&folder.path().join(format!("keyed-{word}.db")), durability)?);
        line(&format!("{word}: the same under idempotency keys"), runtime.block_on(singles(&queue, keyed))?);
        let queue = Arc::new(open(&folder.path().join(format!("batch-{word}.db")), durability)?);
        line(&format!("{word}: jobs, 4 batches of 1,000 in flight"), runtime.block_on(batches(&queue))?);
        line(&format!("{word}: jobs leased and acknowledged by 1,000"), runtime.block_on(drain(&queue))?);
    }
    reopen(&runtime, &folder.path().join("backlog.db"), job)?;
    reopen(&runtime, &folder.path().join("keys.db"), keyed)
}

/// One task per enqueue in flight: each sends its next job when the last one is stored.
async fn singles(queue: &Arc<EmbeddedQueue>, make: fn() -> Job) -> Outcome<f64> {
    let started = Instant::now();
    let senders: Vec<_> = (0..64)
        .map(|_| {
            let queue = Arc::clone(queue);
            tokio::spawn(async move {
                let mut stored = 0_u64;
                while started.elapsed() < RUN {
                    queue.enqueue(Tier::P1, vec![make()])?.await?;
                    stored += 1;
                }
                Outcome::Ok(stored)
            })
        })
        .collect();
    rate(senders, started).await
}

async fn batches(queue: &Arc<EmbeddedQueue>) -> Outcome<f64> {
    let batch: Arc<Vec<Job>> = Arc::new((0..1000).map(|_| job()).collect());
    let started = Instant::now();
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let (queue, batch) = (Arc::clone(queue), Arc::clone(&batch));
            tokio::spawn(async move {
                let mut stored = 0_u64;
                while started.elapsed() < RUN {
                    queue.enqueue(Tier::P1, batch.to_vec())?.await?;
                    stored += 1000;
                }
                Outcome::Ok(stored)
            })
        })
        .collect();
    rate(senders, started).await
}

async fn rate(senders: Vec<tokio::task::JoinHandle<Outcome<u64>>>, started: Instant) -> Outcome<f64> {
    let mut stored = 0;
    for sender in senders {
        stored += sender.await??;
    }
    Ok(stored as f64 / started.elapsed().as_secs_f64())
}

async fn drain(queue: &EmbeddedQueue) -> Outcome<f64> {
    let started = Instant::now();
    let mut drained = 0;
    while started.elapsed() < RUN {
        let leases = queue.lease(everything()).await?;
        if leases.is_empty() {
            break;
        }
        drained += leases.len();
        queue.ack(leases.iter().map(|lease| lease.token).collect()).await?;
    }
    Ok(drained as f64 / started.elapsed().as_secs_f64())
}

fn reopen(runtime: &tokio::runtime::Runtime, path: &Path, make: fn() -> Job) -> Outcome<()> {
    let queue = open(path, EmbeddedDurability::Relaxed)?;
    runtime.block_on(async {
        for _ in 0..1000 {
            let batch = (0..1000).map(|_| make()).collect();
            queue.enqueue(Tier::P2, batch)?.await?;
        }
        Outcome::Ok(())
    })?;
    drop(queue);
    let before = resident_kib()?;
    let started = Instant::now();
    let queue = open(path, EmbeddedDurability::Disk)?;
    let opened = started.elapsed();
    let leases = runtime.block_on(queue.lease(everything()))?;
    let found = queue.totals()[Tier::P2].recovered;
    println!();
    let (mib, keys) = (fs::metadata(path)?.len() >> 20, queue.key_index().keys);
    println!("a backlog of {found} jobs with {keys} idempotency keys ({mib} MiB): open {opened:.1?}");
    println!("  first {} leases after {:.1?}", leases.len(), started.elapsed());
    println!("  memory {before} KiB before, {} KiB after", resident_kib()?);
    Ok(())
}

fn syncs(folder: &Path) -> Outcome<f64> {
    let mut file = File::create(folder.join("sync"))?;
    let started = Instant::now();
    let mut synced = 0;
    while started.elapsed() < RUN / 3 {
        file.write_all(&[7; 8192])?;
        file.sync_data()?;
        synced += 1;
    }
    Ok(f64::from(synced) / started.elapsed().as_secs_f64())
}

fn open(path: &Path, durability: EmbeddedDurability) -> Outcome<EmbeddedQueue> {
    let settings = EmbeddedSettings {
        path: path.to_owned(),
        durability,
        max_bytes: 20 << 30,
        keys: KeySettings::default(),
    };
    let retry =
        RetryPolicy { attempts: 3, backoff: Duration::from_secs(1), max_backoff: Duration::from_secs(60) };
    let rules = TierMap::from_fn(|_| TierRules { weight: 1, retry, ordering: Ordering::Pass });
    Ok(EmbeddedQueue::open(&settings, rules, Clock::start())?)
}

fn job() -> Job {
    let accepted_at = Clock::start().wall();
    Job {
        id: random::job_id(accepted_at),
        tier: Tier::P1,
        tenant: "anonymous".into(),
        job_type: Some("order".into()),
        ordering_key: None,
        content_type: Some("application/json".into()),
        accepted_at,
        expires_at: None,
        headers: Vec::new(),
        keyed: None,
        payload: Bytes::from_static(&[b'x'; 256]),
    }
}

/// A job under a key of its own.
fn keyed() -> Job {
    let job = job();
    let fingerprint = Fingerprint([7; 16]);
    let key = Key::of("anonymous", "/v1/jobs", &job.id.to_string());
    Job { keyed: key.ok().map(|key| Keyed { key, fingerprint }), ..job }
}

fn everything() -> LeaseRequest {
    let tiers = Tier::ALL.into_iter().fold(TierSet::EMPTY, TierSet::with);
    LeaseRequest { max: 1000, period: Duration::from_secs(30), wait: Duration::ZERO, tiers }
}

fn resident_kib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(kib.and_then(|kib| kib.split_whitespace().next()).unwrap_or("0").parse()?)
}

fn line(what: &str, per_second: f64) {
    println!("{what:<48} {per_second:>12.0}");
}

/// How long each line is measured.
const RUN: Duration = Duration::from_secs(3);

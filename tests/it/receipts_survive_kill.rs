//! Receipts are true: whatever was answered 202 is there after `kill -9`, and nothing else is.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{Leased, NDJSON, type_of};
use crate::support::policy::Policy;

#[tokio::test]
async fn no_receipt_is_lost_and_nothing_is_invented_over_ten_kills() {
    rounds(Setup::with(&Policy::calm()), "disk", 10, 20_261_121).await;
}

#[tokio::test]
async fn relaxed_durability_survives_kills_too() {
    rounds(Setup::with(&Policy::calm()).set("embedded.durability", "relaxed"), "memory", 4, 7).await;
}

/// Load, `kill -9` at a random moment, restart, drain: again and again on the same data.
async fn rounds(setup: Setup, durability: &'static str, rounds: u32, seed: u64) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut gateway = setup.start().await;
    let mut book = Book::default();
    let mut receipts = 0;
    for round in 0..rounds {
        let moment = Duration::from_millis(random.random_range(60..600));
        let killed = load_until_killed(&gateway, &mut book, durability, moment).await;
        gateway.kill();
        gateway.restart().await;

        let recovered = gateway.metrics().await.count("tidegate_jobs_recovered_total", &[]);
        let drained = gateway.drain().await;
        println!(
            "round {round}: killed after {moment:?}, {} receipts, {} drained",
            book.receipts.len(),
            drained.len()
        );
        assert_eq!(recovered, drained.len() as u64, "what was found at start is what can be drained");
        book.check(&drained, killed);
        receipts += book.receipts.len();
        book.close(drained);
    }
    assert!(
        receipts > 50 * rounds as usize,
        "only {receipts} receipts: the load was too thin to prove anything"
    );
    gateway.finish().await;
}

/// What the clients and the worker know of the current round, and the ids of earlier ones.
#[derive(Default)]
struct Book {
    next: AtomicU64,
    /// Payload of every job sent in this round; a receipt or a refusal may not have come back.
    sent: HashSet<String>,
    /// Payload by id, of every 202 that came back.
    receipts: HashMap<String, String>,
    /// Payload by id of what the worker was handed before the kill.
    leased: HashMap<String, String>,
    /// What the worker asked to be done with; the answer may not have come back.
    ack_sent: HashSet<String>,
    /// When the worker was told that its ack is done.
    acked: HashMap<String, Instant>,
    /// Everything finished in earlier rounds.
    finished: HashSet<String>,
}

impl Book {
    /// A payload that no other job has, of a type that picks its tier.
    fn payload(&self) -> String {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        json!({ "type": type_of(["p0", "p1", "p2"][n as usize % 3]), "n": n }).to_string()
    }

    fn check(&self, drained: &[Leased], killed: Instant) {
        let mut once = HashSet::new();
        let mut ids_by_payload: HashMap<&str, &str> = HashMap::new();
        for (id, payload) in &self.leased {
            ids_by_payload.insert(payload, id);
        }
        for job in drained {
            assert!(once.insert(job.id.as_str()), "handed out twice after the restart: {job:?}");
            assert!(self.sent.contains(job.text()), "nobody sent this: {job:?}");
            assert!(!self.finished.contains(&job.id), "it was done in an earlier round: {job:?}");
            if let Some(payload) = self.receipts.get(&job.id) {
                assert_eq!(job.text(), payload, "another payload than its receipt's");
            }
            let id = ids_by_payload.insert(job.text(), &job.id);
            assert!(id.is_none_or(|id| id == job.id), "stored twice: {job:?}");
            // An ack that had no time to reach the disk may be lost; one that had may not.
            let acked = self.acked.get(&job.id).map(|at| killed.saturating_duration_since(*at));
            assert!(
                acked.is_none_or(|before| before < ACK_MAY_BE_LOST),
                "acked {acked:?} before the kill: {job:?}"
            );
        }
        let seen = |id: &String| once.contains(id.as_str()) || self.leased.contains_key(id);
        let lost: Vec<&String> = self.receipts.keys().filter(|id| !seen(id)).collect();
        assert!(lost.is_empty(), "{} of {} receipts are lost: {lost:?}", lost.len(), self.receipts.len());
        let unfinished = |id: &String| once.contains(id.as_str()) || self.ack_sent.contains(id);
        let dropped: Vec<&String> = self.receipts.keys().filter(|id| !unfinished(id)).collect();
        assert!(dropped.is_empty(), "leased, never acked, and gone: {dropped:?}");
        for (id, payload) in &self.receipts {
            let other = ids_by_payload.get(payload.as_str());
            assert!(
                other.is_some_and(|other| other == id),
                "{payload} has id {other:?}, its receipt says {id}"
            );
        }
    }

    fn close(&mut self, drained: Vec<Leased>) {
        self.finished.extend(drained.into_iter().map(|job| job.id));
        self.finished.extend(self.acked.drain().map(|(id, _)| id));
        self.sent.clear();
        self.receipts.clear();
        self.leased.clear();
        self.ack_sent.clear();
    }
}

/// Clients of single jobs and of batches and one worker, all at once, until `kill -9` cuts them off; what had
/// been answered by then they still read. Returns the time of the kill.
async fn load_until_killed(
    gateway: &Gateway,
    book: &mut Book,
    durability: &str,
    moment: Duration,
) -> Instant {
    let shared = Mutex::new(std::mem::take(book));
    let singles = async || {
        loop {
            let payload = note_sent(&shared, 1).remove(0);
            let Ok(answer) = gateway.try_post(&payload, &[]).await else { return };
            let receipt = answer.receipt();
            assert_eq!(receipt.durability, durability);
            shared.lock().unwrap().receipts.insert(receipt.id, payload);
        }
    };
    let batches = async || {
        loop {
            let payloads = note_sent(&shared, 25);
            let Ok(answer) = gateway.try_batch(NDJSON, payloads.join("\n"), &[]).await else { return };
            assert_eq!(answer.status, 202, "{answer:?}");
            let document = answer.json();
            let ids = document["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned());
            shared.lock().unwrap().receipts.extend(ids.zip(payloads));
        }
    };
    let worker = async || {
        loop {
            let lease = json!({ "max": 10, "wait_seconds": 1 });
            let Ok(answer) = gateway.ingest.post("/v1/leases").json(&lease).try_send().await else { return };
            let jobs = crate::support::jobs::leased(&answer);
            let known = jobs.iter().map(|job| (job.id.clone(), job.text().to_owned()));
            shared.lock().unwrap().leased.extend(known);
            // Every other handful is done, the rest stays with a worker that never answers.
            if jobs.len().is_multiple_of(2) {
                let leases: Vec<&str> = jobs.iter().map(|job| job.lease.as_str()).collect();
                let ack = json!({ "leases": leases });
                shared.lock().unwrap().ack_sent.extend(jobs.iter().map(|job| job.id.clone()));
                let Ok(answer) = gateway.ingest.post("/v1/leases/ack").json(&ack).try_send().await else {
                    return;
                };
                assert_eq!(answer.status, 200, "{answer:?}");
                let now = Instant::now();
                shared.lock().unwrap().acked.extend(jobs.into_iter().map(|job| (job.id, now)));
            }
        }
    };
    let kill = async {
        tokio::time::sleep(moment).await;
        let now = Instant::now();
        gateway.signal("KILL");
        now
    };
    let singles = async { tokio::join!(singles(), singles(), singles(), singles()) };
    let batches = async { tokio::join!(batches(), batches()) };
    let (killed, ..) = tokio::join!(kill, singles, batches, worker());
    *book = shared.into_inner().unwrap();
    killed
}

fn note_sent(shared: &Mutex<Book>, count: usize) -> Vec<String> {
    let mut book = shared.lock().unwrap();
    let payloads: Vec<String> = (0..count).map(|_| book.payload()).collect();
    book.sent.extend(payloads.iter().cloned());
    payloads
}

/// Acks ride in the next transaction, 50 ms later at most; the rest is for a busy disk.
const ACK_MAY_BE_LOST: Duration = Duration::from_secs(1);

//! What clients sent and what they were told of every job, to be held against what the workers got.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::answer::Answer;
use super::gateway::Gateway;
use super::jobs::{NDJSON, type_of};
use super::redis_worker::Taken;

/// Every job sent, by its payload, which no other job has.
#[derive(Debug, Default)]
pub struct Book {
    fates: Mutex<HashMap<String, Fate>>,
    /// Jobs of which a client once heard that nobody knows, whatever it heard when it sent them again.
    once_open: Mutex<HashSet<String>>,
    slowest: Mutex<Duration>,
    over: AtomicBool,
}

/// What a client knows of its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// 202 with this id.
    Stored(String),
    /// A refusal that said `not_stored`.
    NotStored,
    /// `unknown`, or no answer at all.
    Unknown,
}

/// Clients at work: single jobs, batches, and jobs with a key that are sent again until they are stored.
#[derive(Debug)]
pub struct Load {
    book: Arc<Book>,
    clients: JoinSet<()>,
}

/// How many jobs met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    pub stored: usize,
    pub not_stored: usize,
    pub unknown: usize,
}

impl Book {
    pub fn new() -> Arc<Book> {
        Arc::default()
    }

    /// Sends one job without a key.
    pub async fn single(&self, gateway: &Gateway, tier: &str) -> Answer {
        let payload = self.payload(tier);
        let answer = gateway.post(&payload, &[("tidegate-type", type_of(tier))]).await;
        self.note(payload, &answer);
        answer
    }

    /// Sends one job under a key again and again until it is stored, or the load is over; each time it is the same job.
    pub async fn keyed(&self, gateway: &Gateway, tier: &str) {
        let payload = self.payload(tier);
        loop {
            let answer = gateway.post(&payload, &[("idempotency-key", &payload_key(&payload))]).await;
            self.see(&answer);
            match answer.status {
                202 => return self.set(payload, Fate::Stored(answer.receipt().id)),
                // The first request's fate is still open.
                409 => self.set(payload.clone(), Fate::Unknown),
                _ => {
                    let unknown = answer.any_problem().outcome != "not_stored";
                    if unknown {
                        self.once_open.lock().unwrap().insert(payload.clone());
                    }
                    let was_unknown = self.fate(&payload) == Some(Fate::Unknown);
                    let fate = if unknown || was_unknown { Fate::Unknown } else { Fate::NotStored };
                    self.set(payload.clone(), fate);
                }
            }
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(AFTER_REFUSAL).await;
        }
    }

    /// Sends a batch of so many jobs of all tiers.
    pub async fn batch(&self, gateway: &Gateway, jobs: usize) -> Answer {
        let payloads: Vec<String> = (0..jobs).map(|number| self.payload(TIERS[number % 3])).collect();
        let answer = gateway.batch(NDJSON, payloads.join("\n"), &[]).await;
        self.see(&answer);
        let document = answer.json();
        let Some(items) = document["items"].as_array() else {
            // Refused as a whole, before any of it was read.
            let fate = fate_of(&document["outcome"]);
            return payloads.into_iter().fold(answer, |answer, payload| {
                self.set(payload, fate.clone());
                answer
            });
        };
        for (index, payload) in payloads.into_iter().enumerate() {
            let item = items.iter().find(|item| item["index"] == index);
            let fate = match item.map(|item| item["status"].as_u64().expect("a status")) {
                Some(202) => Fate::Stored(item.unwrap()["id"].as_str().expect("an id").into()),
                Some(504) => Fate::Unknown,
                _ => Fate::NotStored,
            };
            self.set(payload, fate);
        }
        answer
    }

    /// The longest that any client waited.
    pub fn slowest(&self) -> Duration {
        *self.slowest.lock().unwrap()
    }

    pub fn fates(&self) -> Fates {
        let mut fates = Fates::default();
        for fate in self.fates.lock().unwrap().values() {
            match fate {
                Fate::Stored(_) => fates.stored += 1,
                Fate::NotStored => fates.not_stored += 1,
                Fate::Unknown => fates.unknown += 1,
            }
        }
        fates
    }

    /// Holds what the workers got against what the clients were told: whatever was answered 202 is there, once, under the
    /// id that the receipt says; what was said not to be stored is not there; what is unknown is there at most once.
    #[track_caller]
    pub fn check(&self, taken: &[Taken]) {
        let fates = self.fates.lock().unwrap();
        let mut ids: HashMap<&str, &str> = HashMap::new();
        let mut once = HashSet::new();
        for job in taken {
            let fate = fates.get(job.text()).unwrap_or_else(|| panic!("nobody sent this: {job:?}"));
            let copies = || taken.iter().filter(|other| other.id() == job.id()).collect::<Vec<_>>();
            assert!(once.insert(job.id()), "handed out twice: {:?}, its client: {fate:?}", copies());
            assert_eq!(ids.insert(job.text(), job.id()), None, "stored twice under two ids: {job:?}");
            assert_ne!(*fate, Fate::NotStored, "its client was told that it is not stored: {job:?}");
        }
        let stored = fates.iter().filter_map(|(payload, fate)| match fate {
            Fate::Stored(id) => Some((payload.as_str(), id.as_str())),
            _ => None,
        });
        let lost: Vec<_> = stored.filter(|(payload, id)| ids.get(payload) != Some(id)).collect();
        let shown = &lost[..lost.len().min(5)];
        assert!(lost.is_empty(), "{} receipts without their job: {shown:?}", lost.len());
    }

    /// As [`Book::check`], on a backend that cannot be asked what it has: a job whose client once heard that nobody knows may be
    /// there again, under the same id.
    #[track_caller]
    pub fn check_but_open_ones(&self, mut taken: Vec<Taken>) {
        let once_open = self.once_open.lock().unwrap();
        let mut seen = HashSet::new();
        taken.retain(|job| seen.insert(job.id().to_owned()) || !once_open.contains(job.text()));
        self.check(&taken);
    }

    /// A payload that no other job has, of a type that picks its tier.
    fn payload(&self, tier: &str) -> String {
        // Over all books of the process: keys are made of payloads, and live longer than a book.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let payload = json!({ "type": type_of(tier), "n": number }).to_string();
        self.set(payload.clone(), Fate::Unknown);
        payload
    }

    fn note(&self, payload: String, answer: &Answer) {
        self.see(answer);
        let fate = match answer.status {
            202 => Fate::Stored(answer.receipt().id),
            _ => fate_of(&answer.any_problem().document["outcome"]),
        };
        self.set(payload, fate);
    }

    fn see(&self, answer: &Answer) {
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = answer.took.max(*slowest);
    }

    fn set(&self, payload: String, fate: Fate) {
        self.fates.lock().unwrap().insert(payload, fate);
    }

    fn fate(&self, payload: &str) -> Option<Fate> {
        self.fates.lock().unwrap().get(payload).cloned()
    }
}

impl Load {
    /// Starts clients of every kind; they go on until they are told to stop.
    pub fn start(gateway: &Arc<Gateway>, book: &Arc<Book>) -> Load {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (gateway, book) = (gateway.clone(), book.clone());
            clients.spawn(async move {
                for round in number.. {
                    if book.over.load(Ordering::Relaxed) {
                        return;
                    }
                    let before = book.fates().stored;
                    match number % 4 {
                        0 => drop(book.batch(&gateway, 20).await),
                        1 => book.keyed(&gateway, TIERS[round % 3]).await,
                        _ => drop(book.single(&gateway, TIERS[round % 3]).await),
                    }
                    if book.fates().stored == before {
                        tokio::time::sleep(AFTER_REFUSAL).await;
                    }
                }
            });
        }
        Load { book: book.clone(), clients }
    }

    /// Lets every client finish what it is at.
    pub async fn stop(mut self) {
        self.book.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
    }
}

fn fate_of(outcome: &serde_json::Value) -> Fate {
    match outcome.as_str() {
        Some("not_stored") => Fate::NotStored,
        Some("unknown") => Fate::Unknown,
        other => panic!("an outcome of {other:?}"),
    }
}

fn payload_key(payload: &str) -> String {
    payload.chars().filter(char::is_ascii_alphanumeric).collect()
}

const TIERS: [&str; 3] = ["p0", "p1", "p2"];

/// A quarter of them sends batches, a quarter keys, the rest single jobs.
const CLIENTS: usize = 8;

/// A client that was refused waits a moment: the machine is also the server's.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);

#[test]
fn what_clients_were_told_and_workers_did_not_get_is_found() {
    let taken = |id: &str, payload: &str| Taken {
        entry: String::new(),
        fields: [("id".to_owned(), id.to_owned())].into(),
        body: payload.into(),
    };
    let book = |fate: Fate| {
        let book = Book::default();
        book.set("a".into(), fate);
        book
    };
    let stored = || book(Fate::Stored("1".into()));
    stored().check(&[taken("1", "a")]);
    book(Fate::Unknown).check(&[taken("7", "a")]);
    book(Fate::Unknown).check(&[]);
    book(Fate::NotStored).check(&[]);
    let twice = || vec![taken("1", "a"), taken("1", "a")];
    let open = stored();
    open.once_open.lock().unwrap().insert("a".into());
    open.check_but_open_ones(twice());
    let never_open = std::panic::AssertUnwindSafe(|| stored().check_but_open_ones(twice()));
    assert!(
        std::panic::catch_unwind(never_open).is_err(),
        "twice, and its client never heard that nobody knows"
    );
    for (book, taken) in [
        (stored(), vec![]),
        (stored(), vec![taken("2", "a")]),
        (stored(), vec![taken("1", "a"), taken("1", "a")]),
        (book(Fate::Unknown), vec![taken("1", "a"), taken("2", "a")]),
        (book(Fate::NotStored), vec![taken("1", "a")]),
        (stored(), vec![taken("1", "a"), taken("2", "nobody sent this")]),
    ] {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| book.check(&taken)));
        assert!(checked.is_err(), "{taken:?} passes");
    }
}

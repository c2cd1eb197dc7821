//! The spool before a real Kafka: outages, kills in the midst of them, and what consumers then find.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{BROKER_BACK, Place};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::type_of;
use crate::support::kafka::Kafka;
use crate::support::kafka_client::{Record, read_all};
use crate::support::kafka_worker::{Running, Worker};
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_with_kills_in_it_loses_no_receipt_and_keeps_the_order_of_each_key() {
    play(Duration::from_secs(12), true).await;
}

/// As operators would play it; too long for every run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes"]
async fn an_outage_of_a_minute_at_rated_load_loses_no_receipt() {
    play(Duration::from_secs(60), false).await;
}

#[tokio::test]
async fn a_tier_that_does_not_spool_is_told_to_wait_and_critical_work_is_not_behind_bulk() {
    let mut kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 1, &[]).await;
    let policy = policy().tier("p2", "spool", "true").tier("p1", "spool", "false");
    let gateway = spooling(&place, &kafka, policy).start().await;
    gateway.accept("p1", "before").await;
    kafka.kill();
    // What was on its way when Kafka died is unknown; from then on bulk is spooled.
    let large = "x".repeat(10_000);
    let mut bulk = 0;
    until("bulk is spooled", Duration::from_secs(10), async || {
        let answer = gateway.post(&large, &[("tidegate-type", type_of("p2"))]).await;
        (answer.status == 202).then(|| assert_eq!(answer.receipt().durability, "spooled"))
    })
    .await;
    while bulk < 500 {
        assert_eq!(gateway.accept("p2", &large).await.durability, "spooled");
        bulk += 1;
    }
    let critical = gateway.accept("p0", "critical").await;
    assert_eq!(critical.durability, "spooled");
    let answer = gateway.post("standard", &[("tidegate-type", type_of("p1"))]).await;
    let problem = answer.problem(503, "backend_unavailable");
    assert_eq!(problem.outcome, "not_stored");
    assert!(problem.retry_after.is_some() && answer.took < Duration::from_secs(1), "{answer:?}");
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200);
    kafka.restart().await;
    empties(&gateway, "p0").await;
    let records = read_all(&kafka, &place.topic(0)).await;
    assert_eq!(records.iter().filter(|record| record.id() == critical.id).count(), 1);
    empties(&gateway, "p2").await;
    assert!(read_all(&kafka, &place.topic(2)).await.len() > bulk);
    until("p1 is taken again", BROKER_BACK, async || {
        let answer = gateway.post("late", &[("tidegate-type", type_of("p1"))]).await;
        (answer.status == 202).then_some(())
    })
    .await;
    gateway.finish_after_outage().await;
}

/// What clients of one play know.
#[derive(Default)]
struct Book {
    /// Id by payload, in order of the receipts.
    receipts: Mutex<Vec<(String, String)>>,
    /// Payloads of receipts that said `spooled`, and of answers that left it open: the gateway may have sent them twice.
    maybe_twice: Mutex<HashSet<String>>,
    spooled: Mutex<usize>,
    refused: Mutex<usize>,
    over: AtomicBool,
}

/// Clients of one key each go on while Kafka dies and comes back; with `kills` the gateway dies in the outage and again while
/// it empties the spool.
async fn play(outage: Duration, kills: bool) {
    let mut kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 2, &[]).await;
    let policy = policy().tier("p1", "target", "{ depth: 4000 }");
    let mut gateway = spooling(&place, &kafka, policy).start().await;
    let book = Book::default();
    load(&gateway, &book, Duration::from_secs(2)).await;
    kafka.kill();
    if kills {
        load_until_killed(&mut gateway, &book, outage / 2).await;
        load(&gateway, &book, outage / 2).await;
    } else {
        load(&gateway, &book, outage).await;
    }
    let waiting = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
    println!("{waiting} in the spool after {outage:?}, {} receipts", book.receipts.lock().unwrap().len());
    assert!(waiting > 1_000, "only {waiting} in the spool");
    kafka.restart().await;
    let worker = Worker::new(&kafka, &place.topic(1)).group(place.group()).start();
    if kills {
        let spooled = async || gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
        until("some came out of the spool", BROKER_BACK, async || {
            (spooled().await < waiting * 9 / 10).then_some(())
        })
        .await;
        println!("killed with {} left", spooled().await);
        gateway.kill();
        gateway.restart().await;
    }
    let rest = async {
        let started = Instant::now();
        empties(&gateway, "p1").await;
        println!("emptied in {:?} more", started.elapsed());
        book.over.store(true, Ordering::Relaxed);
    };
    tokio::join!(rest, load(&gateway, &book, Duration::from_secs(600)));
    book.over.store(false, Ordering::Relaxed);
    load(&gateway, &book, Duration::from_secs(1)).await;
    let found = all_of(&kafka, &place, worker).await;
    book.check(&found, kills);
    gateway.finish_after_outage().await;
}

/// Waits until the worker has everything that is in the topic; what lies there, in order.
async fn all_of(kafka: &Kafka, place: &Place, worker: Running) -> Vec<Record> {
    let records = read_all(kafka, &place.topic(1)).await;
    worker.has_done(records.len() as u64, Duration::from_secs(60)).await;
    worker.stop().await;
    records
}

/// Each client sends one job after the other under its own ordering key, for so long or until the play is over.
async fn load(gateway: &Gateway, book: &Book, period: Duration) {
    let end = Instant::now() + period;
    all((0..CLIENTS).map(|client| client_of(gateway, book, client, end))).await;
}

async fn load_until_killed(gateway: &mut Gateway, book: &Book, period: Duration) {
    {
        let kill = async {
            sleep(period).await;
            gateway.signal("KILL");
        };
        tokio::join!(kill, load(gateway, book, period + Duration::from_secs(60)));
    }
    gateway.kill();
    gateway.restart().await;
}

/// Until all of them are ready.
async fn all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    poll_fn(|context| {
        waiting.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn client_of(gateway: &Gateway, book: &Book, client: usize, end: Instant) {
    let mut ticks = interval(Duration::from_secs(1) / PER_CLIENT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let key = format!("key-{client}");
    while !book.over.load(Ordering::Relaxed) && Instant::now() < end {
        ticks.tick().await;
        let payload = format!("{client}/{}", rand::random::<u64>());
        let headers = [("tidegate-type", "order"), ("tidegate-ordering-key", key.as_str())];
        let Ok(answer) = gateway.try_post(&payload, &headers).await else { return };
        if answer.status == 202 {
            let receipt = answer.receipt();
            if receipt.durability == "spooled" {
                *book.spooled.lock().unwrap() += 1;
                book.maybe_twice.lock().unwrap().insert(payload.clone());
            }
            book.receipts.lock().unwrap().push((payload, receipt.id));
        } else {
            assert!(matches!(answer.status, 429 | 503 | 504), "{answer:?}");
            *book.refused.lock().unwrap() += 1;
        }
    }
}

impl Book {
    /// Every receipt is there under its id, once unless it was spooled and the gateway was killed, and per key in the order of the
    /// receipts.
    fn check(&self, found: &[Record], kills: bool) {
        let receipts = self.receipts.lock().unwrap();
        println!(
            "{} receipts, {} of them spooled, {} refused, {} found",
            receipts.len(),
            self.spooled.lock().unwrap(),
            self.refused.lock().unwrap(),
            found.len()
        );
        assert!(*self.spooled.lock().unwrap() > 1_000, "the outage was too short to prove anything");
        let maybe_twice = self.maybe_twice.lock().unwrap();
        let mut ids: HashMap<&str, &str> = HashMap::new();
        let mut again = 0;
        let mut first_ones = Vec::new();
        for record in found {
            match ids.insert(record.text(), record.id()) {
                None => first_ones.push(record),
                Some(id) => {
                    assert_eq!(id, record.id(), "one job under two ids");
                    assert!(kills && maybe_twice.contains(record.text()), "twice: {record:?}");
                    again += 1;
                }
            }
        }
        println!("{again} came twice, since the gateway died while it forwarded them");
        let missing: Vec<_> =
            receipts.iter().filter(|(payload, id)| ids.get(payload.as_str()) != Some(&id.as_str())).collect();
        assert!(missing.is_empty(), "{} of {} missing: {missing:?}", missing.len(), receipts.len());
        let known: HashSet<_> = receipts.iter().map(|(payload, _)| payload.as_str()).collect();
        for client in 0..CLIENTS {
            let prefix = format!("{client}/");
            let own = |payload: &&str| payload.starts_with(&prefix);
            let sent: Vec<_> = receipts.iter().map(|(payload, _)| payload.as_str()).filter(own).collect();
            let came = first_ones.iter().map(|record| record.text()).filter(own);
            let came: Vec<_> = came.filter(|payload| known.contains(payload)).collect();
            assert!(sent == came, "the order of key {client} is another one");
        }
    }
}

async fn empties(gateway: &Gateway, tier: &str) {
    until("the spool is empty", Duration::from_secs(120), async || {
        let left = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", tier)]);
        (left == 0).then_some(())
    })
    .await;
}

fn policy() -> Policy {
    Policy::calm().tier("p0", "spool", "true").tier("p1", "spool", "true")
}

fn spooling(place: &Place, kafka: &Kafka, policy: Policy) -> Setup {
    let setup = place.before(kafka, policy);
    let path = setup.folder().join("spool.db").display().to_string();
    setup.set("spool.path", &path)
}

const CLIENTS: usize = 10;
/// Jobs a second of each.
const PER_CLIENT: u32 = 100;

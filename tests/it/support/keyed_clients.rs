//! Clients that go on through an outage, each with an ordering key of its own, and what the workers must then find.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::gateway::Gateway;
use super::policy::Policy;
use super::poll::until;

/// The clients of one play, and what they were told.
#[derive(Default)]
pub struct KeyedClients {
    /// Id by payload, in order of the receipts.
    receipts: Mutex<Vec<(String, String)>>,
    /// Payloads of receipts that said `spooled`: a gateway that dies while it forwards them may send them again.
    spooled: Mutex<HashSet<String>>,
    refused: Mutex<usize>,
    over: AtomicBool,
}

/// A job as a worker found it.
#[derive(Debug)]
pub struct Found<'a> {
    pub id: &'a str,
    pub payload: &'a str,
}

/// Whether jobs may be found a second time, under the id that they had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    Never,
    /// Those that were spooled.
    OfSpooled,
}

impl KeyedClients {
    pub fn receipts(&self) -> usize {
        self.receipts.lock().unwrap().len()
    }

    /// Each client sends one job after the other under its own ordering key for so long, or until they are told that it is over.
    pub async fn work(&self, gateway: &Gateway, period: Duration) {
        let end = Instant::now() + period;
        all((0..CLIENTS).map(|client| self.client(gateway, client, end))).await;
    }

    pub async fn work_until_killed(&self, gateway: &mut Gateway, period: Duration) {
        {
            let kill = async {
                sleep(period).await;
                gateway.signal("KILL");
            };
            tokio::join!(kill, self.work(gateway, period + Duration::from_secs(60)));
        }
        gateway.kill();
        gateway.restart().await;
    }

    /// They work until this is done.
    pub async fn work_during(&self, gateway: &Gateway, task: impl Future<Output = ()>) {
        let task = async {
            task.await;
            self.over.store(true, Ordering::Relaxed);
        };
        tokio::join!(task, self.work(gateway, Duration::from_secs(600)));
        self.over.store(false, Ordering::Relaxed);
    }

    async fn client(&self, gateway: &Gateway, client: usize, end: Instant) {
        let mut ticks = interval(Duration::from_secs(1) / PER_CLIENT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let key = format!("key-{client}");
        while !self.over.load(Ordering::Relaxed) && Instant::now() < end {
            ticks.tick().await;
            let payload = format!("{client}/{}", rand::random::<u64>());
            let headers = [("tidegate-type", "order"), ("tidegate-ordering-key", key.as_str())];
            let Ok(answer) = gateway.try_post(&payload, &headers).await else { return };
            if answer.status == 202 {
                let receipt = answer.receipt();
                if receipt.durability == "spooled" {
                    self.spooled.lock().unwrap().insert(payload.clone());
                }
                self.receipts.lock().unwrap().push((payload, receipt.id));
            } else {
                assert!(matches!(answer.status, 429 | 503 | 504), "{answer:?}");
                *self.refused.lock().unwrap() += 1;
            }
        }
    }

    /// Every receipt is there under its id, once but for these repeats, and per key in the order of the receipts.
    pub fn check(&self, found: &[Found<'_>], repeats: Repeats) {
        let (receipts, spooled) = (self.receipts.lock().unwrap(), self.spooled.lock().unwrap());
        println!(
            "{} receipts, {} of them spooled, {} refused, {} found",
            receipts.len(),
            spooled.len(),
            self.refused.lock().unwrap(),
            found.len()
        );
        assert!(spooled.len() > 1_000, "the outage was too short to prove anything");
        let mut ids: HashMap<&str, &str> = HashMap::new();
        let mut first_ones = Vec::new();
        for job in found {
            match ids.insert(job.payload, job.id) {
                None => first_ones.push(job.payload),
                Some(id) => {
                    assert_eq!(id, job.id, "one job under two ids");
                    let excused = repeats == Repeats::OfSpooled && spooled.contains(job.payload);
                    assert!(excused, "twice: {job:?}");
                }
            }
        }
        println!("{} came twice", found.len() - first_ones.len());
        let missing: Vec<_> =
            receipts.iter().filter(|(payload, id)| ids.get(payload.as_str()) != Some(&id.as_str())).collect();
        assert!(missing.is_empty(), "{} of {} missing: {missing:?}", missing.len(), receipts.len());
        let known: HashSet<_> = receipts.iter().map(|(payload, _)| payload.as_str()).collect();
        for client in 0..CLIENTS {
            let prefix = format!("{client}/");
            let own = |payload: &&str| payload.starts_with(&prefix);
            let sent: Vec<_> = receipts.iter().map(|(payload, _)| payload.as_str()).filter(own).collect();
            let came: Vec<_> =
                first_ones.iter().copied().filter(own).filter(|payload| known.contains(payload)).collect();
            assert!(sent == came, "the order of key {client} is another one");
        }
    }
}

/// A calm policy under which critical and standard work is spooled.
pub fn spooling_policy() -> Policy {
    Policy::calm().tier("p0", "spool", "true").tier("p1", "spool", "true")
}

/// Waits until no job of the tier is in the spool.
pub async fn spool_is_empty(gateway: &Gateway, tier: &str) {
    until("the spool is empty", Duration::from_secs(120), async || {
        let left = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", tier)]);
        (left == 0).then_some(())
    })
    .await;
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

const CLIENTS: usize = 10;
/// Jobs a second of each.
const PER_CLIENT: u32 = 100;

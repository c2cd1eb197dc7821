//! A real Redis behind the queue of the contract, in streams or in lists, with the simplest worker of each.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::Value;
use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::JobQueue;
use tidegate::queue::redis::RedisQueue;
use tidegate::queue::redis::entry::element::{self, Element};
use tidegate::queue::redis::entry::stream;
use tidegate::queue::redis::settings::{RedisSettings, RedisUrl, Structure};
use tidegate::queue::redis::worker::{FAIL_ELEMENT, FAIL_ENTRY};
use tokio::sync::Mutex;

use super::contract::remote::Remote;
use super::contract::{Backend, Taken};
use crate::support::redis::Redis;
use crate::support::resp::{Reply, Resp};

/// A Redis server with the structure that its queues have.
pub struct RedisBackend {
    pub server: Mutex<Redis>,
    /// How the queue is told of it.
    pub settings: RedisSettings,
}

/// A queue with its worker.
pub struct Opened {
    pub queue: Arc<RedisQueue>,
    structure: Structure,
    address: SocketAddr,
    /// What the worker has in its hands, as Redis knows it.
    held: Mutex<HashMap<u128, Vec<u8>>>,
    /// What it had in its hands when it was started anew, by tier; nothing where it has not looked yet.
    left_over: Mutex<TierMap<Option<VecDeque<Taken>>>>,
}

impl RedisBackend {
    /// A Redis with these options that has every job on disk before it answers.
    pub async fn durable(structure: Structure, options: &[(&str, &str)]) -> RedisBackend {
        RedisBackend::of(Redis::durable(options).await, structure)
    }

    /// This Redis, and queues of this structure.
    pub fn of(server: Redis, structure: Structure) -> RedisBackend {
        let settings = RedisSettings {
            url: RedisUrl::parse(&server.url()).unwrap(),
            structure,
            timeout: TIMEOUT,
            ..RedisSettings::default()
        };
        RedisBackend { server: Mutex::new(server), settings }
    }

    /// Opens the queue with other settings than the usual.
    pub async fn open_with(&self, settings: &RedisSettings) -> Opened {
        let queue =
            Arc::new(RedisQueue::open(settings, &TierMap::from_fn(queue_of), Clock::start()).unwrap());
        queue.reached().await.unwrap();
        let address = self.server.lock().await.address();
        Opened {
            queue,
            structure: settings.structure,
            address,
            held: Mutex::default(),
            left_over: Mutex::default(),
        }
    }
}

/// The name of a tier's queue.
pub fn queue_of(tier: Tier) -> String {
    format!("jobs:{tier}")
}

impl Backend for RedisBackend {
    type Queue = Opened;

    async fn open(&self) -> Opened {
        self.open_with(&self.settings).await
    }

    fn queue(opened: &Opened) -> Arc<dyn JobQueue> {
        Arc::clone(&opened.queue) as Arc<dyn JobQueue>
    }

    async fn take(opened: &Opened, tier: Tier, max: usize) -> Vec<Taken> {
        let held = &mut *opened.held.lock().await;
        // A line of its own each time: the last one may have been cut.
        let line = &mut Resp::connect(opened.address).await.unwrap();
        let (queue, count) = (queue_of(tier), max.to_string());
        let left_over = &mut opened.left_over.lock().await[tier];
        if left_over.is_none() {
            *left_over = Some(take_left_over(opened.structure, &queue, line, held).await);
        }
        let left_over = left_over.as_mut().unwrap();
        if !left_over.is_empty() {
            return left_over.drain(..left_over.len().min(max)).collect();
        }
        match opened.structure {
            Structure::Stream => {
                let group = ["XREADGROUP", "GROUP", "workers", "w", "COUNT", &count, "BLOCK", "10000"];
                let reply = line.ask(&[&group[..], &["STREAMS", &queue, ">"]].concat()).await.unwrap();
                let streams = reply.items();
                let entries = streams.first().map_or(&[][..], |stream| stream.items()[1].items());
                entries.iter().map(|entry| of_entry(entry, held)).collect()
            }
            Structure::List => {
                let processing = format!("{queue}:processing:w");
                line.ask(&["SADD", &format!("{queue}:workers"), "w"]).await.unwrap();
                let first = ["BLMOVE", &queue, &processing, "RIGHT", "LEFT", "10"];
                let mut elements = vec![line.ask(&first).await.unwrap()];
                let next = ["LMOVE", &queue, &processing, "RIGHT", "LEFT"];
                elements.extend(line.pipeline(&vec![&next[..]; max - 1]).await.unwrap());
                elements.retain(|element| *element != Reply::Nil);
                elements.iter().map(|element| of_element(element, held)).collect()
            }
        }
    }

    async fn finish(opened: &Opened, taken: Taken) {
        let own = opened.held.lock().await.remove(&taken.handle).unwrap();
        let line = &mut Resp::connect(opened.address).await.unwrap();
        finish(line, opened.structure, taken.job.tier, &own).await;
    }

    async fn give_up(opened: &Opened, taken: Taken, reason: &str) {
        let own = opened.held.lock().await.remove(&taken.handle).unwrap();
        let line = &mut Resp::connect(opened.address).await.unwrap();
        let queue = queue_of(taken.job.tier);
        let (delayed, dead) = (format!("{queue}:delayed"), format!("jobs:dead_letter:{}", taken.job.tier));
        let processing = format!("{queue}:processing:w");
        let given_up = match opened.structure {
            Structure::Stream => {
                let keys = [&queue, &delayed, "jobs:dead_letter", &dead].map(str::as_bytes);
                let args = [b"workers", &own[..], reason.as_bytes(), b"dead"];
                line.ask(&[&[&b"EVAL"[..], FAIL_ENTRY.as_bytes(), b"4"][..], &keys, &args].concat()).await
            }
            Structure::List => {
                let keys = [&delayed, "jobs:dead_letter", &dead, &processing].map(str::as_bytes);
                let args = [&own[..], reason.as_bytes(), b"dead"];
                line.ask(&[&[&b"EVAL"[..], FAIL_ELEMENT.as_bytes(), b"4"][..], &keys, &args].concat()).await
            }
        };
        assert_eq!(given_up.unwrap(), Reply::Integer(1));
    }
}

impl Remote for RedisBackend {
    async fn die(&self) {
        self.server.lock().await.kill();
    }

    async fn revive(&self) {
        self.server.lock().await.restart().await;
    }

    async fn hang(&self) {
        self.server.lock().await.stop();
    }

    async fn go_on(&self) {
        self.server.lock().await.cont();
    }

    async fn fill(&self) {
        self.server.lock().await.config("maxmemory", "1").await;
    }

    async fn make_room(&self) {
        self.server.lock().await.config("maxmemory", "0").await;
    }

    async fn cut(&self) {
        self.server.lock().await.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    }
}

/// A worker that starts anew goes on with what it had in its hands.
async fn take_left_over(
    structure: Structure,
    queue: &str,
    line: &mut Resp,
    held: &mut HashMap<u128, Vec<u8>>,
) -> VecDeque<Taken> {
    match structure {
        Structure::Stream => {
            let reply =
                line.ask(&["XREADGROUP", "GROUP", "workers", "w", "STREAMS", queue, "0"]).await.unwrap();
            reply.items()[0].items()[1].items().iter().map(|entry| of_entry(entry, held)).collect()
        }
        Structure::List => {
            let reply = line.ask(&["LRANGE", &format!("{queue}:processing:w"), "0", "-1"]).await.unwrap();
            reply.items().iter().rev().map(|element| of_element(element, held)).collect()
        }
    }
}

async fn finish(line: &mut Resp, structure: Structure, tier: Tier, own: &[u8]) {
    let (queue, processing) = (queue_of(tier), format!("{}:processing:w", queue_of(tier)));
    let command: Vec<&[u8]> = match structure {
        Structure::Stream => vec![b"XACK", queue.as_bytes(), b"workers", own],
        Structure::List => vec![b"LREM", processing.as_bytes(), b"-1", own],
    };
    assert_eq!(line.ask(&command).await.unwrap(), Reply::Integer(1));
}

fn of_entry(entry: &Reply, held: &mut HashMap<u128, Vec<u8>>) -> Taken {
    let [id, fields] = entry.items() else { panic!("no entry: {entry:?}") };
    let fields: Vec<Value> =
        fields.items().iter().map(|field| Value::BulkString(field.bytes().to_vec())).collect();
    taken(stream::read(&fields).unwrap(), id.bytes(), held)
}

fn of_element(element: &Reply, held: &mut HashMap<u128, Vec<u8>>) -> Taken {
    taken(element::decode(element.bytes()).unwrap(), element.bytes(), held)
}

fn taken(Element { job, tries }: Element, own: &[u8], held: &mut HashMap<u128, Vec<u8>>) -> Taken {
    let handle = u128::from_be_bytes(*job.id.as_bytes());
    held.insert(handle, own.to_vec());
    Taken { job, attempt: tries.attempt, handle }
}

/// Long enough for a busy machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_secs(1);

//! What the gateway sees of Redis and does there beside storing, each part asked directly: readings, upkeep, durability.

mod dead_letters;
mod depth;
mod durability;
mod upkeep;

use deadpool_redis::redis::aio::{ConnectionLike, MultiplexedConnection};
use deadpool_redis::redis::{Client, Pipeline, Value};
use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::error::QueueError;
use tidegate::queue::redis::backlog::{Seen, Sight};
use tidegate::queue::redis::layout::Layout;
use tidegate::queue::redis::settings::{RedisSettings, RedisUrl, Structure};
use tidegate::queue::redis::upkeep::{Kept, Upkeep};

use crate::support::redis::Redis;
use crate::support::resp::{Reply, Resp};

/// A Redis with the parts of the gateway that look at it.
struct Bench {
    redis: Redis,
    clock: Clock,
    settings: RedisSettings,
    layout: Layout,
    line: MultiplexedConnection,
    sight: Sight,
    upkeep: Upkeep,
}

impl Bench {
    async fn new(settings: RedisSettings) -> Bench {
        Bench::on(Redis::start(&[]).await, settings).await
    }

    async fn on(redis: Redis, settings: RedisSettings) -> Bench {
        let settings = RedisSettings { url: RedisUrl::parse(&redis.url()).unwrap(), ..settings };
        let layout = Layout::of(&TierMap::from_fn(|tier| format!("jobs:{tier}")));
        let client = Client::open(redis.url()).unwrap();
        let line = client.get_multiplexed_async_connection().await.unwrap();
        let (sight, upkeep) = (Sight::new(&layout, &settings, Tier::P2), Upkeep::new(&layout, &settings));
        Bench { redis, clock: Clock::start(), settings, layout, line, sight, upkeep }
    }

    /// The answers to some commands of the code under test.
    async fn ask(&mut self, pipeline: &Pipeline) -> Vec<Value> {
        self.line.req_packed_commands(pipeline, 0, pipeline.len()).await.unwrap()
    }

    async fn read(&mut self) -> Result<Seen, QueueError> {
        let mut pipeline = Pipeline::new();
        self.sight.ask(&mut pipeline);
        let asked = self.clock.now();
        let values = self.ask(&pipeline).await;
        let seen = self.sight.read(values, asked, self.clock.now());
        if let Ok(seen) = &seen {
            assert!(asked <= seen.taken && seen.taken <= self.clock.now());
        }
        seen
    }

    /// One step of upkeep; what it did for the tier.
    async fn keep(&mut self) -> Result<Kept, QueueError> {
        let now = self.clock.now();
        let kept = self.upkeep.step(&mut self.line, now).await.unwrap();
        kept[Tier::P2].clone()
    }

    async fn worker(&self) -> Resp {
        self.redis.connect().await.unwrap()
    }
}

fn streams(groups: &[&str]) -> RedisSettings {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    RedisSettings { groups, ..RedisSettings::default() }
}

fn lists() -> RedisSettings {
    RedisSettings { structure: Structure::List, ..RedisSettings::default() }
}

/// The fields of a job with this number and body, as the gateway writes them.
fn fields<'a>(id: &'a str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let fields: [&[u8]; 14] = [
        b"id",
        id.as_bytes(),
        b"tier",
        b"p2",
        b"tenant",
        b"acme",
        b"accepted_at",
        b"2023-11-14T22:13:20.007Z",
        b"attempt",
        b"1",
        b"ce_source",
        b"/shop",
        b"body",
        body,
    ];
    fields.to_vec()
}

fn id(number: u32) -> String {
    format!("018bcfe5-6800-7b2f-8c1d-{number:012}")
}

/// Adds a job to the stream of the tier.
async fn add(line: &mut Resp, number: u32, body: &[u8]) -> String {
    let id = id(number);
    let mut command: Vec<&[u8]> = vec![b"XADD", QUEUE.as_bytes(), b"*"];
    command.extend(fields(&id, body));
    line.ask(&command).await.unwrap().text().to_owned()
}

/// The entries that a group is handed.
async fn take(line: &mut Resp, group: &str, count: usize) -> Vec<Reply> {
    let count = count.to_string();
    let command = ["XREADGROUP", "GROUP", group, "w", "COUNT", &count, "STREAMS", QUEUE, ">"];
    let reply = line.ask(&command).await.unwrap().good();
    reply.items().first().map_or_else(Vec::new, |stream| stream.items()[1].items().to_vec())
}

/// Where the jobs of the tier are.
const QUEUE: &str = "jobs:p2";

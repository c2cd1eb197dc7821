//! The gateway before a real Redis: each test starts both, and is client, worker and operator at once.

mod closed_loop;
mod cluster;
mod cuts;
mod durability;
mod examples;
mod keys;
mod kills;
mod lists;
mod refusals;
mod stopped;
mod streams;
mod tls;
mod trimming;
mod workers_way;

use std::time::Duration;

use crate::support::gateway::Setup;
use crate::support::policy::Policy;
use crate::support::recovery::{finish, recovers, without_probes};
use crate::support::redis::Redis;
use crate::support::redis_worker::{Taken, of_element, of_entry};
use crate::support::resp::Reply;

/// The queues of the test policies, P0 first.
const QUEUES: [&str; 3] = ["jobs:critical", "jobs:standard", "jobs:bulk"];

/// A gateway that forwards to this Redis.
fn before(redis: &Redis, policy: &Policy) -> Setup {
    at(&redis.url(), policy)
}

/// A gateway that forwards to the Redis at this address.
fn at(url: &str, policy: &Policy) -> Setup {
    Setup::with(policy).set("backend", "redis").set("redis.url", url)
}

/// Takes everything that waits in a stream's group and acknowledges it.
async fn drain(redis: &Redis, queue: &str) -> Vec<Taken> {
    let mut taken = Vec::new();
    loop {
        let read = ["XREADGROUP", "GROUP", "workers", "drain", "COUNT", "1000", "STREAMS", queue, ">"];
        let reply = redis.cli(&read).await;
        let Some(stream) = reply.items().first() else { return taken };
        let entries: Vec<_> = stream.items()[1].items().iter().map(of_entry).collect();
        let mut ack: Vec<&[u8]> = vec![b"XACK", queue.as_bytes(), b"workers"];
        ack.extend(entries.iter().map(|(id, _)| id.as_slice()));
        assert_eq!(redis.cli(&ack).await.count() as usize, entries.len());
        taken.extend(entries.into_iter().map(|(_, taken)| taken));
    }
}

/// Takes everything that waits in all streams.
async fn drain_all(redis: &Redis) -> Vec<Taken> {
    let mut taken = Vec::new();
    for queue in QUEUES {
        taken.extend(drain(redis, queue).await);
    }
    taken
}

/// Takes everything that waits in a list.
async fn drain_list(redis: &Redis, queue: &str) -> Vec<Taken> {
    let reply = redis.cli(&["RPOP", queue, "1000000"]).await;
    if reply == Reply::Nil {
        Vec::new()
    } else {
        reply.items().iter().map(|element| of_element(element).1).collect()
    }
}

/// Waits and time to recover may take this long, whatever happened to Redis.
const BOUND: Duration = Duration::from_secs(5);

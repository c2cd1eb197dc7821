//! What becomes of jobs when Redis refuses, is slow, or has replicas to wait for: each with a real server in that state.

use std::time::{Duration, Instant};

use tidegate::domain::idempotency::{Fingerprint, Key, Keyed};
use tidegate::domain::job::Job;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::error::StoreError;
use tidegate::queue::keys::KeySettings;
use tidegate::queue::redis::RedisQueue;
use tidegate::queue::redis::settings::{RedisSettings, RedisUrl, Structure};
use tidegate::queue::{Durability, JobQueue, Stored};

use crate::queue_contract::contract::{Backend, job};
use crate::queue_contract::redis::{RedisBackend, queue_of};
use crate::support::poll::until;
use crate::support::redis::Redis;

async fn store(queue: &dyn JobQueue, tier: Tier, count: usize) -> Result<Stored, StoreError> {
    let jobs = (0..count).map(|number| job(tier, &number.to_string())).collect();
    queue.enqueue(tier, jobs)?.await
}

fn keyed(text: &str, tier: Tier) -> Job {
    let key = Key::of("acme", "/v1/jobs", text).unwrap();
    Job { keyed: Some(Keyed { key, fingerprint: Fingerprint::of([text.as_bytes()]) }), ..job(tier, text) }
}

async fn until_away(queue: &RedisQueue, away: bool) {
    until("the outage changes", PATIENCE, async || (queue.outage(Tier::P0).is_some() == away).then_some(()))
        .await;
}

#[track_caller]
fn assert_refused(answer: Result<Stored, StoreError>, wanted: &str) {
    match answer {
        Err(StoreError::Unavailable { detail }) => assert!(detail.contains(wanted), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_kind_refuses_its_tier_alone() {
    for structure in [Structure::Stream, Structure::List] {
        let backend = RedisBackend::durable(structure, &[]).await;
        let opened = backend.open().await;
        let queue = &opened.queue;
        backend.server.lock().await.cli(&["SET", &queue_of(Tier::P1), "x"]).await;
        for count in [1, 5] {
            assert_refused(store(&**queue, Tier::P1, count).await, "WRONGTYPE");
        }
        let key = keyed("k", Tier::P1);
        assert_refused(queue.enqueue(Tier::P1, vec![key.clone()]).unwrap().await, "WRONGTYPE");
        assert_eq!(queue.job_of_key(key.keyed.unwrap().key).await, Ok(None), "no key without its job");
        assert_eq!(queue.outage(Tier::P1), None);
        assert_eq!(store(&**queue, Tier::P0, 1).await.unwrap().depth, 1);
        let readings = queue.backlog().await;
        assert!(readings[Tier::P1].is_err() && readings[Tier::P0].is_ok(), "{readings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_larger_than_redis_takes_is_refused_alone() {
    for structure in [Structure::Stream, Structure::List] {
        let backend = RedisBackend::durable(structure, &[("proto-max-bulk-len", "1mb")]).await;
        let opened = backend.open().await;
        let large = |bytes: usize| vec![job(Tier::P2, &"x".repeat(bytes))];
        let error = opened.queue.enqueue(Tier::P2, large(2 << 20)).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
        assert_eq!(opened.queue.enqueue(Tier::P2, large(1_000_000)).unwrap().await.unwrap().depth, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_redis_is_waited_for_and_one_that_is_too_slow_is_away() {
    let backend = RedisBackend::durable(Structure::Stream, &[]).await;
    let opened = backend.open().await;
    let queue = &opened.queue;
    let pause = async |millis: &str| {
        backend.server.lock().await.cli(&["CLIENT", "PAUSE", millis, "WRITE"]).await;
    };
    pause("300").await;
    let asked = Instant::now();
    store(&**queue, Tier::P1, 1).await.unwrap();
    assert!(asked.elapsed() > Duration::from_millis(200), "it was not paused: {:?}", asked.elapsed());
    assert_eq!(queue.outage(Tier::P1), None);
    pause("3000").await;
    assert_eq!(store(&**queue, Tier::P1, 1).await, Err(StoreError::Unknown));
    assert!(queue.outage(Tier::P1).is_some());
    until_away(queue, false).await;
    store(&**queue, Tier::P1, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_waits_for_the_replicas_that_it_promises() {
    let backend = RedisBackend::durable(Structure::Stream, &[]).await;
    let settings = RedisSettings { wait_replicas: 1, ..backend.settings.clone() };
    let opened = backend.open_with(&settings).await;
    let queue = &opened.queue;
    assert_eq!(queue.durability(Tier::P1), Durability::Replicated);
    assert_eq!(store(&**queue, Tier::P1, 1).await, Err(StoreError::Unknown), "no replica has it");
    let port = backend.server.lock().await.port().to_string();
    let replica = Redis::durable(&[("replicaof", &format!("127.0.0.1 {port}"))]).await;
    until("the replica follows", PATIENCE, async || {
        (replica.info("master_link_status").await == "up").then_some(())
    })
    .await;
    let stored =
        until("the replica answers", PATIENCE, async || store(&**queue, Tier::P1, 1).await.ok()).await;
    assert_eq!(stored.durability, Durability::Replicated);
    let jobs = replica.cli(&["XLEN", &queue_of(Tier::P1)]).await.count();
    assert_eq!(jobs, stored.depth, "the receipt's job is on the replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_becomes_a_replica_refuses_and_one_that_becomes_a_master_takes() {
    let backend = RedisBackend::durable(Structure::List, &[]).await;
    let opened = backend.open().await;
    let queue = &opened.queue;
    let other = Redis::start(&[]).await;
    store(&**queue, Tier::P1, 1).await.unwrap();
    let server = backend.server.lock().await;
    server.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).await;
    until("it is read-only", PATIENCE, async || match store(&**queue, Tier::P1, 1).await {
        Err(StoreError::Unavailable { detail }) if detail.contains("READONLY") => Some(()),
        _ => None,
    })
    .await;
    assert!(queue.outage(Tier::P1).is_some());
    server.cli(&["REPLICAOF", "NO", "ONE"]).await;
    until_away(queue, false).await;
    store(&**queue, Tier::P1, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_at_the_start_and_never_shown() {
    let server = Redis::start(&[("requirepass", "open-sesame")]).await;
    let queues = TierMap::from_fn(queue_of);
    for (url, wanted) in [
        (format!("redis://{}", server.address()), "NOAUTH"),
        (format!("redis://:wrong-secret@{}", server.address()), "password"),
    ] {
        let settings = RedisSettings { url: RedisUrl::parse(&url).unwrap(), ..RedisSettings::default() };
        let queue = RedisQueue::open(&settings, &queues, tidegate::clock::Clock::start()).unwrap();
        let error = queue.reached().await.unwrap_err();
        assert!(error.contains(wanted), "{error}");
        assert_refused(store(&queue, Tier::P0, 1).await, wanted);
        let shown = format!("{queue:?} {settings:?} {error}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    let settings = RedisSettings { url: RedisUrl::parse(&server.url()).unwrap(), ..RedisSettings::default() };
    let queue = RedisQueue::open(&settings, &queues, tidegate::clock::Clock::start()).unwrap();
    queue.reached().await.unwrap();
    assert_eq!(store(&queue, Tier::P0, 3).await.unwrap().durability, Durability::Memory);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_refuses_until_it_can() {
    let backend = RedisBackend::of(
        Redis::start(&[("save", "3600 100000"), ("enable-protected-configs", "yes")]).await,
        Structure::Stream,
    );
    let opened = backend.open().await;
    let queue = &opened.queue;
    let server = backend.server.lock().await;
    let folder = server.folder().display().to_string();
    server.config("dir", "/proc").await;
    server.cli(&["BGSAVE"]).await;
    until("the save fails", PATIENCE, async || {
        (server.info("rdb_last_bgsave_status").await == "err").then_some(())
    })
    .await;
    assert_refused(store(&**queue, Tier::P1, 3).await, "MISCONF");
    assert!(queue.outage(Tier::P2).is_some_and(|outage| outage.detail.contains("MISCONF")));
    server.config("dir", &folder).await;
    server.cli(&["BGSAVE"]).await;
    until_away(queue, false).await;
    assert_eq!(store(&**queue, Tier::P1, 3).await.unwrap().depth, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_loads_its_data_is_waited_for() {
    let backend = RedisBackend::of(Redis::start(&[("rdbcompression", "no")]).await, Structure::List);
    let opened = backend.open().await;
    let queue = &opened.queue;
    store(&**queue, Tier::P2, 20).await.unwrap();
    let mut server = backend.server.lock().await;
    let kilobyte = "x".repeat(1024);
    for number in 0..100 {
        server.cli(&["SET", &format!("other {number}"), &kilobyte]).await;
    }
    server.cli(&["SAVE"]).await;
    server.kill();
    // It answers between the keys that it loads, three seconds long.
    for (option, value) in [
        ("rdbcompression", "no"),
        ("key-load-delay", "30000"),
        ("loading-process-events-interval-bytes", "1024"),
    ] {
        server.set_option(option, value);
    }
    server.restart_unready();
    until("it is loading", PATIENCE, async || {
        queue.outage(Tier::P2).filter(|outage| outage.detail.contains("loading"))
    })
    .await;
    assert_refused(store(&**queue, Tier::P2, 1).await, "loading");
    until_away(queue, false).await;
    assert_eq!(store(&**queue, Tier::P2, 1).await.unwrap().depth, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_store_is_told_so() {
    let server = Redis::start(&[]).await;
    server.cli(&["ACL", "SETUSER", "reader", "on", ">pass-word", "~*", "+@all", "-xadd"]).await;
    let url = RedisUrl::parse(&format!("redis://reader:pass-word@{}", server.address())).unwrap();
    let settings = RedisSettings { url, ..RedisSettings::default() };
    let queues = TierMap::from_fn(queue_of);
    let queue = RedisQueue::open(&settings, &queues, tidegate::clock::Clock::start()).unwrap();
    queue.reached().await.unwrap();
    for count in [1, 3] {
        assert_refused(store(&queue, Tier::P0, count).await, "NOPERM");
    }
    assert_eq!(queue.outage(Tier::P0), None);
    assert_eq!(server.cli(&["XLEN", &queue_of(Tier::P0)]).await.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_for_their_time_and_up_to_their_number() {
    let backend = RedisBackend::durable(Structure::Stream, &[]).await;
    let keys = KeySettings { keep: Duration::from_secs(2), most: 3 };
    let opened = backend.open_with(&RedisSettings { keys, ..backend.settings.clone() }).await;
    let queue = &opened.queue;
    let sent: Vec<Job> = ["a", "b", "c", "d", "e"].iter().map(|text| keyed(text, Tier::P1)).collect();
    for job in &sent {
        queue.enqueue(Tier::P1, vec![job.clone()]).unwrap().await.unwrap();
    }
    let known = async |job: &Job| queue.job_of_key(job.keyed.unwrap().key).await.unwrap().is_some();
    assert!(!known(&sent[1]).await && known(&sent[2]).await && known(&sent[4]).await);
    assert_eq!(queue.key_index().keys, 3);
    assert!(queue.key_index().horizon < Duration::from_secs(2), "older ones were dropped");
    until("the keys' time is over", PATIENCE, async || (!known(&sent[4]).await).then_some(())).await;
    queue.enqueue(Tier::P1, vec![sent[4].clone()]).unwrap().await.unwrap();
    assert!(known(&sent[4]).await);
    assert_eq!(queue.key_index().keys, 1, "those whose time is over are not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_script_is_sent_again() {
    let backend = RedisBackend::durable(Structure::Stream, &[]).await;
    let opened = backend.open().await;
    for round in 0..3 {
        let storing: Vec<_> = (0..5)
            .map(|number| keyed(&format!("{round}-{number}"), Tier::P2))
            .map(|job| opened.queue.enqueue(Tier::P2, vec![job]).unwrap())
            .collect();
        for storing in storing {
            storing.await.unwrap();
        }
        backend.server.lock().await.cli(&["SCRIPT", "FLUSH"]).await;
    }
}

/// Longer than anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

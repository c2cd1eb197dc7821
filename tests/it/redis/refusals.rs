//! What Redis refuses: each of its reasons is a 503 that says so, nothing of it is stored, and it ends when the reason does.

use std::time::{Duration, Instant};

use super::{BOUND, at, before, drain, drain_all, recovers, without_probes};
use crate::support::book::Book;
use crate::support::gateway::Gateway;
use crate::support::jobs::type_of;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::resp::Reply;

/// A job of this tier is refused with these words, none of it stored; waits until it is.
async fn is_refused(gateway: &Gateway, book: &Book, tier: &str, words: &str) {
    until(&format!("{tier} is refused with {words:?}"), BOUND, async || {
        let answer = book.single(gateway, tier).await;
        assert!(answer.took < BOUND, "it took {:?}", answer.took);
        if answer.status == 202 {
            return None;
        }
        // The cut that a reason makes may leave one job unknown; then it is known.
        if answer.status == 504 {
            return None;
        }
        let problem = answer.problem(503, "backend_unavailable");
        assert_eq!(problem.outcome, "not_stored");
        let detail = problem.document["detail"].as_str().unwrap();
        assert!(!detail.contains("analytics"), "it repeats the job: {detail}");
        detail.contains(words).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_redis_refuses_critical_work_too_and_takes_it_again_when_it_has_room() {
    let redis = Redis::start(&[("maxmemory-policy", "noeviction")]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let book = Book::new();
    for tier in ["p0", "p1", "p2"] {
        book.single(&gateway, tier).await.receipt();
    }
    let used: u64 = redis.info("used_memory").await.parse().unwrap();
    redis.config("maxmemory", &(used + 600_000).to_string()).await;
    let filler = "x".repeat(1000);
    while !matches!(redis.try_cli(&["RPUSH", "filler", &filler]).await.unwrap(), Reply::Error(_)) {}
    for tier in ["p0", "p1", "p2"] {
        is_refused(&gateway, &book, tier, "maxmemory").await;
    }
    let refused = book.batch(&gateway, 30).await;
    assert_eq!(refused.problem(503, "backend_unavailable").document["refused"], 30);
    redis.config("maxmemory", "0").await;
    recovers(&gateway, "p0", BOUND).await;
    recovers(&gateway, "p2", BOUND).await;
    book.check(&without_probes(drain_all(&redis).await));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_redis_that_the_queue_itself_filled_takes_jobs_again_when_they_are_done() {
    let redis = Redis::start(&[("maxmemory-policy", "noeviction")]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let used: u64 = redis.info("used_memory").await.parse().unwrap();
    redis.config("maxmemory", &(used + 3_000_000).to_string()).await;
    let payload = "x".repeat(50_000);
    let full = until("it is full", BOUND, async || {
        let answer = gateway.post(&payload, &[("tidegate-type", type_of("p1"))]).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    full.problem(503, "backend_unavailable");
    // There is room for a small write, and for none of these jobs: it is away all the time, and the log says so once.
    let begun = Instant::now();
    until("three seconds are over", BOUND, async || {
        gateway.post(&payload, &[("tidegate-type", type_of("p1"))]).await.problem(503, "backend_unavailable");
        (begun.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    let outage = gateway.status().await["tiers"]["p1"]["outage"].clone();
    assert!(outage.as_str().is_some_and(|outage| outage.contains("maxmemory")), "{outage}");
    let told = |what: &str| gateway.log().matches(what).count();
    assert_eq!((told("Redis is away"), told("Redis is back")), (1, 0), "{}", gateway.log());
    assert!(told("the backlog cannot be read") <= 3, "{}", gateway.log());
    assert!(drain_all(&redis).await.len() > 10, "they filled it");
    recovers(&gateway, "p1", BOUND).await;
    assert_eq!((told("Redis is away"), told("Redis is back")), (1, 1), "{}", gateway.log());
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_redis_that_cannot_write_its_disk_is_said_to() {
    let redis = Redis::start(&[("save", "3600 1")]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let book = Book::new();
    book.single(&gateway, "p1").await.receipt();
    // A snapshot cannot take the place of a folder.
    let dump = redis.folder().join("dump.rdb");
    std::fs::create_dir(&dump).unwrap();
    redis.cli(&["BGSAVE"]).await;
    until("the snapshot fails", BOUND, async || {
        (redis.info("rdb_last_bgsave_status").await == "err").then_some(())
    })
    .await;
    is_refused(&gateway, &book, "p1", "MISCONF").await;
    std::fs::remove_dir(&dump).unwrap();
    redis.cli(&["BGSAVE"]).await;
    recovers(&gateway, "p1", BOUND).await;
    book.check(&without_probes(drain_all(&redis).await));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_said_to_and_serves_when_it_is_a_master_again() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let book = Book::new();
    book.single(&gateway, "p0").await.receipt();
    // Of nobody: it keeps what it has.
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    is_refused(&gateway, &book, "p0", "READONLY").await;
    redis.cli(&["REPLICAOF", "NO", "ONE"]).await;
    recovers(&gateway, "p0", BOUND).await;
    book.check(&without_probes(drain_all(&redis).await));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_redis_that_loads_its_file_is_waited_for() {
    let mut redis = Redis::start(&[("save", "3600 1000000")]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let book = Book::new();
    for _ in 0..10 {
        assert_eq!(book.batch(&gateway, 30).await.status, 202);
    }
    let keys: Vec<String> = (0..300).map(|number| format!("key {number}")).collect();
    for key in &keys {
        redis.cli(&["SET", key, &"x".repeat(2000)]).await;
    }
    redis.cli(&["SAVE"]).await;
    redis.kill();
    // Ten milliseconds for every key that it loads.
    redis.set_option("key-load-delay", "10000");
    redis.set_option("loading-process-events-interval-bytes", "1024");
    redis.restart_unready();
    is_refused(&gateway, &book, "p1", "loading").await;
    redis.ready().await;
    recovers(&gateway, "p1", BOUND).await;
    book.check(&without_probes(drain_all(&redis).await));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_key_of_another_kind_stops_its_own_tier_only() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let book = Book::new();
    redis.cli(&["DEL", "jobs:bulk"]).await;
    redis.cli(&["SET", "jobs:bulk", "a text"]).await;
    is_refused(&gateway, &book, "p2", "WRONGTYPE").await;
    let receipts = [book.single(&gateway, "p0").await.receipt(), book.single(&gateway, "p1").await.receipt()];
    assert!(receipts.iter().all(|receipt| receipt.durability == "memory"));
    redis.cli(&["DEL", "jobs:bulk"]).await;
    recovers(&gateway, "p2", BOUND).await;
    // The group is there again as well, from the first job on.
    until("the group is made again", BOUND, async || {
        let groups = redis.try_cli(&["XINFO", "GROUPS", "jobs:bulk"]).await.unwrap();
        (groups.items().len() == 1).then_some(())
    })
    .await;
    assert_eq!(drain(&redis, "jobs:bulk").await.len(), 1);
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_user_without_rights_and_a_password_that_changed_are_said_to() {
    let redis = Redis::start(&[]).await;
    let user = ["ACL", "SETUSER", "gate", "on", ">secret", "~*", "&*", "+@all"];
    redis.cli(&user).await;
    let url = format!("redis://gate:secret@{}", redis.address());
    let gateway = at(&url, &Policy::calm()).start().await;
    let book = Book::new();
    book.single(&gateway, "p1").await.receipt();
    redis.cli(&["ACL", "SETUSER", "gate", "-xadd"]).await;
    is_refused(&gateway, &book, "p1", "NOPERM").await;
    redis.cli(&["ACL", "SETUSER", "gate", "+xadd"]).await;
    recovers(&gateway, "p1", BOUND).await;

    redis.cli(&["ACL", "SETUSER", "gate", "resetpass", ">another"]).await;
    redis.cli(&["CLIENT", "KILL", "USER", "gate"]).await;
    is_refused(&gateway, &book, "p1", "password").await;
    redis.cli(&user).await;
    recovers(&gateway, "p1", BOUND).await;
    book.check(&without_probes(drain_all(&redis).await));
    assert!(!gateway.log().contains("secret"), "the log shows the password");
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_slow_redis_is_waited_for_within_the_timeout() {
    let redis = Redis::start(&[("enable-debug-command", "local")]).await;
    let gateway = before(&redis, &Policy::calm()).set("redis.timeout", "1500ms").start().await;
    let book = Book::new();
    let mut sleeper = redis.connect().await.unwrap();
    let asleep = tokio::spawn(async move { sleeper.ask(&["DEBUG", "SLEEP", "0.7"]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = book.single(&gateway, "p1").await;
    answer.receipt();
    assert!(answer.took > Duration::from_millis(300), "{:?}: it was not slow", answer.took);
    asleep.await.unwrap().unwrap();

    let mut sleeper = redis.connect().await.unwrap();
    let asleep = tokio::spawn(async move { sleeper.ask(&["DEBUG", "SLEEP", "4"]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (first, second) = tokio::join!(book.single(&gateway, "p1"), book.single(&gateway, "p0"));
    for answer in [first, second] {
        answer.problem(504, "outcome_unknown");
        assert!(answer.took < Duration::from_secs(3), "{:?}", answer.took);
    }
    asleep.await.unwrap().unwrap();
    recovers(&gateway, "p1", BOUND).await;
    book.check(&without_probes(drain_all(&redis).await));
    gateway.finish_after_outage().await;
}

//! Durability told as it is: what Redis is set to is what receipts say, and a tier that requires more is not served.

use std::time::Duration;

use super::{BOUND, at, before};
use crate::support::command::tidegate;
use crate::support::gateway::{Setup, free_port};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;

/// Settings are read again every ten seconds.
const WATCH: Duration = Duration::from_secs(15);

/// The gateway ends with these words.
async fn refuses_to_start(setup: Setup, words: &[&str]) -> String {
    let arguments = setup.arguments(free_port(), free_port());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = tidegate(setup.folder(), &arguments, &[]).await;
    ended.says(1, words);
    ended.said
}

#[tokio::test]
async fn a_tier_that_requires_the_disk_is_not_started_without_it_and_the_command_that_is_said_mends_it() {
    let policy = Policy::calm().tier("p0", "require", "disk");
    let evicting = [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory", "100mb"),
        ("maxmemory-policy", "allkeys-lru"),
    ];
    for wrong in [&[][..], &[("appendonly", "yes"), ("appendfsync", "everysec")], &evicting] {
        let redis = Redis::start(wrong).await;
        let said = refuses_to_start(before(&redis, &policy), &["p0", "requires disk", "redis-cli"]).await;
        let command = said.split_once("CONFIG SET ").expect("a command").1;
        let command = command.split_once(['"', '\n']).map_or(command, |(command, _)| command);
        let words: Vec<&str> = ["CONFIG", "SET"].into_iter().chain(command.split_whitespace()).collect();
        redis.cli(&words).await;
        until("the append-only file is made", BOUND, async || {
            let made = redis.info("aof_enabled").await == "1"
                && redis.info("aof_rewrite_in_progress").await == "0"
                && redis.info("aof_rewrite_scheduled").await == "0";
            made.then_some(())
        })
        .await;
        let gateway = before(&redis, &policy).start().await;
        assert_eq!(gateway.accept("p0", "critical").await.durability, "disk");
        gateway.finish().await;
    }
}

#[tokio::test]
async fn what_is_set_while_it_runs_is_noticed_and_only_tiers_that_require_more_are_refused() {
    let policy = Policy::calm().tier("p0", "require", "disk");
    let redis = Redis::durable(&[]).await;
    let gateway = before(&redis, &policy).start().await;
    assert_eq!(gateway.accept("p0", "critical").await.durability, "disk");
    assert_eq!(gateway.accept("p1", "standard").await.durability, "disk");

    redis.config("appendfsync", "everysec").await;
    until("the loss is noticed", WATCH, async || {
        let answer = gateway.post("critical", &[("tidegate-type", "payment")]).await;
        if answer.status == 202 {
            return None;
        }
        let problem = answer.problem(503, "backend_unavailable");
        assert_eq!((problem.outcome.as_str(), problem.tier.as_deref()), ("not_stored", Some("p0")));
        let detail = problem.document["detail"].as_str().unwrap();
        assert!(detail.contains("durably"), "{detail}");
        Some(())
    })
    .await;
    assert_eq!(gateway.accept("p1", "standard").await.durability, "memory");

    redis.config("appendfsync", "always").await;
    until("it is disk again", WATCH, async || {
        let answer = gateway.post("critical", &[("tidegate-type", "payment")]).await;
        (answer.status == 202).then(|| assert_eq!(answer.receipt().durability, "disk"))
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn replicas_that_are_waited_for_make_a_receipt_replicated_and_those_that_lag_leave_it_unknown() {
    let redis = Redis::durable(&[]).await;
    let master = ("replicaof", format!("127.0.0.1 {}", redis.port()));
    let replica = Redis::start(&[(master.0, &master.1)]).await;
    until("the replica is there", BOUND, async || {
        (redis.info("connected_slaves").await == "1").then_some(())
    })
    .await;
    // The first synchronisation may wait for a few seconds by itself.
    until("it is in step", 4 * BOUND, async || {
        (replica.info("master_link_status").await == "up").then_some(())
    })
    .await;
    let policy = Policy::calm().tier("p0", "require", "replicated");
    let gateway = before(&redis, &policy).set("redis.wait_replicas", "1").start().await;
    assert_eq!(gateway.accept("p0", "critical").await.durability, "replicated");
    replica.stop();
    let answer = gateway.post("critical", &[("tidegate-type", "payment")]).await;
    assert!(answer.took < BOUND, "{:?}", answer.took);
    assert_eq!(answer.problem(504, "outcome_unknown").outcome, "unknown");
    replica.cont();
    super::recovers(&gateway, "p0", BOUND).await;
    assert_eq!(gateway.accept("p0", "critical").await.durability, "replicated");
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_redis_that_is_not_there_or_wants_a_password_is_said_at_the_start() {
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    refuses_to_start(at(&nobody, &Policy::calm()), &["Redis"]).await;
    let redis = Redis::start(&[("requirepass", "secret")]).await;
    let url = format!("redis://{}", redis.address());
    refuses_to_start(at(&url, &Policy::calm()), &["password"]).await;
    let url = format!("redis://:wrong@{}", redis.address());
    refuses_to_start(at(&url, &Policy::calm()), &["password"]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    assert_eq!(gateway.accept("p1", "standard").await.durability, "memory");
    gateway.finish().await;
}

//! What Redis gives is told as it is, while it changes.

use deadpool_redis::redis::Pipeline;
use tidegate::policy::Requirement;
use tidegate::queue::Durability;
use tidegate::queue::redis::durability::{DurabilityWatch, Given, Shortfall};

use super::{Bench, streams};
use crate::support::poll::until;
use crate::support::redis::Redis;

async fn look(bench: &mut Bench, watch: &mut DurabilityWatch) -> Given {
    let mut pipeline = Pipeline::new();
    watch.ask(&mut pipeline);
    let values = bench.ask(&pipeline).await;
    watch.read(&values).unwrap()
}

#[tokio::test]
async fn a_config_set_changes_what_is_given() {
    let mut bench = Bench::on(Redis::durable(&[]).await, streams(&["a"])).await;
    let mut watch = DurabilityWatch::new(&bench.settings);
    let given = look(&mut bench, &mut watch).await;
    assert_eq!((given.durability, given.shortfall, given.replica), (Durability::Disk, None, false));
    assert_eq!(given.longest_value, Some(512 << 20));
    for (key, value, shortfall) in [
        ("appendfsync", "everysec", Shortfall::NotAlwaysSynced),
        ("appendonly", "no", Shortfall::NoAppendOnlyFile),
    ] {
        bench.redis.config(key, value).await;
        let given = look(&mut bench, &mut watch).await;
        assert_eq!((given.durability, given.shortfall), (Durability::Memory, Some(shortfall)));
    }
    bench.redis.config("maxmemory-policy", "allkeys-lru").await;
    let given = look(&mut bench, &mut watch).await;
    let fix = watch.fix(&given, Requirement::Disk).unwrap();
    let words: Vec<_> = fix.split(' ').skip_while(|word| *word != "CONFIG").collect();
    bench.redis.cli(&words).await;
    // The file is written in the background.
    until("the fix fixes it", std::time::Duration::from_secs(20), async || {
        (look(&mut bench, &mut watch).await.durability == Durability::Disk).then_some(())
    })
    .await;
}

#[tokio::test]
async fn settings_that_an_acl_hides_promise_nothing() {
    let bench = Bench::on(Redis::durable(&[]).await, streams(&["a"])).await;
    bench.redis.cli(&["ACL", "SETUSER", "default", "-config"]).await;
    let mut bench = bench;
    let mut watch = DurabilityWatch::new(&bench.settings);
    let given = look(&mut bench, &mut watch).await;
    assert_eq!((given.durability, given.shortfall), (Durability::Memory, Some(Shortfall::Hidden)));
}

#[tokio::test]
async fn a_replica_says_so() {
    let master = Redis::start(&[]).await;
    let replicaof = format!("127.0.0.1 {}", master.port());
    let mut bench = Bench::on(Redis::start(&[("replicaof", &replicaof)]).await, streams(&["a"])).await;
    let mut watch = DurabilityWatch::new(&bench.settings);
    assert!(look(&mut bench, &mut watch).await.replica);
}

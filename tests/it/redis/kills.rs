//! Receipts are true when Redis dies: with its file synced, whatever was answered 202 is there after `kill -9`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{BOUND, before, drain_all, finish, recovers, without_probes};
use crate::support::book::{Book, Load};
use crate::support::policy::Policy;
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_receipt_is_lost_when_redis_is_killed_again_and_again() {
    let mut redis = Redis::durable(&[]).await;
    let gateway = Arc::new(before(&redis, &Policy::calm()).start().await);
    let mut random = StdRng::seed_from_u64(6);
    let mut receipts = 0;
    for round in 0..ROUNDS {
        let book = Book::new();
        let load = Load::start(&gateway, &book);
        tokio::time::sleep(Duration::from_millis(random.random_range(150..700))).await;
        redis.kill();
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        redis.restart().await;
        let back = Instant::now();
        recovers(&gateway, "p0", BOUND).await;
        let recovered = back.elapsed();
        tokio::time::sleep(Duration::from_millis(100)).await;
        load.stop().await;

        let taken = without_probes(drain_all(&redis).await);
        book.check(&taken);
        let fates = book.fates();
        println!("round {round}: {fates:?}, {} taken, back after {recovered:?}", taken.len());
        assert!(book.slowest() < BOUND, "a client waited {:?}", book.slowest());
        assert!(fates.not_stored + fates.unknown > 0, "nobody noticed: {fates:?}");
        receipts += fates.stored;
    }
    assert!(receipts > 100 * ROUNDS, "only {receipts} receipts: the load was too thin to prove anything");
    finish(gateway).await;
}

const ROUNDS: usize = 5;

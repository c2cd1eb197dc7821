//! The wire to Redis is cut in the middle of commands and of answers: what clients were told stays true.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{BOUND, at, drain_all, drain_list, finish, recovers, without_probes};
use crate::support::book::{Book, Load};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_cut_anywhere_loses_nothing_and_stores_nothing_twice() {
    cut_again_and_again("stream").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_with_lists() {
    cut_again_and_again("list").await;
}

async fn cut_again_and_again(structure: &str) {
    let redis = Redis::start(&[]).await;
    let proxy = Proxy::before(redis.address()).await;
    let gateway = at(&proxy.url(), &Policy::calm()).set("redis.structure", structure).start().await;
    let gateway = Arc::new(gateway);
    let book = Book::new();
    let load = Load::start(&gateway, &book);
    let mut random = StdRng::seed_from_u64(4711);
    let started = Instant::now();
    while started.elapsed() < CUTTING {
        match random.random_bool(0.5) {
            true => proxy.cut_commands_after(random.random_range(0..20_000)),
            false => proxy.cut_answers_after(random.random_range(0..2_000)),
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(100..400))).await;
    }
    recovers(&gateway, "p0", BOUND).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    load.stop().await;
    let mut taken = Vec::new();
    match structure {
        "list" => {
            for queue in super::QUEUES {
                taken.extend(drain_list(&redis, queue).await);
            }
        }
        _ => taken = drain_all(&redis).await,
    }
    let fates = book.fates();
    println!("{} cuts, {fates:?}, slowest answer {:?}", proxy.cuts(), book.slowest());
    book.check(&without_probes(taken));
    assert!(proxy.cuts() >= 5, "only {} cuts", proxy.cuts());
    assert!(book.slowest() < BOUND, "a client waited {:?}", book.slowest());
    assert!(fates.stored > 500 && fates.unknown + fates.not_stored > 0, "{fates:?} proves nothing");
    finish(gateway).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_unknown_without_a_key_and_settled_with_one() {
    let redis = Redis::start(&[]).await;
    let proxy = Proxy::before(redis.address()).await;
    let gateway = at(&proxy.url(), &Policy::calm()).start().await;
    let order = [("tidegate-type", "order")];

    // Redis has done it, nobody hears of it.
    proxy.delay(Duration::from_millis(300));
    let cut = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.deaf(true);
        tokio::time::sleep(Duration::from_millis(400)).await;
        proxy.deaf(false);
        proxy.delay(Duration::ZERO);
    };
    let (answer, ()) = tokio::join!(gateway.post("without a key", &order), cut);
    assert_eq!(answer.problem(504, "outcome_unknown").outcome, "unknown");
    assert!(answer.took < BOUND, "{:?}", answer.took);
    recovers(&gateway, "p1", BOUND).await;

    proxy.delay(Duration::from_millis(300));
    let keyed = [("tidegate-type", "order"), ("idempotency-key", "order-4711")];
    let cut = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.deaf(true);
        tokio::time::sleep(Duration::from_millis(400)).await;
        proxy.deaf(false);
        proxy.delay(Duration::ZERO);
    };
    let (answer, ()) = tokio::join!(gateway.post("with a key", &keyed), cut);
    let receipt = answer.receipt();
    recovers(&gateway, "p0", BOUND).await;
    let again = gateway.post("with a key", &keyed).await.receipt();
    assert_eq!((again.id.as_str(), again.duplicate), (receipt.id.as_str(), true));

    let taken = drain_all(&redis).await;
    let with_key: Vec<_> = taken.iter().filter(|job| job.body == b"with a key").collect();
    assert_eq!(with_key.len(), 1, "{with_key:?}");
    assert_eq!(with_key[0].id(), receipt.id);
    assert!(taken.iter().filter(|job| job.body == b"without a key").count() <= 1);
    gateway.finish_after_outage().await;
}

const CUTTING: Duration = Duration::from_secs(6);

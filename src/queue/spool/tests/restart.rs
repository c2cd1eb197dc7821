//! The spool survives its gateway.

use super::*;

#[tokio::test]
async fn what_was_spooled_is_moved_on_by_the_next_gateway_in_its_order() {
    let bench = Bench::new();
    bench.is(Mode::Away);
    for (payload, key) in [("k1", Some("k")), ("x1", None), ("k2", Some("k"))] {
        bench.put(payload, key).await;
    }
    let mut bench = bench.restarted().await;
    assert_eq!(bench.spooled(Tier::P1), 3);
    bench.is(Mode::Here);
    assert_eq!(bench.put("l1", Some("l")).await, Durability::Spooled, "any key may be in what was found");
    assert_eq!(bench.put("x2", None).await, Durability::Memory);
    bench.drain().await;
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["x2", "k1", "x1", "k2", "l1"]);
    assert_eq!(bench.put("l2", Some("l")).await, Durability::Memory);
}

#[tokio::test]
async fn a_gateway_that_dies_while_it_moves_jobs_on_loses_none_and_doubles_none() {
    let bench = Bench::new();
    bench.is(Mode::Away);
    let keyed = crate::domain::idempotency::Keyed {
        key: Key([1; 16]),
        fingerprint: crate::domain::idempotency::Fingerprint([1; 16]),
    };
    let jobs: Vec<_> = (0..20)
        .map(|number| Job { keyed: (number == 7).then_some(keyed), ..job(&number.to_string(), None) })
        .collect();
    for each in &jobs {
        bench.store(each.clone()).await.unwrap();
    }
    let mut bench = bench;
    bench.is(Mode::CutAfter);
    bench.drain.step(Tier::P1, u64::MAX, 1.0).await;
    assert_eq!((bench.backend.depth(Tier::P1), bench.spooled(Tier::P1)), (20, 20), "they are in both");
    let mut bench = bench.restarted().await;
    bench.is(Mode::Here);
    bench.drain().await;
    assert_eq!(bench.spooled(Tier::P1), 0);
    let there = bench.backend.work(Tier::P1).await;
    assert_eq!(
        there.iter().map(|job| job.id).collect::<Vec<_>>(),
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    );
    assert_eq!(bench.queue.spool().duplicates[Tier::P1], 0);
}

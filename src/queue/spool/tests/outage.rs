//! Going away and coming back.

use super::*;

#[tokio::test]
async fn while_the_backend_is_away_jobs_are_spooled_and_moved_on_with_their_ids_when_it_is_back() {
    let mut bench = Bench::new();
    assert_eq!(bench.put("a", None).await, Durability::Memory, "the backend's own");
    bench.is(Mode::Away);
    let jobs: Vec<_> = (0..300).map(|number| job(&number.to_string(), None)).collect();
    for (number, each) in jobs.iter().enumerate() {
        let stored = bench.store(each.clone()).await.unwrap();
        assert_eq!(stored.durability, Durability::Spooled);
        assert_eq!(stored.depth, 2 + number as u64, "one is in the backend");
    }
    let spool = bench.queue.spool();
    assert_eq!((spool.tiers, spool.depth[Tier::P1]), (SPOOLING, 300));
    assert!(bench.queue.outage(Tier::P1).is_none(), "nobody is refused");
    bench.drain().await;
    assert_eq!(bench.spooled(Tier::P1), 300, "nothing is moved to a backend that is away");
    bench.is(Mode::Here);
    bench.drain().await;
    assert_eq!(bench.spooled(Tier::P1), 0);
    let there = bench.backend.work(Tier::P1).await;
    let spooled = &there[1..];
    assert_eq!(
        spooled.iter().map(|job| job.id).collect::<Vec<_>>(),
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    );
    assert_eq!(spooled, jobs, "headers and all");
    assert_eq!(bench.put("b", None).await, Durability::Memory);
    assert_eq!(bench.queue.spool().tiers, TierSet::EMPTY);
}

#[tokio::test]
async fn what_the_backend_refuses_for_sure_goes_to_the_spool_within_the_same_call() {
    let mut bench = Bench::new();
    bench.is(Mode::Refusing);
    assert_eq!(bench.put("a", Some("k")).await, Durability::Spooled);
    bench.is(Mode::Here);
    assert_eq!(bench.put("b", Some("k")).await, Durability::Spooled, "behind the first of its key");
    bench.drain().await;
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["a", "b"]);
}

#[tokio::test]
async fn what_may_be_stored_never_goes_to_the_spool() {
    let bench = Bench::new();
    for mode in [Mode::CutBefore, Mode::CutAfter] {
        bench.is(mode);
        assert_eq!(bench.store(job("a", None)).await, Err(StoreError::Unknown));
        assert_eq!(bench.spooled(Tier::P1), 0);
    }
}

#[tokio::test]
async fn a_tier_that_does_not_spool_is_refused() {
    let bench = Bench::new();
    bench.is(Mode::Away);
    assert_eq!(&*bench.queue.outage(Tier::P2).unwrap().detail, "away");
    let bulk = Job { tier: Tier::P2, ..job("a", None) };
    assert_eq!(unavailable(bench.store(bulk.clone()).await), "away");
    bench.is(Mode::Refusing);
    assert_eq!(unavailable(bench.store(bulk.clone()).await), "away");
    bench.queue.set_tiers(TierSet::only(Tier::P2));
    assert_eq!(bench.store(bulk).await.unwrap().durability, Durability::Spooled, "a new policy");
    assert_eq!(unavailable(bench.store(job("a", None)).await), "away");
}

#[tokio::test]
async fn a_whole_group_is_stored_or_none_of_it() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("a", Some("k")).await;
    bench.is(Mode::Here);
    let group = vec![job("b", None), job("c", Some("k")), job("d", Some("l"))];
    let stored = bench.queue.enqueue(Tier::P1, group).unwrap().await.unwrap();
    assert_eq!((stored.durability, bench.spooled(Tier::P1)), (Durability::Spooled, 4));
    bench.drain().await;
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_tier_whose_backend_is_away_keeps_jobs_as_durably_as_the_spool() {
    let bench = Bench::new();
    assert_eq!(bench.queue.durability(Tier::P1), Durability::Memory);
    bench.is(Mode::Away);
    assert_eq!(bench.queue.durability(Tier::P1), Durability::Spooled);
}

#[tokio::test]
async fn closing_keeps_what_the_backend_refuses_meanwhile() {
    let bench = Bench::new();
    bench.is(Mode::Refusing);
    let storing = bench.queue.enqueue(Tier::P1, vec![job("a", None)]).unwrap();
    bench.queue.close().await;
    assert_eq!(storing.await.unwrap().durability, Durability::Spooled);
    assert_eq!(bench.store(job("b", None)).await, Err(StoreError::Closed));
    let mut bench = bench.restarted_over_the_file().await;
    assert_eq!(bench.spooled(Tier::P1), 1);
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Moved);
}

#[tokio::test]
async fn a_closed_queue_ends_the_drain() {
    let mut bench = Bench::new();
    bench.queue.close().await;
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Closed);
}

impl Bench {
    /// As [`Bench::restarted`], with a new backend too: the old one is closed.
    async fn restarted_over_the_file(self) -> Bench {
        let Bench { backend, queue, drain, clock, hand, folder, max_bytes } = self;
        drop((backend, queue, drain));
        let backend = Arc::new(Switched::open(folder.path(), clock));
        let (queue, drain) = open(folder.path(), max_bytes, &backend, SPOOLING, clock);
        let bench = Bench { backend, queue, drain, clock, hand, folder, max_bytes };
        bench.read_now();
        bench
    }
}

//! What bounds the spool, and what bounds the drain.

use super::*;

const MAX: u64 = 2 << 20;

fn large(tier: Tier) -> Job {
    Job { tier, ..job(&"x".repeat(20_000), None) }
}

async fn fill(bench: &Bench, tier: Tier) -> usize {
    for count in 0..1_000 {
        match bench.store(large(tier)).await {
            Ok(_) => {}
            Err(error) => {
                assert!(unavailable::<()>(Err(error)).starts_with("the spool is full"));
                return count;
            }
        }
    }
    panic!("the spool has no bound");
}

#[tokio::test]
async fn bulk_fills_half_of_the_spool_standard_three_quarters_and_critical_all_of_it() {
    let every = SPOOLING.with(Tier::P2);
    let mut bench = Bench::of(every, MAX);
    bench.is(Mode::Away);
    let mut filled = 0;
    for (tier, share) in [(Tier::P2, 0.5), (Tier::P1, 0.75), (Tier::P0, 1.0)] {
        filled += fill(&bench, tier).await;
        let bytes = filled as f64 * 20_000.0;
        let bound = share * MAX as f64;
        assert!((0.7 * bound..=bound).contains(&bytes), "{tier}: {bytes} of {bound}");
        for other in Tier::ALL {
            let is_full = bench.queue.outage(other).is_some_and(|outage| outage.detail.contains("full"));
            assert!(
                is_full || other < tier || bench.store(large(other)).await.is_err(),
                "{other} after {tier}"
            );
        }
    }
    assert!(bench.queue.0.file.used_bytes() <= MAX);
    bench.is(Mode::Here);
    bench.drain().await;
    bench.is(Mode::Away);
    // The file gives its space back a moment after the jobs have left it.
    let file = &bench.queue.0.file;
    let mut questions = 0;
    while bench.queue.outage(Tier::P2).is_some() && questions < 1_000 {
        file.dead_letter(job("x", None).id).await.unwrap();
        questions += 1;
    }
    bench.store(large(Tier::P2)).await.unwrap();
}

#[tokio::test]
async fn a_full_spool_is_an_outage_that_says_so() {
    let bench = Bench::of(SPOOLING, MAX);
    bench.is(Mode::Away);
    fill(&bench, Tier::P1).await;
    let mut small = 0;
    while bench.queue.outage(Tier::P1).is_none() && small < 10_000 {
        let _ = bench.store(job("x", None)).await;
        small += 1;
    }
    let outage = bench.queue.outage(Tier::P1).unwrap();
    assert_eq!(&*outage.detail, "the spool is full: p1 may fill 1572864 bytes of it");
    assert_eq!(outage.next_try, Duration::from_secs(1), "the backend's own");
    assert!(bench.queue.outage(Tier::P0).is_none());
    bench.is(Mode::Here);
    assert!(bench.queue.outage(Tier::P1).is_none(), "no job needs it");
}

#[tokio::test]
async fn the_drain_keeps_the_backend_below_its_limit() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    for number in 0..50 {
        bench.put(&number.to_string(), None).await;
    }
    bench.is(Mode::Here);
    bench.drain_below(20).await;
    assert_eq!((bench.backend.depth(Tier::P1), bench.spooled(Tier::P1)), (20, 30));
    bench.backend.work(Tier::P1).await;
    bench.drain_below(20).await;
    assert_eq!(bench.backend.depth(Tier::P1), 0, "not before a reading shows that there is room");
    drop(bench.queue.backlog().await);
    bench.drain_below(20).await;
    assert_eq!((bench.backend.depth(Tier::P1), bench.spooled(Tier::P1)), (20, 10));
}

#[tokio::test]
async fn one_of_several_gateways_takes_its_share_of_the_room_at_each_reading() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    for number in 0..50 {
        bench.put(&number.to_string(), None).await;
    }
    bench.is(Mode::Here);
    for there in [10, 15, 17, 18] {
        for _ in 0..3 {
            bench.drain.step(Tier::P1, 20, 0.5).await;
        }
        assert_eq!(bench.backend.depth(Tier::P1), there);
        drop(bench.queue.backlog().await);
    }
}

#[tokio::test]
async fn before_the_backend_was_ever_read_nothing_is_moved() {
    let bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("a", None).await;
    let mut bench = bench.unread();
    bench.is(Mode::Here);
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Idle);
    drop(bench.queue.backlog().await);
    assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Moved);
}

#[tokio::test]
async fn a_spool_whose_disk_cannot_be_written_is_an_outage_that_ends_by_itself() {
    let bench = Bench::new();
    let file = &bench.queue.0.file;
    file.make_read_only(true);
    assert_eq!(bench.put("a", None).await, Durability::Memory, "the backend is there");
    bench.is(Mode::Away);
    let detail = "the spool cannot be written: the disk is read-only";
    assert_eq!(unavailable(bench.store(job("b", Some("k"))).await), detail);
    assert_eq!(&*bench.queue.outage(Tier::P1).unwrap().detail, detail);
    assert!(bench.queue.check_own_disk().is_err(), "not ready");
    bench.is(Mode::Here);
    assert!(bench.queue.outage(Tier::P1).is_none());
    assert_eq!(bench.put("c", Some("k")).await, Durability::Memory, "none of its key is in the spool");
    file.make_read_only(false);
    bench.hand.advance(Duration::from_secs(1));
    file.dead_letter(job("x", None).id).await.unwrap();
    assert_eq!(bench.queue.check_own_disk(), Ok(()));
    bench.is(Mode::Away);
    assert_eq!(bench.put("d", None).await, Durability::Spooled);
}

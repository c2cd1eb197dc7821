//! One reading of backend and spool.

use super::*;

async fn read(bench: &Bench) -> Reading {
    bench.queue.backlog().await[Tier::P1].clone().unwrap()
}

/// Jobs that workers must have taken, by the law's books.
fn balance(reading: &Reading) -> i128 {
    let flows = &reading.flows;
    i128::from(flows.stored) + i128::from(flows.replayed)
        - i128::from(flows.expired)
        - i128::from(flows.dead)
        - i128::from(reading.backlog.depth())
}

#[tokio::test]
async fn spooled_jobs_are_in_the_depth_and_moving_them_on_looks_like_nothing() {
    let mut bench = Bench::new();
    bench.put("a", None).await;
    bench.is(Mode::Away);
    for _ in 0..4 {
        bench.put("b", None).await;
    }
    assert!(bench.queue.backlog().await[Tier::P1].is_err(), "nothing in place of a reading");
    bench.is(Mode::Here);
    let before = read(&bench).await;
    assert_eq!((before.backlog.waiting, before.flows.stored, balance(&before)), (5, 5, 0));
    assert!(before.backlog.oldest_age.is_some());
    bench.drain_below(3).await;
    assert_eq!(bench.spooled(Tier::P1), 2);
    let half = read(&bench).await;
    assert_eq!((half.backlog, half.flows), (before.backlog, before.flows));
    bench.drain().await;
    bench.backend.work(Tier::P1).await;
    let after = read(&bench).await;
    assert_eq!((after.backlog.depth(), balance(&after)), (0, 5), "five were worked off");
}

#[tokio::test]
async fn jobs_found_at_start_are_no_work_of_anybodys() {
    let bench = Bench::new();
    bench.is(Mode::Away);
    bench.put("a", None).await;
    bench.put("b", None).await;
    let mut bench = bench.restarted().await;
    bench.is(Mode::CutAfter);
    let start = read(&bench).await;
    assert_eq!(start.backlog.waiting, 2);
    bench.drain.step(Tier::P1, u64::MAX, 1.0).await;
    bench.hand.advance(Duration::from_secs(2));
    bench.is(Mode::Here);
    bench.drain().await;
    let end = read(&bench).await;
    assert_eq!((end.backlog.depth(), bench.spooled(Tier::P1)), (2, 0));
}

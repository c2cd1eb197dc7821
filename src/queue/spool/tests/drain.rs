//! The drain: what it holds, sends again, and drops.

use super::*;
use crate::queue::dead_letter::DeadLetterQuery;

#[tokio::test]
async fn a_chunk_that_failed_is_held_and_sent_again_and_stored_once() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    for number in 0..10 {
        bench.put(&number.to_string(), None).await;
    }
    for mode in [Mode::Refusing, Mode::CutBefore, Mode::CutAfter, Mode::CutAfter] {
        bench.is(mode);
        assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Idle);
        assert_eq!(bench.drain.step(Tier::P1, u64::MAX, 1.0).await, Step::Idle, "it rests after a failure");
        bench.hand.advance(Duration::from_secs(1));
    }
    assert_eq!((bench.backend.depth(Tier::P1), bench.spooled(Tier::P1)), (10, 10));
    bench.is(Mode::Here);
    bench.drain().await;
    assert_eq!((bench.backend.depth(Tier::P1), bench.spooled(Tier::P1)), (10, 0));
    assert_eq!(bench.queue.spool().duplicates[Tier::P1], 0);
}

#[tokio::test]
async fn jobs_past_their_expiry_are_dropped_and_counted_in_the_file_and_in_the_drains_hand() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    let expiring = |payload, seconds| {
        let expires_at = Some(bench.clock.wall().plus(Duration::from_secs(seconds)));
        Job { expires_at, ..job(payload, Some("k")) }
    };
    let (soon, later, never) = (expiring("soon", 5), expiring("later", 50), job("never", Some("k")));
    for each in [soon, later, never] {
        bench.store(each).await.unwrap();
    }
    bench.hand.advance(Duration::from_secs(10));
    bench.is(Mode::Refusing);
    bench.drain.step(Tier::P1, u64::MAX, 1.0).await;
    bench.hand.advance(Duration::from_secs(60));
    bench.is(Mode::Here);
    bench.drain().await;
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["never"]);
    // The file looks what has expired when it writes, as the clock moved by hand does not wake it.
    bench.queue.0.file.dead_letter(job("x", None).id).await.unwrap();
    assert_eq!(bench.queue.totals()[Tier::P1].expired, 2);
    assert_eq!(bench.spooled(Tier::P1), 0);
}

#[tokio::test]
async fn a_job_that_the_backend_never_takes_goes_to_the_dead_letters_and_the_others_go_on() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    let large = job(&"x".repeat(100), None);
    for each in [job("a", None), large.clone(), job("b", None), job("c", None)] {
        bench.store(each).await.unwrap();
    }
    bench.is(Mode::Small(10));
    for _ in 0..10 {
        bench.drain.step(Tier::P1, u64::MAX, 1.0).await;
        bench.hand.advance(Duration::from_secs(1));
    }
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["a", "b", "c"]);
    assert_eq!(bench.spooled(Tier::P1), 0);
    let query = |after| DeadLetterQuery { tier: None, limit: 10, after };
    let first = bench.queue.dead_letters(query(None)).await.unwrap();
    assert_eq!((first.dead_letters.len(), first.next.as_deref()), (0, Some("spool:")));
    let second = bench.queue.dead_letters(query(first.next)).await.unwrap();
    assert_eq!(second.dead_letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [large.id]);
    assert_eq!(second.next, None);
    assert_eq!(bench.queue.dead_letter(large.id).await.unwrap().unwrap().death.reason, "small");
    let other = random::job_id(bench.clock.wall());
    assert_eq!(
        bench.queue.replay(vec![other, large.id]).await.unwrap(),
        [ReplayResult::Unknown, ReplayResult::Replayed]
    );
    bench.is(Mode::Here);
    bench.drain().await;
    assert_eq!(bench.backend.work(Tier::P1).await[0].id, large.id);
}

#[tokio::test]
async fn the_drain_says_nothing_of_a_tier_that_has_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.drain.step(Tier::P2, u64::MAX, 1.0).await, Step::Idle);
}

//! Idempotency keys through the spool.

use super::*;
use crate::domain::idempotency::{Fingerprint, Keyed};

fn keyed(payload: &str) -> Job {
    let keyed = Keyed { key: Key([7; 16]), fingerprint: Fingerprint([payload.len() as u8; 16]) };
    Job { keyed: Some(keyed), ..job(payload, None) }
}

#[tokio::test]
async fn a_key_is_known_in_the_spool_and_in_the_backend_afterwards() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    let first = keyed("a");
    bench.store(first.clone()).await.unwrap();
    let known = bench.queue.job_of_key(Key([7; 16])).await.unwrap().unwrap();
    assert_eq!((known.id, known.fingerprint), (first.id, Fingerprint([1; 16])));
    let again = bench.store(keyed("a")).await.unwrap();
    assert_eq!(again.known.iter().map(|known| known.job.id).collect::<Vec<_>>(), [first.id]);
    bench.is(Mode::Here);
    let again = bench.store(keyed("b")).await.unwrap();
    assert_eq!(again.known[0].job, known, "also while the backend is here and does not know it yet");
    bench.drain().await;
    assert_eq!(bench.backend.job_of_key(Key([7; 16])).await.unwrap().unwrap().id, first.id);
    assert_eq!(bench.backend.work(Tier::P1).await, [Job { keyed: None, ..first }]);
}

#[tokio::test]
async fn a_group_with_known_jobs_stores_the_others() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.store(keyed("a")).await.unwrap();
    let group = vec![job("x", None), keyed("a"), job("y", None)];
    let stored = bench.queue.enqueue(Tier::P1, group).unwrap().await.unwrap();
    assert_eq!(stored.known.iter().map(|known| known.index).collect::<Vec<_>>(), [1]);
    bench.is(Mode::Here);
    bench.drain().await;
    assert_eq!(bench.backend.payloads(Tier::P1).await, ["a", "x", "y"]);
}

#[tokio::test]
async fn a_job_whose_answer_was_cut_off_keeps_its_first_id_when_it_is_sent_again_into_the_spool() {
    for (mode, lands) in [(Mode::CutAfter, true), (Mode::CutBefore, false)] {
        let mut bench = Bench::new();
        bench.is(mode);
        let first = keyed("a");
        assert_eq!(bench.store(first.clone()).await, Err(StoreError::Unknown));
        assert_eq!(bench.backend.depth(Tier::P1), u64::from(lands));
        bench.is(Mode::Away);
        let again = bench.store(keyed("a")).await.unwrap();
        assert_eq!((again.durability, again.known[0].job.id), (Durability::Spooled, first.id));
        bench.is(Mode::Here);
        bench.drain().await;
        let there = bench.backend.work(Tier::P1).await;
        assert_eq!(there.iter().map(|job| job.id).collect::<Vec<_>>(), [first.id], "landed: {lands}");
        assert_eq!(bench.queue.spool().duplicates[Tier::P1], 0);
    }
}

#[tokio::test]
async fn a_job_that_another_gateway_stored_meanwhile_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.is(Mode::Away);
    bench.store(keyed("a")).await.unwrap();
    bench.put("b", None).await;
    bench.is(Mode::Here);
    let elsewhere = keyed("a");
    bench.backend.enqueue(Tier::P1, vec![elsewhere.clone()]).unwrap().await.unwrap();
    bench.drain().await;
    let there = bench.backend.work(Tier::P1).await;
    assert_eq!(there.len(), 2);
    assert_eq!(there[0].id, elsewhere.id);
    let spool = bench.queue.spool();
    assert_eq!((spool.duplicates[Tier::P1], spool.depth[Tier::P1]), (1, 0));
}

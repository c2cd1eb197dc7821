//! Jobs past their expiry: dropped and counted, wherever they are.

use super::*;

fn expiring(rig: &Rig, payload: &str, after: Duration) -> Job {
    Job { expires_at: Some(rig.clock.wall().plus(after)), ..rig.job(Tier::P0, payload) }
}

async fn assert_all_expired(queue: &EmbeddedQueue, expired: u64) {
    let reading = queue.backlog().await[Tier::P0].clone().unwrap();
    assert_eq!((reading.backlog.depth(), reading.flows.expired), (0, expired));
    assert_eq!(queue.totals()[Tier::P0].expired, expired);
    assert_balanced(queue);
}

const SHORT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_expired_job_is_not_handed_out_and_leaves_the_depth() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let jobs = (0..3000).map(|number| expiring(&rig, &number.to_string(), SHORT));
    for batch in jobs.collect::<Vec<_>>().chunks(1000) {
        store(&queue, batch.to_vec()).await;
    }
    rig.hand.advance(SHORT);
    assert!(lease_one(&queue).await.is_none());
    for _ in 0..4 {
        flush(&queue).await;
    }
    assert_all_expired(&queue, 3000).await;
    drop(queue);
    assert_eq!(rig.open().totals()[Tier::P0].recovered, 0);
}

#[tokio::test]
async fn the_writer_drops_expired_jobs_unasked() {
    let mut rig = Rig::new(Ordering::Pass);
    rig.clock = Clock::start();
    let queue = rig.open();
    store(&queue, vec![expiring(&rig, "a", Duration::from_millis(30))]).await;
    let started = rig.clock.now();
    while queue.totals()[Tier::P0].expired == 0 && rig.clock.now().since(started) < Duration::from_secs(20) {
        tokio::task::yield_now().await;
    }
    assert_all_expired(&queue, 1).await;
}

#[tokio::test]
async fn a_leased_job_may_be_finished_past_its_expiry_but_is_not_retried() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![expiring(&rig, "a", SHORT), expiring(&rig, "b", SHORT)]).await;
    let leases = lease(&queue, 2).await;
    rig.hand.advance(SHORT);
    flush(&queue).await;
    assert_eq!(queue.totals()[Tier::P0].leased, 2, "they are not dropped under the worker's hands");
    ack(&queue, &leases[0]).await;
    nack(&queue, &leases[1], Nack::default()).await;
    assert_eq!(queue.totals()[Tier::P0].done, 1);
    assert_all_expired(&queue, 1).await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_retry_expires_and_frees_its_key() {
    let rig = Rig::new(Ordering::Block);
    let queue = rig.open();
    let key = Some(Box::from("k"));
    let first = Job { ordering_key: key.clone(), ..expiring(&rig, "first", SHORT) };
    let second = Job { ordering_key: key, ..rig.job(Tier::P0, "second") };
    store(&queue, vec![first, second]).await;
    let first = lease_one(&queue).await.unwrap();
    nack(&queue, &first, Nack { delay: Some(Duration::from_secs(3600)), ..Nack::default() }).await;
    assert!(lease_one(&queue).await.is_none());
    rig.hand.advance(SHORT);
    flush(&queue).await;
    assert_eq!(payload(&lease_one(&queue).await.unwrap()), "second");
    assert_eq!(queue.totals()[Tier::P0].expired, 1);
    assert_balanced(&queue);
}

#[tokio::test]
async fn what_expired_while_nobody_was_there_is_dropped_after_the_start() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![expiring(&rig, "a", SHORT), rig.job(Tier::P0, "b")]).await;
    drop(queue);
    rig.hand.advance(SHORT);
    let queue = rig.open();
    assert_eq!(payloads(&lease(&queue, 10).await), ["b"]);
    flush(&queue).await;
    assert_eq!(queue.totals()[Tier::P0].expired, 1);
    assert_balanced(&queue);
}

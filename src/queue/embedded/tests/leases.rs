//! Leasing, acknowledging, failing, extending, waiting.

use super::*;

#[tokio::test]
async fn jobs_are_handed_out_in_order_of_acceptance_also_beyond_what_memory_holds() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    let jobs: Vec<_> = (0..10_000).map(|number| rig.job(Tier::P1, &number.to_string())).collect();
    for batch in jobs.chunks(1000) {
        store(&queue, batch.to_vec()).await;
    }
    let mut seen = Vec::new();
    while seen.len() < jobs.len() {
        let leases = lease(&queue, 700).await;
        assert!(!leases.is_empty(), "only {} jobs came", seen.len());
        seen.extend(leases.into_iter().map(|lease| (lease.attempt, lease.job)));
    }
    assert!(seen.iter().all(|(attempt, _)| *attempt == 1));
    assert!(seen.into_iter().map(|(_, job)| job).eq(jobs));
    assert_balanced(&queue);
}

#[tokio::test]
async fn a_lease_that_ends_is_a_failed_attempt() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P0, "a")]).await;
    let first = lease_one(&queue).await.unwrap();
    rig.hand.advance(PERIOD);
    assert_eq!(queue.ack(vec![first.token]).await.unwrap(), [LeaseStatus::Unknown]);
    flush(&queue).await;
    assert!(lease_one(&queue).await.is_none(), "the backoff is not over");
    rig.hand.advance(Duration::from_secs(1));
    let second = lease_one(&queue).await.unwrap();
    assert_eq!((second.attempt, &second.job), (2, &first.job));
    assert_ne!(second.token, first.token);
}

#[tokio::test]
async fn the_writer_ends_leases_and_wakes_a_poll_for_the_retry_unasked() {
    let mut rig = Rig::new(Ordering::Pass);
    rig.clock = Clock::start();
    for (_, rules) in rig.rules.iter_mut() {
        rules.retry.backoff = Duration::from_millis(20);
    }
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P0, "a")]).await;
    let short = LeaseRequest { period: Duration::from_millis(30), ..request(1) };
    assert_eq!(queue.lease(short).await.unwrap().len(), 1);
    let patient = LeaseRequest { wait: Duration::from_secs(20), ..request(1) };
    assert_eq!(queue.lease(patient).await.unwrap()[0].attempt, 2);
}

#[tokio::test]
async fn a_delay_replaces_the_backoff_and_the_backoff_doubles() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P0, "a")]).await;
    let first = lease_one(&queue).await.unwrap();
    nack(&queue, &first, Nack { delay: Some(Duration::from_secs(5)), ..Nack::default() }).await;
    rig.hand.advance(Duration::from_millis(4999));
    assert!(lease_one(&queue).await.is_none());
    assert_eq!(queue.backlog().await[Tier::P0].clone().unwrap().backlog.waiting, 1, "a delayed job counts");
    rig.hand.advance(Duration::from_millis(1));
    let second = lease_one(&queue).await.unwrap();
    nack(&queue, &second, Nack::default()).await;
    rig.hand.advance(Duration::from_millis(1999));
    assert!(lease_one(&queue).await.is_none());
    rig.hand.advance(Duration::from_millis(1));
    assert_eq!(lease_one(&queue).await.unwrap().attempt, 3);
}

#[tokio::test]
async fn a_retry_goes_before_jobs_that_came_later() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, ["a", "b", "c"].map(|payload| rig.job(Tier::P0, payload)).to_vec()).await;
    let first = lease_one(&queue).await.unwrap();
    nack(&queue, &first, Nack { delay: Some(Duration::ZERO), ..Nack::default() }).await;
    // It is loaded from the disk beside the leasing; nobody needs to wait for it.
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(payloads(&lease(&queue, 1).await).into_iter().map(str::to_owned));
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_extended_lease_lasts() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, vec![rig.job(Tier::P0, "a")]).await;
    let job = lease_one(&queue).await.unwrap();
    rig.hand.advance(PERIOD - Duration::from_secs(1));
    assert_eq!(
        queue.extend(vec![job.token, LeaseToken(1)], PERIOD).await.unwrap(),
        [LeaseStatus::Ok, LeaseStatus::Unknown]
    );
    rig.hand.advance(PERIOD - Duration::from_secs(1));
    ack(&queue, &job).await;
    assert_eq!(queue.ack(vec![job.token]).await.unwrap(), [LeaseStatus::Unknown]);
    assert_eq!(queue.totals()[Tier::P0].done, 1);
}

#[tokio::test]
async fn a_restart_returns_leased_jobs_and_keeps_acknowledged_ones_away() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, ["a", "b", "c", "d"].map(|payload| rig.job(Tier::P0, payload)).to_vec()).await;
    let leases = lease(&queue, 3).await;
    ack(&queue, &leases[1]).await;
    nack(&queue, &leases[2], Nack::default()).await;
    queue.close().await;
    drop(queue);
    let queue = rig.open();
    assert_eq!(queue.totals()[Tier::P0].recovered, 3);
    let again = lease(&queue, 10).await;
    assert_eq!(payloads(&again), ["a", "d"]);
    assert_eq!(again[0].attempt, 1, "an attempt cut off by a restart does not count");
    assert_ne!(again[0].token, leases[0].token);
    rig.hand.advance(Duration::from_secs(1));
    let retried = lease_one(&queue).await.unwrap();
    assert_eq!((payload(&retried), retried.attempt), ("c", 2));
    assert_balanced(&queue);
}

#[tokio::test]
async fn a_long_poll_is_answered_when_a_job_of_its_tiers_arrives() {
    let rig = Rig::new(Ordering::Pass);
    let queue = Arc::new(rig.open());
    let poll = |tiers| {
        let (queue, wait) = (Arc::clone(&queue), Duration::from_secs(30));
        tokio::spawn(async move { queue.lease(LeaseRequest { wait, tiers, ..request(10) }).await.unwrap() })
    };
    let critical = poll(TierSet::only(Tier::P0));
    let bulk = poll(TierSet::only(Tier::P2));
    tokio::task::yield_now().await;
    store(&queue, vec![rig.job(Tier::P2, "bulk")]).await;
    assert_eq!(payloads(&bulk.await.unwrap()), ["bulk"]);
    assert!(!critical.is_finished());
    store(&queue, vec![rig.job(Tier::P0, "critical")]).await;
    assert_eq!(payloads(&critical.await.unwrap()), ["critical"]);
}

#[tokio::test]
async fn one_batch_serves_every_poll_that_waits() {
    let rig = Rig::new(Ordering::Pass);
    let queue = Arc::new(rig.open());
    let polls: Vec<_> = (0..50)
        .map(|_| {
            let (queue, wait) = (Arc::clone(&queue), Duration::from_secs(30));
            tokio::spawn(async move { queue.lease(LeaseRequest { wait, ..request(2) }).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    store(&queue, (0..100).map(|number| rig.job(Tier::P1, &number.to_string())).collect()).await;
    for poll in polls {
        assert_eq!(poll.await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_poll_given_up_passes_its_wake_up_on() {
    let rig = Rig::new(Ordering::Pass);
    let queue = Arc::new(rig.open());
    let poll = || {
        let (queue, wait) = (Arc::clone(&queue), Duration::from_secs(30));
        tokio::spawn(async move { queue.lease(LeaseRequest { wait, ..request(1) }).await.unwrap() })
    };
    let (first, second) = (poll(), poll());
    tokio::task::yield_now().await;
    // The writer wakes the first poll, which does not run before it is aborted.
    let storing = queue.enqueue(Tier::P0, vec![rig.job(Tier::P0, "a")]).unwrap();
    while queue.totals()[Tier::P0].stored == 0 {
        std::thread::yield_now();
    }
    first.abort();
    storing.await.unwrap();
    assert_eq!(payloads(&second.await.unwrap()), ["a"]);
}

#[tokio::test]
async fn released_polls_are_answered_at_once_and_later_ones_do_not_wait() {
    let rig = Rig::new(Ordering::Pass);
    let queue = Arc::new(rig.open());
    let patient = LeaseRequest { wait: Duration::from_secs(30), ..request(1) };
    let (waiting, asked) = (Arc::clone(&queue), patient.clone());
    let poll = tokio::spawn(async move { waiting.lease(asked).await.unwrap() });
    tokio::task::yield_now().await;
    queue.release_polls();
    assert!(poll.await.unwrap().is_empty());
    assert!(queue.lease(patient.clone()).await.unwrap().is_empty());
    store(&queue, vec![rig.job(Tier::P0, "a")]).await;
    assert_eq!(queue.lease(patient).await.unwrap().len(), 1, "jobs are still handed out");
}

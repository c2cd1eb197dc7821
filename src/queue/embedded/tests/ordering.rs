//! Order within an ordering key.

use super::*;

#[tokio::test]
async fn pass_lets_later_jobs_of_a_key_go_while_an_earlier_one_is_out() {
    let rig = Rig::new(Ordering::Pass);
    let queue = rig.open();
    store(&queue, ["a1", "a2", "b1"].map(|payload| rig.keyed(payload)).to_vec()).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["a1", "a2", "b1"]);
}

#[tokio::test]
async fn block_hands_out_one_job_of_a_key_at_a_time() {
    let rig = Rig::new(Ordering::Block);
    let queue = rig.open();
    store(&queue, ["a1", "a2", "b1", "a3", "b2"].map(|payload| rig.keyed(payload)).to_vec()).await;
    store(&queue, vec![rig.job(Tier::P1, "free"), rig.job(Tier::P1, "free too")]).await;
    let first = lease(&queue, 10).await;
    assert_eq!(payloads(&first), ["a1", "b1", "free", "free too"]);
    assert!(lease_one(&queue).await.is_none());
    ack(&queue, &first[0]).await;
    let second = lease(&queue, 10).await;
    assert_eq!(payloads(&second), ["a2"]);
    ack(&queue, &first[1]).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["b2"]);
    ack(&queue, &second[0]).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["a3"]);
}

#[tokio::test]
async fn block_waits_for_a_retry_also_across_a_restart() {
    let rig = Rig::new(Ordering::Block);
    let queue = rig.open();
    store(&queue, ["a1", "a2"].map(|payload| rig.keyed(payload)).to_vec()).await;
    let first = lease_one(&queue).await.unwrap();
    nack(&queue, &first, Nack::default()).await;
    assert!(lease_one(&queue).await.is_none());
    drop(queue);
    let queue = rig.open();
    assert!(lease_one(&queue).await.is_none());
    rig.hand.advance(Duration::from_secs(1));
    let again = lease(&queue, 10).await;
    assert_eq!((payloads(&again), again[0].attempt), (vec!["a1"], 2));
    ack(&queue, &again[0]).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["a2"]);
}

#[tokio::test]
async fn a_dead_job_lets_the_next_of_its_key_go() {
    let rig = Rig::new(Ordering::Block);
    let queue = rig.open();
    store(&queue, ["a1", "a2"].map(|payload| rig.keyed(payload)).to_vec()).await;
    let first = lease(&queue, 10).await;
    nack(&queue, &first[0], Nack { dead: true, ..Nack::default() }).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["a2"]);
}

#[tokio::test]
async fn a_blocked_poll_is_woken_when_its_key_is_free() {
    let rig = Rig::new(Ordering::Block);
    let queue = Arc::new(rig.open());
    store(&queue, ["a1", "a2"].map(|payload| rig.keyed(payload)).to_vec()).await;
    let first = lease_one(&queue).await.unwrap();
    let (waiting, patient) =
        (Arc::clone(&queue), LeaseRequest { wait: Duration::from_secs(30), ..request(1) });
    let poll = tokio::spawn(async move { waiting.lease(patient).await.unwrap() });
    tokio::task::yield_now().await;
    ack(&queue, &first).await;
    assert_eq!(payloads(&poll.await.unwrap()), ["a2"]);
}

#[tokio::test]
async fn block_looks_past_ten_thousand_blocked_jobs_and_not_further() {
    let rig = Rig::new(Ordering::Block);
    let queue = rig.open();
    let mut jobs: Vec<_> = (0..10_001).map(|number| rig.keyed(&format!("a{number}"))).collect();
    jobs.push(rig.keyed("b within"));
    jobs.push(rig.keyed("a one too many"));
    jobs.push(rig.keyed("c beyond"));
    for batch in jobs.chunks(1000) {
        store(&queue, batch.to_vec()).await;
    }
    let mut seen = Vec::new();
    while let Some(job) = lease_one(&queue).await {
        seen.push(job);
    }
    assert_eq!(payloads(&seen), ["a0", "b within"]);
    ack(&queue, &seen[0]).await;
    let mut seen = Vec::new();
    while let Some(job) = lease_one(&queue).await {
        seen.push(payload(&job).to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["a1", "c beyond"]);
}

#[tokio::test]
async fn changing_to_pass_frees_what_was_blocked() {
    let mut rig = Rig::new(Ordering::Block);
    let queue = rig.open();
    store(&queue, ["a1", "a2", "a3"].map(|payload| rig.keyed(payload)).to_vec()).await;
    assert_eq!(payloads(&lease(&queue, 10).await), ["a1"]);
    for (_, rules) in rig.rules.iter_mut() {
        rules.ordering = Ordering::Pass;
    }
    queue.set_rules(rig.rules);
    assert_eq!(payloads(&lease(&queue, 10).await), ["a2", "a3"]);
}

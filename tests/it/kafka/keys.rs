//! Idempotency keys before Kafka, which knows none: this gateway keeps them, also over restarts and kills.

use std::time::Duration;

use super::{BROKER_BACK, Place};
use crate::support::kafka::Kafka;
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_after_a_kill() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 2, &[]).await;
    let mut gateway = place.before(kafka, Policy::calm()).start().await;
    let keyed = [("tidegate-type", "order"), ("idempotency-key", "order-4711")];
    let first = gateway.post("once", &keyed).await.receipt();
    assert!(!first.duplicate);
    for killed in [false, true] {
        match killed {
            true => gateway.kill(),
            false => gateway.stop().await,
        }
        gateway.restart().await;
        let again = gateway.post("once", &keyed).await.receipt();
        assert_eq!((again.id.as_str(), again.duplicate), (first.id.as_str(), true), "killed: {killed}");
        gateway.post("something else", &keyed).await.problem(422, "idempotency_mismatch");
    }
    assert_eq!(place.drain_all(kafka).await.len(), 1);
    // Known when the job is done.
    assert!(gateway.post("once", &keyed).await.receipt().duplicate);
    gateway.finish_after_outage().await;
}

/// The key is written before the job is sent: whatever became of it, the retry has the first id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_gateway_was_killed_while_it_was_on_its_way_keeps_its_id() {
    let kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 1, &[]).await;
    let mut gateway = place.before(&kafka, Policy::calm()).start().await;
    gateway.accept("p1", "before").await;
    kafka.stop();
    let keyed = [("tidegate-type", "order"), ("idempotency-key", "on-its-way")];
    {
        let kill = async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            gateway.signal("KILL");
        };
        let (answer, ()) = tokio::join!(gateway.try_post("on its way", &keyed), kill);
        assert!(answer.is_err(), "it was answered before the kill: {answer:?}");
    }
    gateway.kill();
    kafka.cont();
    gateway.restart().await;
    let receipt = until("the retry is stored", BROKER_BACK, async || {
        let answer = gateway.post("on its way", &keyed).await;
        (answer.status == 202).then(|| answer.receipt())
    })
    .await;
    let found = place.drain_all(&kafka).await;
    let ids: Vec<&str> = found.iter().filter(|job| job.text() == "on its way").map(|job| job.id()).collect();
    // It may have landed before the gateway died, and is sent again since nobody knows: under one id.
    assert!(
        !ids.is_empty() && ids.len() <= 2 && ids.iter().all(|id| *id == receipt.id),
        "{ids:?} {receipt:?}"
    );
    let third = gateway.post("on its way", &keyed).await.receipt();
    assert_eq!((third.id, third.duplicate), (receipt.id, true));
    gateway.finish_after_outage().await;
}

/// A 504 leaves a keyed client nothing to fear: sent again, its job has the first id, and is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_an_open_answer_learns_what_became_of_the_job() {
    let kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 1, &[]).await;
    let gateway = place.before(&kafka, Policy::calm()).start().await;
    gateway.accept("p1", "before").await;
    kafka.stop();
    let keyed = [("tidegate-type", "order"), ("idempotency-key", "open")];
    let answer = gateway.post("open", &keyed).await;
    assert!(matches!(answer.status, 504 | 503 | 409), "{answer:?}");
    assert_ne!(answer.any_problem().outcome, "stored");
    kafka.cont();
    let receipt = until("the retry is answered", BROKER_BACK, async || {
        let answer = gateway.post("open", &keyed).await;
        (answer.status == 202).then(|| answer.receipt())
    })
    .await;
    let again = gateway.post("open", &keyed).await.receipt();
    assert_eq!((again.id.as_str(), again.duplicate), (receipt.id.as_str(), true));
    let found = place.drain_all(&kafka).await;
    let ids: Vec<&str> = found.iter().filter(|job| job.text() == "open").map(|job| job.id()).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == receipt.id), "{ids:?} {receipt:?}");
    gateway.finish_after_outage().await;
}

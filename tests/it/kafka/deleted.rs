//! A topic that somebody deletes under load is an outage of its tier alone, and is served again when it is made anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BOUND, Place};
use crate::support::jobs::type_of;
use crate::support::kafka::Kafka;
use crate::support::kafka_client::read_all;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::recovery::recovers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_under_load_is_an_outage_of_its_tier_until_it_is_made_again() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 2, &[]).await;
    let gateway = Arc::new(place.before(kafka, Policy::calm()).start().await);
    for number in 0..20 {
        gateway.accept("p2", &format!("before {number}")).await;
    }
    let post = async || {
        let answer = gateway.post("in between", &[("tidegate-type", type_of("p2"))]).await;
        assert!(answer.took < BOUND, "a client waited {:?}", answer.took);
        answer
    };
    let bulk = place.topic(2);
    let deleting = kafka.delete(&bulk);
    let posting = async {
        let mut answers = Vec::new();
        until("bulk is refused", Duration::from_secs(15), async || {
            let answer = post().await;
            answers.push(answer.status);
            (answer.status == 503).then_some(())
        })
        .await;
        answers
    };
    let ((), answers) = tokio::join!(deleting, posting);
    println!("{} answers until 503", answers.len());
    assert!(answers.iter().all(|status| matches!(status, 202 | 503 | 504)), "{answers:?}");
    let problem = post().await.problem(503, "backend_unavailable");
    assert_eq!((problem.outcome.as_str(), problem.tier.as_deref()), ("not_stored", Some("p2")));
    let detail = problem.document["detail"].as_str().unwrap();
    assert!(detail.contains(&place.topic(2)), "the detail names the topic: {detail}");
    for tier in ["p0", "p1"] {
        gateway.accept(tier, "meanwhile").await;
    }

    kafka.create(&place.topic(2), 3, &[]).await;
    let made = Instant::now();
    recovers(&gateway, "p2", Duration::from_secs(20)).await;
    println!("bulk is taken again {:?} after the topic was made", made.elapsed());
    let id = gateway.accept("p2", "after").await.id;
    let records = read_all(kafka, &place.topic(2)).await;
    assert_eq!(records.iter().filter(|record| record.id() == id).count(), 1);
    until("the depth is of the new topic", Duration::from_secs(10), async || {
        let depth = gateway.metrics().await.count("tidegate_queue_depth", &[("tier", "p2")]);
        (depth == records.len() as u64).then_some(())
    })
    .await;
    Arc::into_inner(gateway).expect("nobody else holds it").finish_after_outage().await;
}

//! Durability told as it is: what a topic is set to is what receipts say, and a tier that requires more is not served.

use std::time::Duration;

use super::{BOUND, Place};
use crate::support::command::tidegate;
use crate::support::gateway::{Setup, free_port};
use crate::support::kafka::Kafka;
use crate::support::policy::Policy;
use crate::support::poll::until;

/// Settings of topics are read again every ten seconds.
const WATCH: Duration = Duration::from_secs(20);

/// The gateway ends with these words.
async fn refuses_to_start(setup: Setup, words: &[&str]) -> String {
    let arguments = setup.arguments(free_port(), free_port());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = tidegate(setup.folder(), &arguments, &[]).await;
    ended.says(1, words);
    ended.said
}

#[tokio::test]
async fn a_receipt_says_disk_only_where_every_message_is_flushed() {
    let kafka = Kafka::shared().await;
    let flushed = Place::on(kafka, 1, &[("flush.messages", "1")]).await;
    let gateway = flushed.before(kafka, Policy::calm().every_tier("require", "disk")).start().await;
    for tier in ["p0", "p1", "p2"] {
        assert_eq!(gateway.accept(tier, "flushed").await.durability, "disk");
    }
    gateway.finish().await;

    let cached = Place::on(kafka, 1, &[]).await;
    let words = ["p0", "requires disk", "flush.messages"];
    refuses_to_start(cached.before(kafka, Policy::calm().tier("p0", "require", "disk")), &words).await;
    let replicated = Policy::calm().tier("p1", "require", "replicated");
    refuses_to_start(
        flushed.before(kafka, replicated),
        &["p1", "requires replicated", "min.insync.replicas"],
    )
    .await;
}

#[tokio::test]
async fn what_is_set_while_it_runs_is_noticed_and_only_tiers_that_require_more_are_refused() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 1, &[("flush.messages", "1")]).await;
    let gateway = place.before(kafka, Policy::calm().tier("p0", "require", "disk")).start().await;
    assert_eq!(gateway.accept("p0", "critical").await.durability, "disk");
    for topic in place.topics() {
        kafka.configure(&topic, &[("flush.messages", "1000")]).await;
    }
    until("the loss is noticed", WATCH, async || {
        let answer = gateway.post("critical", &[("tidegate-type", "payment")]).await;
        if answer.status == 202 {
            return None;
        }
        let problem = answer.problem(503, "backend_unavailable");
        assert_eq!((problem.outcome.as_str(), problem.tier.as_deref()), ("not_stored", Some("p0")));
        Some(())
    })
    .await;
    until("receipts say memory", WATCH, async || {
        (gateway.accept("p1", "standard").await.durability == "memory").then_some(())
    })
    .await;
    kafka.configure(&place.topic(0), &[("flush.messages", "1")]).await;
    until("it is disk again", WATCH, async || {
        let answer = gateway.post("critical", &[("tidegate-type", "payment")]).await;
        assert!(answer.took < BOUND);
        (answer.status == 202).then(|| assert_eq!(answer.receipt().durability, "disk"))
    })
    .await;
    gateway.finish().await;
}

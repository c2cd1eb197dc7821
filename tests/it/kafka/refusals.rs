//! What is wrong at the start is said in one sentence, with the command that mends it; the command mends it.

use super::Place;
use crate::support::command::tidegate;
use crate::support::gateway::{Setup, free_port};
use crate::support::kafka::{Kafka, unique};
use crate::support::policy::Policy;

/// The gateway ends with these words; everything that it said.
async fn refuses_to_start(setup: &Setup, words: &[&str]) -> String {
    let arguments = setup.arguments(free_port(), free_port());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = tidegate(setup.folder(), &arguments, &[]).await;
    ended.says(1, words);
    ended.said
}

#[tokio::test]
async fn topics_that_are_missing_are_named_with_the_command_that_makes_them() {
    let kafka = Kafka::start(&[]).await;
    let place = Place { name: unique("place") };
    let setup = place.before(&kafka, Policy::calm());
    let topics = place.topics();
    let said = refuses_to_start(&setup, &[&topics[0], &topics[1], &topics[2], "tidegate kafka init"]).await;
    assert!(said.lines().count() <= 12, "a line for each fault and little else: {said}");

    let mut arguments = vec!["kafka".to_owned(), "init".to_owned()];
    arguments.extend(setup.arguments(free_port(), free_port()).into_iter().skip(1));
    arguments.extend(["--partitions".to_owned(), "3".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let made = tidegate(setup.folder(), &arguments, &[]).await;
    assert_eq!(made.code, Some(0), "{}", made.said);
    for topic in place.topics() {
        assert!(made.said.contains(&topic), "{}", made.said);
    }
    let gateway = setup.start().await;
    let receipt = gateway.accept("p0", "critical").await;
    assert_eq!((receipt.durability.as_str(), receipt.depth), ("memory", 1));
    gateway.finish().await;
}

#[tokio::test]
async fn a_topic_whose_messages_are_smaller_than_jobs_may_be_is_refused() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 1, &[("max.message.bytes", "100000")]).await;
    let words = ["max.message.bytes", "limits.max_job_bytes", &place.topic(0)];
    refuses_to_start(&place.before(kafka, Policy::calm()), &words).await;
    let gateway = place.before(kafka, Policy::calm()).set("limits.max_job_bytes", "50000").start().await;
    gateway.accept("p2", &"x".repeat(50_000)).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_said_unless_a_tier_spools() {
    let place = Place { name: unique("place") };
    let nowhere = format!("127.0.0.1:{}", free_port());
    refuses_to_start(&place.at(&nowhere, Policy::calm()), &["kafka", &nowhere]).await;
    let setup = place.at(&nowhere, Policy::calm().tier("p1", "spool", "true"));
    let path = setup.folder().join("spool.db").display().to_string();
    let gateway = setup.set("spool.path", &path).start().await;
    assert_eq!(gateway.accept("p1", "early").await.durability, "spooled");
    let answer = gateway.post("critical", &[("tidegate-type", "payment")]).await;
    assert_eq!(answer.problem(503, "backend_unavailable").outcome, "not_stored");
    gateway.finish_after_outage().await;
}

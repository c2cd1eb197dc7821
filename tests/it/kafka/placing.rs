//! An ordering key goes where the Java client puts it: jobs of this gateway and records of others share partitions by key.

use std::collections::BTreeMap;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Place;
use crate::support::kafka::{Kafka, root};
use crate::support::kafka_client::read_all;
use crate::support::policy::Policy;

#[tokio::test]
async fn a_key_is_placed_as_the_java_client_places_it() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 13, &[]).await;
    let gateway = place.before(kafka, Policy::calm()).start().await;
    let keys: Vec<String> = (0..200_u32)
        .map(|number| match number % 4 {
            0 => format!("customer {number}"),
            1 => number.to_string(),
            2 => "x".repeat(number as usize),
            _ => format!("k-{}", number.wrapping_mul(2_654_435_761)),
        })
        .collect();
    let topic = place.topic(1);

    let mut command = Command::new(root().join("scripts/kafka"));
    command.args(["tool", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", &kafka.brokers()]);
    command.args(["--topic", &topic, "--property", "parse.key=true"]).kill_on_drop(true);
    let mut java = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let lines: String = keys.iter().map(|key| format!("{key}\tjava\n")).collect();
    java.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    assert!(java.wait().await.unwrap().success());

    for key in &keys {
        gateway.post("ours", &[("tidegate-type", "order"), ("tidegate-ordering-key", key)]).await.receipt();
    }
    let mut places: BTreeMap<(String, String), i32> = BTreeMap::new();
    for record in read_all(kafka, &topic).await {
        let key = record.key.clone().expect("every record has a key");
        places.insert((record.text().to_owned(), key), record.partition);
    }
    let of = |who: &str, key: &String| places.get(&(who.to_owned(), key.clone())).copied();
    let apart: Vec<_> = keys.iter().filter(|key| of("ours", key) != of("java", key)).collect();
    assert!(apart.is_empty(), "{} of {} keys are placed apart: {apart:?}", apart.len(), keys.len());
    let used: std::collections::BTreeSet<_> = keys.iter().filter_map(|key| of("java", key)).collect();
    assert_eq!(used.len(), 13, "the keys prove nothing: {used:?}");
    gateway.finish_after_outage().await;
}

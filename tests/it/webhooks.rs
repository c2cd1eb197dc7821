//! Real payloads: GitHub's published example deliveries through `policies/webhooks.yaml`, singly and as batches, and back
//! to a worker byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{Leased, NDJSON};

/// One example delivery.
struct Delivery {
    event: String,
    payload: String,
    /// What GitHub would send as `X-GitHub-Delivery`.
    guid: String,
}

#[derive(Deserialize)]
struct Event {
    name: String,
    examples: Vec<Box<RawValue>>,
}

/// The published examples, each as the compact JSON that GitHub sends.
fn deliveries() -> Vec<Delivery> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".tools/clients/node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|why| {
        panic!("{}: {why}: run `make test-clients`, which installs it", path.display());
    });
    let events: Vec<Event> = serde_json::from_str(&text).unwrap();
    let examples = events
        .into_iter()
        .flat_map(|event| event.examples.into_iter().map(move |example| (event.name.clone(), example)));
    let delivery = |(number, (event, example)): (usize, (String, Box<RawValue>))| Delivery {
        event,
        payload: without_line_ends(example.get()),
        guid: format!("72d3162e-cc78-11e3-81ab-{number:012x}"),
    };
    examples.enumerate().map(delivery).collect()
}

/// The same JSON on one line: line ends in it are white space, since in texts they are escaped.
fn without_line_ends(json: &str) -> String {
    json.lines().map(str::trim_start).collect()
}

fn tier_of(event: &str) -> &'static str {
    match event {
        "push" | "workflow_job" | "deployment" => "p0",
        "star" | "watch" | "fork" | "ping" => "p2",
        _ => "p1",
    }
}

async fn gateway() -> Gateway {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/webhooks.yaml");
    Setup::bare().set("policy", policy.to_str().unwrap()).start().await
}

async fn post(gateway: &Gateway, delivery: &Delivery) -> crate::support::answer::Receipt {
    let headers = [
        ("x-github-event", delivery.event.as_str()),
        ("x-github-delivery", &delivery.guid),
        ("content-type", "application/json"),
        ("user-agent", "GitHub-Hookshot/044aadd"),
    ];
    gateway.post(&delivery.payload, &headers).await.receipt()
}

#[tokio::test]
async fn every_published_delivery_comes_back_as_it_was_sent_from_its_tier() {
    let deliveries = deliveries();
    assert_eq!(deliveries.len(), 329);
    let gateway = gateway().await;
    let mut sent = HashMap::new();
    for delivery in &deliveries {
        let receipt = post(&gateway, delivery).await;
        assert_eq!((receipt.tier.as_str(), receipt.duplicate), (tier_of(&delivery.event), false));
        sent.insert(receipt.id, delivery);
    }
    for delivery in deliveries.iter().step_by(7) {
        let again = post(&gateway, delivery).await;
        assert!(again.duplicate, "{} was redelivered", delivery.guid);
        assert_eq!(sent[&again.id].guid, delivery.guid);
    }
    let leased = gateway.drain().await;
    assert_eq!(leased.len(), 329);
    for job in leased {
        let delivery = sent.remove(&job.id).expect("handed out once");
        assert_eq!(job.text(), delivery.payload, "{}", delivery.event);
        assert_eq!(
            (job.tier.as_str(), job.content_type.as_str()),
            (tier_of(&delivery.event), Some("application/json"))
        );
        let repository: serde_json::Value = serde_json::from_str(&delivery.payload).unwrap();
        assert_eq!(job.ordering_key.as_str(), repository["repository"]["full_name"].as_str());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn all_of_them_are_one_batch_and_each_event_a_batch_of_its_tier() {
    let deliveries = deliveries();
    let gateway = gateway().await;
    let all: Vec<&Delivery> = deliveries.iter().collect();
    // Without the header nothing tells an event from another.
    batch(&gateway, &all, None).await;
    expect(gateway.drain().await, &all, "p1");

    let mut events: BTreeMap<&str, Vec<&Delivery>> = BTreeMap::new();
    for delivery in &deliveries {
        events.entry(&delivery.event).or_default().push(delivery);
    }
    for (event, deliveries) in events {
        batch(&gateway, &deliveries, Some(event)).await;
        expect(gateway.drain().await, &deliveries, tier_of(event));
    }
    gateway.finish().await;
}

async fn batch(gateway: &Gateway, deliveries: &[&Delivery], event: Option<&str>) {
    let lines: String = deliveries.iter().map(|delivery| delivery.payload.clone() + "\n").collect();
    let headers: Vec<_> = event.iter().map(|event| ("x-github-event", *event)).collect();
    let answer = gateway.batch(NDJSON, lines, &headers).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["accepted"], deliveries.len());
}

/// The jobs are these deliveries, each once; in order, since they are of one tier.
fn expect(leased: Vec<Leased>, deliveries: &[&Delivery], tier: &str) {
    assert_eq!(leased.len(), deliveries.len());
    for (job, delivery) in leased.iter().zip(deliveries) {
        assert_eq!((job.text(), job.tier.as_str()), (delivery.payload.as_str(), tier));
    }
}

//! What a worker of a topic finds: key, value and headers as they are written down, also through a client that others wrote.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use humantime::parse_rfc3339;
use tokio::process::Command;

use super::Place;
use crate::support::kafka::{Kafka, root};
use crate::support::kafka_client::read_all;
use crate::support::kafka_worker::Worker;
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of headers")]
async fn a_record_has_every_header_of_its_job_its_key_and_its_body_raw() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 3, &[]).await;
    let gateway = place.before(kafka, Policy::calm()).start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = bytes::Bytes::from_static(b"\x00\xff raw \r\n bytes");
    let answer = gateway
        .ingest
        .post("/v1/jobs")
        .header("content-type", "application/octet-stream")
        .header("tidegate-ordering-key", "customer 7")
        .header("tidegate-expires-in", "90")
        .header("traceparent", trace)
        .header("tracestate", "a=1")
        .header("ce-specversion", "1.0")
        .header("ce-id", "4711")
        .header("ce-source", "/shop/till")
        .header("ce-type", "order")
        .header("ce-subject", "a%20%C3%BC%20c")
        .header("tidegate-type", "order")
        .body(body.clone())
        .send()
        .await;
    gateway.tally.job(answer.status);
    let receipt = answer.receipt();
    let queue = format!("{}:standard", place.name);
    assert_eq!((receipt.queue, receipt.durability.as_str(), receipt.depth), (queue, "memory", 1));
    let records = read_all(kafka, &place.topic(1)).await;
    let [job] = &records[..] else { panic!("{records:?}") };
    assert_eq!((job.key.as_deref(), job.value.as_deref()), (Some("customer 7"), Some(&body[..])));
    for (name, value) in [
        ("id", receipt.id.as_str()),
        ("tier", "p1"),
        ("type", "order"),
        ("tenant", "anonymous"),
        ("content-type", "application/octet-stream"),
        ("attempt", "1"),
        ("traceparent", trace),
        ("tracestate", "a=1"),
        ("ce_specversion", "1.0"),
        ("ce_id", "4711"),
        ("ce_type", "order"),
        ("ce_subject", "a ü c"),
    ] {
        assert_eq!(job.header(name), value, "{name}");
    }
    let known: BTreeSet<&str> = [
        "id",
        "tier",
        "type",
        "tenant",
        "accepted-at",
        "content-type",
        "attempt",
        "expires-at",
        "traceparent",
        "tracestate",
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_subject",
    ]
    .into();
    assert_eq!(job.headers.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    let (accepted, expires) = (job.header("accepted-at"), job.header("expires-at"));
    assert!(accepted.len() == 24 && accepted.ends_with('Z'), "{accepted}");
    let lifetime = parse_rfc3339(expires).unwrap().duration_since(parse_rfc3339(accepted).unwrap()).unwrap();
    assert_eq!(lifetime, Duration::from_secs(90));

    // What a job has not is left out; an empty payload is no tombstone.
    let answer = gateway.post("", &[("tidegate-type", "analytics")]).await;
    let bare = answer.receipt();
    let records = read_all(kafka, &place.topic(2)).await;
    let [job] = &records[..] else { panic!("{records:?}") };
    assert_eq!((job.id(), job.key.as_ref(), job.value.as_deref()), (bare.id.as_str(), None, Some(&b""[..])));
    assert!(!job.headers.contains_key("expires-at") && !job.headers.contains_key("traceparent"), "{job:?}");
    assert_eq!(read_all(kafka, &place.topic(0)).await.len(), 0);
    gateway.finish().await;
}

/// Kafka's own console consumer knows nothing of this project.
#[tokio::test]
async fn a_client_that_others_wrote_reads_the_same() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 1, &[]).await;
    let gateway = place.before(kafka, Policy::calm()).start().await;
    let key = [("tidegate-ordering-key", "customer 7"), ("tidegate-type", "payment")];
    let id = gateway.post("what to do", &key).await.receipt().id;
    let bare = gateway.accept("p0", "without a key").await.id;
    let mut command = Command::new(root().join("scripts/kafka"));
    command.args(["tool", "org.apache.kafka.tools.consumer.ConsoleConsumer"]);
    command.args(["--bootstrap-server", &kafka.brokers(), "--topic", &place.topic(0)]);
    command.args(["--from-beginning", "--max-messages", "2", "--timeout-ms", "30000"]);
    for property in ["print.headers=true", "print.key=true", "print.offset=true"] {
        command.args(["--property", property]);
    }
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output().await.expect("it starts");
    let said = String::from_utf8(ended.stdout).unwrap();
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split('\t').collect()).collect();
    let [first, second] = &lines[..] else { panic!("{said}\n{}", String::from_utf8_lossy(&ended.stderr)) };
    let [offset, headers, key, value] = first[..] else { panic!("{first:?}") };
    assert_eq!((offset, key, value), ("Offset:0", "customer 7", "what to do"));
    for header in [&format!("id:{id}"), "tier:p0", "type:payment", "attempt:1"] {
        assert!(headers.split(',').any(|found| found == header), "{header} is not in {headers}");
    }
    assert!(second[1].contains(&bare) && second[2..] == ["null", "without a key"], "{second:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_worker_gets_the_jobs_of_an_ordering_key_in_the_order_of_their_receipts_and_the_depth_follows_its_commits()
 {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 4, &[]).await;
    let gateway = place.before(kafka, Policy::calm()).start().await;
    let worker = Worker::new(kafka, &place.topic(1)).group(place.group()).start();
    let mut ids = Vec::new();
    for number in 0..60 {
        let headers = [("tidegate-type", "order"), ("tidegate-ordering-key", "one")];
        if number % 5 == 0 {
            let answer = gateway.batch("application/x-ndjson", "{}\n".repeat(10), &headers).await;
            let document = answer.json();
            let items = document["items"].as_array().unwrap();
            ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        } else {
            ids.push(gateway.post("{}", &headers).await.receipt().id);
        }
    }
    worker.has_done(ids.len() as u64, Duration::from_secs(20)).await;
    let jobs = worker.stop().await;
    assert!(jobs.iter().map(|job| job.id()).eq(ids.iter().map(String::as_str)), "out of order");
    let depth_is = async |wanted: u64| {
        until(&format!("the depth is {wanted}"), Duration::from_secs(5), async || {
            let depth = gateway.metrics().await.count("tidegate_queue_depth", &[("tier", "p1")]);
            (depth == wanted).then_some(())
        })
        .await;
    };
    depth_is(0).await;
    gateway.accept("p1", "one more").await;
    depth_is(1).await;
    gateway.finish().await;
}

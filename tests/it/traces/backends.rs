//! The context goes through each backend: a worker of Redis or Kafka finds that of the storing, and goes on in its caller's trace.

use std::time::Duration;

use super::{CALLER, CALLERS_TRACE, goes_on, traced};
use crate::support::collector::{Collector, Seen};
use crate::support::gateway::Setup;
use crate::support::kafka::{Kafka, unique};
use crate::support::kafka_client::read_all;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::{Taken, Way, Worker};

fn before(redis: &Redis, structure: &str, collector: &Collector) -> Setup {
    let setup = Setup::with(&Policy::calm()).set("backend", "redis").set("redis.url", &redis.url());
    traced(setup.set("redis.structure", structure), collector)
}

/// Posts a job; the span of its storing.
async fn sent(setup: Setup, collector: &Collector, worker: Worker) -> (Vec<Taken>, Seen) {
    let gateway = setup.start().await;
    let worker = worker.start();
    let receipt = gateway.post("{}", &[("traceparent", CALLER), ("tracestate", "a=1")]).await.receipt();
    worker.has_done(1, Duration::from_secs(10)).await;
    let send = collector.one("send jobs:standard").await;
    send.has(&[
        ("messaging.system", "redis"),
        ("messaging.destination.name", "jobs:standard"),
        ("messaging.message.id", &receipt.id),
        ("tidegate.durability", &receipt.durability),
    ]);
    assert_eq!(send.trace, CALLERS_TRACE);
    let jobs = worker.stop().await;
    until("the queue is empty", Duration::from_secs(5), async || {
        (gateway.depth(None).await == 0).then_some(())
    })
    .await;
    gateway.finish().await;
    (jobs, send)
}

#[tokio::test]
async fn a_worker_of_a_stream_goes_on_in_the_trace_of_the_caller() {
    let (redis, collector) = (Redis::start(&[]).await, Collector::start().await);
    let worker = Worker::stream(&redis, "jobs:standard");
    let (jobs, send) = sent(before(&redis, "stream", &collector), &collector, worker).await;
    goes_on(jobs[0].field("traceparent"), &send);
    assert_eq!(jobs[0].field("tracestate"), "a=1");
}

#[tokio::test]
async fn a_worker_of_a_list_goes_on_in_the_trace_of_the_caller() {
    let (redis, collector) = (Redis::start(&[]).await, Collector::start().await);
    let worker = Worker::new(&redis, "jobs:standard", Way::Pop);
    let (jobs, send) = sent(before(&redis, "list", &collector), &collector, worker).await;
    goes_on(jobs[0].field("traceparent"), &send);
    assert_eq!(jobs[0].field("tracestate"), "a=1");
}

#[tokio::test]
async fn a_worker_of_a_topic_goes_on_in_the_trace_of_the_caller() {
    let (kafka, collector) = (Kafka::shared().await, Collector::start().await);
    let name = unique("traces");
    let mut policy = Policy::calm();
    for (tier, queue) in [("p0", "critical"), ("p1", "standard"), ("p2", "bulk")] {
        kafka.create(&format!("{name}.{queue}"), 1, &[]).await;
        policy = policy.tier(tier, "queue", &format!("\"{name}:{queue}\""));
    }
    let setup = Setup::with(&policy).set("backend", "kafka").set("kafka.brokers", &kafka.brokers());
    let setup = setup.set("kafka.group", &name).set("kafka.timeout", "2s");
    let gateway = traced(setup, &collector).start().await;
    let receipt = gateway.post("{}", &[("traceparent", CALLER), ("tracestate", "a=1")]).await.receipt();
    let topic = format!("{name}.standard");
    let send = collector.one(&format!("send {topic}")).await;
    send.has(&[
        ("messaging.system", "kafka"),
        ("messaging.destination.name", &topic),
        ("messaging.message.id", &receipt.id),
    ]);
    assert_eq!(send.trace, CALLERS_TRACE);
    let records = read_all(kafka, &topic).await;
    assert_eq!(records.len(), 1);
    goes_on(records[0].header("traceparent"), &send);
    assert_eq!(records[0].header("tracestate"), "a=1");
    gateway.finish().await;
}

#[tokio::test]
async fn a_backend_that_is_away_is_an_error_of_the_request() {
    let (mut redis, collector) = (Redis::start(&[]).await, Collector::start().await);
    let gateway = before(&redis, "stream", &collector).start().await;
    redis.kill();
    until("the outage is known", Duration::from_secs(10), async || {
        (gateway.post("{}", &[]).await.status == 503).then_some(())
    })
    .await;
    let request = until("it is told of", Duration::from_secs(10), async || {
        collector
            .spans()
            .into_iter()
            .find(|span| span.attributes.get("http.response.status_code").is_some_and(|s| s == "503"))
    })
    .await;
    assert!(request.is_error);
    request.has(&[("error.type", "backend_unavailable"), ("tidegate.code", "backend_unavailable")]);
    gateway.finish_after_outage().await;
}

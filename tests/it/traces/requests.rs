//! What is told of a request: its span, the decision and the storing within it, and nothing that is a secret.

use std::time::Duration;

use serde_json::json;

use super::{CALLER, CALLERS_SPAN, CALLERS_TRACE, goes_on, traced};
use crate::support::collector::{Collector, Seen};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn a_request_its_decision_and_its_storing_are_spans_of_the_callers_trace() {
    let collector = Collector::start().await;
    let policy = Policy::calm().top("tenants", "{ anonymous: { weight: 1 } }");
    let gateway = traced(Setup::with(&policy), &collector).start().await;
    let headers = [
        ("tidegate-type", "payment"),
        ("traceparent", CALLER),
        ("tracestate", "a=1"),
        ("idempotency-key", "s3cr3t"),
    ];
    let answer = gateway.post("a payload that nobody is told of", &headers).await;
    let receipt = answer.receipt();

    let request = collector.one("POST /v1/jobs").await;
    assert_eq!((request.kind, &*request.trace, &*request.parent), ("server", CALLERS_TRACE, CALLERS_SPAN));
    assert_eq!(request.state, "a=1");
    request.has(&[
        ("http.request.method", "POST"),
        ("http.route", "/v1/jobs"),
        ("url.path", "/v1/jobs"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("network.peer.address", "127.0.0.1"),
        ("http.response.status_code", "202"),
        ("tidegate.tier", "p0"),
    ]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (&*request.resource["service.name"], &*request.resource["service.version"]),
        ("tidegate", version)
    );

    let decision = collector.one("decide").await;
    assert_eq!(
        (decision.kind, &decision.trace, &decision.parent),
        ("internal", &request.trace, &request.span)
    );
    decision.has(&[
        ("tidegate.verdict", "admitted"),
        ("tidegate.tier", "p0"),
        ("tidegate.tenant", "anonymous"),
    ]);

    let send = collector.one("send jobs:critical").await;
    assert_eq!((send.kind, &send.trace, &send.parent), ("producer", &request.trace, &request.span));
    send.has(&[
        ("messaging.system", "tidegate"),
        ("messaging.operation.name", "send"),
        ("messaging.operation.type", "send"),
        ("messaging.destination.name", "jobs:critical"),
        ("messaging.message.id", &receipt.id),
        ("tidegate.tier", "p0"),
        ("tidegate.durability", "disk"),
    ]);
    assert!(request.took >= send.took && request.took >= decision.took, "{request:#?} {send:#?}");
    assert!(collector.spans().iter().all(|span| !span.is_error && !format!("{span:?}").contains("s3cr3t")));
    assert!(!format!("{:?}", collector.spans()).contains("a payload"));

    is_handed_out_in_its_context(&gateway, &collector, &send).await;
    assert_eq!(gateway.metrics().await.count("tidegate_spans_dropped_total", &[]), 0);
    gateway.finish().await;
}

async fn is_handed_out_in_its_context(gateway: &Gateway, collector: &Collector, send: &Seen) {
    let job = gateway.lease(json!({})).await.remove(0);
    goes_on(&job.headers["traceparent"], send);
    assert_eq!(job.headers["tracestate"], "a=1");
    let receive = collector.one("receive").await;
    assert_eq!((receive.kind, &*receive.parent), ("consumer", ""), "the worker named no span of its own");
    assert_eq!(receive.links, [(send.trace.clone(), send.span.clone())]);
    receive.has(&[("messaging.operation.type", "receive"), ("messaging.batch.message_count", "1")]);
}

#[tokio::test]
async fn what_a_job_may_carry_has_the_same_bound_as_without_spans() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let names = "tracestate".len() + "ce-x".len();
    let state = format!("a={}", "1".repeat(200));
    let fill = "x".repeat(8192 - names - state.len());
    gateway.post("{}", &[("tracestate", &state), ("ce-x", &fill)]).await.receipt();
    let job = gateway.lease(json!({})).await.remove(0);
    let send = collector.one("send jobs:standard").await;
    goes_on(&job.headers["traceparent"], &send);
    assert_eq!(
        (&job.headers["ce-x"], job.headers.get("tracestate")),
        (&fill, None),
        "a state without a parent is none"
    );
    let answer = gateway.post("{}", &[("tracestate", &state), ("ce-x", &format!("{fill}x"))]).await;
    answer.problem(400, "malformed_request");
    gateway.ack(&[job]).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_caller_without_a_context_or_with_none_that_is_one_begins_a_trace() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let callers: [&[(&str, &str)]; 3] =
        [&[], &[("traceparent", "00-1-2-01")], &[("traceparent", "nonsense"), ("tracestate", "a=1")]];
    for headers in callers {
        gateway.post("{}", headers).await.receipt();
        let job = gateway.lease(json!({})).await.remove(0);
        let send = collector.spans().into_iter().find(|span| span.context() == job.headers["traceparent"]);
        assert!(send.is_none_or(|send| send.name == "send jobs:standard"));
        assert!(!job.headers.contains_key("tracestate"), "{job:?}");
        gateway.ack(&[job]).await;
    }
    let requests = collector.named("POST /v1/jobs", 3).await;
    assert!(requests.iter().all(|request| request.parent.is_empty()), "{requests:#?}");
    let sends = collector.named("send jobs:standard", 3).await;
    for (request, send) in requests.iter().zip(&sends) {
        assert_eq!((&send.trace, &send.parent), (&request.trace, &request.span));
    }
    assert!(requests[0].trace != requests[1].trace && requests[1].trace != requests[2].trace);
    gateway.finish().await;
}

#[tokio::test]
async fn a_refusal_says_which_code_and_when_to_come_back() {
    let collector = Collector::start().await;
    let policy = Policy::calm().tier("p1", "rate", "{ min: 1/s, max: 1/s, burst: 1s }");
    let gateway = traced(Setup::with(&policy), &collector).start().await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = gateway.post("{}", &[]).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let problem = refused.expect("the rate is used up").problem(429, "throttled");
    let request = until_status(&collector, "429").await;
    assert!(!request.is_error, "a refusal is no error of the gateway's");
    request.has(&[("tidegate.code", "throttled"), ("tidegate.tier", "p1")]);
    let decision =
        collector.spans().into_iter().find(|span| span.parent == request.span).expect("a decision");
    decision.has(&[("tidegate.verdict", "throttled"), ("tidegate.tier", "p1")]);
    let after: f64 = decision.attribute("tidegate.retry_after").parse().unwrap();
    let told = problem.document["retry_after_ms"].as_f64().expect("a time") / 1000.0;
    assert!((after - told).abs() < 0.01, "{after} {told}");
    assert!(!decision.attributes.contains_key("tidegate.tenant"), "the policy names none");

    // Wrong before the gate is asked: a request, and no decision.
    gateway.post("{}", &[("tidegate-tier", "p9")]).await.problem(400, "malformed_request");
    let request = until_status(&collector, "400").await;
    request.has(&[("tidegate.code", "malformed_request")]);
    assert!(collector.spans().iter().all(|span| span.parent != request.span));
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_is_stored_in_one_span_per_storing_and_its_jobs_carry_it() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let lines = "{\"type\":\"payment\"}\n{\"n\":2}\n{\"n\":3}\nno JSON\n";
    let answer = gateway.batch(NDJSON, lines, &[("traceparent", CALLER)]).await;
    assert_eq!(answer.status, 207);
    let request = collector.one("POST /v1/jobs/batch").await;
    assert_eq!((&*request.trace, &*request.parent), (CALLERS_TRACE, CALLERS_SPAN));
    request.has(&[
        ("http.response.status_code", "207"),
        ("tidegate.batch.accepted", "3"),
        ("tidegate.batch.refused", "1"),
        ("tidegate.code", "malformed_request"),
    ]);
    let critical = collector.one("send jobs:critical").await;
    let standard = collector.one("send jobs:standard").await;
    standard.has(&[("messaging.batch.message_count", "2")]);
    assert!(critical.attributes.contains_key("messaging.message.id"));
    assert_eq!((&standard.trace, &standard.parent), (&request.trace, &request.span));
    for job in gateway.lease(json!({})).await {
        goes_on(&job.headers["traceparent"], if job.tier == "p0" { &critical } else { &standard });
    }
    assert_eq!(collector.one("receive").await.links.len(), 3);
    gateway.finish().await;
}

#[tokio::test]
async fn a_repetition_stores_nothing_and_the_job_keeps_its_first_context() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let other = CALLER.replace(CALLERS_SPAN, "00f067aa0ba902b7");
    for (context, duplicate) in [(CALLER, false), (&other, true)] {
        let answer = gateway.post("{}", &[("idempotency-key", "k"), ("traceparent", context)]).await;
        assert_eq!((answer.status, &answer.json()["duplicate"]), (202, &duplicate.into()));
    }
    collector.named("POST /v1/jobs", 2).await;
    let send = collector.one("send jobs:standard").await;
    let jobs = gateway.lease(json!({})).await;
    assert_eq!(jobs.len(), 1);
    goes_on(&jobs[0].headers["traceparent"], &send);
    gateway.finish().await;
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_record_is_not_recorded_and_carried_on() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let unrecorded = CALLER.replace("-01", "-00");
    gateway.post("{}", &[("traceparent", &unrecorded), ("tracestate", "a=1")]).await.receipt();
    let job = gateway.lease(json!({})).await.remove(0);
    assert_eq!((&*job.headers["traceparent"], &*job.headers["tracestate"]), (&*unrecorded, "a=1"));
    gateway.ack(&[job]).await;
    // What comes after it is there, so it would be.
    gateway.post("{}", &[("traceparent", CALLER)]).await.receipt();
    let request = collector.one("POST /v1/jobs").await;
    assert_eq!(request.parent, CALLERS_SPAN);
    assert!(
        collector
            .spans()
            .iter()
            .filter(|span| span.name != "receive")
            .all(|span| span.trace == CALLERS_TRACE)
    );
    assert_eq!(collector.named("send jobs:standard", 1).await.len(), 1);
    gateway.finish().await;
}

#[tokio::test]
async fn the_environment_names_the_service_and_says_which_roots_are_recorded() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector)
        .environment("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        .environment("OTEL_SERVICE_NAME", "gate-of-orders")
        .environment("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other")
        .environment("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key")
        .start()
        .await;
    gateway.post("{}", &[]).await.receipt();
    let job = gateway.lease(json!({})).await.remove(0);
    let begun = &job.headers["traceparent"];
    assert!(begun.starts_with("00-") && begun.ends_with("-00") && begun.len() == 55, "{begun}");
    gateway.post("{}", &[("traceparent", CALLER)]).await.receipt();
    let request = collector.one("POST /v1/jobs").await;
    assert_eq!(request.trace, CALLERS_TRACE);
    let named = ["service.name", "deployment.environment.name"].map(|name| &*request.resource[name]);
    assert_eq!(named, ["gate-of-orders", "test"]);
    assert_eq!(collector.heads()[0]["authorization"], "Bearer key");
    gateway.finish().await;

    let gateway = traced(Setup::with(&Policy::calm()), &collector)
        .environment("OTEL_TRACES_SAMPLER", "some_of_them")
        .start()
        .await;
    assert!(gateway.log().contains("names no sampler of this gateway"), "{}", gateway.log());
    gateway.finish().await;
}

/// Waits for the request that was answered with this status.
async fn until_status(collector: &Collector, status: &str) -> Seen {
    until(&format!("a request answered {status}"), Duration::from_secs(20), async || {
        collector.spans().into_iter().find(|span| {
            span.attributes.get("http.response.status_code").is_some_and(|answered| answered == status)
        })
    })
    .await
}

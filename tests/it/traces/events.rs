//! CloudEvents have a context of their own, of their making: it stays as it came, and the storing is linked to it.

use serde_json::json;

use super::{CALLER, CALLERS_TRACE, goes_on, traced};
use crate::support::collector::Collector;
use crate::support::gateway::Setup;
use crate::support::policy::Policy;

const MADE: [&str; 2] = [
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-5bf92f3577b34da6a3ce929d0e0e4736-10f067aa0ba902b7-01",
];

#[tokio::test]
async fn each_event_of_a_batch_keeps_its_own_context_and_goes_on_in_the_requests() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let event = |id: usize| {
        json!({ "specversion": "1.0", "id": id.to_string(), "source": "/shop", "type": "order",
        "traceparent": MADE[id], "tracestate": "made=here", "data": id })
    };
    let plain = json!({ "specversion": "1.0", "id": "2", "source": "/shop", "type": "order" });
    let body = json!([event(0), event(1), plain]).to_string();
    let media = "application/cloudevents-batch+json";
    let answer = gateway.batch(media, body, &[("traceparent", CALLER)]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let send = collector.one("send jobs:standard").await;
    assert_eq!(send.trace, CALLERS_TRACE);
    let made = MADE.map(|context| (context[3..35].to_owned(), context[36..52].to_owned()));
    assert_eq!(send.links, made);
    let jobs = gateway.lease(json!({})).await;
    assert_eq!(jobs.len(), 3);
    for job in jobs {
        goes_on(&job.headers["traceparent"], &send);
        assert!(!job.headers.contains_key("tracestate"), "{job:?}");
        let id: usize = job.headers["ce-id"].parse().unwrap();
        let own = job.headers.get("ce-traceparent").map(String::as_str);
        assert_eq!(own, MADE.get(id).copied(), "as the event has it");
        assert_eq!(job.headers.contains_key("ce-tracestate"), id < 2);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn however_much_a_client_says_of_its_traces_spans_stay_small_and_jobs_carry_it_all() {
    let collector = Collector::start().await;
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    let state = format!("a={},b={}", "x".repeat(255), "y".repeat(255));
    let event = |id: usize| {
        json!({ "specversion": "1.0", "id": id.to_string(), "source": "/shop", "type": "order",
        "traceparent": MADE[0], "tracestate": state })
    };
    let body = json!((0..40).map(event).collect::<Vec<_>>()).to_string();
    let media = "application/cloudevents-batch+json";
    let answer = gateway.batch(media, body, &[("traceparent", CALLER), ("tracestate", &state)]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let send = collector.one("send jobs:standard").await;
    assert_eq!((send.trace.as_str(), send.links.len(), send.state.as_str()), (CALLERS_TRACE, 32, ""));
    let jobs = gateway.lease(json!({ "max": 40 })).await;
    assert_eq!(jobs.len(), 40);
    for job in jobs {
        goes_on(&job.headers["traceparent"], &send);
        assert_eq!((&job.headers["tracestate"], &job.headers["ce-tracestate"]), (&state, &state));
    }
    assert_eq!(collector.one("receive").await.links.len(), 32);
    gateway.finish().await;
}

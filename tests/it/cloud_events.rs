//! CloudEvents from the official SDKs, unmodified, in every mode they have, and back to them through a lease.

use serde_json::{Value, json};

use crate::support::foreign;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// Types are read from events alone.
async fn gateway_of_events() -> Gateway {
    Setup::with(&Policy::calm().top("type_from", "[ ce-type ]")).start().await
}

#[tokio::test]
async fn the_javascript_sdk_gets_back_the_events_that_it_sent() {
    let gateway = gateway_of_events().await;
    let address = format!("http://{}", gateway.ingest.address());
    let report = foreign::node("cloud_events.mjs", "cloudevents", &[&address]).await;
    let ids = [
        ("binary-json", "p0"),
        ("binary-bytes", "p1"),
        ("structured-json", "p0"),
        ("structured-bytes", "p2"),
        ("batched-json", "p0"),
        ("batched-text", "p2"),
    ];
    all_came_back(&gateway, &report, &ids);
    gateway.finish().await;
}

#[tokio::test]
async fn the_python_sdk_gets_back_the_events_that_it_sent() {
    let gateway = gateway_of_events().await;
    let address = format!("http://{}", gateway.ingest.address());
    let report = foreign::python("cloud_events.py", &[&address]).await;
    let ids = [
        ("binary-json", "p0"),
        ("binary-bytes", "p1"),
        ("structured-json", "p0"),
        ("structured-bytes", "p2"),
        ("old-binary", "p0"),
        ("old-structured", "p0"),
        ("batched-json", "p0"),
        ("batched-text", "p2"),
    ];
    all_came_back(&gateway, &report, &ids);
    gateway.finish().await;
}

/// Every event was stored in the tier of its type, and is to the SDK what it was.
#[track_caller]
fn all_came_back(gateway: &Gateway, report: &Value, ids: &[(&str, &str)]) {
    let answers = report["answers"].as_array().expect("answers");
    assert!(answers.iter().all(|answer| answer["id"].is_string()), "{answers:#?}");
    assert_eq!(answers.len(), ids.len());
    answers.iter().for_each(|_| gateway.tally.job(202));
    let jobs = report["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), ids.len(), "{jobs:#?}");
    for (id, tier) in ids {
        let job = jobs.iter().find(|job| job["id"] == *id).unwrap_or_else(|| panic!("{id} is not there"));
        assert_eq!(job["same"], true, "{job:#}");
        assert_eq!(job["tier"], *tier, "{id}");
        let key =
            if id.ends_with("-json") || *id == "old-structured" { json!("käufer-7") } else { Value::Null };
        assert_eq!(job["ordering_key"], key, "{id}");
    }
}

#[tokio::test]
async fn a_sender_of_webhooks_is_told_what_it_may_send_and_a_browser_nothing() {
    let gateway = gateway_of_events().await;
    let ask = |fields: &str| {
        format!("OPTIONS /v1/jobs HTTP/1.1\r\nhost: tidegate\r\nconnection: close\r\n{fields}\r\n")
    };
    let handshake = "webhook-request-origin: events.example.com\r\nwebhook-request-rate: 120\r\n";
    let mut sender = Raw::connect(gateway.ingest.address()).await;
    sender.send(ask(handshake)).await;
    let answer = sender.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("allow")), (200, Some("POST, OPTIONS")));
    assert_eq!(answer.header("webhook-allowed-origin"), Some("events.example.com"));
    let rate: u64 = answer.header("webhook-allowed-rate").expect("a rate").parse().expect("a number");
    assert!((1..=120).contains(&rate), "{rate}");

    let mut browser = Raw::connect(gateway.ingest.address()).await;
    browser.send(ask("origin: https://a.example\r\naccess-control-request-method: POST\r\n")).await;
    let answer = browser.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("allow")), (204, Some("POST, OPTIONS")));
    assert_eq!(answer.header("content-length"), None, "a 204 has no body to tell of");
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));

    let mut nobody = Raw::connect(gateway.ingest.address()).await;
    nobody.send(ask("webhook-request-origin: a b\r\n")).await;
    nobody.answer().await.expect("an answer").problem(400, "malformed_request");
    gateway.tally.job(400);
    gateway.finish().await;
}

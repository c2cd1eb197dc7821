//! The operators' listener, and who may do what.

use std::path::Path;

use serde_json::json;

use crate::support::client::Client;
use crate::support::command::tidegate;
use crate::support::gateway::{Gateway, Setup, free_port};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

#[tokio::test]
async fn nothing_of_admin_is_reachable_through_ingest_and_the_other_way_round() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let of_admin =
        ["/metrics", "/v1/status", "/v1/policy", "/v1/dead-letters", "/dashboard", "/openapi.json"];
    for path in of_admin {
        gateway.ingest.get(path).send().await.problem(404, "not_found");
        gateway.tally.open(1);
    }
    let strange =
        ["/v1/jobs/../../metrics", "//metrics", "/%6detrics", "/v1/jobs/%2e%2e/status", "/metrics/"];
    for path in strange {
        let answer = gateway.ingest.get(path).send().await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        gateway.tally.open(1);
    }
    for path in ["/v1/dead-letters/purge", "/v1/dead-letters/replay", "/v1/policy/reload"] {
        gateway.ingest.post_json(path, &json!({ "all": true })).await.problem(404, "not_found");
        gateway.tally.open(1);
    }
    for path in ["/v1/jobs", "/v1/jobs/batch", "/v1/leases", "/v1/leases/ack"] {
        gateway.admin.post_json(path, &json!({})).await.problem(404, "not_found");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn on_loopback_a_foreign_host_or_origin_is_refused() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let port = gateway.admin.address().port();
    let own = [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
    ];
    let foreign = [
        "http://evil.example".to_owned(),
        "null".into(),
        "http://127.0.0.1".into(),
        format!("http://127.0.0.1:{}", gateway.ingest.address().port()),
        format!("http://127.0.0.1.evil.example:{port}"),
        format!("http://evil.example:{port}"),
    ];
    let origin =
        async |path: &str, origin: &str| gateway.admin.get(path).header("origin", origin).send().await;
    assert_eq!(origin("/v1/status", &own[0]).await.status, 200, "the page itself");
    for foreign in &foreign {
        origin("/v1/status", foreign).await.problem(403, "origin_not_allowed");
        assert_eq!(origin("/healthz", foreign).await.status, 200, "health is for everybody");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", &format!("evil.example:{port}"), ""] {
        let answer = hosted(&gateway, "/metrics", host).await;
        answer.problem(403, "origin_not_allowed");
        assert_eq!(hosted(&gateway, "/readyz", host).await.status, 200, "health is for everybody");
    }
    for host in
        ["127.0.0.1", &format!("127.0.0.1:{port}"), &format!("localhost:{port}"), &format!("[::1]:{port}")]
    {
        assert_eq!(hosted(&gateway, "/metrics", host).await.status, 200, "{host}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn beyond_loopback_admin_needs_its_token() {
    let token = "a-long-enough-token-for-a-test-0123456789";
    let gateway = Setup::with(&Policy::calm()).admin_beyond_loopback().admin_token(token).start().await;
    let client = Client::new(gateway.admin.address());

    for path in ["/metrics", "/v1/status", "/v1/dead-letters"] {
        let answer = client.get(path).send().await;
        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let (longer, shorter) = (format!("Bearer {token}x"), format!("Bearer {}", &token[1..]));
        for wrong in ["Bearer wrong", "Bearer", "Basic abc", &longer, &shorter, token] {
            client.get(path).header("authorization", wrong).send().await.problem(401, "unauthenticated");
        }
        let bearer = format!("Bearer {token}");
        assert_eq!(client.get(path).header("authorization", &bearer).send().await.status, 200);
        let in_url = client.get(&format!("{path}?token={token}&access_token={token}")).send().await;
        assert_eq!(in_url.status, 401, "never in a URL");
    }
    client.post_json("/v1/dead-letters/purge", &json!({ "all": true })).await.problem(401, "unauthenticated");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.get(path).send().await.status, 200, "health is for everybody");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn beyond_loopback_admin_without_a_token_does_not_start() {
    let setup = Setup::with(&Policy::calm()).admin_beyond_loopback();
    let ended = serve(&setup).await;
    ended.says(2, &["admin.token_file"]);
}

#[tokio::test]
async fn beyond_loopback_anonymous_callers_may_submit_and_not_lease() {
    let gateway = Setup::with(&Policy::calm()).ingest_beyond_loopback().start().await;
    gateway.accept("p1", "{}").await;
    for path in ["/v1/leases", "/v1/leases/ack", "/v1/leases/nack", "/v1/leases/extend"] {
        let answer = gateway.ingest.post_json(path, &json!({ "leases": [] })).await;
        answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    gateway.finish().await;

    let gateway =
        Setup::with(&Policy::calm()).ingest_beyond_loopback().set("auth.anonymous", "[submit, lease]");
    let gateway = gateway.start().await;
    gateway.accept("p1", "{}").await;
    assert_eq!(gateway.drain().await.len(), 1, "unless the operator says so");
    gateway.finish().await;
}

#[tokio::test]
async fn a_second_process_on_the_same_queue_is_refused() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    gateway.accept("p1", "{}").await;
    let queue = gateway.folder().join("queue.db").display().to_string();
    let second = Setup::with(&Policy::calm()).set("embedded.path", &queue);
    serve(&second).await.says(1, &["in use by another process", "queue.db"]);
    assert_eq!(gateway.drain().await.len(), 1, "the first one goes on");
    gateway.finish().await;
}

#[tokio::test]
async fn a_queue_file_that_is_none_or_of_a_newer_format_is_refused_with_a_sentence() {
    let mut setup = Setup::with(&Policy::calm());
    setup.write("queue.db", "this is a letter to the editor, not a queue; ".repeat(400).as_str());
    let ended = serve(&setup).await;
    ended.says(1, &["queue.db"]);
    let content = std::fs::read_to_string(setup.folder().join("queue.db")).unwrap();
    assert!(content.starts_with("this is a letter"), "what is not ours is left alone");
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_sentence_too() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let setup = Setup::with(&Policy::calm());
    let taken = gateway.ingest.address().port();
    let arguments = setup.arguments(taken, free_port());
    let ended = tidegate(setup.folder(), &texts(&arguments), &[]).await;
    ended.says(1, &["in use", &taken.to_string()]);
    gateway.finish().await;
}

/// Runs `serve` where it must fail.
async fn serve(setup: &Setup) -> crate::support::command::Ended {
    let folder: &Path = setup.folder();
    tidegate(folder, &texts(&setup.arguments(free_port(), free_port())), &[]).await
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

async fn hosted(gateway: &Gateway, path: &str, host: &str) -> crate::support::answer::Answer {
    let mut raw = Raw::connect(gateway.admin.address()).await;
    raw.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    raw.answer().await.expect("an answer")
}

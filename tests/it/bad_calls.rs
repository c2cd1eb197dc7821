//! Calls of workers and operators that are wrong: each gets its own clear answer and changes nothing.

use serde_json::json;

use crate::support::malformed::Expect::Problem;
use crate::support::malformed::{all, case, guarded, json_post, raw};

#[tokio::test]
async fn malformed_lease_calls() {
    let gateway = guarded().await;
    let long_worker = json!({ "worker": "w".repeat(129) }).to_string();
    let deep = "[".repeat(5000);
    let mut calls: Vec<(String, &str)> = Vec::new();
    let mut add = |verb: &str, bodies: &[&'static str]| {
        calls.extend(bodies.iter().map(|body| (format!("/v1/leases{verb}"), *body)));
    };
    add("", LEASE);
    for verb in ["/ack", "/nack", "/extend"] {
        add(verb, SETTLE);
    }
    add("/nack", NACK);
    add("/extend", EXTEND);
    calls.extend([("/v1/leases".into(), long_worker.as_str()), ("/v1/leases".into(), deep.as_str())]);
    let cases = calls.into_iter().map(|(path, body)| {
        let name = format!("{path} {body:.60}");
        case(&name, json_post(&path, body.as_bytes()), Problem(400, "malformed_request"))
    });
    all(&gateway, cases.collect()).await;

    let not_text = case(
        "not UTF-8",
        json_post("/v1/leases", b"{\"worker\":\"\xff\"}"),
        Problem(400, "malformed_request"),
    );
    let huge = "content-type: application/json\r\ncontent-length: 1000000000\r\n";
    let huge = case("a huge call", raw("POST /v1/leases HTTP/1.1", huge), Problem(413, "too_large"));
    all(&gateway, vec![not_text, huge]).await;
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_jobs_invalid_total", &[]), 0, "lease calls are not counted as jobs");
    gateway.finish().await;
}

#[tokio::test]
async fn malformed_admin_calls() {
    let gateway = guarded().await;
    let bad_queries =
        ["tier=p9", "limit=0", "limit=1001", "limit=x", "limit=-1", "colour=red", "after=garbage"];
    for query in bad_queries {
        let answer = gateway.admin.get(&format!("/v1/dead-letters?{query}")).send().await;
        assert_eq!(answer.any_problem().code, "malformed_request", "{query}");
        assert_eq!(answer.status, 400, "{query}");
    }
    let selections = [
        "",
        "[]",
        "{}",
        "{\"ids\":[]}",
        "{\"ids\":\"x\"}",
        "{\"ids\":[\"not-an-id\",7]}",
        "{\"all\":false}",
        "{\"all\":true,\"ids\":[\"x\"]}",
        "{\"all\":true,\"tier\":\"p0\"}",
        "{\"tier\":\"p9\",\"limit\":1}",
        "{\"tier\":\"p0\",\"limit\":0}",
        "{\"tier\":\"p0\",\"limit\":1001}",
        "{\"everything\":true}",
    ];
    for verb in ["replay", "purge"] {
        for selection in selections {
            let path = format!("/v1/dead-letters/{verb}");
            let answer = gateway
                .admin
                .post(&path)
                .header("content-type", "application/json")
                .body(selection.to_owned());
            let answer = answer.send().await;
            assert_eq!(
                (answer.status, answer.any_problem().code.as_str()),
                (400, "malformed_request"),
                "{verb} {selection}"
            );
        }
    }
    let missing = gateway.admin.get("/v1/dead-letters/not-an-id").send().await.any_problem();
    assert!(matches!(missing.status, 400 | 404), "{missing:?}");
    gateway.admin.get("/nothing").send().await.problem(404, "not_found");
    gateway.admin.post("/metrics").send().await.problem(405, "method_not_allowed");
    gateway.admin.get("/v1/dead-letters/purge").send().await.any_problem();
    gateway.finish().await;
}

const LEASE: &[&str] = &[
    "nonsense",
    "[]",
    "7",
    "null",
    "{",
    r#"{"max":0}"#,
    r#"{"max":1001}"#,
    r#"{"max":-1}"#,
    r#"{"max":1.5}"#,
    r#"{"max":"10"}"#,
    r#"{"max":1e400}"#,
    r#"{"lease_seconds":0}"#,
    r#"{"lease_seconds":3601}"#,
    r#"{"wait_seconds":-1}"#,
    r#"{"wait_seconds":31}"#,
    r#"{"tiers":"p0"}"#,
    r#"{"tiers":["p3"]}"#,
    r#"{"tiers":[0]}"#,
    r#"{"worker":""}"#,
    r#"{"worker":7}"#,
    r#"{"maximum":10}"#,
    r#"{"max":1,"max":2}"#,
    r#"{"max":1} {"max":1}"#,
];

const SETTLE: &[&str] = &[
    "",
    "{}",
    "[]",
    r#"{"leases":"x"}"#,
    r#"{"leases":[1]}"#,
    r#"{"leases":{}}"#,
    r#"{"leases":[],"job":1}"#,
    r#"{"leases":["x""#,
];

const NACK: &[&str] = &[
    r#"{"leases":["x"],"delay_seconds":-1}"#,
    r#"{"leases":["x"],"delay_seconds":86401}"#,
    r#"{"leases":["x"],"delay_seconds":"1"}"#,
    r#"{"leases":["x"],"dead":"yes"}"#,
    r#"{"leases":["x"],"reason":7}"#,
];

const EXTEND: &[&str] = &[
    r#"{"leases":["x"],"lease_seconds":0}"#,
    r#"{"leases":["x"],"lease_seconds":3601}"#,
    r#"{"leases":["x"],"dead":true}"#,
];

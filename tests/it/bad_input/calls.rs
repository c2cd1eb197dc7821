//! Calls of workers and operators that are wrong: each gets its own clear answer and changes nothing.

use super::case::Expect::{Fine, Problem};
use super::case::{
    Case, JSON, MALFORMED, TOO_LARGE, TOO_SLOW, case, check, chunk, chunks, deep, guarded, post, raw,
};

#[tokio::test]
async fn calls() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut wrong = |verb: &str, bodies: &[&str]| {
        let path = format!("/v1/leases{verb}");
        cases.extend(
            bodies.iter().map(|body| case(format!("{path} {body:.60}"), post(&path, JSON, body), MALFORMED)),
        );
    };
    wrong("", LEASE);
    for verb in ["/ack", "/nack", "/extend"] {
        wrong(verb, SETTLE);
    }
    wrong("/nack", NACK);
    wrong("/extend", EXTEND);
    [cases, bodies(), sizes()].concat()
}

fn bodies() -> Vec<Case> {
    let lease = |name: &str, body: &[u8], expect| {
        case(format!("a lease call of {name}"), post("/v1/leases", JSON, body), expect)
    };
    let mut cases = vec![
        lease("no UTF-8", b"{\"worker\":\"\xff\"}", MALFORMED),
        lease("zeros", &[0; 100], MALFORMED),
        lease("a zero in a text", b"{\"worker\":\"a\0b\"}", MALFORMED),
        lease("100,000 levels", format!("{{\"tiers\":{}}}", deep("[", 100_000, "]")).as_bytes(), MALFORMED),
        lease("100,000 levels that do not close", "[".repeat(100_000).as_bytes(), MALFORMED),
        lease("100,000 objects in one another", "{\"max\":".repeat(100_000).as_bytes(), MALFORMED),
        lease("50,000 keys", format!("{{{}\"max\":1}}", "\"x\":1,".repeat(50_000)).as_bytes(), MALFORMED),
        lease("a long key", format!("{{\"{}\":1}}", "k".repeat(500_000)).as_bytes(), MALFORMED),
        lease("a long worker", format!("{{\"worker\":\"{}\"}}", "w".repeat(129)).as_bytes(), MALFORMED),
        case("a lease call with two hosts", post("/v1/leases", "host: b\r\n", "{}"), MALFORMED),
        case(
            "a lease call with a key",
            post("/v1/leases", "authorization: Bearer x\r\n", "{}"),
            Problem(401, "unauthenticated"),
        ),
        case("a lease call with an expectation", post("/v1/leases", "expect: much\r\n", "{}"), MALFORMED),
    ];
    for number in [
        "-0",
        "0.1",
        "1.5e0",
        "1e4",
        "1e-1",
        "1e999",
        "18446744073709551616",
        "01",
        "+1",
        "\"1\"",
        "true",
        "[1]",
        "NaN",
    ] {
        cases.push(lease(&format!("max {number}"), format!("{{\"max\":{number}}}").as_bytes(), MALFORMED));
    }
    for number in ["1.0", "1e1"] {
        let body = format!("{{\"leases\":[\"x\"],\"lease_seconds\":{number}}}");
        let extension = post("/v1/leases/extend", JSON, body);
        cases.push(case(format!("an extension by {number}"), extension, Fine(200)));
    }
    let junk = post(
        "/v1/leases/ack",
        JSON,
        r#"{"leases":["","x","\u0000","../..","00000000-0000-0000-0000-000000000000"]}"#,
    );
    cases.push(case("an ack of leases that are none", junk, Fine(200)));
    cases
}

fn sizes() -> Vec<Case> {
    let long =
        |path: &str| raw(&format!("POST {path} HTTP/1.1"), &format!("{JSON}content-length: 1000000000\r\n"));
    let streamed = chunks("/v1/leases", JSON, chunk(&vec![b' '; 100_000]).repeat(11));
    let many = format!("{{\"leases\":[{}\"x\"]}}", "\"x\",".repeat(400_000));
    let reason = format!("{{\"leases\":[\"x\"],\"reason\":\"{}\"}}", "r".repeat(4097));
    let lease = format!("{{\"leases\":[\"{}\"]}}", "l".repeat(100_000));
    vec![
        case("a huge lease call", long("/v1/leases"), TOO_LARGE),
        case("a huge ack", long("/v1/leases/ack"), TOO_LARGE),
        case("a huge nack", long("/v1/leases/nack"), TOO_LARGE),
        case("a huge extension", long("/v1/leases/extend"), TOO_LARGE),
        case("a lease call without end", streamed, TOO_LARGE),
        case("an ack of 400,000 leases", post("/v1/leases/ack", JSON, many), TOO_LARGE),
        case("an ack of a lease of 100,000 bytes", post("/v1/leases/ack", JSON, lease), Fine(200)),
        case("a reason of 4,097 bytes", post("/v1/leases/nack", JSON, reason), MALFORMED),
        case(
            "a lease call that does not come",
            raw("POST /v1/leases HTTP/1.1", "content-length: 9\r\n"),
            TOO_SLOW,
        ),
    ]
}

#[tokio::test]
async fn calls_of_workers_are_not_counted_as_jobs() {
    let gateway = guarded().await;
    for case in cases() {
        super::case::hear(gateway.ingest.address(), &case).await;
    }
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_jobs_received_total", &[]), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn malformed_admin_calls() {
    let gateway = guarded().await;
    let bad_queries = [
        "tier=p9",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "colour=red",
        "after=garbage",
        "limit=1&limit=2",
        "limit=%31%30%30%31",
        "tier=%00",
        "limit=18446744073709551617",
        "limit=",
    ];
    for query in bad_queries {
        let answer = gateway.admin.get(&format!("/v1/dead-letters?{query}")).send().await;
        assert_eq!(answer.any_problem().code, "malformed_request", "{query}");
        assert_eq!(answer.status, 400, "{query}");
    }
    for verb in ["replay", "purge"] {
        for selection in SELECTIONS {
            let path = format!("/v1/dead-letters/{verb}");
            let answer =
                gateway.admin.post(&path).header("content-type", "application/json").body(*selection);
            let answer = answer.send().await;
            assert_eq!(
                (answer.status, answer.any_problem().code.as_str()),
                (400, "malformed_request"),
                "{verb} {selection}"
            );
        }
    }
    let many = format!("{{\"ids\":[{}\"x\"]}}", "\"x\",".repeat(1000));
    let huge = format!("{{\"ids\":[{}\"x\"]}}", "\"x\",".repeat(100_000));
    let levels = deep("[", 100_000, "]");
    for (body, status, code) in
        [(many, 400, "malformed_request"), (huge, 413, "too_large"), (levels, 400, "malformed_request")]
    {
        gateway.admin.post("/v1/dead-letters/purge").body(body).send().await.problem(status, code);
    }
    let missing = gateway.admin.get("/v1/dead-letters/not-an-id").send().await.any_problem();
    assert!(matches!(missing.status, 400 | 404), "{missing:?}");
    gateway.admin.get("/nothing").send().await.problem(404, "not_found");
    gateway.admin.post("/metrics").send().await.problem(405, "method_not_allowed");
    gateway.admin.get("/v1/dead-letters/purge").send().await.any_problem();
    gateway.finish().await;
}

/// Of dead letters; none of them selects any.
const SELECTIONS: &[&str] = &[
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
    "{\"all\":true,\"all\":true}",
    "{\"tier\":\"p0\",\"limit\":1e5}",
    "{\"tier\":\"p0\",\"limit\":18446744073709551616}",
    "{\"tier\":\"p0\",\"limit\":-0}",
    "{\"ids\":[\"\\u0000\"]}x",
    "\u{0}",
];

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

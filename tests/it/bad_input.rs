//! What no client should send: each gets its own clear answer, and the next good job is taken.

use crate::support::malformed::Expect::{OneAnswer, Problem, Rejected};
use crate::support::malformed::{POST, all, case, guarded, hear, job, raw};
use crate::support::raw::Raw;

#[tokio::test]
async fn malformed_bodies() {
    let gateway = guarded().await;
    let cases = vec![
        case(
            "a declared length beyond the limit",
            job("content-length: 16385\r\n", ""),
            Problem(413, "too_large"),
        ),
        case(
            "an enormous length",
            job("content-length: 9223372036854775807\r\n", ""),
            Problem(413, "too_large"),
        ),
        case("a stream beyond the limit", chunked("/v1/jobs", "", 20, 1000), Problem(413, "too_large")),
        case(
            "a batch of events",
            job(&of("application/cloudevents-batch+json"), "[]"),
            Problem(415, "unsupported_media_type"),
        ),
        case(
            "an event in another format",
            job(&of("application/cloudevents+avro"), "{}"),
            Problem(415, "unsupported_media_type"),
        ),
        case(
            "an event without attributes",
            job(&of("application/cloudevents+json"), "{}"),
            Problem(400, "invalid_event"),
        ),
        case(
            "an event that is no object",
            job(&of("application/cloudevents+json"), "[]"),
            Problem(400, "invalid_event"),
        ),
        case(
            "an event that is half there",
            job("ce-specversion: 1.0\r\ncontent-length: 2\r\n", "{}"),
            Problem(400, "invalid_event"),
        ),
        case("an unknown coding", job(&encoded("br"), "{}"), Problem(415, "unsupported_media_type")),
        case("a coding that it is not in", job(&encoded("gzip"), "{}"), Problem(400, "malformed_request")),
        case(
            "an unfinished body, then silence",
            job("content-length: 100\r\n", "{"),
            Problem(408, "request_timeout"),
        ),
        case("unfinished chunks, then silence", job(CHUNKED, "5\r\nab"), Problem(408, "request_timeout")),
    ];
    all(&gateway, cases).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_head_that_is_wrong_as_http() {
    let gateway = guarded().await;
    let head = |fields: &str| format!("{POST}\r\n{fields}content-length: 2\r\n\r\n{{}}").into_bytes();
    let coded = |codings: &str| job(&format!("transfer-encoding: {codings}\r\n"), "2\r\n{}\r\n0\r\n\r\n");
    let bad = || Problem(400, "malformed_request");
    let cases = vec![
        case("no host", head(""), bad()),
        case("two hosts", head("host: a\r\nhost: b\r\n"), bad()),
        case("a host that is none", head("host: a b\r\n"), bad()),
        case("a coding before the chunks", coded("gzip, chunked"), bad()),
        case("chunks in chunks", coded("chunked, chunked"), bad()),
    ];
    all(&gateway, cases).await;
    let jobs = gateway.drain().await;
    assert!(jobs.iter().all(|job| job.text() == "the next good job"), "coded bytes are not stored");
    gateway.finish().await;
}

#[tokio::test]
async fn malformed_headers() {
    let gateway = guarded().await;
    let length = "content-length: 2\r\n";
    let mut cases = Vec::new();
    let long_key = format!("tidegate-ordering-key: {}\r\n{length}", "k".repeat(256));
    let heavy = format!("ce-source: {}\r\n{length}", "x".repeat(20_000));
    for (name, fields) in [
        ("a long ordering key", long_key),
        ("an empty ordering key", format!("tidegate-ordering-key: \r\n{length}")),
        ("two ordering keys", format!("tidegate-ordering-key: a\r\ntidegate-ordering-key: b\r\n{length}")),
        ("two wishes", format!("tidegate-tier: p1\r\ntidegate-tier: p2\r\n{length}")),
        ("two expiries", format!("tidegate-expires-in: 1\r\ntidegate-expires-in: 2\r\n{length}")),
        ("more to carry than a job may", heavy),
    ] {
        cases.push(case(name, job(&fields, "{}"), Problem(400, "malformed_request")));
    }
    let long = "k".repeat(256);
    for key in ["", "\"\"", "a b", "\"k", "\"a\"b\"", "a\u{e9}", &long] {
        let keyed = format!("idempotency-key: {key}\r\n{length}");
        let name = format!("the idempotency key {key:.20?}");
        cases.push(case(&name, job(&keyed, "{}"), Problem(400, "invalid_idempotency_key")));
    }
    let twice = format!("idempotency-key: k\r\nidempotency-key: k\r\n{length}");
    cases.push(case("two idempotency keys", job(&twice, "{}"), Problem(400, "invalid_idempotency_key")));
    for wish in ["p9", "P0", "0", "p0,p1", "\"p0\"", ""] {
        let fields = format!("tidegate-tier: {wish}\r\n{length}");
        cases.push(case(
            &format!("the wish {wish:?}"),
            job(&fields, "{}"),
            Problem(400, "malformed_request"),
        ));
    }
    for seconds in ["0", "-1", "abc", "", "1e3", "NaN", "inf", "1,5", "0x10", "1 2", "9".repeat(400).as_str()]
    {
        let fields = format!("tidegate-expires-in: {seconds}\r\n{length}");
        cases.push(case(
            &format!("expiry {seconds:.20?}"),
            job(&fields, "{}"),
            Problem(400, "malformed_request"),
        ));
    }
    all(&gateway, cases).await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_no_http() {
    let gateway = guarded().await;
    let mut many = String::new();
    for n in 0..300 {
        many += &format!("x-{n}: y\r\n");
    }
    let cases = [
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("an unknown version", raw("POST /v1/jobs HTTP/3.7", "content-length: 0\r\n")),
        ("no version", b"GET /healthz\r\n\r\n".to_vec()),
        ("zeros", vec![0; 600]),
        ("a long line", [&b"POST /"[..], &b"a".repeat(600_000), b" HTTP/1.1\r\n\r\n"].concat()),
        ("a large head", raw(POST, &format!("x: {}\r\ncontent-length: 0\r\n", "a".repeat(600_000)))),
        ("300 headers", raw(POST, &format!("{many}content-length: 0\r\n"))),
        ("a zero byte in a header", raw(POST, "x: a\0b\r\ncontent-length: 0\r\n")),
        ("a space in a header's name", raw(POST, "x y: a\r\ncontent-length: 0\r\n")),
        ("a header without a name", raw(POST, ": a\r\ncontent-length: 0\r\n")),
        ("a folded header", raw(POST, "x: a\r\n b\r\ncontent-length: 0\r\n")),
        ("a length that is no number", job("content-length: abc\r\n", "")),
        ("a length beyond all numbers", job("content-length: 18446744073709551616\r\n", "")),
        ("a negative length", job("content-length: -1\r\n", "")),
        ("a length with a sign", job("content-length: +2\r\n", "{}")),
        ("two lengths", job("content-length: 2\r\ncontent-length: 3\r\n", "{}x")),
        ("two lengths in one", job("content-length: 2, 3\r\n", "{}x")),
        ("an unknown transfer coding", job("transfer-encoding: gzip\r\n", "{}")),
        ("chunked, but not last", job("transfer-encoding: chunked, gzip\r\n", "0\r\n\r\n")),
        ("a chunk size that is no number", job(CHUNKED, "zz\r\n{}\r\n0\r\n\r\n")),
        ("a chunk size beyond all numbers", job(CHUNKED, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n")),
        ("a chunk without its end", job(CHUNKED, "2\r\n{}xx0\r\n\r\n")),
        ("an unfinished head, then silence", b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\nx-slow".to_vec()),
        ("half a request line, then silence", b"POST /v1".to_vec()),
    ];
    for (name, bytes) in cases {
        hear(&gateway, &case(name, bytes, Rejected)).await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_second_request_hidden_in_the_first_is_not_served() {
    let gateway = guarded().await;
    let hidden = "POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\n\r\nhidden";
    let shapes = [
        ("length, then chunks", format!("content-length: {}\r\n{CHUNKED}", 5 + hidden.len())),
        ("chunks, then length", format!("{CHUNKED}content-length: {}\r\n", 5 + hidden.len())),
        ("a short length and chunks", format!("content-length: 5\r\n{CHUNKED}")),
        ("chunks in disguise", "content-length: 5\r\ntransfer-encoding: xchunked\r\n".into()),
        ("chunked twice", format!("{CHUNKED}{CHUNKED}content-length: 5\r\n")),
    ];
    for (name, fields) in shapes {
        hear(&gateway, &case(name, job(&fields, &format!("0\r\n\r\n{hidden}")), OneAnswer)).await;
    }
    let payloads: Vec<String> = gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
    assert!(!payloads.contains(&"hidden".into()), "{payloads:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let gateway = guarded().await;
    let empty = "content-length: 0\r\n";
    let mut cases = Vec::new();
    for path in [
        "/",
        "/v1",
        "/v1/job",
        "/v1/jobs/",
        "/v1/jobs/7",
        "/V1/JOBS",
        "/v1/leases/x",
        "/v2/jobs",
        "/v1//jobs",
    ] {
        cases.push(case(path, raw(&format!("POST {path} HTTP/1.1"), empty), Problem(404, "not_found")));
    }
    let methods = [
        ("GET", "/v1/jobs"),
        ("PUT", "/v1/jobs"),
        ("DELETE", "/v1/jobs/batch"),
        ("BREW", "/v1/jobs"),
        ("GET", "/v1/leases"),
        ("PATCH", "/v1/leases/ack"),
        ("POST", "/healthz"),
        ("DELETE", "/readyz"),
    ];
    for (method, path) in methods {
        let request = raw(&format!("{method} {path} HTTP/1.1"), empty);
        cases.push(case(&format!("{method} {path}"), request, Problem(405, "method_not_allowed")));
    }
    for case in &cases {
        let answer = hear(&gateway, case).await.expect("an answer");
        assert_eq!(
            answer.header("allow").is_some(),
            answer.status == 405,
            "{}: Allow belongs to a 405",
            case.name
        );
    }
    for line in
        ["CONNECT tidegate:80 HTTP/1.1", "GET http://other.example/v1/jobs HTTP/1.1", "OPTIONS * HTTP/1.1"]
    {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(raw(line, empty)).await;
        let status = connection.answer().await.map_or(400, |answer| answer.status);
        gateway.tally.open(1);
        assert!(status < 500, "{line}: {status}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_anywhere_leaves_no_trace() {
    let gateway = guarded().await;
    let whole = job("content-length: 20\r\n", "01234567890123456789");
    for end in (1..whole.len()).step_by(7) {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(&whole[..end]).await;
    }
    gateway.tally.open(100);
    gateway.accept("p1", "{}").await;
    assert_eq!(gateway.drain().await.len(), 1);
    gateway.finish().await;
}

fn of(media: &str) -> String {
    format!("content-type: {media}\r\ncontent-length: 2\r\n")
}

fn encoded(coding: &str) -> String {
    format!("content-encoding: {coding}\r\ncontent-length: 2\r\n")
}

fn chunked(path: &str, fields: &str, chunks: usize, size: usize) -> Vec<u8> {
    let head = raw(&format!("POST {path} HTTP/1.1"), &format!("{fields}{CHUNKED}"));
    let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size)).repeat(chunks);
    [head, chunk.into_bytes(), b"0\r\n\r\n".to_vec()].concat()
}

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

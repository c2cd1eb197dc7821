//! Heads that are no HTTP, too many, too large, or never whole.

use super::case::Expect::{Fine, Problem, Rejected};
use super::case::{Case, MALFORMED, POST, case, check, raw, with};

#[tokio::test]
async fn heads() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [not_http(), floods(), slow(), hosts(), targets()].concat()
}

fn not_http() -> Vec<Case> {
    vec![
        case("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", Rejected),
        case("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Rejected),
        case("zeros", vec![0; 600], Rejected),
        case("bytes beyond ASCII", vec![0xff; 600], Rejected),
        case("a SOCKS greeting", b"\x05\x01\x00\r\n\r\n", Rejected),
        case("Redis", b"*1\r\n$4\r\nPING\r\n\r\n", Rejected),
        case("mail", b"HELO tidegate\r\n\r\n", Rejected),
        case("an answer", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Rejected),
        case("JSON without a head", b"{\"type\":\"order\"}\r\n\r\n", Rejected),
        case("a chunk without a head", b"5\r\nhello\r\n0\r\n\r\n", Rejected),
    ]
}

fn floods() -> Vec<Case> {
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let fields = |fields: String| raw(POST, &format!("{fields}content-length: 0\r\n"));
    let one = |name: usize, value: usize| fields(format!("{}: {}\r\n", "n".repeat(name), "v".repeat(value)));
    vec![
        case("90 headers", fields(many(90)), Fine(202)),
        case("101 headers", fields(many(101)), Rejected),
        case("300 headers", fields(many(300)), Rejected),
        case("20,000 headers", fields(many(20_000)), Rejected),
        case("one header 20,000 times", fields("cookie: a=b\r\n".repeat(20_000)), Rejected),
        case("a value of 30,000 bytes", one(1, 30_000), Fine(202)),
        case("a value of 600,000 bytes", one(1, 600_000), Rejected),
        case("a name of 600,000 bytes", one(600_000, 1), Rejected),
        case("90 values of 3,000 bytes", fields(format!("x: {}\r\n", "v".repeat(3000)).repeat(90)), Rejected),
        case("a value of 300,000 spaces", fields(format!("x:{}y\r\n", " ".repeat(300_000))), Rejected),
        case("a header of 8,193 bytes to carry", with(&format!("ce-type: {}", "t".repeat(8_193))), MALFORMED),
        case(
            "a line of 600,000 bytes",
            raw(&format!("POST /{} HTTP/1.1", "a".repeat(600_000)), ""),
            Rejected,
        ),
        case(
            "a target of 70,000 bytes",
            raw(&format!("POST /{} HTTP/1.1", "a".repeat(70_000)), ""),
            Rejected,
        ),
        case("a method of 600,000 bytes", raw(&format!("{} / HTTP/1.1", "M".repeat(600_000)), ""), Rejected),
        case("100,000 empty lines", "\r\n".repeat(100_000), Rejected),
    ]
}

fn slow() -> Vec<Case> {
    vec![
        case("nothing at all", b"", Rejected),
        case("half a method", b"PO", Rejected),
        case("half a line", b"POST /v1", Rejected),
        case("half a head", b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\nx-slow", Rejected),
        case(
            "a head without its last line",
            b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n",
            Rejected,
        ),
        case("an empty line, then silence", b"\r\n", Rejected),
    ]
}

fn hosts() -> Vec<Case> {
    let of = |hosts: &str| format!("{POST}\r\n{hosts}content-length: 2\r\n\r\n{{}}");
    let mut cases = vec![case("no host", of(""), MALFORMED)];
    for hosts in
        ["a b", "user@a", "a/b", "a:b", "a:99999999", "[::1", "a\u{e9}", "a?b", "a#b", "http://a", "a\\b"]
    {
        cases.push(case(format!("the host {hosts:?}"), of(&format!("host: {hosts}\r\n")), MALFORMED));
    }
    cases.extend([
        case("two hosts", of("host: a\r\nhost: b\r\n"), MALFORMED),
        case("one host twice", of("host: a\r\nhost: a\r\n"), MALFORMED),
        case("an empty host", of("host:\r\n"), Fine(202)),
        case("a host by its number", of("host: [::1]:8080\r\n"), Fine(202)),
        case(
            "no host from an old client",
            "POST /v1/jobs HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}",
            Fine(202),
        ),
    ]);
    cases
}

fn targets() -> Vec<Case> {
    let target = |target: &str| raw(&format!("POST {target} HTTP/1.1"), "content-length: 0\r\n");
    let rejected = |name: &str, bytes: &[u8]| case(name, bytes, Rejected);
    vec![
        case(
            "a path of 60,000 bytes",
            target(&format!("/{}", "a".repeat(60_000))),
            Problem(404, "not_found"),
        ),
        case("a path of 20,000 segments", target(&"/a".repeat(20_000)), Problem(404, "not_found")),
        case("a query of 60,000 bytes", target(&format!("/v1/jobs?{}", "a".repeat(60_000))), Fine(202)),
        case(
            "a method of 60,000 bytes",
            raw(&format!("{} /v1/jobs HTTP/1.1", "M".repeat(60_000)), "content-length: 0\r\n"),
            Problem(405, "method_not_allowed"),
        ),
        rejected("a target of bytes beyond ASCII", b"POST /\xff\xfe HTTP/1.1\r\nhost: t\r\n\r\n"),
        rejected("a target with a delete", b"POST /v1/\x7fjobs HTTP/1.1\r\nhost: t\r\n\r\n"),
        rejected("a target with an escape", b"POST /\x1b[2J HTTP/1.1\r\nhost: t\r\n\r\n"),
    ]
}

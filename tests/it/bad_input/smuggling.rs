//! Requests that two readers could take apart in two ways: one request within another is never served.

use super::case::Expect::{Fine, OneAnswer, Rejected};
use super::case::{CHUNKED, Case, HIDDEN, MALFORMED, case, check, job};

#[tokio::test]
async fn smuggling() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [lengths_and_chunks(), lengths(), codings(), names(), lines(), elsewhere()].concat()
}

/// A job that must not be stored.
fn hidden() -> String {
    format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{HIDDEN}", HIDDEN.len())
}

fn lengths_and_chunks() -> Vec<Case> {
    let long = 5 + hidden().len();
    [
        ("a length, then chunks", format!("content-length: {long}\r\n{CHUNKED}")),
        ("chunks, then a length", format!("{CHUNKED}content-length: {long}\r\n")),
        ("a short length and chunks", format!("content-length: 5\r\n{CHUNKED}")),
        ("chunks and a short length", format!("{CHUNKED}content-length: 5\r\n")),
        ("chunks and a length of zero", format!("{CHUNKED}content-length: 0\r\n")),
        ("chunks and a length that is none", format!("{CHUNKED}content-length: x\r\n")),
        ("two lengths and chunks", format!("content-length: 5\r\n{CHUNKED}content-length: {long}\r\n")),
        ("chunks twice and a length", format!("{CHUNKED}{CHUNKED}content-length: 5\r\n")),
        (
            "a length and chunks after a bare line feed",
            "x: a\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n".into(),
        ),
        ("chunks in disguise and a length", "content-length: 5\r\ntransfer-encoding: xchunked\r\n".into()),
        ("another coding and a length", "content-length: 5\r\ntransfer-encoding: identity\r\n".into()),
    ]
    .map(|(name, fields)| case(name, job(&fields, format!("0\r\n\r\n{}", hidden())), OneAnswer))
    .to_vec()
}

fn lengths() -> Vec<Case> {
    let of = |text: &str| job(&format!("content-length: {text}\r\n"), format!("{{}}{}", hidden()));
    let wrong = [
        "abc",
        "-1",
        "-0",
        "+2",
        "2 2",
        "2,3",
        "2, 2",
        "2;",
        "0x2",
        "2.0",
        "2e0",
        "",
        "\"2\"",
        "2\u{b2}",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999999999",
    ];
    let mut cases: Vec<_> =
        wrong.map(|text| case(format!("the length {text:?}"), of(text), Rejected)).to_vec();
    let twice = |second: &str| job(&format!("content-length: 2\r\ncontent-length: {second}\r\n"), "{}");
    cases.extend([
        case("two lengths", twice("3"), Rejected),
        case("two lengths, the second none", twice("x"), Rejected),
        case("one length twice", twice("2"), Fine(202)),
        case("a length with leading zeros", job("content-length: 0000000002\r\n", "{}"), Fine(202)),
        case("a length with space around it", job("content-length: \t 2 \t\r\n", "{}"), Fine(202)),
    ]);
    cases
}

fn codings() -> Vec<Case> {
    let coded = |codings: &str, expect| {
        let fields = format!("transfer-encoding: {codings}\r\n");
        let body = format!("2\r\n{{}}\r\n0\r\n\r\n{}", hidden());
        let expect = if expect == MALFORMED { Rejected } else { expect };
        case(format!("the transfer coding {codings:?}"), job(&fields, body), expect)
    };
    let wrong = [
        "gzip",
        "identity",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "chunked;q=1",
        "chunked gzip",
        "chunked, gzip",
        "chunked, identity",
        "chunked\0",
        "\x0bchunked",
        "",
        "\u{e7}hunked",
    ];
    let mut cases: Vec<_> = wrong.map(|codings| coded(codings, Rejected)).to_vec();
    let alone = |codings: &str, expect| {
        let fields = format!("transfer-encoding: {codings}\r\n");
        case(format!("the transfer coding {codings:?} alone"), job(&fields, "2\r\n{}\r\n0\r\n\r\n"), expect)
    };
    cases.extend(
        [
            "gzip, chunked",
            "identity, chunked",
            "chunked, chunked",
            ", chunked",
            "chunked\r\ntransfer-encoding: chunked",
        ]
        .map(|codings| alone(codings, MALFORMED)),
    );
    cases.extend([" chunked", "Chunked", "CHUNKED \t"].map(|codings| alone(codings, Fine(202))));
    let old = format!("POST /v1/jobs HTTP/1.0\r\n{CHUNKED}\r\n0\r\n\r\n{}", hidden());
    cases.push(case("chunks from an old client", old, Rejected));
    cases
}

fn names() -> Vec<Case> {
    [
        ("a space before the colon", "transfer-encoding : chunked"),
        ("a tab before the colon", "content-length\t: 5"),
        ("a zero within a name", "content-\0length: 5"),
        ("a zero after a name", "transfer-encoding\0: chunked"),
        ("a folded coding", "transfer-encoding:\r\n chunked"),
        ("a folded length", "content-length: 2\r\n 5"),
        ("a first field that is folded", " content-length: 5"),
        ("a bare carriage return", "x: a\rcontent-length: 5"),
        ("a zero within a value", "x: a\0b"),
        ("a delete within a value", "x: a\u{7f}b"),
        ("no colon", "content-length 5"),
        ("no name", ": 5"),
        ("a name of two words", "content length: 5"),
        ("a name in brackets", "(content-length): 5"),
        ("a name that is not ASCII", "c\u{f6}ntent-length: 5"),
    ]
    .map(|(name, field)| {
        let fields = format!("content-length: 2\r\n{field}\r\n");
        case(format!("{name} in a header"), job(&fields, format!("{{}}{}", hidden())), Rejected)
    })
    .to_vec()
}

fn lines() -> Vec<Case> {
    let wrong = [
        "POST /v1/jobs HTTP/1.1 HTTP/1.1",
        "POST  /v1/jobs HTTP/1.1",
        "POST\t/v1/jobs HTTP/1.1",
        "POST /v1/jobs\tHTTP/1.1",
        "POST /v1/jobs  HTTP/1.1",
        " POST /v1/jobs HTTP/1.1",
        "POST /v1/jobs HTTP/1.1x",
        "POST /v1/jobs http/1.1",
        "POST /v1/jobs HTTP/1.10",
        "POST /v1/jobs HTTP/1,1",
        "POST /v1/jobs HTTP/11",
        "POST /v1/jobs HTTP/1.",
        "POST /v1/jobs HTTP/1.2",
        "POST /v1/jobs HTTP/0.9",
        "POST /v1/jobs HTTP/2.0",
        "POST /v1/jobs HTTP/3.7",
        "POST /v1/jobs HTTPS/1.1",
        "POST /v1/jobs",
        "POST",
        "POST /v1/jo bs HTTP/1.1",
        "POST /v1/jobs\0 HTTP/1.1",
        "POST HTTP/1.1",
        "P\0ST /v1/jobs HTTP/1.1",
        "(POST) /v1/jobs HTTP/1.1",
        "POST v1/jobs HTTP/1.1",
        "POST http:///v1/jobs HTTP/1.1",
        "POST http://[::1/v1/jobs HTTP/1.1",
    ];
    let request = |line: &str| format!("{line}\r\nhost: t\r\ncontent-length: 2\r\n\r\n{{}}");
    let mut cases: Vec<_> = wrong
        .into_iter()
        .map(|line| case(format!("the line {line:?}"), request(line) + &hidden(), Rejected))
        .collect();
    cases.extend([
        case(
            "empty lines before a request",
            format!("\r\n\r\n{}", request("POST /v1/jobs HTTP/1.1")),
            Fine(202),
        ),
        case("line feeds alone", request("POST /v1/jobs HTTP/1.1").replace('\r', ""), Fine(202)),
        case("a user in the target", request("POST http://user@tidegate/v1/jobs HTTP/1.1"), MALFORMED),
        case("a user and a port in the target", request("POST http://t:80@evil/v1/jobs HTTP/1.1"), MALFORMED),
        case("another scheme in the target", request("POST ftp://tidegate/v1/jobs HTTP/1.1"), MALFORMED),
        case("a whole target", request("POST http://tidegate/v1/jobs HTTP/1.1"), Fine(202)),
        case(
            "a whole target of another host",
            request("POST http://other.example:8080/v1/jobs HTTP/1.1"),
            Fine(202),
        ),
        case("a target with an empty query", request("POST /v1/jobs? HTTP/1.1"), Fine(202)),
        case("a query that cannot be decoded", request("POST /v1/jobs?a=%zz&%00 HTTP/1.1"), Fine(202)),
    ]);
    cases
}

/// Where a body is not expected.
fn elsewhere() -> Vec<Case> {
    let carrying = |line: &str, more: &str| {
        format!("{line}\r\nhost: t\r\n{more}content-length: {}\r\n\r\n{}", hidden().len(), hidden())
    };
    vec![
        case("a request in the body of a GET", carrying("GET /healthz HTTP/1.1", ""), Fine(200)),
        case("a request in the body of a HEAD", carrying("HEAD /healthz HTTP/1.1", ""), Fine(200)),
        case(
            "a request in the body of what is not found",
            carrying("POST /nowhere HTTP/1.1", ""),
            super::case::Expect::Problem(404, "not_found"),
        ),
        case(
            "a request in the body of a wrong method",
            carrying("PUT /v1/jobs HTTP/1.1", ""),
            super::case::Expect::Problem(405, "method_not_allowed"),
        ),
        case(
            "a request behind an upgrade",
            carrying("GET /healthz HTTP/1.1", "connection: upgrade\r\nupgrade: h2c\r\n"),
            Fine(200),
        ),
        case(
            "a length that the connection names",
            carrying("GET /readyz HTTP/1.1", "connection: content-length\r\n"),
            Fine(200),
        ),
    ]
}

//! Bodies that are too long, too slow, too deep, or of bytes that are no text.

use super::case::Expect::{Fine, Problem};
use super::case::{
    CHUNKED, Case, JOB_BYTES, TOO_LARGE, TOO_SLOW, case, check, chunk, chunks, deep, job, post,
};

#[tokio::test]
async fn bodies() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [lengths(), payloads()].concat()
}

fn lengths() -> Vec<Case> {
    let full = vec![b'x'; JOB_BYTES];
    let streamed = |more: usize| {
        let pieces = full.chunks(4000).map(chunk).collect::<Vec<_>>().concat();
        chunks("/v1/jobs", "", [pieces, chunk(&vec![b'x'; more]), b"0\r\n\r\n".to_vec()].concat())
    };
    let beyond = JOB_BYTES + 1;
    vec![
        case("a body at the limit", post("/v1/jobs", "", &full), Fine(202)),
        case("a body beyond the limit, sent", post("/v1/jobs", "", vec![b'x'; beyond]), TOO_LARGE),
        case("a declared length beyond the limit", job(&length(beyond), ""), TOO_LARGE),
        case("an enormous length", job("content-length: 9223372036854775807\r\n", ""), TOO_LARGE),
        case("a stream at the limit", chunked_whole(&full), Fine(202)),
        case("a stream one byte beyond the limit", streamed(1), TOO_LARGE),
        case("a stream far beyond the limit", streamed(200_000), TOO_LARGE),
        case("one chunk beyond the limit", chunked_whole(&vec![b'x'; beyond]), TOO_LARGE),
        case("an unfinished body, then silence", job("content-length: 100\r\n", "{"), TOO_SLOW),
        case("a body that never begins", job("content-length: 100\r\n", ""), TOO_SLOW),
        case("all but one byte, then silence", job(&length(JOB_BYTES), &full[1..]), TOO_SLOW),
        case("unfinished chunks, then silence", job(CHUNKED, "5\r\nab"), TOO_SLOW),
        case("chunks that never begin", job(CHUNKED, ""), TOO_SLOW),
    ]
}

/// A single payload is opaque: whatever it is made of is stored.
fn payloads() -> Vec<Case> {
    let body =
        |name: &str, body: &[u8]| case(format!("a body of {name}"), post("/v1/jobs", "", body), Fine(202));
    let unopened = "]".repeat(100_000);
    let closed = deep("[", 100_000, "]");
    let objects = format!("{}1{}", "{\"a\":".repeat(30_000), "}".repeat(30_000));
    vec![
        body("nothing", b""),
        body("zeros", &[0; 1000]),
        body("no UTF-8", b"\xff\xfe\xc0\x80{\"type\":\"order\"}"),
        body("a byte order mark", b"\xef\xbb\xbf{}"),
        body("half a JSON", b"{\"type\":\"ord"),
        body("100,000 open brackets", "[".repeat(100_000).as_bytes()),
        body("100,000 closing brackets", unopened.as_bytes()),
        body("100,000 levels", closed.as_bytes()),
        body("30,000 objects in one another", objects.as_bytes()),
        body("a deep type", format!("{{\"type\":{closed}}}").as_bytes()),
        body("a type behind 100,000 levels", format!("{{\"a\":{closed},\"type\":\"order\"}}").as_bytes()),
        body("two types", br#"{"type":"payment","type":"digest"}"#),
        body("an absurd type", br#"{"type":1e999}"#),
        body("a type of half a character", br#"{"type":"\ud800"}"#),
        body("a type of zero", br#"{"type":"\u0000"}"#),
        body("a request", b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\n\r\n"),
        case(
            "an ordering key in the body that is none",
            post("/v1/jobs", "", format!(r#"{{"order":"{}"}}"#, "k".repeat(256))),
            Problem(400, "malformed_request"),
        ),
        case(
            "an ordering key of zeros in the body",
            post("/v1/jobs", "", br#"{"order":"\u0000"}"#),
            Problem(400, "malformed_request"),
        ),
    ]
}

fn length(bytes: usize) -> String {
    format!("content-length: {bytes}\r\n")
}

fn chunked_whole(body: &[u8]) -> Vec<u8> {
    chunks("/v1/jobs", "", [chunk(body), b"0\r\n\r\n".to_vec()].concat())
}

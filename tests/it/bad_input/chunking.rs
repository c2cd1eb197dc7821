//! Chunked bodies whose chunks are not what RFC 9112 7.1 has them be.

use super::case::Expect::{Fine, Rejected};
use super::case::{Case, HIDDEN, TOO_SLOW, case, check, chunk, chunks};

#[tokio::test]
async fn chunking() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [sizes(), ends(), floods()].concat()
}

fn sizes() -> Vec<Case> {
    let sized = |size: &str, expect| {
        let body = format!("{size}\r\n{{}}\r\n0\r\n\r\n");
        case(format!("the chunk size {size:?}"), chunks("/v1/jobs", "", body), expect)
    };
    let wrong = [
        "zz",
        "",
        "-1",
        "-2",
        "+2",
        "0x2",
        "2.0",
        "2,",
        "2 2",
        "2 x",
        "\u{ff12}",
        "2\0",
        "ffffffffffffffff1",
        "fffffffffffffffff",
        "10000000000000000",
        "80000000000000002",
        "2\n",
        "2\r",
        ";ext",
    ];
    let mut cases: Vec<_> = wrong.into_iter().map(|size| sized(size, Rejected)).collect();
    cases.extend(
        ["02", "00000000000000000000000000000002", "2;ext", "2;a=b;c=\"d\"", "2 "]
            .map(|size| sized(size, Fine(202))),
    );
    for size in ["7fffffffffffffff", "fffffffffffffff", "100000"] {
        let body = format!("{size}\r\n{{}}");
        cases.push(case(
            format!("a chunk of {size} that does not come"),
            chunks("/v1/jobs", "", body),
            TOO_SLOW,
        ));
    }
    cases
}

fn ends() -> Vec<Case> {
    let hidden = format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\n\r\n{HIDDEN}");
    let wire = |name: &str, wire: &str, expect| {
        case(format!("chunks: {name}"), chunks("/v1/jobs", "", wire), expect)
    };
    vec![
        wire("no line end after the data", "2\r\n{}0\r\n\r\n", Rejected),
        wire("a bare line feed after the size", "2\n{}\r\n0\r\n\r\n", Rejected),
        wire("a bare line feed after the data", "2\r\n{}\n0\r\n\r\n", Rejected),
        wire("a bare carriage return after the size", "2\r{}\r\n0\r\n\r\n", Rejected),
        wire("a byte too many", "2\r\n{}x\r\n0\r\n\r\n", Rejected),
        wire("a byte too few", "3\r\n{}\r\n0\r\n\r\n", Rejected),
        wire("a line feed within an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n", Rejected),
        wire("a request in the place of a chunk", &format!("2\r\n{{}}\r\n{hidden}"), Rejected),
        wire("a request in the place of the trailers", &format!("2\r\n{{}}\r\n0\r\n{hidden}"), Rejected),
        wire("no last chunk", "2\r\n{}\r\n", TOO_SLOW),
        wire("half a last chunk", "2\r\n{}\r\n0\r\n", TOO_SLOW),
        wire("half a size", "2\r\n{}\r\n1", TOO_SLOW),
        wire("a last chunk of many zeros", "2\r\n{}\r\n000\r\n\r\n", Fine(202)),
        wire("a last chunk with an extension", "2\r\n{}\r\n0;ext\r\n\r\n", Fine(202)),
        wire("trailers that carry nothing for us", "2\r\n{}\r\n0\r\ntidegate-tier: p0\r\n\r\n", Fine(202)),
        wire("a length among the trailers", "2\r\n{}\r\n0\r\ncontent-length: 7\r\n\r\n", Fine(202)),
        wire("a trailer without a colon", "2\r\n{}\r\n0\r\ntrailer\r\n\r\n", Rejected),
        wire("a trailer with a zero in its name", "2\r\n{}\r\n0\r\nx\0y: z\r\n\r\n", Rejected),
    ]
}

fn floods() -> Vec<Case> {
    let one_by_one: Vec<u8> = (0..5000).flat_map(|_| chunk(b"x")).collect();
    let with_extensions = "1;abcdefghijklmnopqrstuvwxyz=0123456789\r\nx\r\n".repeat(1000);
    let trailers = format!("x-trailer: {}\r\n", "y".repeat(100)).repeat(400);
    let flood = |name: &str, wire: Vec<u8>, expect| case(name, chunks("/v1/jobs", "", wire), expect);
    vec![
        flood("5,000 chunks of one byte", [one_by_one, b"0\r\n\r\n".to_vec()].concat(), Fine(202)),
        flood("one long extension", format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(20_000)).into(), Rejected),
        flood("many extensions", format!("{with_extensions}0\r\n\r\n").into(), Rejected),
        flood("many trailers", format!("1\r\nx\r\n0\r\n{trailers}\r\n").into(), Rejected),
        flood("one long trailer", format!("0\r\nx: {}\r\n\r\n", "y".repeat(40_000)).into(), Rejected),
        flood("a long size", format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(20_000)).into(), Fine(202)),
    ]
}

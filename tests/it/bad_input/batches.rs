//! Batches whose lines or elements are too many, too long, too deep or no JSON.

use super::case::Expect::{Fine, Items, Problem};
use super::case::{
    BATCH_BYTES, BATCH_JOBS, Case, JOB_BYTES, JSON, MALFORMED, NDJSON, TOO_LARGE, TOO_SLOW, case, check,
    chunk, chunks, deep, post, raw,
};

#[tokio::test]
async fn batches() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [heads(), lines(), arrays(), sizes(), numbers()].concat()
}

const PATH: &str = "/v1/jobs/batch";

fn of_lines(name: &str, body: impl AsRef<[u8]>, expect: super::case::Expect) -> Case {
    case(format!("lines: {name}"), post(PATH, NDJSON, body), expect)
}

fn of_array(name: &str, body: impl AsRef<[u8]>, expect: super::case::Expect) -> Case {
    case(format!("array: {name}"), post(PATH, JSON, body), expect)
}

fn heads() -> Vec<Case> {
    let unsupported = Problem(415, "unsupported_media_type");
    let headed = |name: &str, fields: &str, expect| {
        case(format!("a batch with {name}"), post(PATH, fields, "{}\n"), expect)
    };
    let declared =
        |bytes: usize| raw("POST /v1/jobs/batch HTTP/1.1", &format!("{NDJSON}content-length: {bytes}\r\n"));
    vec![
        headed("no content type", "", unsupported),
        headed("an empty content type", "content-type:\r\n", unsupported),
        headed("plain text", "content-type: text/plain\r\n", unsupported),
        headed("a content type nearly right", "content-type: application/x-ndjsonx\r\n", unsupported),
        headed(
            "a list of content types",
            "content-type: application/json, application/x-ndjson\r\n",
            unsupported,
        ),
        headed("no type after the slash", "content-type: application/\r\n", unsupported),
        headed("two content types", &format!("{NDJSON}{NDJSON}"), MALFORMED),
        headed("a wish for no tier", &format!("{NDJSON}tidegate-tier: p7\r\n"), MALFORMED),
        headed("an expiry of zero", &format!("{NDJSON}tidegate-expires-in: 0\r\n"), MALFORMED),
        headed("an empty ordering key", &format!("{NDJSON}tidegate-ordering-key:\r\n"), MALFORMED),
        headed("two hosts", &format!("{NDJSON}host: b\r\n"), MALFORMED),
        headed("a key", &format!("{NDJSON}authorization: Bearer x\r\n"), Problem(401, "unauthenticated")),
        case("a batch with an enormous length", declared(usize::MAX / 4), TOO_LARGE),
        case("a batch with a length beyond the limit", declared(BATCH_BYTES + 1), TOO_LARGE),
        case("a batch that never begins", declared(10), TOO_SLOW),
    ]
}

fn lines() -> Vec<Case> {
    let closed = deep("[", 100_000, "]");
    vec![
        of_lines("nothing", "", MALFORMED),
        of_lines("only blank ones", "\n \n\r\n\t\n", MALFORMED),
        of_lines("100,000 blank ones", "\n".repeat(100_000), MALFORMED),
        of_lines("one that is no JSON", "nonsense\n", MALFORMED),
        of_lines(
            "one that is no UTF-8",
            b"{}\n\"\xff\"\n{}\n",
            Items(207, &["202", "malformed_request", "202"]),
        ),
        of_lines("zeros", b"{}\n\0\0\0\n{}\n", Items(207, &["202", "malformed_request", "202"])),
        of_lines("a zero within a text", b"{}\n\"a\0b\"\n", Items(207, &["202", "malformed_request"])),
        of_lines("a byte order mark", b"\xef\xbb\xbf{}\n{}\n", Items(207, &["malformed_request", "202"])),
        of_lines("two values", "{} {}\n{}\n", Items(207, &["malformed_request", "202"])),
        of_lines("carriage returns alone", "{}\r{}\r", MALFORMED),
        of_lines(
            "a value over two lines",
            "{\n}\n{}\n",
            Items(207, &["malformed_request", "malformed_request", "202"]),
        ),
        of_lines("a comma between", "{},\n{}\n", Items(207, &["malformed_request", "202"])),
        of_lines("100,000 levels", format!("{closed}\n{{}}\n"), Items(202, &["202", "202"])),
        of_lines(
            "100,000 levels that do not close",
            format!("{}\n{{}}\n", "[".repeat(100_000)),
            Items(207, &["malformed_request", "202"]),
        ),
        of_lines(
            "30,000 objects that do not close",
            format!("{}\n{{}}\n", "{\"a\":".repeat(30_000)),
            Items(207, &["malformed_request", "202"]),
        ),
        of_lines("two members of one name", "{\"type\":1,\"type\":2}\n", Items(202, &["202"])),
        of_lines(
            "a bad ordering key in one",
            "{\"order\":\"a\\tb\"}\n{}\n",
            Items(207, &["malformed_request", "202"]),
        ),
        of_lines(
            "a bad idempotency key in one",
            "{\"key\":\"a b\"}\n{}\n",
            Items(207, &["invalid_idempotency_key", "202"]),
        ),
        of_lines(
            "a key that is a list in one",
            "{\"key\":[1]}\n{}\n",
            Items(207, &["invalid_idempotency_key", "202"]),
        ),
        of_lines("one half there", "{}\n{\"a\":", Items(207, &["202", "malformed_request"])),
    ]
}

fn arrays() -> Vec<Case> {
    let closed = deep("[", 100_000, "]");
    let wrong = [
        ("nothing", ""),
        ("no element", "[]"),
        ("an object", "{}"),
        ("a number", "7"),
        ("null", "null"),
        ("a text", "\"[1]\""),
        ("no end", "[1,"),
        ("a comma too many", "[1,]"),
        ("a comma too few", "[1 2]"),
        ("two arrays", "[1][2]"),
        ("something behind it", "[1]x"),
        ("a zero behind it", "[1]\0"),
        ("a comment", "[1/*2*/]"),
        ("single quotes", "['a']"),
        ("a control character in a text", "[\"\u{1}\"]"),
        ("a bad escape", "[\"\\x41\"]"),
        ("a word that is none", "[undefined]"),
    ];
    let mut cases: Vec<_> = wrong.map(|(name, body)| of_array(name, body, MALFORMED)).to_vec();
    cases.extend([
        of_array("no UTF-8", b"[\"\xff\"]", MALFORMED),
        of_array("a byte order mark", b"\xef\xbb\xbf[1]", MALFORMED),
        of_array("100,000 levels that do not close", "[".repeat(100_000), MALFORMED),
        of_array("100,000 levels that close too often", format!("{closed}]"), MALFORMED),
        of_array("an element of 100,000 levels", format!("[{closed}]"), Items(202, &["202"])),
        of_array("half a character", "[\"\\ud800\"]", Items(202, &["202"])),
        of_array("two members of one name", "[{\"type\":1,\"type\":2}]", Items(202, &["202"])),
        of_array(
            "a bad idempotency key in one",
            "[{\"key\":\"\"},{}]",
            Items(207, &["invalid_idempotency_key", "202"]),
        ),
    ]);
    cases
}

fn sizes() -> Vec<Case> {
    let long = format!("\"{}\"", "x".repeat(JOB_BYTES));
    let most = "{},".repeat(BATCH_JOBS);
    let streamed = |piece: &[u8], times: usize| {
        let wire = [chunk(piece).repeat(times), b"0\r\n\r\n".to_vec()].concat();
        chunks(PATH, NDJSON, wire)
    };
    vec![
        of_lines("one too long", format!("{long}\n"), TOO_LARGE),
        of_lines("one too long, no end", &long, TOO_LARGE),
        of_lines("a second one too long", format!("{{}}\n{long}\n"), Items(207, &["202", "too_large"])),
        of_array("an element too long", format!("[{long}]"), TOO_LARGE),
        of_array(
            "a second element too long",
            format!("[1,{long},2]"),
            Items(207, &["202", "too_large", "202"]),
        ),
        of_array("an element too many", format!("[{most}1]"), TOO_LARGE),
        of_array("300,000 elements", format!("[{}1]", "1,".repeat(300_000)), TOO_LARGE),
        of_array("an element too many, then no JSON", format!("[{most}1,"), TOO_LARGE),
        case(
            "array: a stream beyond the limit",
            chunks(PATH, JSON, [chunk(b"["), chunk(&vec![b' '; 1000]).repeat(1100)].concat()),
            TOO_LARGE,
        ),
        case("lines: a stream of blanks beyond the limit", streamed(&[b'\n'; 1000], 1100), TOO_LARGE),
        case("lines: one endless line", streamed(&[b'x'; 1000], 1000), TOO_LARGE),
        case("lines: one endless blank line", streamed(&[b' '; 1000], 1000), TOO_LARGE),
    ]
}

fn numbers() -> Vec<Case> {
    let fine = ["1e999", "-0", "-0.0", "18446744073709551616", "0.1", "1E-400", &"9".repeat(10_000)];
    let wrong = ["NaN", "Infinity", "01", "-", "+1", "1.", ".5", "0x10", "1e", "1_000", "--1", "-01"];
    let fine =
        fine.map(|number| of_array(&format!("the number {number:.20}"), format!("[{number}]"), Fine(202)));
    let wrong =
        wrong.map(|number| of_array(&format!("the number {number:.20}"), format!("[{number}]"), MALFORMED));
    [fine.to_vec(), wrong.to_vec()].concat()
}

//! Header fields that are ours, with values that are not theirs.

use super::case::Expect::{Fine, Problem};
use super::case::{Case, MALFORMED, case, check, post, with};

#[tokio::test]
async fn fields() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [wishes(), ordering_keys(), expiries(), idempotency_keys(), others()].concat()
}

/// A job whose field has this value, in bytes.
fn of(name: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n{name}: ");
    [head.as_bytes(), value, b"\r\n\r\n{}"].concat()
}

fn each<const N: usize>(name: &str, values: [&[u8]; N], expect: super::case::Expect) -> Vec<Case> {
    let named = |value: &[u8]| match value.len() {
        0..=30 => format!("{name}: {:?}", String::from_utf8_lossy(value)),
        long => format!("{name}: {:?} and so on, {long} bytes", String::from_utf8_lossy(&value[..20])),
    };
    values.map(|value| case(named(value), of(name, value), expect)).to_vec()
}

fn wishes() -> Vec<Case> {
    let wrong = [
        &b"p9"[..],
        b"P0",
        b"0",
        b"p0,p1",
        b"\"p0\"",
        b"",
        b"p0 p1",
        b"p\xc3\xb8",
        b"\xff",
        b"critical",
        b"p00",
    ];
    let mut cases = each("tidegate-tier", wrong, MALFORMED);
    cases.push(case("two wishes", with("tidegate-tier: p1\r\ntidegate-tier: p2"), MALFORMED));
    cases.push(case("one wish twice", with("tidegate-tier: p1\r\ntidegate-tier: p1"), MALFORMED));
    cases
}

fn ordering_keys() -> Vec<Case> {
    let (longest, long) = ("k".repeat(255), "k".repeat(256));
    let name = "tidegate-ordering-key";
    let mut cases = each(
        name,
        [&b""[..], b" ", b"a\tb", b"\xff\xfe", b"\xc3", long.as_bytes(), "ü".repeat(128).as_bytes()],
        MALFORMED,
    );
    cases.extend(each(name, [longest.as_bytes(), "käufer".as_bytes()], Fine(202)));
    cases.push(case(
        "two ordering keys",
        with("tidegate-ordering-key: a\r\ntidegate-ordering-key: b"),
        MALFORMED,
    ));
    cases
}

fn expiries() -> Vec<Case> {
    let (nines, digits) = ("9".repeat(400), format!("0.{}1", "0".repeat(400)));
    let wrong = [
        &b"0"[..],
        b"-1",
        b"-0",
        b"+1",
        b"0.0",
        b"abc",
        b"",
        b"1e3",
        b"1e999",
        b"NaN",
        b"inf",
        b"1,5",
        b"0x10",
        b"1 2",
        b"1.",
        b".5",
        b"1.2.3",
        b"1s",
        b"\xd9\xa1",
        b"18446744073709551616",
        nines.as_bytes(),
        digits.as_bytes(),
    ];
    let mut cases = each("tidegate-expires-in", wrong, MALFORMED);
    cases.extend(each("tidegate-expires-in", [b"86400", b"600.5", b"00600"], Fine(202)));
    cases.push(case("two expiries", with("tidegate-expires-in: 60\r\ntidegate-expires-in: 60"), MALFORMED));
    cases
}

fn idempotency_keys() -> Vec<Case> {
    let invalid = Problem(400, "invalid_idempotency_key");
    let long = "k".repeat(256);
    let quoted = format!("\"{}\"", "k".repeat(256));
    let wrong = [
        &b""[..],
        b"\"\"",
        b"a b",
        b"\"a b\"",
        b"\"k",
        b"k\xe9",
        b"\xff",
        b"\"a\"b\"",
        b"\"k\";a=1",
        b"\"a\tb\"",
        b"\"a\\b\"",
        long.as_bytes(),
        quoted.as_bytes(),
    ];
    let mut cases = each("idempotency-key", wrong, invalid);
    cases.push(case("two idempotency keys", with("idempotency-key: k\r\nidempotency-key: k"), invalid));
    for (name, body) in [
        ("empty", r#"{"key":""}"#),
        ("of two words", r#"{"key":"a b"}"#),
        ("of zeros", r#"{"key":"\u0000"}"#),
        ("that is a list", r#"{"key":["k"]}"#),
        ("that is an object", r#"{"key":{"k":1}}"#),
    ] {
        cases.push(case(format!("a key in the body, {name}"), post("/v1/jobs", "", body), invalid));
    }
    let line = "content-type: application/x-ndjson\r\nidempotency-key: k\r\n";
    cases.push(case("a key on a batch", post("/v1/jobs/batch", line, "{}\n"), MALFORMED));
    cases
}

fn others() -> Vec<Case> {
    let unauthenticated = Problem(401, "unauthenticated");
    let mut cases = each("authorization", [b"Bearer x", b"bearer  ", b"BEARER \xff"], unauthenticated);
    cases.extend(each(
        "expect",
        [&b"something"[..], b"100-continue, something", b"200-ok", b"\xff"],
        MALFORMED,
    ));
    cases.extend(each("traceparent", [b"\xff", b"\xc3("], MALFORMED));
    cases.extend(each("traceparent", [&b"garbage"[..], b"00-0-0-00"], Fine(202)));
    cases.extend(each("ce-type", [b"\xff\xfe"], MALFORMED));
    cases.extend(each("content-type", [b"\xff/json"], MALFORMED));
    cases.extend(each(
        "content-type",
        [&b"nonsense"[..], b"", b"application/json; charset=\"utf-8"],
        Fine(202),
    ));
    cases.push(case("two content types", with("content-type: a/b\r\ncontent-type: c/d"), MALFORMED));
    cases
}

//! CloudEvents that break their specification, in each of its modes, and handshakes that are none.

use super::case::Expect::{Fine, Items, Problem};
use super::case::{Case, MALFORMED, case, check, deep, post, raw};

#[tokio::test]
async fn events() {
    check(cases()).await;
}

pub fn cases() -> Vec<Case> {
    [binary(), structured(), unreadable(), batched(), handshakes()].concat()
}

const INVALID: super::case::Expect = Problem(400, "invalid_event");
const UNSUPPORTED: super::case::Expect = Problem(415, "unsupported_media_type");
const WHOLE: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "7"), ("ce-source", "/shop"), ("ce-type", "sale")];

fn binary() -> Vec<Case> {
    let of = |name: String, fields: &[u8], expect| {
        let head = b"POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n";
        case(format!("event: {name}"), [&head[..], fields, b"\r\n{}"].concat(), expect)
    };
    let but = |missing: &str| -> String {
        let rest = WHOLE.iter().filter(|(name, _)| *name != missing);
        rest.map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    };
    let mut cases = Vec::new();
    for (name, _) in WHOLE {
        cases.push(of(format!("no {name}"), but(name).as_bytes(), INVALID));
    }
    for (name, value) in WRONG_VALUES {
        let fields = format!("{}{name}: {value}\r\n", but(name));
        cases.push(of(format!("{name}: {value:?}"), fields.as_bytes(), INVALID));
    }
    for field in WRONG_FIELDS {
        let fields = format!("{}{field}\r\n", but(""));
        cases.push(of(format!("and {field:?}"), fields.as_bytes(), INVALID));
    }
    let heavy = format!("{}ce-x: {}\r\n", but(""), "x".repeat(9_000));
    cases.push(of("more than a job carries".into(), heavy.as_bytes(), MALFORMED));
    cases.push(of(
        "bytes that are no text".into(),
        &[but("ce-id").as_bytes(), b"ce-id: \xff\r\n"].concat(),
        MALFORMED,
    ));
    cases.push(of(
        "on a batch's type".into(),
        format!("{}content-type: application/cloudevents-batch+json\r\n", but("")).as_bytes(),
        UNSUPPORTED,
    ));
    cases.push(of("whole".into(), but("").as_bytes(), Fine(202)));
    cases
}

/// A whole event with these members more.
fn event(more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"7","source":"/shop","type":"sale"{more}}}"#)
}

fn as_event(name: &str, body: impl AsRef<[u8]>, expect: super::case::Expect) -> Case {
    case(
        format!("event as JSON: {name}"),
        post("/v1/jobs", "content-type: application/cloudevents+json\r\n", body),
        expect,
    )
}

fn structured() -> Vec<Case> {
    let mut cases = vec![as_event("whole", event(""), Fine(202))];
    for name in ["specversion", "id", "source", "type"] {
        let whole = event("").replace(&format!("\"{name}\":"), "\"x\":");
        cases.push(as_event(&format!("no {name}"), whole, INVALID));
        for value in ["7", "true", "[]", "{}", "null", "\"\"", "\"\\u0000\"", "\"\\ud800\""] {
            let mut members = event("");
            let at = members.find(&format!("\"{name}\":")).unwrap();
            members.insert_str(at, &format!("\"other{name}\":"));
            let members = members
                .replace(&format!("\"other{name}\":\"{name}\":"), &format!("\"{name}\":{value},\"old\":"));
            cases.push(as_event(&format!("{name} {value}"), members, INVALID));
        }
    }
    let long = format!(r#","x":"{}""#, "x".repeat(9_000));
    let many: String = (0..5_000).map(|n| format!(r#","x{n}":null"#)).collect();
    for (name, more) in [
        ("one attribute twice", r#","id":"8""#),
        ("one null twice", r#","x":null,"x":null"#),
        ("data twice", r#","data":1,"data":2"#),
        ("both kinds of data", r#","data":1,"data_base64":"AA==""#),
        ("no base64", r#","data_base64":"A""#),
        ("base64 without padding", r#","data_base64":"AA""#),
        ("base64 of a number", r#","data_base64":7"#),
        ("a name in capitals", r#","Subject":"x""#),
        ("a name with a line", r#","foo_bar":"x""#),
        ("an empty name", r#","":"x""#),
        ("a name of zeros", r#","\u0000":"x""#),
        ("a nested attribute", r#","x":{"y":1}"#),
        ("a listed attribute", r#","x":[1]"#),
        ("a fraction", r#","x":0.1"#),
        ("an exponent", r#","x":1e3"#),
        ("a number beyond all", r#","x":1e999"#),
        ("a number beyond 32 bits", r#","x":2147483648"#),
        ("a number beyond 64 bits", r#","x":18446744073709551616"#),
        ("a fraction below zero", r#","x":-0.5"#),
        ("a control character", r#","x":"a\nb""#),
        ("half a character", r#","x":"\ud800""#),
        ("no character", r#","x":"\uffff""#),
        ("a time that is none", r#","time":"today""#),
        ("an empty subject", r#","subject":"""#),
        ("a relative schema", r#","dataschema":"/x""#),
        ("a content type that is none", r#","datacontenttype":"json""#),
    ] {
        cases.push(as_event(name, event(more), INVALID));
    }
    cases.push(as_event("an attribute longer than a job carries", event(&long), MALFORMED));
    cases.push(as_event("5,000 attributes", event(&many), MALFORMED));
    cases
}

fn unreadable() -> Vec<Case> {
    let levels = deep("[", 100_000, "]");
    let mut cases: Vec<_> =
        ["", "{}", "[]", "null", "7", "\"x\"", "{", "nonsense", "{}{}", "{\"id\":}", "{'id':'7'}"]
            .map(|body| as_event(&format!("{body:?}"), body, INVALID))
            .to_vec();
    cases.extend([
        as_event("no UTF-8", b"{\"id\":\"\xff\"}", INVALID),
        as_event("a byte order mark", [b"\xef\xbb\xbf", event("").as_bytes()].concat(), INVALID),
        as_event("something behind it", event("") + "x", INVALID),
        as_event("a zero behind it", event("") + "\0", INVALID),
        as_event("a zero within it", event(",\"x\":\"\0\""), INVALID),
        as_event("data of 100,000 levels", event(&format!(",\"data\":{levels}")), Fine(202)),
        as_event("an attribute of 100,000 levels", event(&format!(",\"x\":{levels}")), INVALID),
        as_event(
            "100,000 levels that do not close",
            event("").replace('}', &format!(",\"data\":{}", "[".repeat(100_000))),
            INVALID,
        ),
        as_event("100,000 objects in one another", "{\"data\":".repeat(30_000), INVALID),
    ]);
    for media in [
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/cloudevents+xml",
        "application/cloudevents+jsonx",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+json",
        "Application/CloudEvents-Batch+JSON; charset=utf-8",
    ] {
        let typed = post("/v1/jobs", &format!("content-type: {media}\r\n"), event(""));
        cases.push(case(format!("event as {media}"), typed, UNSUPPORTED));
    }
    cases
}

fn batched() -> Vec<Case> {
    let of = |name: &str, body: String, expect| {
        let fields = "content-type: application/cloudevents-batch+json\r\n";
        case(format!("batch of events: {name}"), post("/v1/jobs/batch", fields, body), expect)
    };
    let good = event("");
    vec![
        of("none", "[]".into(), MALFORMED),
        of("an object", good.clone(), MALFORMED),
        of("no JSON", "[".into(), MALFORMED),
        of("a comma too many", format!("[{good},]"), MALFORMED),
        of("a number", "[7]".into(), INVALID),
        of("an empty one", "[{}]".into(), INVALID),
        of("a list in a list", format!("[[{good}]]"), INVALID),
        of(
            "a bad one between two",
            format!("[{good},{{}},{good}]"),
            Items(207, &["202", "invalid_event", "202"]),
        ),
        of(
            "100,000 levels",
            format!("[{},{good}]", deep("[", 100_000, "]")),
            Items(207, &["invalid_event", "202"]),
        ),
        of("one twice", format!("[{good},{good}]"), Items(202, &["202", "202"])),
        case(
            "batch of events: another format",
            post(
                "/v1/jobs/batch",
                "content-type: application/cloudevents-batch+avro\r\n",
                format!("[{good}]"),
            ),
            UNSUPPORTED,
        ),
        case(
            "batch of events: one event's type",
            post("/v1/jobs/batch", "content-type: application/cloudevents+json\r\n", good.clone()),
            UNSUPPORTED,
        ),
        case(
            "lines with half an event in the head",
            post("/v1/jobs/batch", "content-type: application/x-ndjson\r\nce-specversion: 1.0\r\n", "{}\n"),
            INVALID,
        ),
    ]
}

fn handshakes() -> Vec<Case> {
    let of = |fields: &str, expect| {
        case(format!("handshake: {fields:?}"), raw("OPTIONS /v1/jobs HTTP/1.1", fields), expect)
    };
    let asked = "webhook-request-origin: a.example\r\n";
    let mut cases = Vec::new();
    for rate in ["0", "000", "", "-1", "+1", "1.5", "1e3", "*", "x", "1 2", "0x10", "\u{661}"] {
        cases.push(of(&format!("{asked}webhook-request-rate: {rate}\r\n"), MALFORMED));
    }
    for origin in ["", "two words", "a\tb", "k\u{e4}ufer.example"] {
        cases.push(of(&format!("webhook-request-origin: {origin}\r\n"), MALFORMED));
    }
    cases.extend([
        of(&format!("{asked}{asked}"), MALFORMED),
        of(&format!("{asked}webhook-request-rate: 1\r\nwebhook-request-rate: 1\r\n"), MALFORMED),
        of(&format!("{asked}host: b\r\n"), MALFORMED),
        of(&format!("{asked}webhook-request-rate: {}\r\n", "9".repeat(400)), Fine(200)),
        of(asked, Fine(200)),
        of("", Fine(204)),
        of("webhook-request-rate: nonsense\r\n", MALFORMED),
        of("origin: https://a.example\r\naccess-control-request-method: POST\r\n", Fine(204)),
    ]);
    cases
}

/// In the place of the good one.
const WRONG_VALUES: &[(&str, &str)] = &[
    ("ce-specversion", "0.3"),
    ("ce-specversion", "1.0.2"),
    ("ce-specversion", ""),
    ("ce-specversion", "1.0, 1.0"),
    ("ce-id", ""),
    ("ce-id", "%00"),
    ("ce-id", "a%0ab"),
    ("ce-id", "\"half"),
    ("ce-id", "\"a\"b\""),
    ("ce-id", "%"),
    ("ce-id", "%4"),
    ("ce-id", "%zz"),
    ("ce-id", "%C0%A0"),
    ("ce-id", "%ff"),
    ("ce-id", "%ED%A0%80"),
    ("ce-id", "%EF%BF%BE"),
    ("ce-source", ""),
    ("ce-source", "a b"),
    ("ce-source", "http://[::1"),
    ("ce-source", "%2520%25zz"),
    ("ce-type", ""),
];

/// Beside a whole event.
const WRONG_FIELDS: &[&str] = &[
    "ce-time: today",
    "ce-time: 2026-02-30T00:00:00Z",
    "ce-time: 2026-01-31",
    "ce-time:",
    "ce-subject:",
    "ce-dataschema: /relative",
    "ce-dataschema:",
    "ce-data: x",
    "ce-data_base64: eA==",
    "ce-datacontenttype: text/plain",
    "ce-foo_bar: x",
    "ce-: x",
    "ce-foo-bar: x",
    "ce-id: 8",
    "ce-x: a\r\nce-x: b",
    "content-type: nonsense",
    "content-type: /json",
];

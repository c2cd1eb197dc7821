//! Pictures of a status that a gateway gave in a flash sale, and of what else may be in one.

use serde_json::{Value, json};
use textwrap::core::display_width;

use super::*;

/// What a gateway said while workers of standard work had slowed down, and far more bulk work came than is done.
const SALE: &str = include_str!("../../../../tests/fixtures/status/sale.json");

const URL: &str = "http://127.0.0.1:9090";

fn sale() -> Value {
    serde_json::from_str(SALE).unwrap()
}

/// The same with these places set.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut document = sale();
    for (pointer, value) in changes {
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    }
    document
}

/// Nothing is wrong.
fn calm() -> Value {
    let states = ["p0", "p1", "p2"].map(|tier| format!("/tiers/{tier}/state"));
    let calm = json!({ "word": "calm", "severity": "calm", "cause": null, "sentence": "calm: depth 0", "reason": null,
        "refused": null, "advice": null });
    let changes: Vec<(&str, Value)> = states.iter().map(|state| (state.as_str(), calm.clone())).collect();
    with(&changes)
}

fn history(points: usize) -> Past {
    let depth: Vec<f64> = (0..points).map(|point| point as f64).collect();
    let tier = json!({ "depth": depth });
    let document = json!({ "step_seconds": 5, "times": [], "tiers": { "p0": tier, "p1": tier, "p2": tier } });
    Some(serde_json::from_value(document).unwrap())
}

fn drawn(document: &Value, past: &Past, width: usize) -> Vec<String> {
    let status = Status::read(&document.to_string()).unwrap();
    page(&status, past, URL, width).into_lines().into_iter().map(|line| line.text).collect()
}

/// All of it, its lines joined as they were before they were wrapped.
fn text(document: &Value) -> String {
    let lines = drawn(document, &None, 140);
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Everything that can go wrong, at once.
fn worst() -> Value {
    let group = |state: &str, lag: u64| {
        json!([{ "name": "workers", "lag": lag, "pending": 3, "counts": true, "blocks_trim": false, "state": state,
            "still_seconds": 40.0, "members": 0 }])
    };
    let fault = json!([{ "line": 1, "column": 2, "key": "tiers.p2.max_dept", "message": "unknown key",
        "text": "policy.yaml:1:2: tiers.p2.max_dept: unknown key" }]);
    let state = |severity: &str, word: &str| {
        json!({ "word": word, "severity": severity, "cause": "drain", "sentence": "x ".repeat(60), "reason": "y ".repeat(60),
            "refused": "z ".repeat(60), "advice": "w ".repeat(60) })
    };
    with(&[
        ("/phase", json!("draining")),
        ("/policy/pinned", json!(true)),
        (
            "/policy/last_reload",
            json!({ "at": "2026-11-22T10:36:40.000Z", "source": "file", "result": "rejected", "faults": fault, "warnings": [] }),
        ),
        ("/shadow/state", json!("faulty")),
        ("/shadow/faults", fault.clone()),
        ("/keys", json!({ "in_force": 3, "fault": "keys.yaml:1:1: not YAML" })),
        (
            "/share",
            json!({ "mode": "redis", "replicas": 3, "fraction": { "p0": 0.3, "p1": 0.001, "p2": 1.0 }, "age_seconds": 70.0,
                "unreadable": 0 }),
        ),
        (
            "/tls/ingest",
            json!({ "not_after": "2027-01-01T00:00:00.000Z", "client_certificates": false,
                "last_reload": { "at": "2026-11-22T10:36:40.000Z", "taken": false, "fault": "the key is of another" } }),
        ),
        ("/tiers/p0/state", state("warning", "backend away")),
        ("/tiers/p1/state", state("critical", "signal lost")),
        ("/tiers/p2/state", state("notice", "throttled")),
        ("/tiers/p1/groups", group("stalled", 5)),
        ("/tiers/p2/groups", group("empty", 12_345)),
        ("/tiers/p0/groups", group("working", 7)),
        (
            "/tiers/p2/retention",
            json!({ "limit_seconds": 86_400.0, "headroom_seconds": 3_000.0, "trend": -1.0, "deleted_in_seconds": 3_000.0,
                "lost_unread": 17 }),
        ),
        ("/tiers/p1/spooling", json!(true)),
        ("/tiers/p1/spool_depth", json!(1_234)),
        ("/tiers/p2/depth", json!(1_999_999_999_u64)),
        ("/tiers/p2/jobs/dead", json!(41)),
        ("/tenants", json!([{ "name": "acme", "admitted": 1_000, "refused": 2_000, "asked_lately": 3_000 }])),
    ])
}

#[test]
fn no_line_is_longer_than_the_window_is_wide() {
    for document in [sale(), calm(), worst()] {
        for width in [24, 40, 60, 79, 80, 100, 140] {
            let lines = drawn(&document, &history(300), width);
            assert!(lines.iter().all(|line| display_width(line) <= width), "{width}: {lines:#?}");
        }
        let widest = drawn(&document, &history(300), 500).iter().map(|line| display_width(line)).max();
        assert!(widest <= Some(140), "{widest:?}: a moderate use of the room");
    }
}

#[test]
fn no_number_is_cut_off() {
    for width in [60, 72, 80, 90, 100, 120, 140] {
        let lines = drawn(&worst(), &None, width);
        for head in [
            "depth",
            "drain",
            "retry-after",
            "may come in",
            "otherwise",
            "signal",
            "reopens",
            "letters",
            "p99",
        ] {
            let ends = |line: &&String| line.split("  ").any(|cell| cell.trim() == head);
            let at = lines.iter().position(|line| ends(&line)).unwrap_or_else(|| panic!("{width}: {head}"));
            let widths: Vec<usize> = lines[at..at + 4].iter().map(|line| display_width(line)).collect();
            assert!(widths.iter().all(|width| *width == widths[0]), "{:#?}", &lines[at..at + 4]);
        }
    }
}

#[test]
fn a_usual_window_has_room_for_what_matters() {
    let calm = drawn(&calm(), &history(300), 80);
    assert!(calm.len() <= 24, "{calm:#?}");
    let lines = drawn(&worst(), &history(300), 80);
    let glance = lines[..8].join("\n");
    for word in ["P0 backend away", "P1 signal lost", "P2 throttled", "drain", "refused", "1,999,999,999"] {
        assert!(glance.contains(word), "{word}: {glance}");
    }
    let first = lines.iter().position(|line| line.starts_with("CRITICAL  P1")).unwrap();
    assert!(first < 12, "{lines:#?}");
}

#[test]
fn the_worst_comes_first_in_words_and_the_table_stays_in_order() {
    let lines = drawn(&worst(), &None, 80);
    let place = |start: &str| lines.iter().position(|line| line.starts_with(start)).expect(start);
    assert!(
        place("P0 backend away") < place("P1 signal lost") && place("P1 signal lost") < place("P2 throttled")
    );
    assert!(place("P2 throttled") < place("CRITICAL  P1"), "the glance comes before the words");
    assert!(place("CRITICAL  P1") < place("WARNING   P0") && place("WARNING   P0") < place("notice    P2"));
}

#[test]
fn a_tier_in_trouble_says_why_who_is_refused_and_what_to_turn() {
    let text = text(&sale());
    for words in [
        "tidegate 0.1.0 at http://127.0.0.1:9090",
        "embedded  disk  up ",
        "WARNING   P1 standard throttled: depth ",
        "why       drain: workers take ",
        "refused   95 % of 152/s are refused, told to come back in ",
        "turn      look at the workers of jobs:standard",
        "notice    P2 bulk throttled: depth ",
        "why       demand: ",
        "turn      add workers for jobs:bulk, or ask its senders for less; tiers.p2.target lets more wait",
        "calm      P0: all that comes is taken",
        "tenant    anonymous: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_wrong_beside_the_tiers_is_said() {
    let text = text(&worst());
    for words in [
        "WARNING   the gateway is draining",
        "the reload of 10:36:40Z was rejected, the one from before stays. policy.yaml:1:2: tiers.p2.max_dept: unknown key",
        "pinned by a rollback until",
        "WARNING   shadow: policy.yaml:1:2",
        "keys: the file is wrong, the keys from before stay. keys.yaml:1:1: not YAML",
        "certificate of ingest: the new one is not taken over. the key is of another",
        "replicas: the others were last heard 70 s ago",
        "WARNING   P1 group workers is stalled: 5 unread, 3 under way, 0 members",
        "WARNING   P2 group workers is empty: 12,345 unread",
        "group     P0 group workers is working",
        "WARNING   P2 lost: 17 were deleted before they were read",
        "retention P2: 50 min of 24 h left before unread jobs are deleted, used up in 50 min",
        "spool     P1: 1,234 on this machine's disk, more are going there",
        "dead      41 letters",
        "replicas  3; this one's part: P0 30 %, P1 1 %, P2 100 %",
        "tenant    acme: 3,000 asked of late; 1,000 let in, 2,000 refused",
        "certificate of ingest until 2027-01-01 00:00:00Z",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let calm = self::text(&calm());
    assert!(
        !calm.contains("WARNING") && calm.contains("calm      P0, P1, P2: all that comes is taken"),
        "{calm}"
    );
}

#[test]
fn a_wider_window_has_more_beside_each_other() {
    let tall = |width| drawn(&sale(), &None, width).len();
    assert!(tall(40) > tall(80) && tall(80) > tall(140), "{} {} {}", tall(40), tall(80), tall(140));
}

#[test]
fn the_past_is_drawn_once_there_is_one() {
    let text = |past: &Past| drawn(&calm(), past, 80).join("\n");
    assert!(text(&history(300)).contains("depth of the last 25 min"));
    assert!(text(&history(300)).contains("█ 299 at most"), "{}", text(&history(300)));
    assert!(!text(&None).contains("at most") && !text(&history(1)).contains("at most"));
}

#[test]
fn what_a_server_says_steers_no_terminal() {
    let hostile = "x\u{1b}]0;gone\u{7}\u{9b}2J\r\ny\u{202e}";
    let document = with(&[
        ("/version", json!(hostile)),
        ("/backend", json!(hostile)),
        ("/policy/file", json!(hostile)),
        ("/tiers/p0/state/sentence", json!(hostile)),
        ("/tiers/p0/state/word", json!(hostile)),
        ("/tiers/p0/signal", json!(hostile)),
        ("/tenants/0/name", json!(hostile)),
    ]);
    for line in drawn(&document, &None, 80) {
        assert!(!line.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{line:?}");
    }
}

#[test]
fn another_version_is_named_where_its_document_cannot_be_drawn() {
    let mut older = with(&[("/version", json!("0.0.9"))]);
    older["tiers"]["p0"].as_object_mut().unwrap().remove("state");
    let error = Status::read(&older.to_string()).unwrap_err().to_string();
    assert!(error.contains("runs tidegate 0.0.9") && error.contains("missing field `state`"), "{error}");
    let mut newer = sale();
    newer["tiers"]["p3"] = json!({});
    newer["weather"] = json!("fine");
    assert!(Status::read(&newer.to_string()).is_ok(), "what is unknown is passed over");
}

#[test]
fn a_low_window_shows_the_worst_sentence_above_the_tiers() {
    for (document, words) in [
        (sale(), "WARNING   P1 standard throttled: depth "),
        (calm(), "calm      P0, P1, P2: all that comes is taken"),
    ] {
        let status = Status::read(&document.to_string()).unwrap();
        let texts = |page: Page| page.into_lines().into_iter().map(|line| line.text).collect::<Vec<_>>();
        let (low, usual) = (low_page(&status, &None, URL, 80), page(&status, &None, URL, 80));
        let (low, usual) = (texts(low), texts(usual));
        assert!(low[1].starts_with(words), "{low:#?}");
        assert!(low[..7].iter().any(|line| line.starts_with("P2 ")), "{low:#?}");
        assert!(usual.iter().all(|line| low.contains(line)), "nothing is lost: {low:#?}");
    }
}

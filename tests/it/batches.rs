//! Batches: many jobs in one request, each with its own answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::answer::Answer;
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{NDJSON, type_of};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

const JSON: &str = "application/json";

/// More lines than the gateway holds back to store them together.
const LINES: u64 = 2000;

#[tokio::test]
async fn each_line_is_one_job_and_they_come_out_in_order() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let lines: Vec<String> = (0..500).map(|n| format!("{{\"n\":{n},  \"spaces\" : [ ] }}")).collect();
    let answer = gateway.batch(NDJSON, lines.join("\n"), &[("tidegate-ordering-key", "one")]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("tidegate-tier"), Some("p1"));
    assert_eq!(answer.rate_limit().tier, "p1");
    let ids = all_stored(&answer, 500);

    let jobs = gateway.drain().await;
    let payloads: Vec<&str> = jobs.iter().map(|job| job.text()).collect();
    assert_eq!(payloads, lines, "the payloads are the lines, to the byte and in order");
    assert_eq!(jobs.iter().map(|job| job.id.clone()).collect::<Vec<_>>(), ids);
    assert!(jobs.iter().all(|job| job.content_type == JSON && job.ordering_key == "one"));
    gateway.finish().await;
}

#[tokio::test]
async fn each_element_of_an_array_is_one_job() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let array = "[ {\"a\" : 1.50} ,\n\"text\",7, null , [1, 2], {\"type\":\"order\",\"s\":\"\\u00e9 ] }\"} ]";
    let elements =
        ["{\"a\" : 1.50}", "\"text\"", "7", "null", "[1, 2]", "{\"type\":\"order\",\"s\":\"\\u00e9 ] }\"}"];
    let answer = gateway.batch(JSON, array, &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    all_stored(&answer, elements.len());
    let payloads: Vec<String> = gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
    assert_eq!(payloads, elements);
    gateway.finish().await;
}

#[tokio::test]
async fn blank_lines_take_no_index_and_the_last_line_needs_no_end() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for body in ["\n\n{\"n\":0}\n \t \n\r\n{\"n\":1}", "{\"n\":0}\r\n{\"n\":1}\r\n"] {
        let answer = gateway.batch(NDJSON, body, &[]).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        all_stored(&answer, 2);
        let payloads: Vec<String> =
            gateway.drain().await.iter().map(|job| job.text().trim().to_owned()).collect();
        assert_eq!(payloads, ["{\"n\":0}", "{\"n\":1}"]);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn each_item_has_the_tier_of_its_own_type() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let answer = gateway.batch(NDJSON, typed(&["p0", "p2", "p1"]), &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    all_stored(&answer, 3);
    assert_eq!(answer.header("tidegate-tier"), None, "a mixed batch has no one tier");
    assert_eq!(answer.header("ratelimit"), None);
    let mut tiers: Vec<String> = gateway.drain().await.into_iter().map(|job| job.tier).collect();
    tiers.sort();
    assert_eq!(tiers, ["p0", "p1", "p2"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_line_that_is_not_json_is_refused_alone() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let answer = gateway.batch(NDJSON, "{\"n\":0}\n{\"n\":\n{\"n\":2} x\n{\"n\":3}\n", &[]).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(outcomes(&answer), ["202", "malformed_request", "malformed_request", "202"]);
    assert_eq!(gateway.drain().await.len(), 2);

    let answer = gateway.batch(NDJSON, "{\n}\n", &[]).await;
    let problem = answer.problem(400, "malformed_request");
    assert_eq!((&problem.document["accepted"], &problem.document["refused"]), (&json!(0), &json!(2)));
    assert_eq!(outcomes(&answer), ["malformed_request", "malformed_request"]);
    gateway.finish().await;
}

#[tokio::test]
async fn what_the_gate_lets_in_is_stored_and_the_rest_is_told_when_to_return() {
    let gateway = Setup::with(&Policy::calm().tier("p1", "target", "{ depth: 20 }")).start().await;
    let answer = gateway.batch(NDJSON, typed(&["p1"; 60]), &[]).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let outcomes = outcomes(&answer);
    let stored = outcomes.iter().filter(|outcome| *outcome == "202").count();
    assert!((1..=22).contains(&stored), "{stored} of 60 stored at a target of 20");
    assert!(outcomes.iter().all(|outcome| outcome == "202" || outcome == "throttled"), "{outcomes:?}");
    for item in answer.json()["items"].as_array().unwrap() {
        let told = item["retry_after_ms"].as_u64().is_some_and(|millis| millis > 0);
        assert_eq!(told, item["status"] == 429, "{item}");
    }
    assert_eq!(gateway.drain().await.len(), stored);
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_refused_alike_is_one_refusal_with_its_items() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    gateway.batch(NDJSON, typed(&["p2"; 50]), &[]).await;
    gateway.stop().await;
    let shut =
        Policy::calm().tier("p2", "target", "{ depth: 10 }").tier("p2", "shed", "{ at: 20, until: 10 }");
    gateway.change_policy(&shut);
    gateway.restart().await;

    let answer = gateway.batch(NDJSON, typed(&["p2"; 3]), &[]).await;
    let problem = answer.problem(429, "shed");
    assert_eq!((&problem.document["accepted"], &problem.document["refused"]), (&json!(0), &json!(3)));
    assert_eq!(problem.outcome, "not_stored");
    assert_eq!(outcomes(&answer), ["shed", "shed", "shed"]);

    let answer = gateway.batch(NDJSON, typed(&["p2", "p0", "p2"]), &[]).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(outcomes(&answer), ["shed", "202", "shed"], "bulk is shed, critical work is not");
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_refused_whole_where_that_can_be_known() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_batch_bytes", "64KiB");
    let gateway = setup.set("limits.max_batch_jobs", "10").start().await;
    let answer = gateway.batch(JSON, format!("[{}1]", "1,".repeat(10)), &[]).await;
    answer.problem(413, "too_large");
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(head(NDJSON, "content-length: 65537")).await;
    let answer = raw.answer().await.expect("an answer before the body");
    answer.problem(413, "too_large");
    gateway.count_batch(&answer);
    assert_eq!(gateway.depth(None).await, 0, "nothing of it was stored");
    gateway.finish().await;
}

#[tokio::test]
async fn a_stream_that_passes_a_limit_keeps_what_was_stored() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_batch_bytes", "64KiB");
    let setup = setup.set("limits.max_batch_jobs", "10").set("limits.max_job_bytes", "16KiB");
    let gateway = setup.start().await;

    // More jobs than a batch may have.
    let answer = gateway.batch(NDJSON, typed(&["p1"; 12]), &[]).await;
    ended(&answer, 10, "too_large");

    // More bytes than a batch may have: five lines of 15,000 bytes.
    let line = format!("\"{}\"\n", "x".repeat(15_000));
    let answer = streamed(&gateway, &[line.as_bytes(); 5]).await;
    ended(&answer, 4, "too_large");

    // One line that is larger than a job may be, after a good one.
    let large = format!("{{}}\n\"{}\"\n{{}}\n", "x".repeat(17_000));
    let answer = gateway.batch(NDJSON, large, &[]).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(outcomes(&answer)[..2], ["202", "too_large"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_whose_client_is_too_slow_keeps_what_was_stored() {
    let gateway = Setup::with(&Policy::calm()).set("limits.request_timeout", "1s").start().await;
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(head(NDJSON, "content-length: 100")).await;
    raw.send("{\"n\":0}\n{\"n\":1}\n{\"n\"").await;
    let answer = raw.answer_within(Duration::from_secs(8)).await.expect("an answer");
    ended(&answer, 2, "request_timeout");
    gateway.count_batch(&answer);
    assert_eq!(gateway.drain().await.len(), 2);
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_with_broken_chunks_keeps_what_was_whole() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(head(NDJSON, "transfer-encoding: chunked")).await;
    raw.send("8\r\n{\"n\":0}\n\r\nzz\r\n").await;
    let answer = raw.answer().await.expect("an answer");
    ended(&answer, 1, "malformed_request");
    gateway.count_batch(&answer);
    assert_eq!(gateway.drain().await.len(), 1);
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_what_was_stored() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let lines: String = (0..LINES).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(head(NDJSON, "content-length: 1000000")).await;
    raw.send(&lines).await;
    let started = async || (gateway.depth(None).await > 0).then_some(());
    until("the first lines are stored", Duration::from_secs(10), started).await;
    drop(raw);
    gateway.tally.open(LINES + 1);
    let payloads: Vec<String> = gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
    assert_eq!(
        payloads.join("\n") + "\n",
        lines[..payloads.join("\n").len() + 1],
        "the first lines, each once"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_no_batch_is_refused_once() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let cases: [(&str, &str, u16, &str); 11] = [
        (NDJSON, "", 400, "malformed_request"),
        (NDJSON, "\n \n\r\n", 400, "malformed_request"),
        (JSON, "", 400, "malformed_request"),
        (JSON, "[]", 400, "malformed_request"),
        (JSON, "{\"a\":1}", 400, "malformed_request"),
        (JSON, "[1,", 400, "malformed_request"),
        (JSON, "[1,]", 400, "malformed_request"),
        (JSON, "[1] 2", 400, "malformed_request"),
        ("text/plain", "{}", 415, "unsupported_media_type"),
        ("application/jsonx", "[1]", 415, "unsupported_media_type"),
        ("nonsense", "[1]", 415, "unsupported_media_type"),
    ];
    for (media, body, status, code) in cases {
        let answer = gateway.batch(media, body, &[]).await;
        let problem = answer.problem(status, code);
        assert_eq!(problem.outcome, "not_stored", "{media} {body}");
    }
    let answer = gateway.batch(NDJSON, "{}\n", &[("idempotency-key", "k")]).await;
    answer.problem(400, "malformed_request");
    assert_eq!(gateway.depth(None).await, 0);
    let media = "application/json; charset=utf-8";
    assert_eq!(
        gateway.batch(media, "[1]", &[]).await.status,
        202,
        "parameters of the media type do not matter"
    );
    gateway.finish().await;
}

/// The ids of a batch of which every item was stored.
#[track_caller]
fn all_stored(answer: &Answer, count: usize) -> Vec<String> {
    let document = answer.json();
    let mut ids = Vec::new();
    for (index, item) in document["items"].as_array().expect("items").iter().enumerate() {
        assert_eq!((&item["index"], &item["status"]), (&json!(index), &json!(202)), "{item}");
        ids.push(item["id"].as_str().expect("an id").to_owned());
    }
    let counts = (&document["accepted"], &document["refused"], ids.len());
    assert_eq!(counts, (&json!(count), &json!(0), count), "{document}");
    ids
}

/// `202` or the code of each item, with indexes, counts and members checked.
#[track_caller]
fn outcomes(answer: &Answer) -> Vec<String> {
    let document = answer.json();
    let mut outcomes = Vec::new();
    for (index, item) in document["items"].as_array().expect("items").iter().enumerate() {
        assert_eq!(item["index"], index, "{document}");
        let stored = item["status"] == 202;
        assert_eq!(item["id"].is_string(), stored, "{item}");
        assert_eq!(item["code"].is_string(), !stored, "{item}");
        outcomes.push(item["code"].as_str().unwrap_or("202").to_owned());
    }
    let stored = outcomes.iter().filter(|outcome| *outcome == "202").count();
    assert_eq!(document["accepted"], stored, "{document}");
    assert_eq!(document["refused"], outcomes.len() - stored, "{document}");
    outcomes
}

/// A 207 that ended early: this many stored, then the item that ended it (for a limit), then the reason.
#[track_caller]
fn ended(answer: &Answer, stored: usize, code: &str) {
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(answer.json()["ended"], code, "{answer:?}");
    let outcomes = outcomes(answer);
    let (first, rest) = outcomes.split_at(stored);
    assert!(first.iter().all(|outcome| outcome == "202"), "{outcomes:?}");
    let listed: &[&str] = if code == "too_large" { &["too_large"] } else { &[] };
    assert_eq!(rest, listed, "{answer:?}");
}

/// Lines whose types put them into these tiers.
fn typed(tiers: &[&str]) -> String {
    let line = |tier: &&str| Value::to_string(&json!({ "type": type_of(tier) })) + "\n";
    tiers.iter().map(line).collect()
}

fn head(media: &str, framing: &str) -> String {
    format!("POST /v1/jobs/batch HTTP/1.1\r\nhost: tidegate\r\ncontent-type: {media}\r\n{framing}\r\n\r\n")
}

/// An NDJSON batch in chunks, with no length declared.
async fn streamed(gateway: &Gateway, chunks: &[&[u8]]) -> Answer {
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(head(NDJSON, "transfer-encoding: chunked")).await;
    for chunk in chunks {
        raw.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await;
    }
    raw.send("0\r\n\r\n").await;
    let answer = raw.answer().await.expect("an answer");
    gateway.count_batch(&answer);
    answer
}

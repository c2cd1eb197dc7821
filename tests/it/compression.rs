//! Compressed bodies: decoded for whoever comes after, refused by name where they are wrong.

use std::time::Duration;

use serde_json::json;

use crate::support::answer::Answer;
use crate::support::coded::{Coding, chunk, encode};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

#[tokio::test]
async fn a_worker_gets_what_the_client_compressed() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let mut sent = Vec::new();
    for (field, coding) in CODINGS {
        for payload in [&br#"{"type":"payment","n":1}"#[..], &[0xff, 0, 0x80], b"", &text(900_000)] {
            let answer =
                post(&gateway, "/v1/jobs", &[("content-encoding", field)], encode(coding, payload).await)
                    .await;
            gateway.tally.job(answer.status);
            let tier = if payload.starts_with(b"{\"type") { "p0" } else { "p1" };
            assert_eq!(answer.receipt().tier, tier, "{field}: rules see what was compressed");
            sent.push((tier, payload.to_vec()));
        }
    }
    let drained = gateway.drain().await;
    for tier in ["p0", "p1"] {
        let got = drained.iter().filter(|job| job.tier == tier).map(|job| job.payload());
        let sent = sent.iter().filter(|(of, _)| *of == tier).map(|(_, payload)| payload.clone());
        assert!(got.eq(sent), "{tier}");
    }
    assert!(drained.iter().all(|job| job.headers.is_empty()), "the coding does not travel");
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_is_decoded_as_it_comes() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let lines: Vec<String> = (0..3_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    let array = format!("[{}]", lines.join(","));
    for (field, coding) in CODINGS {
        for (media, body) in [(NDJSON, lines.join("\n")), ("application/json", array.clone())] {
            // Two members, cut within a line.
            let (one, two) = body.split_at(body.len() / 2);
            let coded = [encode(coding, one.as_bytes()).await, encode(coding, two.as_bytes()).await].concat();
            let answer = post_batch(&gateway, media, field, coded).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let payloads: Vec<String> =
                gateway.drain().await.iter().map(|job| job.text().to_owned()).collect();
            assert!(payloads == lines, "{field} {media}");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_stream_is_stored_while_its_client_pauses() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for (field, coding) in [("gzip", Coding::Gzip), ("zstd", Coding::Zstd)] {
        let (first, second) = (encode(coding, b"1\n2\n3\n").await, encode(coding, b"4\n").await);
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(batch_head(field)).await;
        raw.send(chunk(&first)).await;
        until("what came is stored", Duration::from_secs(10), async || {
            (gateway.depth(None).await == 3).then_some(())
        })
        .await;
        raw.send([chunk(&second), b"0\r\n\r\n".to_vec()].concat()).await;
        let answer = raw.answer().await.expect("an answer");
        gateway.count_batch(&answer);
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(4)), "{answer:?}");
        assert_eq!(gateway.drain().await.len(), 4);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_coding_that_is_not_taken_is_a_415_that_names_those_that_are() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for codings in [&["br"][..], &["deflate"], &["gzip, zstd"], &["gzip", "gzip"], &["*"]] {
        let fields: Vec<_> = codings.iter().map(|coding| ("content-encoding", *coding)).collect();
        let answer = post(&gateway, "/v1/jobs", &fields, b"{}".to_vec()).await;
        gateway.tally.job(answer.status);
        answer.problem(415, "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"), "{codings:?}");
        let answer = gateway.batch(NDJSON, "1\n", &fields).await;
        answer.problem(415, "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), Some("gzip, zstd"), "{codings:?}");
    }
    let answer = gateway.batch("text/plain", "1\n", &[]).await;
    answer.problem(415, "unsupported_media_type");
    assert!(answer.header("accept-post").is_some_and(|types| types.contains(NDJSON)), "{answer:?}");

    gateway.post("{}", &[("content-encoding", "Identity")]).await.receipt();
    for path in ["/v1/leases", "/v1/leases/ack", "/v1/leases/nack", "/v1/leases/extend"] {
        let coded = encode(Coding::Gzip, br#"{"leases":[]}"#).await;
        let answer = post(&gateway, path, &[("content-encoding", "gzip")], coded).await;
        answer.problem(415, "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), Some("identity"), "{path}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_damaged_body_is_refused_and_the_next_good_one_taken() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for (field, coding) in CODINGS {
        let good = encode(coding, &text(5_000)).await;
        let damaged = [
            ("is empty", Vec::new()),
            ("breaks off", good[..good.len() - 1].to_vec()),
            ("breaks off", good[..7].to_vec()),
            ("damaged", b"{\"plain\": \"JSON\"}".to_vec()),
            ("damaged", [&good[..], b"something else"].concat()),
        ];
        for (says, body) in damaged {
            let answer = post(&gateway, "/v1/jobs", &[("content-encoding", field)], body).await;
            gateway.tally.job(answer.status);
            let problem = answer.problem(400, "malformed_request");
            let detail = problem.document["detail"].as_str().unwrap();
            assert!(detail.contains(says), "{field}, {says}: {detail}");
        }
        let answer = post(&gateway, "/v1/jobs", &[("content-encoding", field)], good).await;
        gateway.tally.job(answer.status);
        answer.receipt();
    }
    assert_eq!(gateway.drain().await.len(), CODINGS.len());
    gateway.finish().await;
}

#[tokio::test]
async fn a_batch_cut_within_keeps_what_was_whole() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    // More than one block of zstd, which comes whole or not at all.
    let lines: String =
        (0..5_000).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "abc".repeat(30))).collect();
    for (field, coding) in CODINGS {
        let coded = encode(coding, lines.as_bytes()).await;
        let cut = post_batch(&gateway, NDJSON, field, coded[..coded.len() - 2].to_vec()).await;
        assert_eq!((cut.status, &cut.json()["ended"]), (207, &json!("malformed_request")), "{field}");
        let stored = cut.json()["accepted"].as_u64().unwrap();
        assert!(stored > 0 && cut.json()["refused"] == 0, "{field}: {stored}");
        let payloads = gateway.drain().await;
        assert_eq!(payloads.len() as u64, stored);
        assert!(
            lines.starts_with(&payloads.iter().map(|job| job.text().to_owned() + "\n").collect::<String>())
        );

        let nothing = post_batch(&gateway, NDJSON, field, coded[..4].to_vec()).await;
        nothing.problem(400, "malformed_request");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn limits_hold_for_what_a_body_decodes_to() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_job_bytes", "16KiB");
    let gateway = setup.set("limits.max_batch_bytes", "64KiB").start().await;
    for (field, coding) in CODINGS {
        let post = async |bytes| {
            let coded = encode(coding, &vec![b'x'; bytes]).await;
            let answer = post(&gateway, "/v1/jobs", &[("content-encoding", field)], coded).await;
            gateway.tally.job(answer.status);
            answer
        };
        post(16 * 1024).await.receipt();
        let problem = post(16 * 1024 + 1).await.problem(413, "too_large");
        let detail = problem.document["detail"].as_str().unwrap();
        assert!(detail.contains("16384 bytes") && detail.contains("claim check"), "{detail}");

        // Five lines of 15,000 bytes: the fifth passes the limit of the batch.
        let line = format!("\"{}\"\n", "x".repeat(15_000));
        let answer =
            post_batch(&gateway, NDJSON, field, encode(coding, line.repeat(5).as_bytes()).await).await;
        assert_eq!((answer.status, &answer.json()["ended"]), (207, &json!("too_large")), "{answer:?}");
        assert_eq!((&answer.json()["accepted"], &answer.json()["refused"]), (&json!(4), &json!(1)));
        let long = format!("1\n\"{}\"\n", "x".repeat(17_000));
        let answer = post_batch(&gateway, NDJSON, field, encode(coding, long.as_bytes()).await).await;
        assert_eq!((answer.status, &answer.json()["ended"]), (207, &json!("too_large")), "{answer:?}");
        let array = format!("[{line}]{}", " ".repeat(60_000));
        let answer =
            post_batch(&gateway, "application/json", field, encode(coding, array.as_bytes()).await).await;
        let problem = answer.problem(413, "too_large");
        assert!(problem.document["detail"].as_str().unwrap().contains("smaller batches"), "{answer:?}");
    }
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-encoding: gzip\r\ncontent-length: 16385\r\n\r\n")
        .await;
    let answer = raw.answer().await.expect("an answer before the body");
    gateway.tally.job(answer.status);
    answer.problem(413, "too_large");
    gateway.drain().await;
    gateway.finish().await;
}

async fn post(gateway: &Gateway, path: &str, fields: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let ask = gateway.ingest.post(path).body(body);
    fields.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send().await
}

async fn post_batch(gateway: &Gateway, media: &str, coding: &str, body: Vec<u8>) -> Answer {
    let fields = [("content-type", media), ("content-encoding", coding)];
    let answer = post(gateway, "/v1/jobs/batch", &fields, body).await;
    gateway.count_batch(&answer);
    answer
}

fn batch_head(coding: &str) -> String {
    format!(
        "POST /v1/jobs/batch HTTP/1.1\r\nhost: t\r\ncontent-type: {NDJSON}\r\ncontent-encoding: {coding}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    )
}

/// Text that does not compress away.
fn text(bytes: usize) -> Vec<u8> {
    let numbers = (0_u64..).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
    numbers.take(bytes / 19).collect::<String>().into_bytes()
}

const CODINGS: [(&str, Coding); 3] =
    [("gzip", Coding::Gzip), ("X-Gzip", Coding::Gzip), ("ZSTD", Coding::Zstd)];

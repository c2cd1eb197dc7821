//! Bodies that decode to a thousand and to ten thousand times their length: refused, in memory that stays flat.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::answer::Answer;
use crate::support::coded::{chunk, gzip_of_zeros, zstd_of_one_byte};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::NDJSON;
use crate::support::policy::Policy;
use crate::support::raw::Raw;

#[tokio::test]
async fn bombs_are_refused_in_flat_memory() {
    let gateway = Setup::with(&Policy::calm()).set("limits.max_in_flight_bytes", "64MiB").start().await;
    let (begins, goes_on) = gzip_of_zeros().await;
    let pieces: Vec<Vec<u8>> = [begins].into_iter().chain(vec![goes_on; GIB_4 / (4 << 20)]).collect();
    let gzip = Bomb { path: "/v1/jobs", coding: "gzip", pieces };
    // Four bytes for 128 KiB.
    let frame = zstd_of_one_byte(b"", 0, GIB_4 / (128 << 10));
    let zstd = Bomb { path: "/v1/jobs", coding: "zstd", pieces: vec![frame] };
    let blank_lines = zstd_of_one_byte(b"", b'\n', GIB_4 / (128 << 10));
    let batch = Bomb { path: "/v1/jobs/batch", coding: "zstd", pieces: vec![blank_lines] };

    // One of each, so that what is set up once is there.
    for bomb in [&gzip, &zstd, &batch] {
        let answer = bomb.drop_on(&gateway).await;
        gateway.tally.job(answer.status);
        answer.problem(413, "too_large");
    }
    let before = gateway.memory();
    let mut refused = 0;
    for round in 1..=3 {
        refused += all_at_once(&gateway, &[&gzip, &zstd, &batch], 40).await;
        println!("round {round}: {refused} too large so far, {:?} KiB", gateway.memory());
    }
    let after = gateway.memory();
    assert!(refused >= 10, "{refused} of 360");
    let grown = after.highest.saturating_sub(before.resident);
    assert!(grown < 128 * 1024, "grew by {grown} KiB: before {before:?}, after {after:?}");
    gateway.post("the next good job", &[]).await.receipt();
    assert_eq!(gateway.drain().await.len(), 1);
    gateway.finish().await;
}

#[tokio::test]
async fn a_bomb_within_a_batch_leaves_what_was_stored_before_it() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let frame = zstd_of_one_byte(b"{\"n\":0}\n{\"n\":1}\n", b'x', GIB_4 / (128 << 10));
    let bomb = Bomb { path: "/v1/jobs/batch", coding: "zstd", pieces: vec![frame] };
    let answer = bomb.drop_on(&gateway).await;
    gateway.count_batch(&answer);
    let document = answer.json();
    assert_eq!((answer.status, &document["ended"]), (207, &json!("too_large")), "{document}");
    assert_eq!((&document["accepted"], &document["refused"]), (&json!(2), &json!(1)));
    assert_eq!(gateway.drain().await.len(), 2);
    gateway.finish().await;
}

/// Drops so many of each; how many were refused as too large. The others found the memory for bodies used up.
async fn all_at_once(gateway: &Gateway, bombs: &[&Bomb], of_each: usize) -> usize {
    let mut falling = JoinSet::new();
    for _ in 0..of_each {
        for bomb in bombs {
            let (bomb, address) = ((*bomb).clone(), gateway.ingest.address());
            falling.spawn(async move { bomb.drop_at(address).await });
        }
    }
    let mut refused = 0;
    for answer in falling.join_all().await {
        gateway.tally.job(answer.status);
        let problem = answer.any_problem();
        match problem.status {
            413 => refused += 1,
            status => assert_eq!((status, problem.code.as_str()), (503, "overloaded")),
        }
    }
    refused
}

#[derive(Clone)]
struct Bomb {
    path: &'static str,
    coding: &'static str,
    pieces: Vec<Vec<u8>>,
}

impl Bomb {
    async fn drop_on(&self, gateway: &Gateway) -> Answer {
        self.drop_at(gateway.ingest.address()).await
    }

    /// Sends all of it, in chunks, or as much as the gateway takes.
    async fn drop_at(&self, address: std::net::SocketAddr) -> Answer {
        let mut raw = Raw::connect(address).await;
        let (path, coding) = (self.path, self.coding);
        raw.send(format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: {NDJSON}\r\ncontent-encoding: {coding}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        ))
        .await;
        for piece in &self.pieces {
            if !raw.send_whole(chunk(piece)).await {
                break;
            }
        }
        raw.send("0\r\n\r\n").await;
        raw.answer().await.expect("an answer")
    }
}

const GIB_4: usize = 4 << 30;

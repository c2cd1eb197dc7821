//! All faults of all kinds, again and again: the gateway holds no more after the last round than after the first.

use std::collections::HashSet;
use std::time::Duration;

use super::case::Expect::{Fine, Items, OneAnswer};
use super::case::{Case, TOO_SLOW, all, guarded, nothing_hidden};
use super::{batches, bodies, calls, chunking, codings, events, fields, heads, routes, smuggling};
use crate::support::gateway::Setup;
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// Every row of every table.
async fn corpus() -> Vec<Case> {
    [
        bodies::cases(),
        chunking::cases(),
        smuggling::cases(),
        heads::cases(),
        fields::cases(),
        routes::cases(),
        batches::cases(),
        calls::cases(),
        codings::cases().await,
        events::cases(),
    ]
    .concat()
}

#[tokio::test]
async fn memory_stays_flat_while_all_faults_are_repeated() {
    let gateway = guarded().await;
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        all(&gateway, corpus().await).await;
        nothing_hidden(&gateway).await;
        sizes.push(gateway.resident_bytes());
        println!("round {round}: {} KiB", sizes[round] / 1024);
    }
    // What is set up once, and the allocator's arenas, are there after the first rounds.
    let grown = sizes[ROUNDS - 1].saturating_sub(sizes[1]);
    assert!(grown < MOST_GROWTH, "grew by {grown} bytes: {sizes:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn there_are_many_and_no_two_are_the_same() {
    let corpus = corpus().await;
    let names: HashSet<&str> = corpus.iter().map(|case| case.name.as_str()).collect();
    let sent: HashSet<&[u8]> = corpus.iter().map(|case| case.bytes.as_slice()).collect();
    let bytes: usize = corpus.iter().map(|case| case.bytes.len()).sum();
    println!("{} faults, {bytes} bytes", corpus.len());
    let twice = corpus
        .iter()
        .find(|one| corpus.iter().any(|other| one.bytes == other.bytes && one.name != other.name));
    assert_eq!(twice.map(|case| &case.name), None);
    assert_eq!((names.len(), sent.len()), (corpus.len(), corpus.len()));
    assert!(corpus.len() >= 300, "{}", corpus.len());
}

/// Beyond the bound on connections another router answers first: what is wrong is no better taken there.
#[tokio::test]
async fn where_every_slot_is_taken_faults_are_refused_too() {
    let setup = Setup::with(&Policy::calm()).set("limits.max_connections", "4");
    let gateway = setup.set("limits.header_timeout", "1s").set("limits.request_timeout", "60s").start().await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send("POST /v1/jobs HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n")
            .await;
        assert_eq!(raw.answer().await.expect("leave to send").status, 100);
        raw.send("x").await;
        slow.push(raw);
    }
    // Some of each kind; those that are slow themselves would have the time of a request here.
    let cases = corpus().await.into_iter().filter(|case| case.expect != TOO_SLOW).step_by(3);
    for case in cases {
        let mut connection = Raw::connect(gateway.ingest.address()).await;
        connection.send(&case.bytes).await;
        let answer = match case.bytes.starts_with(b"HEAD ") {
            true => connection.answer_to_head(PATIENCE).await,
            false => connection.answer_within(PATIENCE).await,
        };
        let status = answer.as_ref().map_or(400, |answer| answer.status);
        let may_be_taken = matches!(case.expect, Fine(_) | Items(..) | OneAnswer);
        let fits = matches!(status, 400..500 | 503) || (may_be_taken && (200..300).contains(&status));
        assert!(fits, "{}: {answer:?}", case.name);
        if let Some(answer) = answer.filter(|answer| answer.status >= 400 && !answer.body.is_empty()) {
            answer.any_problem();
        }
        gateway.tally.open(1);
    }
    for raw in &mut slow {
        raw.send("12345678").await;
        raw.answer().await.expect("an answer").receipt();
        gateway.tally.job(202);
    }
    drop(slow);
    gateway.post("the next good job", &[]).await.receipt();
    nothing_hidden(&gateway).await;
    gateway.finish().await;
}

const ROUNDS: usize = 3;

const PATIENCE: Duration = Duration::from_secs(8);

/// Far below what one copy of the corpus would add, some megabytes a round.
const MOST_GROWTH: u64 = 8 * 1024 * 1024;

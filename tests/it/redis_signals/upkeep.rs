//! Streams are trimmed by what every group acknowledged; delayed jobs come back when they are due.

use std::sync::Arc;
use std::time::Duration;

use tidegate::domain::tier::Tier;
use tidegate::queue::GroupState;
use tidegate::queue::redis::backlog::Seen;
use tidegate::queue::redis::entry::element;
use tidegate::queue::redis::settings::{RedisSettings, Trim};
use tidegate::queue::redis::upkeep::Upkeep;
use tidegate::queue::redis::worker::{FAIL_ELEMENT, FAIL_ENTRY};

use super::{Bench, QUEUE, lists, streams};
use crate::support::poll::until;
use crate::support::resp::Resp;

/// Hands a group so many jobs and acknowledges them.
async fn work(line: &mut Resp, group: &str, count: usize) {
    let taken = super::take(line, group, count).await;
    assert_eq!(taken.len(), count);
    let mut ack = vec!["XACK", QUEUE, group];
    ack.extend(taken.iter().map(|entry| entry.items()[0].text()));
    assert_eq!(line.ask(&ack).await.unwrap().count(), count as u64);
}

async fn fill(line: &mut Resp, count: usize) {
    line.pipeline(&vec![&["XADD", QUEUE, "*", "body", "x"][..]; count]).await.unwrap();
}

async fn length(bench: &Bench) -> u64 {
    bench.redis.cli(&["XLEN", QUEUE]).await.count()
}

#[tokio::test]
async fn only_what_every_group_acknowledged_is_removed() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    fill(&mut line, 3_000).await;
    work(&mut line, "a", 1_000).await;
    // One that is taken and not done keeps itself and all after it.
    let held = super::take(&mut line, "a", 1).await;
    work(&mut line, "a", 999).await;
    bench.keep().await.unwrap();
    let left = length(&bench).await;
    assert!((2_000..=2_100).contains(&left), "{left}");

    // A group that the gateway was not told of counts too, as soon as it is there.
    line.ask(&["XGROUP", "CREATE", QUEUE, "audit", "0"]).await.unwrap().good();
    line.ask(&["XACK", QUEUE, "a", held[0].items()[0].text()]).await.unwrap();
    work(&mut line, "a", 1_000).await;
    bench.keep().await.unwrap();
    assert_eq!(length(&bench).await, left);
    work(&mut line, "audit", left as usize - 500).await;
    bench.keep().await.unwrap();
    let left = length(&bench).await;
    assert!((500..=600).contains(&left), "{left}");
    assert_eq!(bench.read().await.unwrap().backlog.depth(), 0, "audit does not count");
    assert_eq!(bench.redis.cli(&["XINFO", "GROUPS", QUEUE]).await.items().len(), 2);
}

#[tokio::test]
async fn a_group_that_stopped_is_shown_until_it_goes_on() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    line.ask(&["XGROUP", "CREATE", QUEUE, "audit", "0"]).await.unwrap().good();
    fill(&mut line, 1_000).await;
    work(&mut line, "a", 1_000).await;
    // Time passes as the upkeep is told.
    let start = bench.clock.now();
    let mut blocking = Vec::new();
    for seconds in [0, 5, 11] {
        let kept =
            bench.upkeep.step(&mut bench.line, start.plus(Duration::from_secs(seconds))).await.unwrap();
        blocking.push(kept[Tier::P2].clone().unwrap().blocking);
    }
    let audit = Arc::<str>::from("audit");
    assert_eq!(blocking, [vec![], vec![], vec![audit]]);
    bench.sight.note_blocking(blocking.pop().unwrap());
    let seen = bench.read().await.unwrap();
    let shown: Vec<_> = seen.groups.iter().map(|g| (&*g.name, g.lag, g.counts, g.blocks_trim)).collect();
    assert_eq!(shown, [("a", 0, true, false), ("audit", 1_000, false, true)]);
    let states: Vec<_> = seen.groups.iter().map(|group| (group.state, group.members)).collect();
    assert_eq!(states, [(GroupState::Idle, None), (GroupState::Stalled, Some(0))]);
    assert_eq!((seen.backlog.depth(), length(&bench).await), (0, 1_000));

    work(&mut line, "audit", 1_000).await;
    let kept = bench.upkeep.step(&mut bench.line, start.plus(Duration::from_secs(12))).await.unwrap();
    assert!(kept[Tier::P2].clone().unwrap().blocking.is_empty());
    assert!(length(&bench).await <= 100);
}

#[tokio::test]
async fn a_group_that_nobody_reads_for_is_empty_once_jobs_wait() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let state = |seen: Seen| seen.groups.first().map(|group| (group.state, group.members));
    assert_eq!(state(bench.read().await.unwrap()), Some((GroupState::Idle, None)));
    fill(&mut line, 2).await;
    assert_eq!(state(bench.read().await.unwrap()), Some((GroupState::Empty, Some(0))));
    work(&mut line, "a", 1).await;
    assert_eq!(state(bench.read().await.unwrap()), Some((GroupState::Reading, None)));
}

#[tokio::test]
async fn a_stream_that_is_never_trimmed_keeps_all() {
    let mut bench = Bench::new(RedisSettings { trim: Trim::Never, ..streams(&["a"]) }).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    fill(&mut line, 1_000).await;
    work(&mut line, "a", 1_000).await;
    bench.keep().await.unwrap();
    assert_eq!(length(&bench).await, 1_000);
    assert_eq!(bench.read().await.unwrap().backlog.depth(), 0);
}

#[tokio::test]
async fn what_one_command_does_not_remove_the_next_one_does() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    for _ in 0..30 {
        fill(&mut line, 10_000).await;
    }
    let newest = line.ask(&["XREVRANGE", QUEUE, "+", "-", "COUNT", "1"]).await.unwrap();
    line.ask(&["XGROUP", "SETID", QUEUE, "a", newest.items()[0].items()[0].text()]).await.unwrap().good();
    bench.keep().await.unwrap();
    assert!(length(&bench).await <= 100, "more than one command removes");
}

#[tokio::test]
async fn a_retry_of_a_stream_comes_back_when_it_is_due_with_all_that_it_had() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let (text, bytes) = ("é \"x\"\n\u{0}/😀".as_bytes(), &b"a\xff\x00b\xc3"[..]);
    super::add(&mut line, 1, text).await;
    super::add(&mut line, 2, bytes).await;
    for entry in super::take(&mut line, "a", 2).await {
        let id = entry.items()[0].text();
        let fail = |delay| {
            let keys = [QUEUE, "jobs:p2:delayed", "jobs:dead_letter", "jobs:dead_letter:p2"];
            [&["EVAL", FAIL_ENTRY, "4"][..], &keys, &["a", id, "boom", delay]].concat()
        };
        assert_eq!(line.ask(&fail("100")).await.unwrap().good().count(), 1);
        assert_eq!(line.ask(&fail("100")).await.unwrap().good().count(), 0, "it is not the group's any more");
    }
    assert_eq!(
        (bench.read().await.unwrap().backlog.waiting, bench.read().await.unwrap().backlog.leased),
        (2, 0)
    );
    until("both are due", Duration::from_secs(10), async || {
        bench.keep().await.unwrap();
        (bench.redis.cli(&["ZCARD", "jobs:p2:delayed"]).await.count() == 0).then_some(())
    })
    .await;
    assert_eq!(bench.read().await.unwrap().backlog.waiting, 2);
    let again = super::take(&mut line, "a", 2).await;
    let field = |entry: usize, name: &str| again[entry].items()[1].field(name).bytes().to_vec();
    for (entry, body) in [text, bytes].into_iter().enumerate() {
        assert_eq!((field(entry, "attempt"), field(entry, "body")), (b"2".to_vec(), body.to_vec()));
        assert_eq!(field(entry, "id"), super::id(entry as u32 + 1).into_bytes());
        assert_eq!(field(entry, "ce_source"), b"/shop");
    }
}

#[tokio::test]
async fn a_retry_of_a_list_comes_back_as_it_was_delayed() {
    let mut bench = Bench::new(lists()).await;
    let mut line = bench.worker().await;
    let job = format!(
        r#"{{"id":"{}","tier":"p2","tenant":"acme","accepted_at":"2023-11-14T22:13:20.007Z","_enqueued_at":1700000000.007,"_retry_count":0,"body":"é"}}"#,
        super::id(1)
    );
    line.ask(&["LPUSH", "jobs:p2:processing:w", &job]).await.unwrap();
    let keys = ["jobs:p2:delayed", "jobs:dead_letter", "jobs:dead_letter:p2", "jobs:p2:processing:w"];
    let fail = [&["EVAL", FAIL_ELEMENT, "4"][..], &keys, &[&job, "boom", "0"]].concat();
    assert_eq!(line.ask(&fail).await.unwrap().good().count(), 1);
    assert_eq!(line.ask(&fail).await.unwrap().good().count(), 0, "it is not in the worker's hands any more");
    assert_eq!(bench.read().await.unwrap().backlog.depth(), 1);
    bench.keep().await.unwrap();
    let back = line.ask(&["RPOP", QUEUE]).await.unwrap();
    let back = element::decode(back.bytes()).unwrap();
    assert_eq!((back.tries.attempt, &back.job.payload[..]), (2, "é".as_bytes()));
    assert!(back.tries.first_failed_at.is_some());
    assert_eq!(bench.read().await.unwrap().backlog.depth(), 0);
}

#[tokio::test]
async fn a_delayed_job_that_cannot_be_read_stays_and_holds_up_no_other() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let good = format!(
        r#"{{"id":"{}","tier":"p2","tenant":"acme","accepted_at":"2023-11-14T22:13:20.007Z","body":"x","attempt":7}}"#,
        super::id(1)
    );
    line.ask(&["ZADD", "jobs:p2:delayed", "1", "broken", "2", &good]).await.unwrap();
    bench.keep().await.unwrap();
    let left = line.ask(&["ZRANGE", "jobs:p2:delayed", "0", "-1", "WITHSCORES"]).await.unwrap();
    assert_eq!((left.items()[0].text(), left.items()[1].text()), ("broken", "inf"));
    assert_eq!(bench.read().await.unwrap().backlog.waiting, 2, "it is still counted");
    let taken = super::take(&mut line, "a", 9).await;
    assert_eq!(taken[0].items()[1].field("attempt").text(), "7");
}

#[tokio::test]
async fn no_retry_is_lost_or_doubled_while_memory_is_out_or_two_gateways_move() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let body = "x".repeat(1000);
    for number in 0..500 {
        let job = format!(
            r#"{{"id":"{}","tier":"p2","tenant":"acme","accepted_at":"2023-11-14T22:13:20.007Z","body":"{body}"}}"#,
            super::id(number)
        );
        line.ask(&["ZADD", "jobs:p2:delayed", "1", &job]).await.unwrap();
    }
    bench.redis.config("maxmemory", "1").await;
    assert!(bench.keep().await.unwrap_err().to_string().contains("out of memory"));
    assert_eq!(bench.redis.cli(&["ZCARD", "jobs:p2:delayed"]).await.count(), 500);
    assert_eq!(bench.read().await.unwrap().backlog.waiting, 500);
    bench.redis.config("maxmemory", "0").await;
    let mut other = Upkeep::new(&bench.layout, &bench.settings);
    let (now, mut line_of_other) = (bench.clock.now(), bench.line.clone());
    let (one, two) =
        tokio::join!(bench.upkeep.step(&mut bench.line, now), other.step(&mut line_of_other, now));
    assert!(one.unwrap()[Tier::P2].is_ok() && two.unwrap()[Tier::P2].is_ok());
    assert_eq!(
        (length(&bench).await, bench.redis.cli(&["ZCARD", "jobs:p2:delayed"]).await.count()),
        (500, 0)
    );
}

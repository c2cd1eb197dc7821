//! Dead letters that workers wrote with the scripts that they are given: listed, shown, replayed, purged.

use std::sync::Arc;

use tidegate::clock::Clock;
use tidegate::domain::job::JobId;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::JobQueue;
use tidegate::queue::dead_letter::{DeadLetterQuery, PurgeResult, ReplayResult};
use tidegate::queue::error::QueueError;
use tidegate::queue::redis::RedisQueue;
use tidegate::queue::redis::settings::RedisSettings;
use tidegate::queue::redis::worker::{FAIL_ELEMENT, FAIL_ENTRY};

use super::{Bench, QUEUE, lists, streams};
use crate::support::resp::Resp;

async fn open(bench: &Bench) -> Arc<dyn JobQueue> {
    let names = TierMap::from_fn(|tier| format!("jobs:{tier}"));
    let settings = RedisSettings { timeout: std::time::Duration::from_secs(20), ..bench.settings.clone() };
    let queue = RedisQueue::open(&settings, &names, Clock::start()).unwrap();
    queue.reached().await.unwrap();
    Arc::new(queue)
}

/// Gives up every job of the stream that can be taken.
async fn give_up(line: &mut Resp) -> usize {
    let taken = super::take(line, "workers", 10_000).await;
    for entry in &taken {
        let keys = [QUEUE, "jobs:p2:delayed", "jobs:dead_letter", "jobs:dead_letter:p2"];
        let args = ["workers", entry.items()[0].text(), "bad \"luck\"", "dead"];
        let given_up =
            line.ask(&[&["EVAL", FAIL_ENTRY, "4"][..], &keys, &args].concat()).await.unwrap().good();
        assert_eq!(given_up.count(), 1);
    }
    taken.len()
}

fn job_id(number: u32) -> JobId {
    super::id(number).parse().unwrap()
}

async fn all(queue: &Arc<dyn JobQueue>, limit: usize) -> Vec<JobId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let query = DeadLetterQuery { tier: None, limit, after };
        let page = queue.dead_letters(query).await.unwrap();
        assert!(page.dead_letters.len() <= limit);
        ids.extend(page.dead_letters.iter().map(|letter| letter.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn a_letter_keeps_its_payload_and_its_history_over_all_its_lives() {
    let bench = Bench::new(streams(&["workers"])).await;
    let queue = open(&bench).await;
    let mut line = bench.worker().await;
    let bodies =
        ["é \"x\"\n\u{0}😀".as_bytes(), b"\xff\x00\xc3(", b"\xed\xa0\x80", b"\xff\xfe\xfd", b"ab\xff", b""];
    for (number, body) in bodies.iter().enumerate() {
        super::add(&mut line, number as u32, body).await;
    }
    assert_eq!(give_up(&mut line).await, bodies.len());
    let mut first_failed = None;
    for life in 1..=3 {
        for (number, body) in bodies.iter().enumerate() {
            let letter = queue.dead_letter(job_id(number as u32)).await.unwrap().unwrap();
            assert_eq!((&letter.job.payload[..], letter.death.attempts), (*body, life), "{number}");
            assert_eq!((&*letter.death.reason, letter.job.tier), ("bad \"luck\"", Tier::P2));
            assert_eq!(letter.job.headers, [("ce-source".into(), "/shop".into())]);
            assert!(letter.death.died_at >= letter.death.first_failed_at);
            if number == 0 {
                assert_eq!(
                    *first_failed.get_or_insert(letter.death.first_failed_at),
                    letter.death.first_failed_at
                );
            }
        }
        let ids = (0..bodies.len() as u32).chain([99]).map(job_id).collect();
        let mut replayed = queue.replay(ids).await.unwrap();
        assert_eq!(replayed.pop(), Some(ReplayResult::Unknown));
        assert!(replayed.iter().all(|result| *result == ReplayResult::Replayed), "{replayed:?}");
        assert_eq!(all(&queue, 10).await, []);
        let reading = queue.backlog().await[Tier::P2].clone().unwrap();
        assert_eq!((reading.backlog.waiting, reading.flows.replayed), (6, 6 * u64::from(life)));
        assert_eq!(give_up(&mut line).await, bodies.len());
    }
    let reading = queue.backlog().await[Tier::P2].clone().unwrap();
    assert_eq!((reading.backlog.depth(), reading.flows.dead), (0, 24));
    queue.close().await;
}

#[tokio::test]
async fn pages_are_whole_and_in_order_also_when_all_died_at_once() {
    let bench = Bench::new(streams(&["workers"])).await;
    let queue = open(&bench).await;
    let mut line = bench.worker().await;
    for number in 0..50 {
        let died = 1_700_000_000_000_u64 + u64::from(number / 20);
        let json = format!(
            r#"{{"id":"{}","tier":"p{}","tenant":"a","accepted_at":"2023-11-14T22:13:20.007Z","body":"x","reason":"r","died_at":"2023-11-14T22:13:21.007Z"}}"#,
            super::id(number),
            number % 3
        );
        line.ask(&["HSET", "jobs:dead_letter", &super::id(number), &json]).await.unwrap();
        let set = format!("jobs:dead_letter:p{}", number % 3);
        line.ask(&["ZADD", &set, &died.to_string(), &super::id(number)]).await.unwrap();
    }
    let expected: Vec<_> = (0..50).map(job_id).collect();
    for limit in [1, 7, 49, 50, 1000] {
        assert_eq!(all(&queue, limit).await, expected, "{limit}");
    }
    let query = DeadLetterQuery { tier: Some(Tier::P1), limit: 10, after: None };
    let page = queue.dead_letters(query).await.unwrap();
    assert!(page.dead_letters.iter().all(|letter| letter.tier == Tier::P1) && page.next.is_some());
    let wrong = DeadLetterQuery { tier: None, limit: 10, after: Some("7".into()) };
    assert_eq!(queue.dead_letters(wrong).await, Err(QueueError::BadPage));

    // Leftovers and broken letters harm no other.
    line.ask(&["HSET", "jobs:dead_letter", &super::id(10), "{"]).await.unwrap();
    line.ask(&["HDEL", "jobs:dead_letter", &super::id(11)]).await.unwrap();
    line.ask(&["ZADD", "jobs:dead_letter:p0", "5", "no id"]).await.unwrap();
    let page = queue.dead_letters(DeadLetterQuery { tier: None, limit: 100, after: None }).await.unwrap();
    assert_eq!(page.dead_letters.len(), 49);
    let broken = page.dead_letters.iter().find(|letter| letter.id == job_id(10)).unwrap();
    assert!(broken.death.reason.contains("cannot be read"), "{broken:?}");
    assert_eq!(queue.replay(vec![job_id(10)]).await.unwrap(), [ReplayResult::Unknown]);

    let purged = queue.purge(vec![job_id(10), job_id(11), job_id(12), job_id(12), job_id(99)]).await.unwrap();
    let (gone, unknown) = (PurgeResult::Purged, PurgeResult::Unknown);
    assert_eq!(purged, [gone.clone(), gone.clone(), gone, unknown.clone(), unknown]);
    assert_eq!(queue.dead_letter(job_id(12)).await.unwrap(), None);
    assert_eq!(bench.redis.cli(&["HLEN", "jobs:dead_letter"]).await.count(), 47);
    queue.close().await;
}

#[tokio::test]
async fn a_replay_that_redis_has_no_memory_for_loses_nothing() {
    let bench = Bench::new(streams(&["workers"])).await;
    let queue = open(&bench).await;
    let mut line = bench.worker().await;
    super::add(&mut line, 1, b"x").await;
    give_up(&mut line).await;
    bench.redis.config("maxmemory", "1").await;
    assert!(queue.replay(vec![job_id(1)]).await.is_err());
    bench.redis.config("maxmemory", "0").await;
    assert_eq!(all(&queue, 10).await, [job_id(1)]);
    queue.close().await;
}

#[tokio::test]
async fn a_job_of_a_list_dies_and_lives_again() {
    let bench = Bench::new(lists()).await;
    let queue = open(&bench).await;
    let mut line = bench.worker().await;
    let mut job = format!(
        r#"{{"id":"{}","tier":"p2","tenant":"acme","accepted_at":"2023-11-14T22:13:20.007Z","attempt":2,"_retry_count":1,"body_base64":"/wA="}}"#,
        super::id(1)
    );
    for attempts in [2, 3] {
        // A worker that pops has no processing list.
        let keys = ["jobs:p2:delayed", "jobs:dead_letter", "jobs:dead_letter:p2"];
        let fail = [&["EVAL", FAIL_ELEMENT, "3"][..], &keys, &[&job, "bad luck", "dead"]].concat();
        assert_eq!(line.ask(&fail).await.unwrap().good().count(), 1);
        let letter = queue.dead_letter(job_id(1)).await.unwrap().unwrap();
        assert_eq!((letter.death.attempts, &letter.job.payload[..]), (attempts, &b"\xff\x00"[..]));
        assert_eq!(queue.replay(vec![job_id(1)]).await.unwrap(), [ReplayResult::Replayed]);
        job = line.ask(&["RPOP", QUEUE]).await.unwrap().text().to_owned();
        assert!(job.contains(r#""attempt":1,"earlier_attempts""#), "{job}");
    }
    queue.close().await;
}

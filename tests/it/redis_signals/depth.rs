//! Depth and age as read, against a model of what is really there.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tidegate::domain::backlog::Backlog;

use super::{Bench, QUEUE, lists, streams};
use crate::support::poll::until;
use crate::support::resp::Resp;

/// What happens to a stream with two groups. Numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Event {
    Add(usize),
    Read(usize, usize),
    Ack(usize, usize),
    AckAndDelete(usize, usize),
    Retry(usize, usize),
    Claim(usize, usize),
    Delete(usize),
    Move(usize, usize),
    Keep,
}

fn any_event() -> impl Strategy<Value = Event> {
    let (group, pick) = (0..2_usize, 0..1000_usize);
    prop_oneof![
        4 => (1..8_usize).prop_map(Event::Add),
        4 => (group.clone(), 1..6_usize).prop_map(|(group, count)| Event::Read(group, count)),
        3 => (group.clone(), pick.clone()).prop_map(|(group, pick)| Event::Ack(group, pick)),
        3 => (group.clone(), pick.clone()).prop_map(|(group, pick)| Event::AckAndDelete(group, pick)),
        1 => (group.clone(), pick.clone()).prop_map(|(group, pick)| Event::Retry(group, pick)),
        1 => (group.clone(), pick.clone()).prop_map(|(group, pick)| Event::Claim(group, pick)),
        2 => pick.clone().prop_map(Event::Delete),
        1 => (group, pick).prop_map(|(group, pick)| Event::Move(group, pick)),
        1 => Just(Event::Keep),
    ]
}

/// What is really there.
#[derive(Default)]
struct Model {
    entries: BTreeSet<u64>,
    newest: u64,
    groups: [Group; 2],
    delayed: u64,
}

#[derive(Default)]
struct Group {
    last: u64,
    pending: BTreeSet<u64>,
}

impl Model {
    fn lag(&self, group: usize) -> u64 {
        self.entries.iter().filter(|entry| **entry > self.groups[group].last).count() as u64
    }

    fn pending(&self, group: usize) -> u64 {
        self.groups[group].pending.len() as u64
    }

    fn depth(&self) -> u64 {
        let left = |group| self.lag(group) + self.pending(group);
        left(0).max(left(1)) + self.delayed
    }

    fn pick(&self, group: usize, pick: usize) -> Option<u64> {
        let pending = &self.groups[group].pending;
        pending.iter().nth(pick.checked_rem(pending.len())?).copied()
    }

    async fn happen(&mut self, event: Event, line: &mut Resp, bench: &mut Bench) {
        match event {
            Event::Add(count) => {
                for _ in 0..count {
                    self.newest += 1;
                    let id = format!("{}-0", self.newest);
                    line.ask(&["XADD", QUEUE, &id, "body", "x"]).await.unwrap().good();
                    self.entries.insert(self.newest);
                }
            }
            Event::Read(group, count) => {
                let Group { last, pending } = &mut self.groups[group];
                let after: Vec<_> = self.entries.range(*last + 1..).take(count).copied().collect();
                assert_eq!(super::take(line, GROUPS[group], count).await.len(), after.len());
                *last = after.last().copied().unwrap_or(*last);
                pending.extend(after);
            }
            Event::Ack(group, pick) => drop(self.ack(group, pick, line).await),
            Event::AckAndDelete(group, pick) => {
                if let Some(entry) = self.ack(group, pick, line).await {
                    self.delete(entry, line).await;
                }
            }
            Event::Retry(group, pick) => {
                if let Some(entry) = self.ack(group, pick, line).await {
                    let member = format!("{entry} {group} {}", self.delayed);
                    line.ask(&["ZADD", "jobs:p2:delayed", "9e15", &member]).await.unwrap();
                    self.delayed += 1;
                }
            }
            Event::Claim(group, pick) => {
                if let Some(entry) = self.pick(group, pick) {
                    let id = format!("{entry}-0");
                    line.ask(&["XCLAIM", QUEUE, GROUPS[group], "other", "0", &id]).await.unwrap().good();
                    if !self.entries.contains(&entry) {
                        self.groups[group].pending.remove(&entry);
                    }
                }
            }
            Event::Delete(pick) => {
                let entry = pick.checked_rem(self.entries.len()).and_then(|at| self.entries.iter().nth(at));
                if let Some(entry) = entry.copied() {
                    self.delete(entry, line).await;
                }
            }
            Event::Move(group, pick) => {
                let to = (pick as u64).checked_rem(self.newest + 1).unwrap_or_default();
                let id = format!("{to}-0");
                line.ask(&["XGROUP", "SETID", QUEUE, GROUPS[group], &id]).await.unwrap().good();
                self.groups[group].last = to;
            }
            Event::Keep => drop(bench.keep().await.unwrap()),
        }
    }

    async fn ack(&mut self, group: usize, pick: usize, line: &mut Resp) -> Option<u64> {
        let entry = self.pick(group, pick)?;
        let acked = line.ask(&["XACK", QUEUE, GROUPS[group], &format!("{entry}-0")]).await.unwrap();
        assert_eq!(acked.count(), 1);
        self.groups[group].pending.remove(&entry);
        Some(entry)
    }

    async fn delete(&mut self, entry: u64, line: &mut Resp) {
        line.ask(&["XDEL", QUEUE, &format!("{entry}-0")]).await.unwrap().good();
        self.entries.remove(&entry);
    }
}

/// Plays the events and compares every reading with the model.
async fn play(bench: &mut Bench, events: &[Event]) -> Result<(), TestCaseError> {
    let mut line = bench.worker().await;
    line.ask(&["FLUSHALL"]).await.unwrap();
    bench.keep().await.unwrap();
    let mut model = Model::default();
    for event in events {
        model.happen(*event, &mut line, bench).await;
        let seen = bench.read().await.unwrap();
        for (group, name) in GROUPS.iter().enumerate() {
            let shown = seen.groups.iter().find(|shown| *shown.name == **name).unwrap();
            let is = (model.lag(group), model.pending(group));
            prop_assert_eq!((shown.lag, shown.pending), is, "{} after {:?}", name, event);
        }
        prop_assert_eq!(seen.backlog.depth(), model.depth());
        prop_assert_eq!(seen.backlog.oldest_age.is_some(), seen.backlog.waiting > 0);
    }
    Ok(())
}

#[test]
fn whatever_happens_to_a_stream_the_depth_read_is_the_true_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = std::cell::RefCell::new(runtime.block_on(Bench::new(streams(&GROUPS))));
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    let events = prop::collection::vec(any_event(), 1..60);
    let played = runner.run(&events, |events| runtime.block_on(play(&mut bench.borrow_mut(), &events)));
    played.unwrap();
}

#[tokio::test]
async fn a_lag_that_cannot_be_counted_is_never_too_little() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let add = ["XADD", QUEUE, "*", "body", "x"];
    line.pipeline(&vec![&add[..]; 5_000]).await.unwrap();
    // In the middle, with more than is counted on both sides, and a deleted entry that hides the lag.
    let taken = super::take(&mut line, "a", 2_500).await;
    let all = line.ask(&["XREVRANGE", QUEUE, "+", "-", "COUNT", "1"]).await.unwrap();
    line.ask(&["XDEL", QUEUE, all.items()[0].items()[0].text()]).await.unwrap();
    let seen = bench.read().await.unwrap();
    assert_eq!((taken.len(), seen.backlog.leased), (2_500, 2_500));
    assert_eq!(seen.backlog.waiting, 4_999, "the stream's length stands in");
    super::take(&mut line, "a", 1_999).await;
    assert_eq!(bench.read().await.unwrap().backlog.waiting, 500, "counted again");
}

#[tokio::test]
async fn workers_that_delete_what_they_did_hide_nothing_of_a_deep_queue() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let add = ["XADD", QUEUE, "*", "body", "x"];
    line.pipeline(&vec![&add[..]; 20_000]).await.unwrap();
    for done in 1..=5 {
        for entry in super::take(&mut line, "a", 100).await {
            let id = entry.items()[0].text();
            line.pipeline(&[&["XACK", QUEUE, "a", id][..], &["XDEL", QUEUE, id]]).await.unwrap();
        }
        let backlog = bench.read().await.unwrap().backlog;
        assert_eq!((backlog.waiting, backlog.leased), (20_000 - 100 * done, 0));
    }
}

#[tokio::test]
async fn a_stream_or_a_group_that_is_gone_is_no_empty_queue_and_is_made_again() {
    let mut bench = Bench::new(streams(&["a", "b"])).await;
    assert!(bench.read().await.is_err(), "before the first upkeep");
    bench.keep().await.unwrap();
    assert_eq!(bench.read().await.unwrap().backlog, Backlog::default());
    let mut line = bench.worker().await;
    super::add(&mut line, 1, b"x").await;
    line.ask(&["XGROUP", "DESTROY", QUEUE, "b"]).await.unwrap();
    assert!(bench.read().await.unwrap_err().to_string().contains("the group b is gone"));
    bench.keep().await.unwrap();
    assert_eq!(
        bench.read().await.unwrap().backlog.waiting,
        1,
        "what nobody was given is given to the new group"
    );
    line.ask(&["FLUSHALL"]).await.unwrap();
    assert!(bench.read().await.is_err());
    bench.keep().await.unwrap();
    assert_eq!(bench.read().await.unwrap().backlog.waiting, 0);
    line.ask(&["DEL", QUEUE]).await.unwrap();
    line.ask(&["SET", QUEUE, "x"]).await.unwrap();
    assert!(bench.read().await.unwrap_err().to_string().contains("WRONGTYPE"));
    assert!(bench.keep().await.unwrap_err().to_string().contains("WRONGTYPE"));
}

#[tokio::test]
async fn old_jobs_are_old_for_a_gateway_that_starts_again() {
    let mut bench = Bench::new(streams(&["a"])).await;
    bench.keep().await.unwrap();
    let mut line = bench.worker().await;
    let time = line.ask(&["TIME"]).await.unwrap();
    let now = time.items()[0].text().parse::<u64>().unwrap() * 1000;
    for age in [3_600_000, 60_000, 1_000] {
        line.ask(&["XADD", QUEUE, &format!("{}-0", now - age), "body", "x"]).await.unwrap();
    }
    let age = bench.read().await.unwrap().backlog.oldest_age.unwrap();
    assert!((3600..3620).contains(&age.as_secs()), "{age:?}");
    let taken = super::take(&mut line, "a", 3).await;
    assert_eq!((taken.len(), bench.read().await.unwrap().backlog.oldest_age), (3, None));
    super::add(&mut line, 1, b"x").await;
    let age = bench.read().await.unwrap().backlog.oldest_age.unwrap();
    assert!(age < Duration::from_secs(5), "{age:?}");
}

#[tokio::test]
async fn a_list_counts_what_workers_hold_registered_or_not() {
    let mut bench = Bench::new(lists()).await;
    let mut line = bench.worker().await;
    assert_eq!(bench.read().await.unwrap().backlog, Backlog::default(), "no list is an empty one");
    let old =
        r#"{"accepted_at":"2023-11-14T22:13:20.007Z","body":"\"accepted_at\":\"2099-01-01T00:00:00.000Z\""}"#;
    line.ask(&["LPUSH", QUEUE, old, "1", "2", "3", "4", "5"]).await.unwrap();
    line.ask(&["ZADD", "jobs:p2:delayed", "9e15", "6"]).await.unwrap();
    let backlog = bench.read().await.unwrap().backlog;
    assert_eq!((backlog.waiting, backlog.leased), (7, 0));
    assert!(backlog.oldest_age.unwrap() > Duration::from_secs(86_400 * 365), "{backlog:?}");

    line.ask(&["SADD", "jobs:p2:workers", "w-1"]).await.unwrap();
    line.ask(&["LMOVE", QUEUE, "jobs:p2:processing:w-1", "RIGHT", "LEFT"]).await.unwrap();
    let backlog = bench.read().await.unwrap().backlog;
    assert_eq!((backlog.waiting, backlog.leased), (6, 1), "a registered worker is seen at once");
    assert!(
        backlog.oldest_age.unwrap() < Duration::from_secs(60),
        "what is left does not say, and was just seen"
    );

    for number in 0..2_000 {
        line.ask(&["SET", &format!("other:{number}"), "x"]).await.unwrap();
    }
    line.ask(&["LMOVE", QUEUE, "jobs:p2:processing:w-2", "RIGHT", "LEFT"]).await.unwrap();
    until("the search finds the other", Duration::from_secs(10), async || {
        (bench.read().await.unwrap().backlog.depth() == 7).then_some(())
    })
    .await;
    line.ask(&["LREM", "jobs:p2:processing:w-2", "1", "1"]).await.unwrap();
    assert_eq!(bench.read().await.unwrap().backlog.depth(), 6);
    line.ask(&["DEL", "jobs:p2:processing:w-1"]).await.unwrap();
    line.ask(&["SET", "jobs:p2:processing:w-1", "x"]).await.unwrap();
    assert!(bench.read().await.unwrap_err().to_string().contains("WRONGTYPE"));
}

const GROUPS: [&str; 2] = ["a", "b"];

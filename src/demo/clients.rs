//! The modelled clients: each tier's jobs come at the script's rate, and who is refused comes back when told.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::Deserialize;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::demo::book::Book;
use crate::demo::caller::{Answer, CallError, Caller};
use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;

/// All clients of the shop.
#[derive(Debug)]
pub struct Clients {
    /// Calls ingest.
    pub caller: Caller,
    /// Where they note what they were answered.
    pub book: Book,
    /// The time.
    pub clock: Clock,
    /// When they go home.
    pub closing: Moment,
}

/// What one request came to.
struct Sent {
    tier: Tier,
    returning: bool,
    fates: Vec<Fate>,
}

/// What became of one job of a request.
enum Fate {
    Stored(JobId),
    Refused { told: Duration, shed: bool },
    Unanswered,
}

/// An answer to one job, and an item of the answer to a batch.
#[derive(Debug, Deserialize)]
struct Item {
    id: Option<String>,
    code: Option<String>,
    retry_after_ms: Option<u64>,
}

/// The answer to a batch, whatever its status.
#[derive(Debug, Deserialize)]
struct Items {
    items: Vec<Item>,
}

impl Clients {
    /// Sends jobs at this demand until the end is told, then waits for the answers that are due. Who would come back later
    /// goes home.
    pub async fn run(self, demand: watch::Receiver<TierMap<u32>>, mut end: watch::Receiver<bool>) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut owed) = (self.clock.now(), TierMap::<f64>::default());
        let mut absent: BinaryHeap<Reverse<(Moment, Tier)>> = BinaryHeap::new();
        let mut under_way = JoinSet::new();
        loop {
            select! {
                _ = beat.tick() => {}
                Some(Ok(sent)) = under_way.join_next() => {
                    self.hear(sent, &mut absent);
                    continue;
                }
                _ = end.wait_for(|ended| *ended) => break,
            }
            let now = self.clock.now();
            let seconds = now.seconds_since(last).min(LONGEST_BEAT);
            last = now;
            while under_way.len() < MOST_UNDER_WAY
                && absent.peek().is_some_and(|Reverse((due, _))| *due <= now)
                && let Some(Reverse((_, tier))) = absent.pop()
            {
                self.book.note(tier, |account| account.returned += 1);
                under_way.spawn(send(self.caller.clone(), tier, 1, true));
            }
            for (tier, rate) in demand.borrow().iter() {
                owed[tier] += f64::from(*rate) * seconds;
                let batch = together(tier, *rate);
                while owed[tier] >= batch as f64 && under_way.len() < MOST_UNDER_WAY {
                    owed[tier] -= batch as f64;
                    self.book.note(tier, |account| account.offered += batch);
                    under_way.spawn(send(self.caller.clone(), tier, batch, false));
                }
                owed[tier] = owed[tier].min(batch as f64);
            }
        }
        while let Some(sent) = under_way.join_next().await {
            if let Ok(sent) = sent {
                self.hear(sent, &mut absent);
            }
        }
        for Reverse((_, tier)) in absent {
            self.book.note(tier, |account| account.left += 1);
        }
    }

    /// Notes what was answered; who is refused waits as long as told.
    fn hear(&self, sent: Sent, absent: &mut BinaryHeap<Reverse<(Moment, Tier)>>) {
        let Sent { tier, returning, fates } = sent;
        for fate in fates {
            match fate {
                Fate::Stored(id) => {
                    self.book.stored(tier, id);
                    self.book.note(tier, |account| account.welcomed += u64::from(returning));
                }
                Fate::Refused { told, shed } => {
                    let due = self.clock.now().plus(told);
                    let leaves = due >= self.closing;
                    if !leaves {
                        absent.push(Reverse((due, tier)));
                    }
                    self.book.note(tier, |account| {
                        account.refused += 1;
                        account.shed += u64::from(shed);
                        account.left += u64::from(leaves);
                    });
                }
                Fate::Unanswered => self.book.note(tier, |account| account.unanswered += 1),
            }
        }
    }
}

/// Sends so many jobs as one request.
async fn send(caller: Caller, tier: Tier, count: u64, returning: bool) -> Sent {
    let kind = match tier {
        Tier::P0 => "payment",
        Tier::P1 => "cart",
        Tier::P2 => "analytics",
    };
    let job = format!("{{\"type\":\"{kind}\",\"note\":\"{NOTE}\"}}\n");
    let head = |content_type| [("content-type", content_type), ("tidegate-type", kind)];
    let answer = if count == 1 {
        caller.post("/v1/jobs", &head("application/json"), job).await
    } else {
        let lines = job.repeat(usize::try_from(count).unwrap_or(1));
        caller.post("/v1/jobs/batch", &head("application/x-ndjson"), lines).await
    };
    Sent { tier, returning, fates: fates(answer, count) }
}

/// What became of each job.
fn fates(answer: Result<Answer, CallError>, count: u64) -> Vec<Fate> {
    let Ok(answer) = answer else { return (0..count).map(|_| Fate::Unanswered).collect() };
    let items = if count == 1 {
        answer.read::<Item>().map(|item| vec![item])
    } else {
        answer.read::<Items>().map(|items| items.items)
    };
    let mut fates: Vec<Fate> = items.unwrap_or_default().iter().map(|item| fate(item, &answer)).collect();
    // A request that was refused whole lists none of its jobs.
    while u64::try_from(fates.len()).is_ok_and(|known| known < count) {
        fates.push(answer.retry_after.map_or(Fate::Unanswered, |told| Fate::Refused { told, shed: false }));
    }
    fates
}

fn fate(item: &Item, answer: &Answer) -> Fate {
    if let Some(id) = item.id.as_ref().and_then(|id| id.parse().ok()) {
        return Fate::Stored(id);
    }
    // A single client reads the header, in whole seconds; of a batch each job has its own time.
    let told = answer.retry_after.filter(|_| !answer.good);
    let told = item.retry_after_ms.map(Duration::from_millis).max(told);
    let shed = item.code.as_deref() == Some("shed");
    told.map_or(Fate::Unanswered, |told| Fate::Refused { told, shed })
}

/// Jobs that come in one request: bulk comes in batches, few requests a second for any tier.
fn together(tier: Tier, rate: u32) -> u64 {
    match tier {
        Tier::P0 | Tier::P1 => 1,
        Tier::P2 => u64::from(rate / BATCHES_PER_SECOND).max(1),
    }
}

/// A payload is about as long as a small order.
const NOTE: &str = "one order of the sale, with its lines, its address and what else belongs to an order";

/// Clients come within this time of when they should.
const BEAT: Duration = Duration::from_millis(20);

/// In seconds: what was not sent for longer, since the machine was busy, is not caught up with.
const LONGEST_BEAT: f64 = 0.25;

/// Requests without an answer; beyond it clients come later.
const MOST_UNDER_WAY: usize = 256;

/// Of bulk work.
const BATCHES_PER_SECOND: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a1fe2d-b223-755d-9f6d-faa26d6f3ebf";

    fn answer(good: bool, retry_after: Option<u64>, body: &str) -> Result<Answer, CallError> {
        let retry_after = retry_after.map(Duration::from_secs);
        Ok(Answer { good, retry_after, body: body.to_owned().into() })
    }

    /// Each job's fate, as a word or as when it is to return.
    fn told(answer: Result<Answer, CallError>, count: u64) -> Vec<String> {
        let word = |fate: &Fate| match fate {
            Fate::Stored(id) => id.to_string(),
            Fate::Refused { told, shed } => format!("{told:?}{}", if *shed { ", shed" } else { "" }),
            Fate::Unanswered => "unanswered".to_owned(),
        };
        fates(answer, count).iter().map(word).collect()
    }

    #[test]
    fn each_job_is_stored_or_told_when_to_return() {
        let receipt = format!(r#"{{"id":"{ID}","tier":"p0"}}"#);
        assert_eq!(told(answer(true, None, &receipt), 1), [ID]);
        let refusal = r#"{"code":"throttled","retry_after_ms":6233}"#;
        assert_eq!(told(answer(false, Some(7), refusal), 1), ["7s"], "a client reads whole seconds");
        let items = format!(
            r#"{{"items":[{{"status":202,"id":"{ID}"}},{{"status":429,"code":"shed","retry_after_ms":1500}}]}}"#
        );
        assert_eq!(told(answer(true, None, &items), 2), [ID, "1.5s, shed"]);
    }

    #[test]
    fn a_request_that_is_refused_whole_refuses_each_of_its_jobs() {
        assert_eq!(told(answer(false, Some(3), r#"{"code":"overloaded"}"#), 2), ["3s", "3s"]);
        assert_eq!(told(answer(false, None, "not JSON"), 2), ["unanswered", "unanswered"]);
        assert_eq!(told(Err(CallError::Late), 1), ["unanswered"]);
    }
}

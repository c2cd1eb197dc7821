//! One round: the script is played, what is left is worked off, and everything is counted.

use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use crate::clock::Clock;
use crate::demo::Ending;
use crate::demo::book::Book;
use crate::demo::caller::Caller;
use crate::demo::clients::Clients;
use crate::demo::commentary::{Status, comment};
use crate::demo::house::House;
use crate::demo::script::{Change, Pace, SCRIPT, WORKERS};
use crate::demo::tally::{sum, table};
use crate::demo::voice::{Narrator, Voice};
use crate::demo::workers::Worker;
use crate::domain::tier::TierMap;

/// What a round is played with.
#[derive(Debug)]
pub struct Round<'a> {
    /// Counts from one.
    pub number: u32,
    /// How quickly.
    pub pace: Pace,
    /// For clients and workers.
    pub ingest: Caller,
    /// For the commentary.
    pub admin: Caller,
    /// Who speaks.
    pub voice: Voice,
    /// What was promised and done.
    pub book: Book,
    /// Where the policy is.
    pub house: &'a House,
}

/// What the script pulls.
struct Strings {
    demand: watch::Sender<TierMap<u32>>,
    alive: watch::Sender<usize>,
}

impl Round<'_> {
    /// Plays it, up to its end or until it is stopped, and tells what it came to.
    pub async fn play(&self, mut stop: watch::Receiver<u8>) -> Ending {
        let clock = Clock::start();
        let narrator = Narrator { voice: self.voice.clone(), clock, begun: clock.now() };
        self.voice.say(&format!("round {}", self.number));
        let strings = Strings { demand: watch::Sender::default(), alive: watch::Sender::new(WORKERS) };
        let (home, late) = (watch::Sender::new(false), watch::Sender::new(false));
        let closing = narrator.begun.plus(self.pace.closing());
        let clients = Clients { caller: self.ingest.clone(), book: self.book.clone(), clock, closing };
        let clients = tokio::spawn(clients.run(strings.demand.subscribe(), home.subscribe()));
        let mut others = self.workers(&strings.alive, &late, clock);
        let figures = self.pace.between_figures();
        others.spawn(comment(self.admin.clone(), narrator.clone(), figures, late.subscribe()));
        select! {
            () = self.follow_script(&narrator, &strings) => {}
            _ = stop.wait_for(|asked| *asked > 0) => narrator.tell("stop", "stopping, and counting"),
        }
        home.send_replace(true);
        // An error would be a fault of the clients' code; what they noted stands.
        let _ = clients.await;
        select! {
            () = self.work_off() => {}
            _ = stop.wait_for(|asked| *asked > 0) => {}
        }
        late.send_replace(true);
        while others.join_next().await.is_some() {}
        self.count().await
    }

    fn workers(&self, alive: &watch::Sender<usize>, late: &watch::Sender<bool>, clock: Clock) -> JoinSet<()> {
        let worker = |number| Worker {
            number,
            caller: self.ingest.clone(),
            book: self.book.clone(),
            clock,
            lease_seconds: self.pace.lease_seconds(),
        };
        (0..WORKERS).map(|number| worker(number).run(alive.subscribe(), late.subscribe())).collect()
    }

    /// Each act at its time.
    async fn follow_script(&self, narrator: &Narrator, strings: &Strings) {
        for act in &SCRIPT {
            let due = narrator.begun.plus(act.after(self.pace));
            sleep_until(Instant::from_std(narrator.clock.instant(due))).await;
            narrator.tell("script", act.says);
            match act.change {
                Change::Clients(critical, standard, bulk) => {
                    strings.demand.send_replace((critical, standard, bulk).into());
                }
                Change::Workers(count) => {
                    strings.alive.send_replace(count);
                }
                Change::Policy(edition) => {
                    if let Err(error) = self.house.publish(edition) {
                        narrator.tell("script", &format!("the policy file cannot be written: {error}"));
                    }
                }
            }
        }
    }

    /// Until every receipt's job is done, or the workers had time enough.
    async fn work_off(&self) {
        let settled = async {
            let mut look = interval(BETWEEN_LOOKS);
            while !self.book.is_settled() {
                look.tick().await;
            }
        };
        // What is left by then is counted as waiting.
        let _ = timeout(WORKING_OFF, settled).await;
    }

    /// Compares the book with what the queue says that it holds.
    async fn count(&self) -> Ending {
        let balance = self.book.close();
        let mut held = None;
        // The depth is that of the last control step: what was stored or done a moment ago is in a later one.
        for _ in 0..LOOKS {
            sleep(BETWEEN_LOOKS).await;
            held = Status::of(&self.admin).await.ok().map(|status| status.held()).or(held);
            if held.is_some_and(|held| sum(&balance.lost(&held)) == 0) {
                break;
            }
        }
        let held = held.unwrap_or_else(|| {
            self.voice.say("the queue does not answer: what waits in it cannot be counted");
            TierMap::default()
        });
        self.voice.say(&table(self.number, &balance, &held));
        if sum(&balance.lost(&held)) == 0 { Ending::Whole } else { Ending::Lost }
    }
}

/// Longer than a control step.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// At what the queue holds, before a receipt is given up for lost.
const LOOKS: u32 = 12;

/// A full queue of all three tiers is worked off in less.
const WORKING_OFF: Duration = Duration::from_secs(20);

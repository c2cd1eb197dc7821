//! The readings: a thread of its own that asks for all tiers at once, and answers with what it saw.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::domain::backlog::Backlog;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::{Moment, Timestamp};
use crate::queue::GroupBacklog;
use crate::queue::error::QueueError;
use crate::queue::kafka::client;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::shared::Shared;
use crate::queue::kafka::signals::aside::{Aside, Board};
use crate::queue::kafka::signals::ask::{self, Answer, At, Place, Topic};
use crate::queue::kafka::signals::fault;
use crate::queue::kafka::signals::line::{Line, Look, Part};
use crate::queue::kafka::signals::partition::Reset;
use crate::queue::kafka::signals::past::{self, Sought};
use crate::queue::kafka::signals::question::{Answers, MOST_PARTITIONS, Places};
use crate::queue::kafka::topics::Topics;
use crate::queue::topic::TopicState;

/// Looks at the topics. Dropping it ends its threads.
#[derive(Debug)]
pub struct Observer {
    ask: SyncSender<Asked>,
    /// Its end is what ends the thread beside.
    _stop: SyncSender<()>,
}

/// What one reading saw of a tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// Waiting: the backlog of the slowest group, that of the topic of retries included.
    pub backlog: Backlog,
    /// Unread jobs that were deleted since the start.
    pub lost: u64,
    /// The end of each partition of the topic of jobs.
    pub ends: Vec<i64>,
    /// The end of each partition of the topic of dead letters; `None` where there is none or it did not answer.
    pub dead_end: Option<Vec<i64>>,
    /// When the ends were asked for.
    pub taken: Moment,
    /// The groups that count.
    pub groups: Vec<GroupBacklog>,
    /// The topic of jobs and its retention; how long brokers throttled is not known here.
    pub topic: TopicState,
}

/// What a reading says of each tier.
pub type Sights = TierMap<Result<Sight, QueueError>>;

type Asked = oneshot::Sender<Sights>;

impl Observer {
    /// Starts its threads, whether or not there are brokers.
    ///
    /// # Errors
    /// A client cannot be made of the settings, or a thread cannot be started.
    pub(in crate::queue::kafka) fn open(shared: &Arc<Shared>) -> Result<Observer, KafkaError> {
        let settings = &shared.settings;
        let looking = |group: &String, isolation: &str| {
            client::consumer(settings, group).set("isolation.level", isolation).create::<BaseConsumer>()
        };
        let uncommitted = |group| looking(group, "read_uncommitted");
        let clients = settings.groups.iter().map(uncommitted).collect::<KafkaResult<Vec<_>>>()?;
        let first = settings.groups.first().ok_or_else(|| failed("no consumer group counts"))?;
        let board = Board::default();
        let aside = Aside {
            shared: Arc::clone(shared),
            client: looking(first, "read_committed")?,
            admin: client::admin(settings).create()?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?,
            board: board.clone(),
            sized: TierMap::default(),
        };
        let (ask, asked) = sync_channel(1);
        let (stop, stopped) = sync_channel(0);
        let mut eyes = Eyes::new(Arc::clone(shared), clients, board);
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        thread("kafka-observer").spawn(move || eyes.answer(&asked)).map_err(failed)?;
        thread("kafka-aside").spawn(move || aside.run(&stopped)).map_err(failed)?;
        Ok(Observer { ask, _stop: stop })
    }

    /// Looks at the topics of these queues; for those that want to look and not to store.
    ///
    /// # Errors
    /// As of a Kafka queue that cannot be opened.
    pub fn of(
        settings: &KafkaSettings,
        queues: &TierMap<String>,
        clock: Clock,
    ) -> Result<Observer, KafkaError> {
        Observer::open(&Shared::new(settings.clone(), Topics::of(queues), clock))
    }

    /// Takes a reading of every tier, within [`BOUND`].
    pub async fn look(&self) -> Sights {
        let (answer, sights) = oneshot::channel();
        let late = || QueueError::Unavailable { detail: "Kafka does not answer in time".to_owned() };
        match self.ask.try_send(answer) {
            Ok(()) => match timeout(BOUND + SLACK, sights).await {
                Ok(Ok(sights)) => sights,
                Ok(Err(_)) => TierMap::from_fn(|_| Err(QueueError::Closed)),
                Err(_) => TierMap::from_fn(|_| Err(late())),
            },
            Err(TrySendError::Full(_)) => TierMap::from_fn(|_| Err(late())),
            Err(TrySendError::Disconnected(_)) => TierMap::from_fn(|_| Err(QueueError::Closed)),
        }
    }
}

/// What the thread of the readings holds.
struct Eyes {
    shared: Arc<Shared>,
    /// One per group that counts.
    clients: Vec<BaseConsumer>,
    board: Board,
    lines: TierMap<Line>,
    topics: TierMap<[Option<Topic>; 2]>,
    dead: Option<Topic>,
    /// When the topics are looked for again.
    topics_due: Moment,
    /// When the oldest offsets are asked for although nothing waits.
    low_due: Moment,
}

impl Eyes {
    fn new(shared: Arc<Shared>, clients: Vec<BaseConsumer>, board: Board) -> Eyes {
        let reset = match shared.settings.properties.find("auto.offset.reset") {
            Some("latest" | "largest" | "end") => Reset::Latest,
            _ => Reset::Earliest,
        };
        Eyes {
            lines: TierMap::from_fn(|tier| Line::new(tier, &shared.settings.groups, reset)),
            shared,
            clients,
            board,
            topics: TierMap::default(),
            dead: None,
            topics_due: Moment::ORIGIN,
            low_due: Moment::ORIGIN,
        }
    }

    /// Answers until nobody can ask any more.
    fn answer(&mut self, asked: &Receiver<Asked>) {
        while let Ok(answer) = asked.recv() {
            // Whoever asked may have given up while an earlier reading took its time.
            if !answer.is_closed() {
                let _ = answer.send(self.look());
            }
            for client in &self.clients {
                for _ in 0..MOST_EVENTS {
                    if client.poll(Duration::ZERO).is_none() {
                        break;
                    }
                }
            }
        }
    }

    fn look(&mut self) -> Sights {
        let deadline = self.shared.clock.now().plus(BOUND);
        let looked = self.look_for_topics(deadline).and_then(|()| {
            let places = Places::of(&self.shared.topics, &self.topics, self.dead);
            let answers = self.ask(&places, deadline)?;
            Ok((places, answers))
        });
        match looked {
            Ok((places, answers)) => {
                let dead_end = answers.dead_end(&places);
                TierMap::from_fn(|tier| self.sight(tier, &places, &answers, dead_end.clone(), deadline))
            }
            Err(error) => {
                let detail = fault::said(&error);
                TierMap::from_fn(|_| Err(QueueError::Unavailable { detail: detail.clone() }))
            }
        }
    }

    /// Looks which topics there are and how many partitions they have, every few seconds, at once after a surprise.
    fn look_for_topics(&mut self, deadline: Moment) -> KafkaResult<()> {
        let now = self.shared.clock.now();
        let Some(client) = self.clients.first() else { return Ok(()) };
        if now < self.topics_due {
            return Ok(());
        }
        let topics = &self.shared.topics;
        let topic = |name: &str| ask::topic(client, name, self.left(deadline)?);
        let (mut complete, mut found) = (true, TierMap::default());
        for tier in Tier::ALL {
            found[tier] = [topic(&topics.jobs[tier])?, topic(&topics.retry[tier])?].map(Some);
            complete &= matches!(found[tier], [Some(Topic::There(_)), _]);
        }
        let dead = Some(topic(&topics.dead_letters)?);
        (self.topics, self.dead) = (found, dead);
        self.topics_due = now.plus(if complete { TOPICS_EVERY } else { MISSING_EVERY });
        Ok(())
    }

    /// Asks: the oldest offsets where they matter, what each group committed, then the ends.
    fn ask(&mut self, places: &Places, deadline: Moment) -> KafkaResult<Answers> {
        let clock = self.shared.clock;
        if places.all.is_empty() {
            return Ok(Answers {
                low: Vec::new(),
                end: Vec::new(),
                committed: Vec::new(),
                taken: clock.now(),
            });
        }
        let waits = |tier: Tier, lines: &mut TierMap<Line>| {
            [false, true].iter().any(|retry| lines[tier].parts(*retry).iter().any(Part::waits))
        };
        let mut low = None;
        if clock.now() >= self.low_due || Tier::ALL.into_iter().any(|tier| waits(tier, &mut self.lines)) {
            low = Some(self.ask_offsets(places, At::Low, deadline)?);
        }
        let mut committed = Vec::with_capacity(self.clients.len());
        for client in &self.clients {
            committed.push(self.each(places, |some| self.ask_commits(client, some, deadline))?);
        }
        let asked = clock.now();
        let end = self.ask_offsets(places, At::End, deadline)?;
        let taken = asked.plus(clock.now().since(asked) / 2);
        let mut answers = Answers { low: low.unwrap_or_default(), end, committed, taken };
        if answers.low.is_empty() {
            answers.low = if self.knows_lows(places, &answers) {
                self.known_lows(places)
            } else {
                self.ask_offsets(places, At::Low, deadline)?
            };
        }
        if clock.now() >= self.low_due {
            self.low_due = clock.now().plus(LOW_EVERY);
        }
        Ok(answers)
    }

    /// Asks for commits, again and again while the group's coordinator is being found: a new cluster makes it at the first
    /// question, one that lost a broker elsewhere.
    fn ask_commits(
        &self,
        client: &BaseConsumer,
        places: &[Place],
        deadline: Moment,
    ) -> KafkaResult<Vec<Answer<Option<i64>>>> {
        loop {
            match ask::committed(client, places, self.left(deadline)?) {
                Err(error) if fault::is_of_coordinator(&error) => drop(client.poll(COORDINATOR_PAUSE)),
                answered => return answered,
            }
        }
    }

    fn ask_offsets(
        &self,
        places: &Places,
        at: At,
        deadline: Moment,
    ) -> KafkaResult<Vec<Answer<Option<i64>>>> {
        let client = self.clients.first().ok_or(KafkaError::Canceled)?;
        self.each(places, |some| ask::offsets(client, some, at, self.left(deadline)?))
    }

    /// Asks for all places at once. Where a broker refuses the question for the sake of one, each tier is asked alone.
    fn each<T>(
        &self,
        places: &Places,
        ask: impl Fn(&[Place]) -> KafkaResult<Vec<Answer<T>>>,
    ) -> KafkaResult<Vec<Answer<T>>> {
        let error = match ask(&places.all) {
            Err(error) if fault::is_of_one(&error) => error,
            answered => return answered,
        };
        let mut answers = Vec::with_capacity(places.all.len());
        for part in places.parts() {
            let asked = places.all.get(part.clone()).unwrap_or_default();
            match if asked.is_empty() { Ok(Vec::new()) } else { ask(asked) } {
                Ok(some) => answers.extend(some),
                Err(again) => {
                    let code = again.rdkafka_error_code().or(error.rdkafka_error_code());
                    let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
                    answers.extend(part.map(|_| Err(code)));
                }
            }
        }
        Ok(answers)
    }

    /// Whether the oldest offsets are known well enough: nothing waits, nothing surprises.
    fn knows_lows(&mut self, places: &Places, answers: &Answers) -> bool {
        places.each_part().all(|(tier, retry, number, index)| {
            let part = self.lines[tier].parts(retry).get(number);
            let committed: Vec<_> = answers.committed_at(index).map(|answer| answer.ok().flatten()).collect();
            match (part, answers.end.get(index)) {
                (Some(part), Some(Ok(Some(end)))) => !part.partition.needs_low(*end, &committed),
                _ => false,
            }
        })
    }

    fn known_lows(&mut self, places: &Places) -> Vec<Answer<Option<i64>>> {
        let mut lows = vec![Ok(None); places.all.len()];
        for (tier, retry, number, index) in places.each_part() {
            let known = self.lines[tier].parts(retry).get(number).and_then(|part| part.partition.low());
            if let Some(low) = lows.get_mut(index) {
                *low = Ok(known);
            }
        }
        lows
    }

    /// What the answers say of a tier.
    fn sight(
        &mut self,
        tier: Tier,
        places: &Places,
        answers: &Answers,
        dead_end: Option<Vec<i64>>,
        deadline: Moment,
    ) -> Result<Sight, QueueError> {
        let mut look = self.collect(tier, places, answers).map_err(|detail| {
            self.topics_due = self.topics_due.min(answers.taken.plus(SURPRISE_AFTER));
            QueueError::Unavailable { detail }
        })?;
        let ends: Vec<i64> = look.jobs.iter().map(|offsets| offsets.end).collect();
        let estimated = {
            let mut found = self.board.found();
            found.ends[tier].clone_from(&ends);
            look.members.clone_from(&found.members);
            look.limits = found.limits[tier];
            found.compacted[tier] || found.transactional[tier]
        };
        self.lines[tier].see(&look);
        for retry in [false, true] {
            self.look_back(tier, retry, &look, deadline);
        }
        let counted = self.lines[tier].count(&look);
        let topic = TopicState { estimated, ..counted.topic };
        let (taken, groups) = (look.taken, counted.groups);
        Ok(Sight { backlog: counted.backlog, lost: counted.lost, ends, dead_end, taken, groups, topic })
    }

    /// The offsets of a tier's partitions, or why they are not all there.
    fn collect(&mut self, tier: Tier, places: &Places, answers: &Answers) -> Result<Look, String> {
        let name = &self.shared.topics.jobs[tier];
        if let [None | Some(Topic::Missing), _] = self.topics[tier] {
            let parts = self.lines[tier].parts(false);
            parts.iter_mut().for_each(|part| part.partition.note_vanished());
            return Err(format!("the topic {name} does not exist"));
        }
        let [jobs, retry] = places.tiers[tier].clone();
        if jobs.is_empty() {
            return Err(format!("the topic {name} has no partitions, or more than {MOST_PARTITIONS}"));
        }
        let wall = self.shared.clock.wall();
        let passed = self.shared.clock.now().since(answers.taken);
        let millis = wall.millis().saturating_sub(u64::try_from(passed.as_millis()).unwrap_or(0));
        let mut look = Look { taken: answers.taken, time: Timestamp::from_millis(millis), ..Look::default() };
        for (is_retry, range) in [(false, jobs), (true, retry)] {
            for (number, index) in range.enumerate() {
                let offsets = answers.offsets(index).map_err(|code| {
                    if fault::is_unknown(code)
                        && let Some(part) = self.lines[tier].parts(is_retry).get_mut(number)
                    {
                        part.partition.note_vanished();
                    }
                    let topic = places.all.get(index).map_or("", |place| &place.topic);
                    format!("partition {number} of {topic} cannot be read: {code}")
                })?;
                if is_retry { look.retry.push(offsets) } else { look.jobs.push(offsets) }
            }
        }
        Ok(look)
    }

    /// Looks when the records came that wait in partitions seen for the first time.
    fn look_back(&mut self, tier: Tier, retry: bool, look: &Look, deadline: Moment) {
        let unknown = self.lines[tier].without_past(retry);
        let offsets = if retry { &look.retry } else { &look.jobs };
        let topics = &self.shared.topics;
        let topic = if retry { &topics.retry[tier] } else { &topics.jobs[tier] };
        let end =
            |number: i32| usize::try_from(number).ok().and_then(|number| offsets.get(number)).map(|o| o.end);
        let sought: Vec<_> = unknown
            .iter()
            .map(|(number, unread)| Sought { unread: *unread, end: end(*number).unwrap_or(*unread) })
            .collect();
        let Some(client) = self.clients.first().filter(|_| !sought.is_empty()) else { return };
        let half = deadline.since(self.shared.clock.now()) / 2;
        let deadline = self.shared.clock.now().plus(half);
        let found = past::find(&sought, look.time, |indices, time| {
            let places: Vec<_> = indices
                .iter()
                .filter_map(|index| unknown.get(*index))
                .map(|(partition, _)| Place { topic: Arc::clone(topic), partition: *partition })
                .collect();
            ask::offsets(client, &places, At::Time(time), self.left(deadline)?)
        });
        for ((number, _), past) in unknown.into_iter().zip(found) {
            self.lines[tier].note_past(retry, number, past);
        }
    }

    /// What is left until the deadline.
    fn left(&self, deadline: Moment) -> KafkaResult<Duration> {
        let left = deadline.since(self.shared.clock.now());
        if left < Duration::from_millis(1) {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut));
        }
        Ok(left)
    }
}

fn failed(why: impl ToString) -> KafkaError {
    KafkaError::ClientCreation(why.to_string())
}

/// The longest reading: an outage must show within five seconds, whatever `kafka.timeout` is.
const BOUND: Duration = Duration::from_secs(2);

/// What the thread may take beyond it.
const SLACK: Duration = Duration::from_millis(500);

/// Between two questions while a group's coordinator is being found.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked which topics there are and how many partitions they have.
const TOPICS_EVERY: Duration = Duration::from_secs(10);

/// While a topic of jobs is missing.
const MISSING_EVERY: Duration = Duration::from_secs(1);

/// After an answer that the known topics do not explain.
const SURPRISE_AFTER: Duration = Duration::from_millis(200);

/// How often the oldest offsets are asked for although nothing waits.
const LOW_EVERY: Duration = Duration::from_secs(10);

/// Events of a client looked at in one go.
const MOST_EVENTS: usize = 100;

//! The task that sends one tier's jobs to Redis: what waits goes into one pipeline, a few of them are in flight, and their
//! answers come in the order in which they were sent.
//!
//! It has a connection of its own and sends nothing after a cut before Redis was probed. Jobs whose fate a cut left open are
//! answered as unknown, except where every one of a group has an idempotency key: those are sent again, and the key settles
//! whether they were stored.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Pipeline, RedisResult, Value};
use tokio::select;
use tokio::time::sleep;

use crate::domain::backlog::Reading;
use crate::domain::job::JobId;
use crate::domain::tier::Tier;
use crate::domain::time::Moment;
use crate::queue::Stored;
use crate::queue::error::StoreError;
use crate::queue::group::Group;
use crate::queue::redis::backlog::{Seen, Sight};
use crate::queue::redis::failure::{Failure, first_refusal};
use crate::queue::redis::inbox::{Call, ReadingAnswer, Work};
use crate::queue::redis::pipeline::{Form, Outcome, Sent, Writer, outcome};
use crate::queue::redis::shared::{Line, Shared};

/// Sends one tier's jobs.
pub(super) struct Forwarder {
    shared: Arc<Shared>,
    tier: Tier,
    writer: Writer,
    sight: Sight,
    in_flight: VecDeque<InFlight>,
    unsettled: VecDeque<Unsettled>,
    /// Outages before the connection was made.
    outages: u64,
    /// The connection is to be given up when the last answer has come.
    retiring: bool,
}

/// A pipeline on its way.
struct InFlight {
    answer: Pin<Box<dyn Future<Output = RedisResult<Vec<Value>>> + Send>>,
    parts: Vec<Part>,
    asked: Moment,
}

/// What some replies of a pipeline belong to.
enum Part {
    Reading { waiting: Vec<ReadingAnswer>, replies: usize, keys: bool },
    Group { sent: Sent, ids: Vec<JobId>, form: Form, replies: usize },
    Wait { replicas: u32 },
}

/// Jobs of which a cut left open whether they are stored.
struct Unsettled {
    sent: Sent,
    until: Moment,
}

/// What happened next.
enum Event {
    Call(Call),
    Retired,
    Answered(RedisResult<Vec<Value>>),
}

/// Why a connection was given up.
#[derive(PartialEq, Eq)]
enum End {
    Closed,
    Cut,
}

impl Forwarder {
    /// The forwarder of a tier.
    pub(super) fn new(shared: Arc<Shared>, tier: Tier) -> Forwarder {
        Forwarder {
            writer: Writer::new(&shared.settings, &shared.layout, tier),
            sight: Sight::new(&shared.layout, &shared.settings, tier),
            in_flight: VecDeque::new(),
            unsettled: VecDeque::new(),
            outages: 0,
            retiring: false,
            tier,
            shared,
        }
    }

    /// Runs until the inbox is closed and worked off.
    pub(super) async fn run(mut self) {
        while let Some(connection) = self.connect().await {
            if self.serve(connection).await == End::Closed {
                break;
            }
        }
        for unsettled in self.unsettled.drain(..) {
            let _ = unsettled.sent.answer.send(Err(StoreError::Unknown));
        }
        self.line().inbox.abandon();
    }

    /// A connection as soon as Redis is there; none when the inbox is closed before.
    async fn connect(&mut self) -> Option<MultiplexedConnection> {
        loop {
            let patience = self.give_up_on_time();
            let shared = Arc::clone(&self.shared);
            let closed = poll_fn(|context| shared.lines[self.tier].inbox.poll_closed(context));
            select! {
                // A closing queue still sends what waits, if it can.
                biased;
                () = shared.until_there() => {}
                () = closed => return None,
                () = sleep(patience) => continue,
            }
            self.outages = shared.outages.load(Ordering::Acquire);
            match shared.connector.own().await {
                Ok(connection) => return Some(connection),
                Err(failure) => self.unreached(&failure),
            }
        }
    }

    /// No connection though the probe had one: the outage goes on.
    fn unreached(&self, failure: &Failure) {
        self.shared.note(failure);
        if !failure.concerns_server() {
            self.shared.note(&Failure::Unreached(failure.detail().to_owned()));
        }
    }

    /// Sends what waits over this connection, until it is cut or nothing is left of a closed inbox.
    async fn serve(&mut self, connection: MultiplexedConnection) -> End {
        self.send(&connection, Work::default(), true).await;
        loop {
            match self.next().await {
                Event::Call(Call::Closed) => return End::Closed,
                Event::Retired => {
                    self.retiring = false;
                    return End::Cut;
                }
                Event::Call(Call::Work) => {
                    let work = self.line().inbox.take();
                    self.send(&connection, work, false).await;
                }
                Event::Answered(answer) => {
                    let Some(sent) = self.in_flight.pop_front() else { continue };
                    match answer {
                        Ok(replies) => self.settle(sent, replies),
                        Err(error) => {
                            let failure = Failure::of_command(&error);
                            self.cut(sent, &failure);
                            return End::Cut;
                        }
                    }
                }
            }
        }
    }

    async fn next(&mut self) -> Event {
        let (shared, tier, outages) = (&self.shared, self.tier, self.outages);
        let (in_flight, retiring) = (&mut self.in_flight, &mut self.retiring);
        poll_fn(|context| {
            if let Some(front) = in_flight.front_mut()
                && let Poll::Ready(answer) = front.answer.as_mut().poll(context)
            {
                return Poll::Ready(Event::Answered(answer));
            }
            // What an outage broke is not always noticed by who does not use it.
            *retiring |= shared.outages.load(Ordering::Acquire) != outages;
            if *retiring && in_flight.is_empty() {
                return Poll::Ready(Event::Retired);
            }
            if *retiring {
                return Poll::Pending;
            }
            shared.lines[tier].inbox.poll_work(in_flight.len(), context).map(Event::Call)
        })
        .await
    }

    /// Sends one pipeline: what a cut left open first, then a reading if one is asked for, then jobs.
    async fn send(&mut self, connection: &MultiplexedConnection, work: Work, first: bool) {
        let mut pipeline = Pipeline::with_capacity(work.groups.iter().map(|group| group.jobs.len()).sum());
        let mut parts = Vec::with_capacity(work.groups.len() + 2);
        let mut script_known = false;
        for unsettled in std::mem::take(&mut self.unsettled) {
            parts.push(self.group(unsettled.sent, &mut script_known, &mut pipeline));
        }
        if first || !work.readings.is_empty() {
            parts.push(self.reading(work.readings, &mut pipeline));
        }
        for Group { jobs, answer, .. } in work.groups {
            let sent = Sent { count: jobs.len(), jobs, answer };
            parts.push(self.group(sent, &mut script_known, &mut pipeline));
        }
        if parts.iter().any(|part| matches!(part, Part::Group { .. }))
            && let Some(replicas) = self.writer.add_wait(&mut pipeline)
        {
            parts.push(Part::Wait { replicas });
        }
        let mut connection = connection.clone();
        let mut answer = Box::pin(async move {
            let count = pipeline.len();
            connection.send_packed_commands(&pipeline, 0, count).await
        });
        // Polled once, it is on its way; the order of polling is the order of sending.
        let early = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        let answer: Pin<Box<dyn Future<Output = _> + Send>> = match early {
            Poll::Ready(early) => Box::pin(std::future::ready(early)),
            Poll::Pending => answer,
        };
        self.in_flight.push_back(InFlight { answer, parts, asked: self.shared.clock.now() });
    }

    fn reading(&mut self, waiting: Vec<ReadingAnswer>, pipeline: &mut Pipeline) -> Part {
        let before = pipeline.len();
        self.sight.ask(pipeline);
        // One tier asks for all.
        let keys = self.tier == Tier::P0;
        if keys {
            pipeline.cmd("LLEN").arg(self.shared.layout.keys());
            pipeline.cmd("LINDEX").arg(self.shared.layout.keys()).arg(0);
        }
        Part::Reading { waiting, replies: pipeline.len() - before, keys }
    }

    fn group(&self, mut sent: Sent, script_known: &mut bool, pipeline: &mut Pipeline) -> Part {
        let (form, replies) = self.writer.add(&sent.jobs, script_known, pipeline);
        let ids = match form {
            Form::Script => sent.jobs.iter().map(|job| job.id).collect(),
            Form::Command | Form::Transaction => Vec::new(),
        };
        if !sent.jobs.iter().all(|job| job.keyed.is_some()) {
            sent.jobs = Vec::new();
        }
        Part::Group { sent, ids, form, replies }
    }

    /// Hands every reply to whom it belongs.
    fn settle(&mut self, sent: InFlight, replies: Vec<Value>) {
        let answered = self.shared.clock.now();
        let short = sent.parts.iter().any(|part| match (part, replies.last()) {
            (Part::Wait { replicas }, Some(Value::Int(reached))) => *reached < i64::from(*replicas),
            (Part::Wait { .. }, _) => true,
            _ => false,
        });
        let refusals = replies.iter().filter_map(|reply| first_refusal(std::slice::from_ref(reply)));
        // Noted before anybody is told: who hears of a refusal finds the outage declared.
        if let Some(failure) = refusals.map(Failure::Refused).find(Failure::concerns_server) {
            self.retiring |= failure.ends_connection();
            self.shared.note(&failure);
        }
        let mut replies = replies.into_iter();
        for part in sent.parts {
            match part {
                Part::Reading { waiting, replies: count, keys } => {
                    let own = replies.by_ref().take(count).collect();
                    self.read(waiting, own, keys, sent.asked, answered);
                }
                Part::Group { sent, ids, form, replies: count } => {
                    let own: Vec<Value> = replies.by_ref().take(count).collect();
                    self.answer(sent, outcome(form, &ids, &own), short);
                }
                Part::Wait { .. } => {}
            }
        }
    }

    fn answer(&self, sent: Sent, outcome: Result<Outcome, Failure>, short: bool) {
        let answer = match outcome {
            Ok(Outcome { known, index }) => {
                if let Some((keys, oldest)) = index {
                    self.shared.keys.note(keys, oldest);
                }
                let stored = u64::try_from(sent.count.saturating_sub(known.len())).unwrap_or(u64::MAX);
                let mut counts = self.line().counts();
                counts.stored(stored);
                let depth = counts.depth();
                drop(counts);
                // Stored it is, but not where the receipt would say.
                if short {
                    Err(StoreError::Unknown)
                } else {
                    Ok(Stored { durability: self.shared.durability(), depth, known })
                }
            }
            Err(failure) => Err(failure.to_store_error()),
        };
        let _ = sent.answer.send(answer);
    }

    fn read(
        &mut self,
        waiting: Vec<ReadingAnswer>,
        mut values: Vec<Value>,
        keys: bool,
        asked: Moment,
        answered: Moment,
    ) {
        if keys {
            let oldest = values.pop();
            let count = values.pop();
            self.read_keys(count.as_ref(), oldest.as_ref());
        }
        self.sight.note_blocking(self.line().blocking());
        let reading = self.sight.read(values, asked, answered).map(|seen| {
            let Seen { backlog, taken, dead, .. } = seen;
            let flows = self.line().counts().read(&backlog, dead);
            self.line().show(seen.groups);
            Reading { backlog, flows, taken }
        });
        self.shared.presence.send_modify(|_| {});
        for answer in waiting {
            let _ = answer.send(reading.clone());
        }
    }

    fn read_keys(&self, count: Option<&Value>, oldest: Option<&Value>) {
        let Some(Value::Int(count)) = count else { return };
        let stored = match oldest {
            Some(Value::BulkString(text)) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .unwrap_or_default(),
            _ => 0,
        };
        let age = Duration::from_millis(self.shared.clock.wall().millis().saturating_sub(stored));
        self.shared.keys.note(usize::try_from(*count).unwrap_or_default(), age);
    }

    /// The connection is of no use any more: whatever is on its way may be stored or not.
    fn cut(&mut self, sent: InFlight, failure: &Failure) {
        self.retiring = false;
        self.shared.note(failure);
        if !failure.concerns_server() {
            self.shared.note(&Failure::Lost(failure.detail().to_owned()));
        }
        let until = self.shared.clock.now().plus(self.shared.settings.timeout);
        let lost: Vec<InFlight> = std::iter::once(sent).chain(self.in_flight.drain(..)).collect();
        for part in lost.into_iter().flat_map(|sent| sent.parts) {
            match part {
                Part::Reading { waiting, .. } => {
                    for answer in waiting {
                        let _ = answer.send(Err(failure.to_queue_error()));
                    }
                }
                Part::Group { sent, .. } if sent.jobs.is_empty() => {
                    let _ = sent.answer.send(Err(StoreError::Unknown));
                }
                Part::Group { sent, .. } => self.unsettled.push_back(Unsettled { sent, until }),
                Part::Wait { .. } => {}
            }
        }
    }

    /// Answers those whose time to be settled is over; how long the next one may wait.
    fn give_up_on_time(&mut self) -> Duration {
        let now = self.shared.clock.now();
        while let Some(late) = self.unsettled.pop_front_if(|unsettled| unsettled.until <= now) {
            let _ = late.sent.answer.send(Err(StoreError::Unknown));
        }
        self.unsettled.front().map_or(LONG, |unsettled| unsettled.until.since(now))
    }

    fn line(&self) -> &Line {
        &self.shared.lines[self.tier]
    }
}

/// Nobody waits to be settled: the next look can wait as well.
const LONG: Duration = Duration::from_secs(3600);

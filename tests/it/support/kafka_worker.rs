//! A worker of a topic: a member of its consumer group that works at a rate, or as fast as it can, and commits now and then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};

use super::kafka::Kafka;
use super::kafka_client::{Record, blocking};
use super::poll::until;

/// A worker, being put together.
#[derive(Clone, Debug)]
pub struct Worker {
    config: ClientConfig,
    topic: String,
    rate: Option<f64>,
    commits_every: Duration,
}

/// A worker at work; it leaves when it is dropped or [`Running::stop`]ped.
#[derive(Debug)]
pub struct Running {
    book: Arc<Book>,
    thread: Option<JoinHandle<()>>,
}

/// What a worker got so far.
#[derive(Debug, Default)]
struct Book {
    over: AtomicBool,
    /// Leaves without a last commit, as one that is killed.
    killed: AtomicBool,
    done: AtomicU64,
    /// Chances to take a job for which there was none, of a worker with a rate.
    idle: AtomicU64,
    jobs: Mutex<Vec<Record>>,
}

impl Worker {
    /// A worker of the group `workers`, which commits every second.
    pub fn new(kafka: &Kafka, topic: &str) -> Worker {
        let mut config = kafka.client();
        config
            .set("group.id", "workers")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("session.timeout.ms", "6000")
            .set("fetch.wait.max.ms", "20");
        Worker { config, topic: topic.into(), rate: None, commits_every: Duration::from_secs(1) }
    }

    pub fn group(mut self, group: &str) -> Worker {
        self.config.set("group.id", group);
        self
    }

    /// Does so many jobs a second, however many wait.
    pub fn rate(mut self, per_second: f64) -> Worker {
        self.rate = Some(per_second);
        self
    }

    pub fn commits_every(mut self, period: Duration) -> Worker {
        self.commits_every = period;
        self
    }

    pub fn start(self) -> Running {
        let book = Arc::new(Book::default());
        let own = book.clone();
        let thread = std::thread::spawn(move || self.work(&own));
        Running { book, thread: Some(thread) }
    }

    fn work(self, book: &Book) {
        let consumer: BaseConsumer = self.config.create().expect("a consumer");
        consumer.subscribe(&[&self.topic]).expect("it can subscribe");
        // A worker with a rate begins to work when it has its first job.
        let mut began = None;
        let mut committed = Instant::now();
        let mut open = false;
        while !book.over.load(Ordering::Relaxed) {
            let taken = book.done.load(Ordering::Relaxed) + book.idle.load(Ordering::Relaxed);
            let due = match (self.rate, began) {
                (Some(rate), Some(began)) => {
                    let began: Instant = began;
                    ((began.elapsed().as_secs_f64() * rate) as u64).saturating_sub(taken)
                }
                (Some(_), None) => 1,
                (None, _) => AT_ONCE,
            };
            let mut got = 0;
            while got < due.min(AT_ONCE) {
                // What is there is there at once; only a worker without a rate waits for more.
                match consumer.poll(if self.rate.is_none() && got == 0 { PAUSE } else { GLANCE }) {
                    Some(Ok(message)) => {
                        let record = Record::of(&message);
                        consumer.store_offset_from_message(&message).expect("its own partition");
                        book.jobs.lock().unwrap().push(record);
                        (got, open) = (got + 1, true);
                    }
                    // Away, or rebalancing: it comes back.
                    Some(Err(_)) => {}
                    None => break,
                }
            }
            book.done.fetch_add(got, Ordering::Relaxed);
            if began.is_some() && self.rate.is_some() && due <= AT_ONCE {
                // A worker that found nothing has lost that time, as a real one has.
                book.idle.fetch_add(due - got, Ordering::Relaxed);
            }
            if got > 0 && began.is_none() {
                began = Some(Instant::now());
            }
            if open && committed.elapsed() >= self.commits_every {
                let _ = consumer.commit_consumer_state(CommitMode::Async);
                (committed, open) = (Instant::now(), false);
            }
            if self.rate.is_some() {
                std::thread::sleep(PAUSE);
            }
        }
        if open && !book.killed.load(Ordering::Relaxed) {
            let _ = consumer.commit_consumer_state(CommitMode::Sync);
        }
    }
}

impl Running {
    /// Jobs done so far; one that was taken twice counts twice.
    pub fn done(&self) -> u64 {
        self.book.done.load(Ordering::Relaxed)
    }

    /// Jobs that a worker with a rate could have done besides, had there been any.
    pub fn idle(&self) -> u64 {
        self.book.idle.load(Ordering::Relaxed)
    }

    /// Waits until it has done so many.
    pub async fn has_done(&self, jobs: u64, patience: Duration) {
        until(&format!("{jobs} jobs are done"), patience, async || (self.done() >= jobs).then_some(())).await;
    }

    /// Ends it, after what it has in its hands is committed; everything that it did, in order.
    pub async fn stop(mut self) -> Vec<Record> {
        self.end().await
    }

    /// Ends it without a last commit; everything that it did, in order.
    pub async fn kill(mut self) -> Vec<Record> {
        self.book.killed.store(true, Ordering::Relaxed);
        self.end().await
    }

    async fn end(&mut self) -> Vec<Record> {
        self.book.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it works");
        blocking(move || thread.join().expect("a worker does not panic")).await;
        std::mem::take(&mut *self.book.jobs.lock().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.book.over.store(true, Ordering::Relaxed);
    }
}

/// Jobs that a worker takes at once.
const AT_ONCE: u64 = 500;

/// Between two looks of a worker at its watch.
const PAUSE: Duration = Duration::from_millis(5);

/// What the client has fetched already comes in this time.
const GLANCE: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_worker_takes_every_job_once_and_in_order_and_goes_on_where_another_committed() {
    use super::kafka::unique;
    use super::kafka_client::{committed, send};
    let (kafka, topic) = (Kafka::shared().await, unique("worked"));
    kafka.create(&topic, 1, &[]).await;
    for number in 0..20 {
        send(kafka, &topic, None, number.to_string().as_bytes()).await;
    }
    let worker = Worker::new(kafka, &topic).group(&topic).rate(100.0).start();
    worker.has_done(20, Duration::from_secs(30)).await;
    let jobs = worker.stop().await;
    assert!(jobs.iter().map(|job| job.text().to_owned()).eq((0..20).map(|number| number.to_string())));
    assert_eq!(committed(kafka, &topic, &topic).await, [Some(20)]);
    send(kafka, &topic, None, b"20").await;
    for _ in 0..2 {
        let worker = Worker::new(kafka, &topic).group(&topic).commits_every(Duration::from_secs(60)).start();
        worker.has_done(1, Duration::from_secs(30)).await;
        assert_eq!(worker.kill().await[0].text(), "20", "it was not committed");
    }
}

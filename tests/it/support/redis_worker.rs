//! Workers of the kinds that Redis has: they read a queue, at a rate or as fast as they can, and say what they got.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::poll::until;
use super::redis::Redis;
use super::resp::{Reply, Resp};

/// How a worker takes jobs and says that they are done.
#[derive(Clone, Debug)]
pub enum Way {
    /// `XREADGROUP` and `XACK`, for this group.
    Stream { group: String },
    /// `BRPOP`: what it takes is gone.
    Pop,
    /// `BLMOVE` into a processing list, `LREM` when done.
    Move,
}

/// A worker, being put together.
#[derive(Clone, Debug)]
pub struct Worker {
    address: SocketAddr,
    queue: String,
    way: Way,
    name: String,
    rate: Option<f64>,
}

/// A worker at work; it stops when it is dropped or [`Running::stop`]ped.
#[derive(Debug)]
pub struct Running {
    book: Arc<Book>,
    task: JoinHandle<()>,
}

/// What a worker got so far.
#[derive(Debug, Default)]
struct Book {
    over: AtomicBool,
    done: AtomicU64,
    /// Chances to take a job for which there was none, of a worker with a rate.
    idle: AtomicU64,
    jobs: Mutex<Vec<Taken>>,
}

/// A job as a worker gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The entry's id in the stream; nothing in a list.
    pub entry: String,
    /// Every field beside the body, as text.
    pub fields: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Worker {
    pub fn new(redis: &Redis, queue: &str, way: Way) -> Worker {
        let (queue, name) = (queue.to_owned(), "w-1".to_owned());
        Worker { address: redis.address(), queue, way, name, rate: None }
    }

    /// A worker of the stream's group `workers`.
    pub fn stream(redis: &Redis, queue: &str) -> Worker {
        Worker::new(redis, queue, Way::Stream { group: "workers".into() })
    }

    pub fn named(mut self, name: &str) -> Worker {
        self.name = name.into();
        self
    }

    /// Takes so many jobs a second, however many wait.
    pub fn rate(mut self, per_second: f64) -> Worker {
        self.rate = Some(per_second);
        self
    }

    pub fn start(self) -> Running {
        let book = Arc::new(Book::default());
        let task = tokio::spawn(self.work(book.clone()));
        Running { book, task }
    }

    /// Until it is told to stop; a Redis that is away is asked again and again.
    async fn work(self, book: Arc<Book>) {
        let started = Instant::now();
        while !book.over.load(Ordering::Relaxed) {
            if let Ok(mut line) = self.connect().await {
                let _ = self.serve(&mut line, &book, started).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> Result<Resp, String> {
        let line = Resp::connect(self.address).await?;
        Ok(line)
    }

    async fn serve(&self, line: &mut Resp, book: &Book, started: Instant) -> Result<(), String> {
        // What it had in its hands when the connection broke comes first.
        let mut left_over = true;
        while !book.over.load(Ordering::Relaxed) {
            let done = book.done.load(Ordering::Relaxed) + book.idle.load(Ordering::Relaxed);
            let due =
                self.rate.map(|rate| ((started.elapsed().as_secs_f64() * rate) as u64).saturating_sub(done));
            if due == Some(0) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let max = due.unwrap_or(AT_ONCE).min(AT_ONCE);
            let jobs = self.take(line, max, std::mem::take(&mut left_over)).await?;
            if let Some(due) = due {
                // A worker that found nothing has lost that time, as a real one has.
                let missed = if max == due { due.saturating_sub(jobs.len() as u64) } else { 0 };
                book.idle.fetch_add(missed, Ordering::Relaxed);
            }
            self.finish(line, &jobs).await?;
            book.done.fetch_add(jobs.len() as u64, Ordering::Relaxed);
            book.jobs.lock().unwrap().extend(jobs.into_iter().map(|(_, taken)| taken));
        }
        Ok(())
    }

    /// Takes up to `max` jobs, each with what finishes it; waits for the first a moment, unless it has a rate.
    async fn take(
        &self,
        line: &mut Resp,
        max: u64,
        left_over: bool,
    ) -> Result<Vec<(Vec<u8>, Taken)>, String> {
        let (queue, count) = (self.queue.as_str(), max.to_string());
        let processing = self.processing();
        match &self.way {
            Way::Stream { group } => {
                let mut command = vec!["XREADGROUP", "GROUP", group, &self.name, "COUNT", &count];
                if self.rate.is_none() && !left_over {
                    command.extend(["BLOCK", "200"]);
                }
                command.extend(["STREAMS", queue, if left_over { "0" } else { ">" }]);
                let reply = line.ask(&command).await?;
                if matches!(reply, Reply::Error(_)) {
                    // No stream or no group yet, or still loading.
                    return Err(format!("{reply:?}"));
                }
                let streams = reply.items();
                let entries = streams.first().map_or(&[][..], |stream| stream.items()[1].items());
                Ok(entries.iter().map(of_entry).collect())
            }
            Way::Pop => {
                let first = match self.rate {
                    None => line.ask(&["BRPOP", queue, "0.2"]).await?,
                    Some(_) => Reply::Nil,
                };
                let mut elements: Vec<Reply> = first.items().iter().skip(1).cloned().collect();
                elements.extend_from_slice(line.ask(&["RPOP", queue, &count]).await?.items());
                Ok(elements.iter().map(of_element).collect())
            }
            Way::Move if left_over => {
                let reply = line.ask(&["LRANGE", &processing, "0", "-1"]).await?;
                Ok(reply.items().iter().rev().map(of_element).collect())
            }
            Way::Move => {
                let wait = ["BLMOVE", queue, &processing, "RIGHT", "LEFT", "0.2"];
                let mut elements = match self.rate {
                    None => vec![line.ask(&wait).await?],
                    Some(_) => Vec::new(),
                };
                let at_once = ["LMOVE", queue, &processing, "RIGHT", "LEFT"];
                elements.extend(line.pipeline(&vec![&at_once[..]; max as usize]).await?);
                Ok(elements.iter().filter(|element| **element != Reply::Nil).map(of_element).collect())
            }
        }
    }

    async fn finish(&self, line: &mut Resp, jobs: &[(Vec<u8>, Taken)]) -> Result<(), String> {
        if jobs.is_empty() {
            return Ok(());
        }
        let processing = self.processing();
        match &self.way {
            Way::Stream { group } => {
                let mut command: Vec<&[u8]> = vec![b"XACK", self.queue.as_bytes(), group.as_bytes()];
                command.extend(jobs.iter().map(|(entry, _)| entry.as_slice()));
                line.ask(&command).await?;
            }
            Way::Pop => {}
            Way::Move => {
                let commands: Vec<[&[u8]; 4]> = jobs
                    .iter()
                    .map(|(element, _)| [b"LREM", processing.as_bytes(), b"1", element.as_slice()])
                    .collect();
                line.pipeline(&commands.iter().map(|command| &command[..]).collect::<Vec<_>>()).await?;
            }
        }
        Ok(())
    }

    fn processing(&self) -> String {
        format!("{}:processing:{}", self.queue, self.name)
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

    /// Ends it, after what it has in its hands; everything that it did, in order.
    pub async fn stop(mut self) -> Vec<Taken> {
        self.book.over.store(true, Ordering::Relaxed);
        (&mut self.task).await.expect("a worker does not panic");
        std::mem::take(&mut *self.book.jobs.lock().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Taken {
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or_else(|| panic!("no {name}: {self:?}"), String::as_str)
    }

    pub fn id(&self) -> &str {
        self.field("id")
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

/// How often each id was taken.
pub fn times_by_id(jobs: &[Taken]) -> HashMap<&str, u32> {
    let mut times = HashMap::new();
    for job in jobs {
        *times.entry(job.id()).or_default() += 1;
    }
    times
}

/// An entry of a stream: its id, then names and values by turns.
pub fn of_entry(entry: &Reply) -> (Vec<u8>, Taken) {
    let [id, fields] = entry.items() else { panic!("no entry: {entry:?}") };
    let mut taken = Taken { entry: id.text().into(), fields: BTreeMap::new(), body: Vec::new() };
    for pair in fields.items().chunks(2) {
        match pair[0].text() {
            "body" => taken.body = pair[1].bytes().to_vec(),
            name => assert_eq!(taken.fields.insert(name.into(), pair[1].text().into()), None, "{name} twice"),
        }
    }
    (id.bytes().to_vec(), taken)
}

/// An element of a list: one JSON object.
pub fn of_element(element: &Reply) -> (Vec<u8>, Taken) {
    let document: Value = serde_json::from_slice(element.bytes()).expect("an element is JSON");
    let mut taken = Taken { entry: String::new(), fields: BTreeMap::new(), body: Vec::new() };
    let mut bodies = 0;
    for (name, value) in document.as_object().expect("an object") {
        match (name.as_str(), value) {
            ("body", Value::String(text)) => (taken.body, bodies) = (text.clone().into_bytes(), bodies + 1),
            ("body_base64", Value::String(coded)) => {
                (taken.body, bodies) = (STANDARD.decode(coded).expect("base64"), bodies + 1);
            }
            (_, Value::String(text)) => drop(taken.fields.insert(name.clone(), text.clone())),
            (_, other) => drop(taken.fields.insert(name.clone(), other.to_string())),
        }
    }
    assert_eq!(bodies, 1, "one of the two bodies: {document}");
    (element.bytes().to_vec(), taken)
}

/// Jobs that a worker takes at once.
const AT_ONCE: u64 = 500;

/// Between two looks of a worker at its watch.
const PAUSE: Duration = Duration::from_millis(5);

#[tokio::test]
async fn each_kind_of_worker_takes_every_job_once_and_in_order() {
    let redis = Redis::start(&[]).await;
    redis.cli(&["XGROUP", "CREATE", "stream", "workers", "0", "MKSTREAM"]).await;
    for number in 0..700 {
        let number = number.to_string();
        redis.cli(&["XADD", "stream", "*", "id", &number, "body", "raw"]).await;
        for list in ["pop", "move"] {
            let element = format!(r#"{{"id":"{number}","body_base64":"cmF3","attempt":1}}"#);
            redis.cli(&["LPUSH", list, &element]).await;
        }
    }
    let workers = [
        Worker::stream(&redis, "stream"),
        Worker::new(&redis, "pop", Way::Pop),
        Worker::new(&redis, "move", Way::Move).rate(2000.0),
    ];
    for worker in workers {
        let (queue, running) = (worker.queue.clone(), worker.start());
        running.has_done(700, Duration::from_secs(20)).await;
        let jobs = running.stop().await;
        assert!(jobs.iter().map(|job| job.id().to_owned()).eq((0..700).map(|n| n.to_string())), "{queue}");
        assert!(jobs.iter().all(|job| job.text() == "raw"));
    }
    let pending = redis.cli(&["XPENDING", "stream", "workers"]).await;
    assert_eq!(pending.items()[0].integer(), 0);
    for list in ["pop", "move", "move:processing:w-1"] {
        assert_eq!(redis.cli(&["LLEN", list]).await.count(), 0, "{list}");
    }
}

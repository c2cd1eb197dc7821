//! A real Kafka behind the queue of the contract, one partition a topic, with the simplest worker: it reads from where its
//! group committed, and commits what is finished without a gap.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tempfile::TempDir;
use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::JobQueue;
use tidegate::queue::dead_letter::{DeadLetter, Death};
use tidegate::queue::kafka::KafkaQueue;
use tidegate::queue::kafka::record::read::read;
use tidegate::queue::kafka::record::write::write_dead;
use tidegate::queue::kafka::settings::KafkaSettings;
use tidegate::queue::redis::settings::RedisUrl;
use tokio::sync::Mutex;

use super::contract::remote::Remote;
use super::contract::{Backend, Taken};
use crate::support::gateway::free_port;
use crate::support::kafka::{Kafka, Listener, unique};
use crate::support::kafka_client::consumer;
use crate::support::poll::until;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

/// A broker with the topics of three tiers.
pub struct KafkaBackend {
    server: Server,
    /// The worker's way in: past the wire that is cut.
    client: ClientConfig,
    wire: Option<Proxy>,
    settings: KafkaSettings,
    queues: TierMap<String>,
    /// Where gateways tell each other of their keys.
    redis: Option<Redis>,
    /// For the files of idempotency keys.
    folder: TempDir,
}

enum Server {
    /// Only topics of this backend's own are touched, and no dead letters.
    Shared,
    Own(Box<Mutex<Kafka>>),
}

/// A queue with its worker.
pub struct Opened {
    pub queue: Arc<KafkaQueue>,
    client: ClientConfig,
    group: String,
    topics: TierMap<String>,
    readers: Mutex<TierMap<Option<Reader>>>,
}

/// What the worker knows of a partition.
struct Reader {
    consumer: BaseConsumer,
    /// Where its group's next job is.
    committed: i64,
    /// Finished beyond that, and not yet committed.
    finished: BTreeSet<i64>,
}

impl KafkaBackend {
    /// What this promise needs: jobs die into one topic of the whole broker, so those that have some die need their own.
    pub async fn for_promise(name: &str) -> KafkaBackend {
        match name {
            "the_backlog_follows_every_job" | "dead_letters_are_kept_until_somebody_decides" => {
                KafkaBackend::remote().await
            }
            _ => KafkaBackend::shared().await,
        }
    }

    /// Topics on the broker of all tests.
    pub async fn shared() -> KafkaBackend {
        let kafka = Kafka::shared().await;
        KafkaBackend::with(kafka, kafka.brokers(), None, |_| Server::Shared).await
    }

    /// Topics on the broker of all tests, and a Redis at which gateways share their idempotency keys.
    pub async fn sharing_keys() -> KafkaBackend {
        let mut backend = KafkaBackend::shared().await;
        let redis = Redis::start(&[]).await;
        backend.settings.meeting_point = Some(RedisUrl::parse(&redis.url()).unwrap());
        backend.redis = Some(redis);
        backend
    }

    /// A broker that may be killed, with a wire before it that may be cut.
    pub async fn remote() -> KafkaBackend {
        let port = free_port();
        let wire = Proxy::before((Ipv4Addr::LOCALHOST, port).into()).await;
        let advertised = wire.address.to_string();
        let kafka = Kafka::with_listener(Listener { protocol: "PLAINTEXT", port, advertised }, &[]).await;
        kafka.create("jobs.dead_letter", 1, &[("cleanup.policy", "compact")]).await;
        let brokers = wire.address.to_string();
        KafkaBackend::with(kafka, brokers, Some(wire), |kafka| Server::Own(Box::new(Mutex::new(kafka)))).await
    }

    async fn with<K: std::borrow::Borrow<Kafka>>(
        kafka: K,
        brokers: String,
        wire: Option<Proxy>,
        server: impl FnOnce(K) -> Server,
    ) -> KafkaBackend {
        let name = unique("contract");
        let queues = TierMap::from_fn(|tier| format!("{name}:{tier}"));
        for tier in Tier::ALL {
            kafka.borrow().create(&topic_of(&queues[tier]), 1, &[]).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let settings = KafkaSettings {
            brokers,
            groups: vec![name],
            // Only who loses its broker must notice soon.
            timeout: if wire.is_some() { TIMEOUT } else { CALM },
            keys_path: folder.path().join("keys.db"),
            ..KafkaSettings::default()
        };
        let client = kafka.borrow().client();
        KafkaBackend { server: server(kafka), client, wire, settings, queues, redis: None, folder }
    }

    async fn own(&self) -> tokio::sync::MutexGuard<'_, Kafka> {
        match &self.server {
            Server::Own(kafka) => kafka.lock().await,
            Server::Shared => panic!("others need it"),
        }
    }
}

impl Backend for KafkaBackend {
    type Queue = Opened;

    /// A job is read, not leased: the group's commit is all that Kafka knows.
    const LEASES: bool = false;

    async fn open(&self) -> Opened {
        let mut settings = self.settings.clone();
        if self.redis.is_some() {
            // Each gateway has its own file.
            settings.keys_path = self.folder.path().join(unique("keys"));
        }
        // The file of keys is let go of a moment after a queue was dropped that nobody closed.
        let queue = until("the keys are free", PATIENCE, async || {
            KafkaQueue::open(&settings, &self.queues, Clock::start()).ok()
        })
        .await;
        // A broker that was just started on a busy machine may need longer than one question may take.
        let mut reached = queue.reached().await;
        for _ in 0..5 {
            if reached.is_err() {
                reached = queue.reached().await;
            }
        }
        reached.unwrap();
        Opened {
            queue: Arc::new(queue),
            client: self.client.clone(),
            group: self.settings.groups[0].clone(),
            topics: TierMap::from_fn(|tier| topic_of(&self.queues[tier])),
            readers: Mutex::default(),
        }
    }

    fn queue(opened: &Opened) -> Arc<dyn JobQueue> {
        Arc::clone(&opened.queue) as Arc<dyn JobQueue>
    }

    async fn take(opened: &Opened, tier: Tier, max: usize) -> Vec<Taken> {
        let readers = &mut *opened.readers.lock().await;
        let reader = readers[tier]
            .get_or_insert_with(|| Reader::begin(opened.client.clone(), &opened.group, &opened.topics[tier]));
        reader.take(max)
    }

    async fn finish(opened: &Opened, taken: Taken) {
        let readers = &mut *opened.readers.lock().await;
        let topic = &opened.topics[taken.job.tier];
        readers[taken.job.tier].as_mut().unwrap().finish(topic, i64::try_from(taken.handle).unwrap());
    }

    async fn give_up(opened: &Opened, taken: Taken, reason: &str) {
        let now = Clock::start().wall();
        let (reason, attempts) = (reason.to_owned(), taken.attempt);
        let death = Death { attempts, reason, first_failed_at: now, died_at: now };
        let letter = write_dead(&DeadLetter { job: taken.job.clone(), death });
        let key = letter.key.unwrap();
        let record = FutureRecord::<str, [u8]>::to("jobs.dead_letter").key(&key).headers(letter.headers);
        let producer: FutureProducer = opened.client.clone().set("acks", "all").create().unwrap();
        producer.send(record.payload(&letter.payload), PATIENCE).await.map_err(|(why, _)| why).unwrap();
        Self::finish(opened, taken).await;
    }
}

impl Reader {
    fn begin(client: ClientConfig, group: &str, topic: &str) -> Reader {
        let consumer = consumer(client, group);
        let mut place = TopicPartitionList::new();
        place.add_partition(topic, 0);
        let committed = consumer.committed_offsets(place.clone(), PATIENCE).unwrap();
        let committed = committed.elements()[0].offset().to_raw().filter(|at| *at >= 0).unwrap_or(0);
        place.set_all_offsets(Offset::Offset(committed)).unwrap();
        consumer.assign(&place).unwrap();
        Reader { consumer, committed, finished: BTreeSet::new() }
    }

    /// Waits for the first job, and takes what comes right behind it.
    fn take(&self, max: usize) -> Vec<Taken> {
        let (started, mut taken) = (Instant::now(), Vec::new());
        while taken.len() < max && started.elapsed() < WAIT {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (job, tries) = read(&message).unwrap();
                    let handle = u128::try_from(message.offset()).unwrap();
                    taken.push(Taken { job, attempt: tries.attempt, handle });
                }
                None if !taken.is_empty() => break,
                // The end, or the connection was cut: it comes back.
                Some(Err(_)) | None => {}
            }
        }
        taken
    }

    fn finish(&mut self, topic: &str, offset: i64) {
        assert!(self.finished.insert(offset), "finished twice");
        while self.finished.remove(&self.committed) {
            self.committed += 1;
        }
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, 0, Offset::Offset(self.committed)).unwrap();
        self.consumer.commit(&place, CommitMode::Sync).unwrap();
    }
}

impl Remote for KafkaBackend {
    /// Keys are kept by the gateway itself.
    const KEYS_WITH_JOBS: bool = false;

    async fn die(&self) {
        self.own().await.kill();
    }

    async fn revive(&self) {
        self.own().await.restart().await;
    }

    async fn hang(&self) {
        self.own().await.stop();
    }

    async fn go_on(&self) {
        self.own().await.cont();
    }

    async fn fill(&self) {
        unreachable!("a broker has no bound: it stores until its disk is full, and then dies");
    }

    async fn make_room(&self) {
        unreachable!("it was not filled");
    }

    async fn cut(&self) {
        self.wire.as_ref().unwrap().cut_all();
    }
}

fn topic_of(queue: &str) -> String {
    queue.replace(':', ".")
}

/// Nothing goes wrong there but a busy machine.
const CALM: Duration = Duration::from_secs(10);

/// Long enough for a busy machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// A worker waits so long for its first job.
const WAIT: Duration = Duration::from_secs(10);

/// Longer than a question may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

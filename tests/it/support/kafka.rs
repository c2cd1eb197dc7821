//! A real Kafka broker of a test's own, or of all tests: in its own folder, on loopback ports, never left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::gateway::free_port;
use super::kafka_client::{blocking, client_config, cluster_of};
use super::poll::until;

/// A running broker, which is its own controller. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Kafka {
    folder: Folder,
    options: Vec<(String, String)>,
    second: Option<Listener>,
    port: u16,
    controller: u16,
    /// Whose topics it has; a broker that answers another cluster's id is somebody else's.
    cluster: String,
    child: Option<Child>,
    lives: u32,
}

/// Another way in beside the plain one.
#[derive(Clone, Debug)]
pub struct Listener {
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: &'static str,
    /// Where the broker listens.
    pub port: u16,
    /// Where it tells clients to come, `HOST:PORT`: a proxy, or the name in its certificate.
    pub advertised: String,
}

#[derive(Debug)]
enum Folder {
    Own(TempDir),
    /// Of a broker that lives as long as the process; the next process removes it.
    Shared(PathBuf),
}

impl Kafka {
    /// A broker of the test's own, with these settings as server.properties calls them.
    pub async fn start(options: &[(&str, &str)]) -> Kafka {
        Kafka::launch(options, None).await
    }

    /// As [`Kafka::start`], with a second way in.
    pub async fn with_listener(listener: Listener, options: &[(&str, &str)]) -> Kafka {
        Kafka::launch(options, Some(listener)).await
    }

    /// Another broker of the same cluster, with this number; the first is its controller.
    pub async fn beside(first: &Kafka, node: u16) -> Kafka {
        let (node, voters) = (node.to_string(), format!("1@127.0.0.1:{}", first.controller));
        let options = [
            ("process.roles", "broker"),
            ("node.id", node.as_str()),
            ("controller.quorum.voters", voters.as_str()),
        ];
        let mut kafka = Kafka::new(Folder::Own(tempfile::tempdir().unwrap()), &options, None);
        kafka.cluster = first.cluster.clone();
        for _ in 0..LAUNCHES {
            kafka.port = free_port();
            kafka.set_option("listeners", &format!("PLAINTEXT://127.0.0.1:{}", kafka.port));
            kafka.restart_unready();
            if kafka.is_ready().await {
                return kafka;
            }
        }
        panic!("Kafka does not start:\n{}", kafka.log());
    }

    /// The broker that all tests of the process share which touch only topics of their own, and no dead letters.
    pub async fn shared() -> &'static Kafka {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED
            .get_or_init(async || {
                let folder = shared_folder();
                let mut kafka = Kafka::new(Folder::Shared(folder), &[], None);
                for _ in 0..LAUNCHES {
                    (kafka.port, kafka.controller) = (free_port(), free_port());
                    kafka.lives += 1;
                    kafka.child = Some(spawn_for_ever(kafka.command()));
                    if kafka.is_ready().await {
                        return kafka;
                    }
                }
                panic!("Kafka does not start:\n{}", kafka.log());
            })
            .await
    }

    async fn launch(options: &[(&str, &str)], second: Option<Listener>) -> Kafka {
        let mut kafka = Kafka::new(Folder::Own(tempfile::tempdir().unwrap()), options, second);
        for _ in 0..LAUNCHES {
            (kafka.port, kafka.controller) = (free_port(), free_port());
            kafka.restart_unready();
            if kafka.is_ready().await {
                return kafka;
            }
        }
        panic!("Kafka does not start:\n{}", kafka.log());
    }

    fn new(folder: Folder, options: &[(&str, &str)], second: Option<Listener>) -> Kafka {
        assert!(
            root().join(".tools/kafka/.installed").exists() || root().join(".tools/kafka/lib").exists(),
            "Kafka's jars are missing: run `make test-kafka`"
        );
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let options = options.iter().map(own).collect();
        Kafka {
            folder,
            options,
            second,
            port: 0,
            controller: 0,
            cluster: cluster_id(),
            child: None,
            lives: 0,
        }
    }

    /// How the gateway and other clients are told of it.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn folder(&self) -> &Path {
        match &self.folder {
            Folder::Own(folder) => folder.path(),
            Folder::Shared(folder) => folder,
        }
    }

    /// Sets an option for the next [`Kafka::restart`].
    pub fn set_option(&mut self, key: &str, value: &str) {
        self.options.retain(|(name, _)| name != key);
        self.options.push((key.into(), value.into()));
    }

    /// The configuration of a client of this broker.
    pub fn client(&self) -> ClientConfig {
        client_config(&self.brokers())
    }

    /// A client for operators.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Makes a topic, and waits until every partition has a leader.
    pub async fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        self.create_replicated(topic, partitions, 1, config).await;
    }

    /// As [`Kafka::create`], on so many brokers.
    pub async fn create_replicated(
        &self,
        topic: &str,
        partitions: i32,
        replicas: i32,
        config: &[(&str, &str)],
    ) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
        let new = config.iter().fold(new, |new, (key, value)| new.set(key, value));
        let admin = self.admin();
        let made = admin.create_topics([&new], &bounded()).await.expect("topics can be made");
        made.into_iter().for_each(|made| drop(made.unwrap_or_else(|why| panic!("{topic}: {why:?}"))));
        let client = std::sync::Arc::new(admin);
        until(&format!("{topic} has leaders"), PATIENCE, async || {
            let (client, topic) = (client.clone(), topic.to_owned());
            blocking(move || {
                let metadata = client.inner().fetch_metadata(Some(&topic), ASKING).ok()?;
                let found = metadata.topics().first()?.partitions();
                let led =
                    found.iter().all(|partition| partition.error().is_none() && partition.leader() >= 0);
                (found.len() == partitions as usize && led).then_some(())
            })
            .await
        })
        .await;
    }

    /// Deletes a topic; returns when it is gone.
    pub async fn delete(&self, topic: &str) {
        let deleted = self.admin().delete_topics(&[topic], &bounded()).await.expect("topics can be deleted");
        deleted.into_iter().for_each(|deleted| drop(deleted.unwrap_or_else(|why| panic!("{why:?}"))));
        until(&format!("{topic} is gone"), PATIENCE, async || {
            let (client, topic) = (self.admin(), topic.to_owned());
            blocking(move || {
                let metadata = client.inner().fetch_metadata(None, ASKING).ok()?;
                metadata.topics().iter().all(|found| found.name() != topic).then_some(())
            })
            .await
        })
        .await;
    }

    /// Deletes every record of a partition below this offset, read or not.
    pub async fn delete_records(&self, topic: &str, partition: i32, below: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(below)).unwrap();
        let admin = self.admin();
        let deleted = admin.delete_records(&offsets, &bounded()).await.expect("records can be deleted");
        for element in deleted.elements() {
            element.error().unwrap_or_else(|why| panic!("{topic}/{partition}: {why}"));
        }
    }

    /// Gives a topic this configuration in place of the one it has.
    pub async fn configure(&self, topic: &str, config: &[(&str, &str)]) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let change = config.iter().fold(change, |change, (key, value)| change.set(key, value));
        let changed =
            self.admin().alter_configs([&change], &bounded()).await.expect("topics can be configured");
        changed.into_iter().for_each(|changed| drop(changed.unwrap_or_else(|why| panic!("{why:?}"))));
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running broker");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    /// Stops the process where it stands (SIGSTOP): connections stay open, nothing is answered.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// Lets a stopped process go on.
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// Starts again on the same ports and folder, after [`Kafka::kill`] or in its place; returns when it is ready.
    pub async fn restart(&mut self) {
        self.restart_unready();
        self.ready().await;
    }

    /// As [`Kafka::restart`], without waiting.
    pub fn restart_unready(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        self.lives += 1;
        self.child = Some(self.command().spawn().expect("it starts"));
    }

    /// Waits until it answers for its topics.
    pub async fn ready(&mut self) {
        assert!(self.is_ready().await, "Kafka ended:\n{}", self.log());
    }

    /// What it has logged in its present life.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join(format!("broker-{}.log", self.lives))
    }

    /// Whether it became ready; not, if it ended, since somebody else took a port or an option is wrong.
    async fn is_ready(&mut self) -> bool {
        let (log, brokers, cluster) = (self.log_file(), self.brokers(), self.cluster.clone());
        let child = self.child.as_mut().expect("it was started");
        let ready = until("Kafka is ready", PATIENCE, async || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.contains("Kafka Server started").then_some(())?;
            let brokers = brokers.clone();
            let found = blocking(move || cluster_of(&client_config(&brokers), ASKING)).await;
            (found.as_ref() == Some(&cluster)).then_some(true)
        })
        .await;
        if !ready {
            self.child = None;
        }
        ready
    }

    fn command(&self) -> Command {
        std::fs::create_dir_all(self.folder()).expect("a folder");
        let log = File::create(self.log_file()).expect("the log can be written");
        let script = root().join("scripts/kafka");
        // It dies with the thread that starts it, so that a test that is killed leaves nothing behind either.
        let mut command = match Path::new(SETPRIV).exists() {
            true => Command::new(SETPRIV),
            false => Command::new(&script),
        };
        if command.get_program() == SETPRIV {
            command.args(["--pdeathsig", "KILL"]).arg(&script);
        }
        command.arg("run").arg(self.folder());
        command.args([self.port.to_string(), self.controller.to_string()]);
        command.arg(format!("cluster.id={}", self.cluster));
        if let Some(second) = &self.second {
            let Listener { protocol, port, advertised } = second;
            let own = format!("PLAINTEXT://127.0.0.1:{}", self.port);
            command.arg(format!(
                "listeners={own},SECOND://127.0.0.1:{port},CONTROLLER://127.0.0.1:{}",
                self.controller
            ));
            command.arg(format!("advertised.listeners={own},SECOND://{advertised}"));
            command.arg(format!(
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECOND:{protocol}"
            ));
        }
        command.args(self.options.iter().map(|(key, value)| format!("{key}={value}")));
        let out = log.try_clone().expect("the log");
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        command
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("a running broker").id().to_string();
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid).status().expect("kill can be run");
        assert!(status.success());
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let telling = |line: &&str| ["WARN", "ERROR", "FATAL"].iter().any(|word| line.contains(word));
            let lines: Vec<&str> = log.lines().filter(telling).collect();
            eprintln!(
                "--- the last warnings in Kafka's log\n{}\n---",
                lines[lines.len().saturating_sub(15)..].join("\n")
            );
        }
    }
}

/// A name for topics that no other test has.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the process's shared broker lives; those of processes that are gone are removed.
fn shared_folder() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("kafka-") else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    place.join(format!("kafka-{}", std::process::id()))
}

/// Started by a thread that never ends: the process is to outlive the test that needed it first.
fn spawn_for_ever(mut command: Command) -> Child {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tell.send(command.spawn().expect("it starts")).expect("somebody waits");
        loop {
            std::thread::park();
        }
    });
    told.recv().expect("a child")
}

/// What Kafka calls a cluster id: 16 bytes in URL-safe base64.
fn cluster_id() -> String {
    use base64::Engine;
    let bytes: [u8; 16] = rand::random();
    // A dash in front would be taken for an option.
    let coded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    coded.replace(['-', '_'], "A")
}

fn bounded() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

const SETPRIV: &str = "/usr/bin/setpriv";
const LAUNCHES: usize = 5;

/// One question to a broker.
const ASKING: Duration = Duration::from_secs(2);

/// Longer than a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_was_written_survives_a_kill_and_a_stop_and_nothing_survives_the_test() {
    use super::kafka_client::{ends, read_all, send};
    let mut kafka = Kafka::start(&[]).await;
    kafka.create("topic", 2, &[("flush.messages", "1")]).await;
    send(&kafka, "topic", Some("key"), b"value").await;
    kafka.kill();
    kafka.restart().await;
    kafka.stop();
    let asked = blocking({
        let config = kafka.client();
        move || cluster_of(&config, Duration::from_millis(300))
    });
    assert!(asked.await.is_none(), "it answers though it was stopped");
    kafka.cont();
    let records = read_all(&kafka, "topic").await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].key.as_deref(), records[0].value.as_deref()), (Some("key"), Some(&b"value"[..])));
    kafka.delete_records("topic", records[0].partition, 1).await;
    assert_eq!(read_all(&kafka, "topic").await.len(), 0);
    assert_eq!(ends(&kafka, "topic").await.iter().sum::<i64>(), 1);
    kafka.delete("topic").await;
    let (config, folder) = (kafka.client(), kafka.folder().to_owned());
    drop(kafka);
    assert!(blocking(move || cluster_of(&config, Duration::from_millis(300))).await.is_none());
    assert!(!folder.exists());
}

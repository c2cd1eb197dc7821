//! The workers of `examples/kafka/`, run as docs/KAFKA.md shows them, against a real gateway and a real Kafka.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::foreign::clients;
use crate::support::gateway::Setup;
use crate::support::kafka::{Kafka, root};
use crate::support::kafka_client::committed;
use crate::support::policy::Policy;
use crate::support::poll::until;

/// A worker's process and what it prints.
struct Example {
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Example {
    fn run(name: &str, kafka: &Kafka, topic: &str) -> Example {
        let file = root().join("examples/kafka").join(name);
        let mut command = match name.ends_with(".py") {
            true => {
                let python = clients().join("python/bin/python");
                assert!(python.exists(), "{} is missing: run `make test-clients`", python.display());
                let mut command = Command::new(python);
                command.arg("-B").arg(file);
                command
            }
            false => Command::new(file),
        };
        // The console consumer is to end with the script that started it, whatever ends that.
        let bound =
            if Path::new(SETPRIV).exists() { format!("{SETPRIV} --pdeathsig KILL ") } else { String::new() };
        let console = format!("{bound}{}", root().join("scripts/kafka").display());
        command
            .arg(topic)
            .env("KAFKA_BROKERS", kafka.brokers())
            .env("CONSUMER", format!("{console} tool org.apache.kafka.tools.consumer.ConsoleConsumer"));
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Example { lines, child }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it prints in time");
        line.unwrap().unwrap_or_else(|| panic!("it ended: {:?}", self.child.try_wait()))
    }
}

#[tokio::test]
async fn the_worker_in_python_does_every_job_and_commits_it() {
    works("worker.py").await;
}

#[tokio::test]
async fn the_worker_in_shell_does_every_job_and_commits_it() {
    works("worker.sh").await;
}

/// On a broker of its own: a worker that is killed is a member of its group for a while yet.
async fn works(name: &str) {
    let kafka = Kafka::start(&[]).await;
    for topic in TOPICS {
        kafka.create(topic, 1, &[]).await;
    }
    let setup = Setup::with(&Policy::calm()).set("backend", "kafka");
    let gateway = setup.set("kafka.brokers", &kafka.brokers()).start().await;
    let mut worker = Example::run(name, &kafka, "jobs.standard");
    for number in 0..5 {
        let id = gateway.accept("p1", &format!("job {number}")).await.id;
        assert_eq!(worker.line().await, format!("{id} job {number}"), "{name}");
    }
    until("everything is committed", PATIENCE, async || {
        (committed(&kafka, "workers", "jobs.standard").await == [Some(5)]).then_some(())
    })
    .await;
    until("the depth is nothing", PATIENCE, async || {
        let depth = gateway.metrics().await.count("tidegate_queue_depth", &[("tier", "p1")]);
        (depth == 0).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[test]
fn the_page_shows_the_workers_as_they_are() {
    let page = std::fs::read_to_string(root().join("docs/KAFKA.md")).unwrap();
    for name in ["worker.py", "worker.sh"] {
        let text = std::fs::read_to_string(root().join("examples/kafka").join(name)).unwrap();
        assert!(page.contains(text.trim_end()), "docs/KAFKA.md does not show {name} as it is");
    }
}

#[tokio::test]
async fn the_shipped_configuration_serves() {
    let kafka = Kafka::start(&[]).await;
    for topic in TOPICS {
        kafka.create(topic, 1, &[]).await;
    }
    let shipped = std::fs::read_to_string(root().join("config/kafka.yaml")).unwrap();
    let gateway = Setup::bare().config(&shipped).set("kafka.brokers", &kafka.brokers()).start().await;
    let receipt = gateway.accept("p0", "critical").await;
    assert_eq!((receipt.queue.as_str(), receipt.durability.as_str()), ("jobs:critical", "memory"));
    gateway.finish().await;
}

const SETPRIV: &str = "/usr/bin/setpriv";

const TOPICS: [&str; 3] = ["jobs.critical", "jobs.standard", "jobs.bulk"];

/// Longer than a worker may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

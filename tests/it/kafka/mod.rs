//! The gateway before a real Kafka: each test has topics or a broker of its own, and is client, worker and operator at once.

mod closed_loop;
mod cuts;
mod deleted;
mod durability;
mod examples;
mod keys;
mod kills;
mod leader;
mod lost;
mod outage;
mod placing;
mod purged;
mod records;
mod refusals;
mod stopped;
mod tls;

use std::time::Duration;

use crate::support::gateway::Setup;
use crate::support::kafka::{Kafka, unique};
use crate::support::kafka_client;
use crate::support::policy::Policy;
use crate::support::redis_worker::Taken;

/// Queues and a consumer group that no other test has.
#[derive(Clone, Debug)]
struct Place {
    name: String,
}

impl Place {
    /// Topics on this broker.
    async fn on(kafka: &Kafka, partitions: i32, config: &[(&str, &str)]) -> Place {
        let place = Place { name: unique("place") };
        for topic in place.topics() {
            kafka.create(&topic, partitions, config).await;
        }
        place
    }

    /// The topics, P0 first.
    fn topics(&self) -> [String; 3] {
        QUEUES.map(|queue| format!("{}.{queue}", self.name))
    }

    fn topic(&self, tier: usize) -> String {
        self.topics()[tier].clone()
    }

    /// Each place has a group of its own, by its name.
    fn group(&self) -> &str {
        &self.name
    }

    /// This policy with the queues of this place.
    fn policy(&self, policy: Policy) -> Policy {
        let queues = ["p0", "p1", "p2"].into_iter().zip(QUEUES);
        queues.fold(policy, |policy, (tier, queue)| {
            policy.tier(tier, "queue", &format!("\"{}:{queue}\"", self.name))
        })
    }

    /// A gateway that forwards to this broker.
    fn before(&self, kafka: &Kafka, policy: Policy) -> Setup {
        self.at(&kafka.brokers(), policy)
    }

    /// A gateway that forwards to the brokers there.
    fn at(&self, brokers: &str, policy: Policy) -> Setup {
        let setup = Setup::with(&self.policy(policy));
        let setup = setup.set("backend", "kafka").set("kafka.brokers", brokers);
        setup.set("kafka.group", self.group()).set("kafka.timeout", "2s")
    }

    /// Takes everything that the group has not committed, and commits.
    async fn drain_all(&self, kafka: &Kafka) -> Vec<Taken> {
        let mut taken = Vec::new();
        for topic in self.topics() {
            taken.extend(kafka_client::drain(kafka, self.group(), &topic).await);
        }
        taken
    }
}

const QUEUES: [&str; 3] = ["critical", "standard", "bulk"];

/// Waits and time to recover may take this long, whatever happened to Kafka.
const BOUND: Duration = Duration::from_secs(5);

/// A broker that was killed or had stood still needs this long itself, until it leads its topics again, before a gateway can
/// recover.
const BROKER_BACK: Duration = Duration::from_secs(20);

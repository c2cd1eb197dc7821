//! Asks the brokers about topics, and makes them. Calls that block run on threads of their own, bounded by `kafka.timeout`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use tokio::task::spawn_blocking;

use crate::queue::error::QueueError;
use crate::queue::kafka::checks::given::Given;
use crate::queue::kafka::checks::topic_fault::TopicFault;
use crate::queue::kafka::client;
use crate::queue::kafka::settings::KafkaSettings;

/// No broker answers, or none that may be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Kafka at {brokers} cannot be asked: {detail}")]
pub struct Unreachable {
    /// Where it was sought.
    pub brokers: String,
    /// What is wrong; no secrets.
    pub detail: String,
}

/// A client that asks.
pub(super) struct Asker {
    admin: Arc<AdminClient<DefaultClientContext>>,
    settings: KafkaSettings,
}

/// What the metadata say of a topic.
struct Shape {
    partitions: usize,
    replicas: usize,
    in_sync: usize,
}

impl Asker {
    pub(super) fn open(settings: &KafkaSettings) -> Result<Asker, KafkaError> {
        let admin = client::admin(settings).create::<AdminClient<_>>()?;
        Ok(Asker { admin: Arc::new(admin), settings: settings.clone() })
    }

    /// What each of these topics gives, in order.
    ///
    /// # Errors
    /// No broker answers.
    pub(super) async fn topics(
        &self,
        names: &[Arc<str>],
    ) -> Result<Vec<Result<Given, TopicFault>>, Unreachable> {
        let shapes = self.shapes(names).await?;
        let there: Vec<&str> =
            names.iter().zip(&shapes).filter(|(_, shape)| shape.is_ok()).map(|(name, _)| &**name).collect();
        let resources = self.settings_of(&there).await?;
        let given = |(name, shape): (&Arc<str>, Result<Shape, TopicFault>)| {
            shape.map(|shape| given(name, &shape, resources.iter().find(|resource| is_of(resource, name))))
        };
        Ok(names.iter().zip(shapes).map(given).collect())
    }

    /// Brokers of the cluster.
    ///
    /// # Errors
    /// No broker answers.
    pub(super) async fn brokers(&self) -> Result<usize, Unreachable> {
        let (admin, timeout) = (Arc::clone(&self.admin), self.settings.timeout);
        // Asked about some topic: asked about none, they would tell of all.
        let name = ANY_TOPIC;
        let asked = spawn_blocking(move || {
            admin.inner().fetch_metadata(Some(name), timeout).map(|metadata| metadata.brokers().len())
        });
        asked
            .await
            .map_err(|_| self.unreachable("the question was not asked"))?
            .map_err(|error| self.failed(&error))
    }

    /// Makes topics; tells of each whether it was made. One that is there already is left as it is.
    ///
    /// # Errors
    /// No broker answers.
    pub(super) async fn create(
        &self,
        topics: &[NewTopic<'_>],
    ) -> Result<Vec<Result<(), String>>, Unreachable> {
        let asked = self.admin.create_topics(topics, &self.options()).await;
        let results = asked.map_err(|error| self.failed(&error))?;
        Ok(results
            .into_iter()
            .map(|result| match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
                Err((_, code)) => Err(code.to_string()),
            })
            .collect())
    }

    async fn shapes(&self, names: &[Arc<str>]) -> Result<Vec<Result<Shape, TopicFault>>, Unreachable> {
        let (admin, names, timeout) = (Arc::clone(&self.admin), names.to_vec(), self.settings.timeout);
        let asked = spawn_blocking(move || {
            let mut shapes = Vec::with_capacity(names.len());
            for name in names {
                // The first that is not answered ends it: the others would not be either.
                let metadata = admin.inner().fetch_metadata(Some(&name), timeout)?;
                let topic = metadata.topics().iter().find(|topic| topic.name() == &*name);
                shapes.push(topic.map_or_else(
                    || Err(TopicFault::Missing { topic: name.clone() }),
                    |topic| shape(&name, topic),
                ));
            }
            Ok(shapes)
        });
        let shapes = asked.await.map_err(|_| self.unreachable("the question was not asked"))?;
        shapes.map_err(|error: KafkaError| self.failed(&error))
    }

    /// The settings of those topics that may be read.
    async fn settings_of(&self, names: &[&str]) -> Result<Vec<ConfigResource>, Unreachable> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let topics: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let asked = self.admin.describe_configs(&topics, &self.options()).await;
        Ok(asked.map_err(|error| self.failed(&error))?.into_iter().flatten().collect())
    }

    fn options(&self) -> AdminOptions {
        let wait = Some(self.settings.timeout);
        // The broker answers when topics are made, or has until the client gives up, less the way back.
        AdminOptions::new().request_timeout(wait).operation_timeout(wait.map(|wait| wait * 4 / 5))
    }

    fn failed(&self, error: &KafkaError) -> Unreachable {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut) => {
                let waited = humantime::format_duration(self.settings.timeout);
                self.unreachable(&format!("no broker answers within {waited} (kafka.timeout)"))
            }
            _ => self.unreachable(&client::said(&self.settings, error)),
        }
    }

    fn unreachable(&self, detail: &str) -> Unreachable {
        Unreachable { brokers: self.settings.brokers.clone(), detail: detail.to_owned() }
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("brokers", &self.settings.brokers).finish_non_exhaustive()
    }
}

impl Unreachable {
    /// The same, for whom asked the queue.
    pub fn to_queue_error(&self) -> QueueError {
        QueueError::Unavailable { detail: self.to_string() }
    }
}

fn shape(name: &Arc<str>, topic: &MetadataTopic) -> Result<Shape, TopicFault> {
    if let Some(error) = topic.error() {
        let code = RDKafkaErrorCode::from(error);
        return Err(match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                TopicFault::Missing { topic: Arc::clone(name) }
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => TopicFault::Forbidden { topic: Arc::clone(name) },
            code => TopicFault::Unclear { detail: format!("{name}: {code}") },
        });
    }
    let partitions = topic.partitions();
    let least = |count: &dyn Fn(&rdkafka::metadata::MetadataPartition) -> usize| {
        partitions.iter().map(count).min().unwrap_or(0)
    };
    Ok(Shape {
        partitions: partitions.len(),
        replicas: least(&|partition| partition.replicas().len()),
        in_sync: least(&|partition| partition.isr().len()),
    })
}

fn is_of(resource: &ConfigResource, name: &str) -> bool {
    matches!(&resource.specifier, OwnedResourceSpecifier::Topic(topic) if topic == name)
}

fn given(name: &Arc<str>, shape: &Shape, resource: Option<&ConfigResource>) -> Given {
    let text = |setting: &str| resource?.get(setting)?.value.as_deref();
    let number = |setting: &str| text(setting)?.parse::<u64>().ok();
    Given {
        topic: Arc::clone(name),
        partitions: shape.partitions,
        replicas: shape.replicas,
        in_sync: shape.in_sync,
        hidden: resource.is_none(),
        min_insync: number("min.insync.replicas").and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
        flush_messages: number("flush.messages").unwrap_or(u64::MAX),
        max_message_bytes: number("max.message.bytes"),
        // -1, which is no such number, is for ever.
        retention: number("retention.ms").map(Duration::from_millis),
        retention_bytes: number("retention.bytes"),
        compacts: text("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
    }
}

/// A topic that need not exist.
const ANY_TOPIC: &str = "jobs.dead_letter";

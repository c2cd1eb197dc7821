//! What one topic gives: how it keeps jobs, for how long, how large they may be; and the commands that change it.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::Requirement;
use crate::queue::Durability;
use crate::queue::kafka::checks::topic_fault::TopicFault;
use crate::queue::kafka::client;
use crate::queue::kafka::settings::KafkaSettings;

/// What a topic gives, as its settings and its replicas are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its name.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: usize,
    /// Copies of the partition that has the fewest.
    pub replicas: usize,
    /// Copies that are up to date, of the partition that has the fewest.
    pub in_sync: usize,
    /// Its settings may not be read: those below are guessed then, for the worst.
    pub hidden: bool,
    /// Copies that must have a job before it is confirmed.
    pub min_insync: usize,
    /// Records after which the log is written to disk.
    pub flush_messages: u64,
    /// The largest batch of records that it takes.
    pub max_message_bytes: Option<u64>,
    /// How long records are kept, read or not; for ever where it is none.
    pub retention: Option<Duration>,
    /// How many bytes of a partition are kept, read or not; all where it is none.
    pub retention_bytes: Option<u64>,
    /// Of records with one key only the last is kept.
    pub compacts: bool,
}

/// What the sentences about topics are made with.
#[derive(Clone, Debug)]
pub(super) struct Words {
    brokers: String,
    secured: bool,
    /// Bytes of the largest record.
    largest: u64,
    /// The limit it follows from.
    max_job_bytes: u64,
}

impl Words {
    pub(super) fn of(settings: &KafkaSettings) -> Words {
        Words {
            brokers: settings.brokers.clone(),
            secured: settings.properties.find("security.protocol").is_some(),
            largest: client::largest_message(settings),
            max_job_bytes: settings.max_job_bytes,
        }
    }

    /// Bytes of the largest record.
    pub(super) const fn largest(&self) -> u64 {
        self.largest
    }

    /// The command that changes a topic's settings.
    pub(super) fn alter(&self, topic: &str, settings: &str) -> String {
        format!(
            "kafka-configs.sh {} --alter --entity-type topics --entity-name {topic} --add-config {settings}",
            self.connection()
        )
    }

    fn connection(&self) -> String {
        let secured = if self.secured { " --command-config CLIENT.PROPERTIES" } else { "" };
        format!("--bootstrap-server {}{secured}", self.brokers)
    }
}

impl Given {
    /// What a receipt may say. Kafka confirms when every copy in sync has a job in its page cache: with two or more copies
    /// that is more than a machine, with one it is no disk.
    pub fn durability(&self) -> Durability {
        if self.min_insync >= 2 && self.replicas >= 2 {
            Durability::Replicated
        } else if self.flush_messages == 1 {
            Durability::Disk
        } else {
            Durability::Memory
        }
    }

    /// Why it is no better than memory.
    pub(super) const fn shortfall(&self) -> &'static str {
        if self.hidden {
            "the topic's settings may not be read"
        } else {
            "min.insync.replicas is below 2, and flush.messages is not 1"
        }
    }

    /// How long and how much is kept, read or not, in words.
    pub fn kept(&self) -> String {
        match (self.retention, self.retention_bytes) {
            (None, None) => "kept for ever".to_owned(),
            (Some(time), None) => format!("kept for {}", humantime::format_duration(time)),
            (None, Some(bytes)) => format!("{bytes} bytes of a partition are kept"),
            (Some(time), Some(bytes)) => {
                format!("kept for {}, at most {bytes} bytes of a partition", humantime::format_duration(time))
            }
        }
    }

    pub(super) fn fix(&self, required: Requirement, words: &Words) -> Option<String> {
        if self.durability().meets(required) {
            return None;
        }
        let topic = &*self.topic;
        if self.hidden {
            return Some(format!(
                "kafka-acls.sh {} --add --allow-principal USER --operation DescribeConfigs --topic {topic}",
                words.connection()
            ));
        }
        Some(match (required, self.replicas) {
            (_, 3..) => words.alter(topic, "min.insync.replicas=2"),
            (Requirement::Replicated, 2) => words.alter(topic, "min.insync.replicas=2"),
            (Requirement::Disk, _) => words.alter(topic, "flush.messages=1"),
            (Requirement::Replicated, _) => format!(
                "give {topic} 3 replicas (kafka-reassign-partitions.sh), then {}",
                words.alter(topic, "min.insync.replicas=2")
            ),
        })
    }

    pub(super) fn checked_size(self, words: &Words) -> Result<Given, TopicFault> {
        match self.max_message_bytes {
            Some(most) if most < words.largest => Err(TopicFault::TooSmall {
                most,
                max_job_bytes: words.max_job_bytes,
                needed: words.largest,
                fix: words.alter(&self.topic, &format!("max.message.bytes={}", words.largest)),
                topic: self.topic,
            }),
            _ => Ok(self),
        }
    }

    pub(super) fn checked_cleaning(self, words: &Words) -> Result<Given, TopicFault> {
        if self.compacts {
            let fix = words.alter(&self.topic, "cleanup.policy=delete");
            return Err(TopicFault::Compacted { topic: self.topic, fix });
        }
        Ok(self)
    }

    pub(super) fn checked_replicas(self, words: &Words) -> Result<Given, TopicFault> {
        if self.min_insync > self.replicas {
            return Err(TopicFault::NeverInSync {
                min_insync: self.min_insync,
                replicas: self.replicas,
                fix: words.alter(&self.topic, &format!("min.insync.replicas={}", self.replicas)),
                topic: self.topic,
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(replicas: usize, min_insync: usize, flush_messages: u64) -> Given {
        Given {
            topic: "jobs.bulk".into(),
            partitions: 3,
            replicas,
            in_sync: replicas,
            hidden: false,
            min_insync,
            flush_messages,
            max_message_bytes: Some(1_048_588),
            retention: Some(Duration::from_secs(604_800)),
            retention_bytes: None,
            compacts: false,
        }
    }

    fn words(max_job_bytes: u64) -> Words {
        Words::of(&KafkaSettings { max_job_bytes, ..KafkaSettings::default() })
    }

    const NEVER: u64 = i64::MAX as u64;

    #[test]
    fn a_receipt_says_what_kafka_waited_for() {
        for (replicas, min_insync, flush, durability) in [
            (1, 1, NEVER, Durability::Memory),
            (3, 1, NEVER, Durability::Memory),
            (3, 2, NEVER, Durability::Replicated),
            (2, 2, NEVER, Durability::Replicated),
            (1, 2, NEVER, Durability::Memory),
            (1, 1, 1, Durability::Disk),
            (3, 1, 1, Durability::Disk),
            (3, 2, 1, Durability::Replicated),
            (1, 1, 2, Durability::Memory),
        ] {
            assert_eq!(
                given(replicas, min_insync, flush).durability(),
                durability,
                "{replicas} {min_insync}"
            );
        }
    }

    #[test]
    fn the_fix_is_the_command_that_does_it() {
        let words = words(1_000_000);
        let fix =
            |replicas, min_insync, flush, required| given(replicas, min_insync, flush).fix(required, &words);
        assert_eq!(fix(3, 2, NEVER, Requirement::Replicated), None);
        assert_eq!(fix(1, 1, 1, Requirement::Disk), None);
        let start = "kafka-configs.sh --bootstrap-server 127.0.0.1:9092 --alter --entity-type topics --entity-name jobs.bulk --add-config ";
        let command = |settings| Some(format!("{start}{settings}"));
        assert_eq!(fix(1, 1, NEVER, Requirement::Disk), command("flush.messages=1"));
        assert_eq!(fix(3, 1, NEVER, Requirement::Disk), command("min.insync.replicas=2"));
        assert_eq!(fix(2, 1, NEVER, Requirement::Replicated), command("min.insync.replicas=2"));
        assert!(fix(1, 1, 1, Requirement::Replicated).unwrap().starts_with("give jobs.bulk 3 replicas"));
        let hidden = Given { hidden: true, ..given(3, 1, NEVER) };
        assert!(hidden.fix(Requirement::Disk, &words).unwrap().contains("DescribeConfigs"));
    }

    #[test]
    fn what_would_lose_or_refuse_jobs_is_no_topic_for_them() {
        assert!(given(1, 1, NEVER).checked_size(&words(1_000_000)).is_ok());
        let small = given(1, 1, NEVER).checked_size(&words(1_048_576)).unwrap_err().to_string();
        assert!(small.contains("max.message.bytes=1081344") && small.contains("1048576"), "{small}");
        let compacted = Given { compacts: true, ..given(1, 1, NEVER) };
        let told = compacted.checked_cleaning(&words(1)).unwrap_err().to_string();
        assert!(told.contains("cleanup.policy=delete"), "{told}");
        assert!(
            given(1, 2, NEVER).checked_replicas(&words(1)).unwrap_err().to_string().contains("replicas=1")
        );
        assert!(given(2, 2, NEVER).checked_replicas(&words(1)).is_ok());
    }

    #[test]
    fn retention_is_told_in_words() {
        let told = |retention, retention_bytes| Given { retention, retention_bytes, ..given(1, 1, 1) }.kept();
        assert_eq!(told(None, None), "kept for ever");
        assert_eq!(told(Some(Duration::from_secs(604_800)), None), "kept for 7days");
        assert_eq!(
            told(Some(Duration::from_secs(3600)), Some(5)),
            "kept for 1h, at most 5 bytes of a partition"
        );
    }
}

//! What is wrong with a topic: one sentence each, with the command that fixes it.

use std::sync::Arc;

use crate::queue::error::QueueError;

/// Why a topic cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicFault {
    /// It is not there.
    #[error("the topic {topic} does not exist: run `tidegate kafka init`")]
    Missing {
        /// Which.
        topic: Arc<str>,
    },
    /// Nobody says whether it is there.
    #[error(
        "this user may not see the topic {topic}: allow Describe and DescribeConfigs on it, and Write (kafka-acls.sh)"
    )]
    Forbidden {
        /// Which.
        topic: Arc<str>,
    },
    /// The largest job does not fit.
    #[error(
        "the topic {topic} takes records of up to {most} bytes (max.message.bytes), and limits.max_job_bytes \
         ({max_job_bytes}) needs {needed} with room for headers: {fix}"
    )]
    TooSmall {
        /// Which.
        topic: Arc<str>,
        /// What it takes.
        most: u64,
        /// What clients may send.
        max_job_bytes: u64,
        /// What it should take.
        needed: u64,
        /// The command.
        fix: String,
    },
    /// Jobs of one ordering key would replace one another.
    #[error(
        "the topic {topic} is compacted: of jobs with one ordering key it would keep only the last: {fix}"
    )]
    Compacted {
        /// Which.
        topic: Arc<str>,
        /// The command.
        fix: String,
    },
    /// Dead letters that were replayed or purged would never go.
    #[error(
        "the topic {topic} is not compacted: dead letters would be deleted by age, and purged ones would stay: {fix}"
    )]
    NotCompacted {
        /// Which.
        topic: Arc<str>,
        /// The command.
        fix: String,
    },
    /// It never takes a job.
    #[error(
        "the topic {topic} has {replicas} replica(s) and wants {min_insync} in sync (min.insync.replicas), so it never \
         takes a job: {fix}"
    )]
    NeverInSync {
        /// Which.
        topic: Arc<str>,
        /// Copies there must be.
        min_insync: usize,
        /// Copies there are.
        replicas: usize,
        /// The command.
        fix: String,
    },
    /// Kafka gave no answer that tells.
    #[error("the topic cannot be looked at: {detail}")]
    Unclear {
        /// What it said.
        detail: String,
    },
}

impl TopicFault {
    /// The same, for whom asked the queue.
    pub fn to_queue_error(&self) -> QueueError {
        QueueError::Unavailable { detail: self.to_string() }
    }
}

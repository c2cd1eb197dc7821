//! The bounds on what clients can make the server hold.

use std::fmt::{self, Display};
use std::time::Duration;

/// Every bound of the HTTP side; each has its answer when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one job: 413 beyond.
    pub max_job_bytes: u64,
    /// Bytes of one batch: 413 beyond.
    pub max_batch_bytes: u64,
    /// Jobs of one batch: 413 beyond.
    pub max_batch_jobs: u64,
    /// Open connections served per listener: a few more are answered once and closed, with 503 `overloaded` unless their
    /// request is critical; those beyond them wait in the kernel's queue.
    pub max_connections: usize,
    /// Body bytes held in memory at once, over all requests: 503 `overloaded` beyond.
    pub max_in_flight_bytes: u64,
    /// From the head of a request to its answer: 408 if the client was slow, 504 if the queue was.
    pub request_timeout: Duration,
    /// To send a request's head.
    pub header_timeout: Duration,
}

impl Limits {
    /// Batches read at once, so many that each can hold a mebibyte: 503 `overloaded` beyond.
    pub fn max_open_batches(&self) -> u64 {
        (self.max_in_flight_bytes / ROOM_PER_BATCH).max(LEAST_BATCHES)
    }

    /// Long polls that wait at once, half as many as connections, so that workers leave room for clients: 503
    /// `overloaded` beyond, unless there are jobs at once.
    pub fn max_waiting_polls(&self) -> u64 {
        u64::try_from(self.max_connections / 2).unwrap_or(u64::MAX).max(1)
    }
}

/// One bound on what a request brings, as clients are told of it: with the way round it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// Payload bytes of a job.
    JobBytes(u64),
    /// Bytes of a batch.
    BatchBytes(u64),
    /// Jobs of a batch.
    BatchJobs(u64),
    /// Bytes of a call by a worker or an operator.
    CallBytes(u64),
    /// Leases named in one call.
    CallLeases(u64),
    /// Bytes of a policy to be checked.
    PolicyBytes(u64),
}

impl SizeLimit {
    /// As much may be.
    pub const fn most(self) -> u64 {
        match self {
            SizeLimit::JobBytes(most)
            | SizeLimit::BatchBytes(most)
            | SizeLimit::BatchJobs(most)
            | SizeLimit::CallBytes(most)
            | SizeLimit::CallLeases(most)
            | SizeLimit::PolicyBytes(most) => most,
        }
    }
}

impl Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeLimit::JobBytes(most) => write!(
                f,
                "a job has at most {most} bytes: store the payload elsewhere and post a reference to it (claim check)"
            ),
            SizeLimit::BatchBytes(most) => {
                write!(f, "a batch has at most {most} bytes: send it in smaller batches")
            }
            SizeLimit::BatchJobs(most) => {
                write!(f, "a batch has at most {most} jobs: send it in smaller batches")
            }
            SizeLimit::CallLeases(most) => {
                write!(f, "a call names at most {most} leases: ask about fewer at a time")
            }
            SizeLimit::PolicyBytes(most) => {
                write!(f, "a policy has at most {most} bytes: leave out what the defaults say")
            }
            SizeLimit::CallBytes(most) => {
                write!(f, "the body has at most {most} bytes: ask about fewer at a time")
            }
        }
    }
}

/// What a batch of lines holds about: the jobs that are collected to be stored together, and a line.
const ROOM_PER_BATCH: u64 = 1024 * 1024;

/// Also where little memory is allowed, a few batches are read beside each other.
const LEAST_BATCHES: u64 = 4;

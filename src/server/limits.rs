//! The bounds on what clients can make the server hold.

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
    /// Open connections per listener: further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Body bytes held in memory at once, over all requests: 503 `overloaded` beyond.
    pub max_in_flight_bytes: u64,
    /// From the head of a request to its answer: 408 if the client was slow, 504 if the queue was.
    pub request_timeout: Duration,
    /// To send a request's head.
    pub header_timeout: Duration,
}

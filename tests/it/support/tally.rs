//! The clients' own count of jobs and answers, to compare with the gateway's.

use std::sync::atomic::{AtomicU64, Ordering};

/// What clients were answered since the gateway started.
#[derive(Debug, Default)]
pub struct Tally {
    admitted: AtomicU64,
    duplicate: AtomicU64,
    refused: AtomicU64,
    invalid: AtomicU64,
    /// Requests whose counting the contract leaves open, or whose answer was never read.
    open: AtomicU64,
}

/// A tally at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub admitted: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub invalid: u64,
    pub open: u64,
}

impl Tally {
    /// Counts one job that was answered with an earlier receipt.
    pub fn duplicate(&self) {
        self.duplicate.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one job by the status of its answer.
    pub fn job(&self, status: u16) {
        match status {
            202 => self.admitted.fetch_add(1, Ordering::Relaxed),
            429 | 503 | 504 => self.refused.fetch_add(1, Ordering::Relaxed),
            400..=499 => self.invalid.fetch_add(1, Ordering::Relaxed),
            other => panic!("no status of a job: {other}"),
        };
    }

    /// Counts one request that may be counted or not.
    pub fn open(&self, requests: u64) {
        self.open.fetch_add(requests, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        Counts {
            admitted: self.admitted.load(Ordering::Relaxed),
            duplicate: self.duplicate.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            invalid: self.invalid.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
        }
    }

    /// Counters start again with the process.
    pub fn restart(&self) {
        for count in [&self.admitted, &self.duplicate, &self.refused, &self.invalid, &self.open] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

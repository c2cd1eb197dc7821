//! What can go wrong with a queue.

/// Why jobs were not stored, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The queue cannot take jobs now; nothing was stored.
    #[error("the queue cannot store jobs now: {detail}")]
    Unavailable {
        /// What is wrong, for the client and the log; no paths, no secrets.
        detail: String,
    },
    /// The queue's own bound on bytes is reached; nothing was stored.
    #[error("the queue is full: {detail}")]
    Full {
        /// Which bound.
        detail: String,
    },
    /// A job is larger than the backend takes; nothing was stored.
    #[error("the queue does not take a job so large: {detail}")]
    TooLarge {
        /// Which bound.
        detail: String,
    },
    /// More waits to be stored than the gateway keeps in memory; nothing was stored.
    #[error("too many jobs wait to be stored")]
    Overloaded,
    /// The queue is closed; nothing was stored.
    #[error("the queue is closed")]
    Closed,
    /// Whether the jobs were stored cannot be known.
    #[error("it is not known whether the jobs were stored")]
    Unknown,
}

impl StoreError {
    /// In one word, as spans name it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Full { .. } => "full",
            StoreError::TooLarge { .. } => "too_large",
            StoreError::Overloaded => "overloaded",
            StoreError::Closed => "closed",
            StoreError::Unknown => "unknown",
        }
    }
}

/// Why a queue cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The page asked for begins where no page said that the next one does.
    #[error("after is not the next of an earlier page")]
    BadPage,
    /// The storage failed.
    #[error("the queue's storage failed: {detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
    },
    /// As many polls wait for a job as may.
    #[error("as many workers wait for a job as may")]
    TooManyPolls,
    /// The queue is closed.
    #[error("the queue is closed")]
    Closed,
}

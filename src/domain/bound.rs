//! The bounds by which the gateway protects itself.

/// What a request was too much for: why it was answered `overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Open connections per listener.
    Connections,
    /// Bytes of request bodies held in memory.
    Bytes,
    /// Batches being read.
    Batches,
    /// Long polls that wait for a job.
    Polls,
    /// Jobs that wait to be stored.
    Store,
    /// The request's time, used up by a queue that stores slowly.
    Time,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Bound; 6] =
        [Bound::Connections, Bound::Bytes, Bound::Batches, Bound::Polls, Bound::Store, Bound::Time];

    /// The bound as dashboards see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Bound::Connections => "connections",
            Bound::Bytes => "bytes",
            Bound::Batches => "batches",
            Bound::Polls => "polls",
            Bound::Store => "store",
            Bound::Time => "time",
        }
    }
}

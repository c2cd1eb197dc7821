//! What the queue's callers, its writer and its reader share, and how they tell each other.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ErrorCode;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::tier::Tier;
use crate::domain::time::{Moment, Timestamp};
use crate::queue::Durability;
use crate::queue::embedded::inbox::Inbox;
use crate::queue::embedded::line::Load;
use crate::queue::embedded::reader::{Loaded, Request};
use crate::queue::embedded::state::{ReadFailure, State};
use crate::queue::error::QueueError;

/// The meeting point. Its locks are held for a moment only, never across a wait or a read; who holds the state may
/// lock the inbox, never the other way round.
#[derive(Debug)]
pub(super) struct Shared {
    /// The clocks.
    pub clock: Clock,
    /// What a receipt says.
    pub durability: Durability,
    /// What waits for the writer.
    pub inbox: Inbox,
    /// True once the file is closed.
    pub closed: watch::Sender<bool>,
    /// Bytes that the file holds, as of the last transaction.
    pub used_bytes: AtomicU64,
    state: Mutex<State>,
    requests: SyncSender<Request>,
}

impl Shared {
    pub(super) fn new(
        clock: Clock,
        durability: Durability,
        state: State,
        used_bytes: u64,
        requests: SyncSender<Request>,
    ) -> Shared {
        let state = Mutex::new(state);
        Shared {
            clock,
            durability,
            inbox: Inbox::default(),
            closed: watch::Sender::new(false),
            used_bytes: AtomicU64::new(used_bytes),
            state,
            requests,
        }
    }

    /// The state, for a moment.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both clocks.
    pub(super) fn now(&self) -> (Moment, Timestamp) {
        (self.clock.now(), self.clock.wall())
    }

    /// Lets the reader fetch what the lines lack, and wakes who waits for what they have.
    pub(super) fn stir(&self, state: &mut State) {
        for tier in Tier::ALL {
            // What cannot be read is tried again when the writer found the storage working, not at once and for ever.
            if state.unreadable.is_none()
                && let Some(load) = state.lines[tier].load()
                && let Err(refused) = self.requests.try_send(Request::Load(tier, load))
                && let TrySendError::Full(Request::Load(_, load))
                | TrySendError::Disconnected(Request::Load(_, load)) = refused
            {
                state.lines[tier].load_failed(load);
            }
            if state.lines[tier].has_jobs() {
                state.polls.wake(tier);
            }
        }
    }

    /// Asks the reader.
    pub(super) fn ask(&self, request: Request) -> Result<(), QueueError> {
        let busy = |_| QueueError::Unavailable { detail: "too many requests for dead letters".into() };
        self.requests.try_send(request).map_err(busy)
    }

    /// Ends the reader.
    pub(super) fn stop_reader(&self) {
        let _ = self.requests.send(Request::Stop);
    }

    /// Takes in what the reader fetched.
    pub(super) fn loaded(&self, tier: Tier, result: rusqlite::Result<Loaded>, load: Load) {
        let failed = result.as_ref().err().map(|error| self.read_failed(error));
        let mut state = self.state();
        let line = &mut state.lines[tier];
        match result {
            Ok(Loaded::Next(jobs, read_to)) => line.loaded_next(jobs, read_to),
            Ok(Loaded::These(jobs, missing, rest)) => line.loaded_these(jobs, missing, rest),
            Err(_) => line.load_failed(load),
        }
        if failed.is_some() {
            state.polls.wake_all();
        } else {
            self.stir(&mut state);
        }
    }

    /// Notes that the storage cannot be read.
    pub(super) fn read_failed(&self, error: &rusqlite::Error) -> QueueError {
        let detail = detail(error);
        let failure = if is_damage(error) { ReadFailure::Damage } else { ReadFailure::Storage };
        let mut state = self.state();
        state.outage = Some(detail.clone());
        let first = state.unreadable.replace(failure).is_none();
        drop(state);
        if first {
            tracing::error!(error = %error, "the queue's file cannot be read");
        }
        self.inbox.set_outage(Some(&detail));
        // The writer looks when the outage is over.
        self.inbox.poke();
        QueueError::Unavailable { detail }
    }
}

/// What clients and operators are told of an error of the storage: no paths.
pub(super) fn detail(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full".into(),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "the disk is read-only".into(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            "the disk cannot be read or written".into()
        }
        _ if is_damage(error) => "the queue's file is damaged".into(),
        _ => "the queue's storage failed".into(),
    }
}

/// Whether the error says that the file's content is wrong: nothing heals that while the process runs.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, InvalidQuery,
    };
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, InvalidQuery | InvalidColumnType(..) | IntegralValueOutOfRange(..))
        || matches!(error, FromSqlConversionFailure(..))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use rusqlite::ffi;

    use crate::clock::Clock;
    use crate::domain::tier::TierMap;
    use crate::policy::{Ordering, RetryPolicy};
    use crate::queue::JobQueue;
    use crate::queue::embedded::EmbeddedQueue;
    use crate::queue::embedded::settings::{EmbeddedDurability, EmbeddedSettings, TierRules};
    use crate::queue::keys::KeySettings;

    fn open(folder: &Path) -> EmbeddedQueue {
        let settings = EmbeddedSettings {
            path: folder.join("queue.db"),
            durability: EmbeddedDurability::Disk,
            max_bytes: 1 << 30,
            keys: KeySettings::default(),
        };
        let retry =
            RetryPolicy { attempts: 3, backoff: Duration::from_secs(1), max_backoff: Duration::from_secs(1) };
        let rules = TierRules { weight: 1, retry, ordering: Ordering::Pass };
        EmbeddedQueue::open(&settings, TierMap::from_fn(|_| rules), Clock::start()).unwrap()
    }

    fn read_fails(queue: &EmbeddedQueue, code: i32) {
        let _ = queue.shared.read_failed(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(queue.check_own_disk().is_err());
    }

    fn recovers(queue: &EmbeddedQueue, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while queue.check_own_disk().is_err() && Instant::now() < end {
            std::thread::yield_now();
        }
        queue.check_own_disk().is_ok()
    }

    #[test]
    fn a_read_that_failed_once_does_not_shut_the_queue_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        read_fails(&queue, ffi::SQLITE_IOERR);
        assert!(recovers(&queue, Duration::from_secs(20)));
    }

    #[test]
    fn a_damaged_file_stays_refused() {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(folder.path());
        read_fails(&queue, ffi::SQLITE_CORRUPT);
        assert!(!recovers(&queue, Duration::from_secs(1)));
    }
}

//! The policy in force while the gateway runs.
//!
//! One task owns it, the [`Keeper`](keeper::Keeper): news of the file, SIGHUP and what operators ask come to it, in their
//! order, and what it decides is published: the policy to requests, the [`Board`](board::Board) to status. A document is
//! held to what the running backend can give ([`terms`]) before it acts; one with faults changes nothing.

pub mod board;
pub mod history;
pub mod keeper;
mod shadowing;
pub mod terms;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::runtime::reload::board::Board;
use crate::runtime::reload::terms::Terms;
use crate::yaml::fault::{Fault, Faults};

/// Where a policy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was there when the gateway started.
    Start,
    /// The file changed.
    File,
    /// SIGHUP.
    Signal,
    /// An operator asked for the file to be read.
    Request,
    /// An operator took an earlier one back.
    Rollback,
}

impl Source {
    /// The word in status and history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Start => "start",
            Source::File => "file",
            Source::Signal => "signal",
            Source::Request => "request",
            Source::Rollback => "rollback",
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another policy is in force.
    Applied,
    /// The document has faults: the policy in force stays.
    Rejected,
    /// It says what is in force already, or what the rollback holds against.
    Unchanged,
}

impl Outcome {
    /// The word in status and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Rejected => "rejected",
            Outcome::Unchanged => "unchanged",
        }
    }
}

/// The answer to an operator whose wish was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Applied or unchanged.
    pub outcome: Outcome,
    /// The revision in force now.
    pub revision: String,
    /// Whether it is held against the file.
    pub pinned: bool,
    /// What is doubtful about it.
    pub warnings: Vec<Fault>,
}

/// Why an operator's wish was not met; the policy in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The document cannot be used.
    #[error("the policy cannot be used: the one in force stays")]
    Faulty(Faults),
    /// The history has no such revision.
    #[error("no policy of this revision is in the history")]
    Unknown,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// What operators can ask of the keeper, and see. Cheap to clone.
#[derive(Clone)]
pub struct PolicyDesk {
    requests: mpsc::Sender<Request>,
    board: Arc<ArcSwap<Board>>,
    terms: Terms,
}

/// A wish, and where the answer goes.
struct Request {
    wish: Wish,
    answer: oneshot::Sender<Result<Done, ReloadError>>,
}

enum Wish {
    Reload,
    Rollback(String),
}

impl PolicyDesk {
    /// Reads the file now.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub async fn reload(&self) -> Result<Done, ReloadError> {
        self.ask(Wish::Reload).await
    }

    /// Puts an earlier policy in force again, until the file changes.
    ///
    /// # Errors
    /// [`ReloadError`].
    pub async fn roll_back(&self, revision: String) -> Result<Done, ReloadError> {
        self.ask(Wish::Rollback(revision)).await
    }

    /// What is in force, what was tried last, what was in force before.
    pub fn board(&self) -> Arc<Board> {
        self.board.load_full()
    }

    /// What the running backend asks of a policy.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    async fn ask(&self, wish: Wish) -> Result<Done, ReloadError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { wish, answer }).await.map_err(|_| ReloadError::Stopping)?;
        answered.await.unwrap_or(Err(ReloadError::Stopping))
    }
}

/// Wishes that may wait; further operators wait for their turn to wait.
const MOST_REQUESTS: usize = 16;

//! The owner of the policy in force: takes in every wish to change it, one after the other, and publishes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::policy::Policy;
use crate::policy::compile::Compiled;
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::embedded::settings::TierRules;
use crate::queue::spool::SpooledQueue;
use crate::queue::spool::settings::spooling;
use crate::runtime::admission::Admission;
use crate::runtime::file_watch::{Content, WatchedFile, is_same, read_settled};
use crate::runtime::reload::board::{Attempt, Board, Candidate};
use crate::runtime::reload::history::History;
use crate::runtime::reload::shadowing::Shadowing;
use crate::runtime::reload::terms::Terms;
use crate::runtime::reload::{Done, MOST_REQUESTS, Outcome, PolicyDesk, ReloadError, Request, Source, Wish};
use crate::runtime::shadow::candidate::unreadable;
use crate::runtime::share::Share;
use crate::runtime::signals::HangUps;
use crate::telemetry::metrics::Metrics;
use crate::yaml::fault::{Fault, Faults};
use crate::yaml::node::Place;

/// The task that owns the policy in force.
pub struct Keeper {
    policy: Arc<ArcSwap<Policy>>,
    admission: Admission,
    followers: Followers,
    terms: Terms,
    clock: Clock,
    metrics: Arc<Metrics>,
    file: WatchedFile,
    /// The file's content as it was last seen, good or bad; `None` as long as there never was a file.
    seen: Option<Content>,
    /// What was last read of it: a file that is gone and comes back as it was has not changed.
    read: Option<Arc<[u8]>>,
    /// The bad content that the log has told of.
    told: Option<Content>,
    shadowing: Shadowing,
    requests: mpsc::Receiver<Request>,
    board: Arc<ArcSwap<Board>>,
}

/// What the keeper needs of the running gateway.
pub struct Parts {
    /// Where requests find the policy in force; the one that is there acts since the start.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The gate.
    pub admission: Admission,
    /// What else goes by the policy.
    pub followers: Followers,
    /// What the backend asks of a policy.
    pub terms: Terms,
    /// The clocks.
    pub clock: Clock,
    /// Where reloads are counted.
    pub metrics: Arc<Metrics>,
    /// The policy's file.
    pub file: PathBuf,
    /// Whether the policy in force came from it; else it is the built-in one.
    pub from_file: bool,
}

/// Who goes by the policy beside requests and gate, and is told of another one.
pub struct Followers {
    /// The embedded queue: shares, retries, order.
    pub leases: Option<Arc<EmbeddedQueue>>,
    /// The spool: which tiers use it.
    pub spool: Option<Arc<SpooledQueue>>,
    /// The exchange between replicas: the time between two steps.
    pub share: Option<Share>,
    /// The control loop: the same.
    pub interval: watch::Sender<Duration>,
}

impl Followers {
    fn follow(&self, policy: &Policy) {
        if let Some(leases) = &self.leases {
            leases.set_rules(TierRules::of(policy));
        }
        if let Some(spool) = &self.spool {
            spool.set_tiers(spooling(policy));
        }
        let interval = policy.regulator.controller.interval;
        if let Some(share) = &self.share {
            share.set_interval(interval);
        }
        self.interval.send_if_modified(|known| std::mem::replace(known, interval) != interval);
    }
}

impl Keeper {
    /// The keeper of a running gateway's policy, and the desk at which operators reach it once it [runs](Self::run).
    ///
    /// # Errors
    /// There is no thread to watch the file.
    pub fn new(parts: Parts) -> io::Result<(Keeper, PolicyDesk)> {
        let Parts { policy, admission, followers, terms, clock, metrics, file, from_file } = parts;
        let (sender, requests) = mpsc::channel(MOST_REQUESTS);
        let acting = policy.load_full();
        let board = Arc::new(ArcSwap::from_pointee(Board {
            revision: acting.revision.clone(),
            loaded_at: clock.wall(),
            source: Source::Start,
            pinned: false,
            file: file.clone(),
            last_reload: None,
            history: Arc::new(History::begun(&acting, clock.wall())),
            shadow: Candidate::None,
        }));
        let desk = PolicyDesk { requests: sender, board: Arc::clone(&board), terms: terms.clone() };
        let read: Option<Arc<[u8]>> = from_file.then(|| Arc::from(acting.document.as_bytes()));
        let mut keeper = Keeper {
            policy,
            admission,
            followers,
            terms,
            clock,
            metrics,
            file: WatchedFile::watch(&file)?,
            seen: read.clone().map(Ok),
            read,
            told: None,
            shadowing: Shadowing::default(),
            requests,
            board,
        };
        keeper.follow_candidate(&acting);
        Ok((keeper, desk))
    }

    /// Runs for ever.
    pub async fn run(mut self, mut hang_ups: HangUps) {
        loop {
            select! {
                content = self.file.changed() => self.file_changed(content).await,
                content = self.shadowing.changed() => self.candidate_changed(content).await,
                () = hang_ups.next() => {
                    let _ = self.reload(Source::Signal).await;
                }
                Some(Request { wish, answer }) = self.requests.recv() => {
                    let done = match wish {
                        Wish::Reload => self.reload(Source::Request).await,
                        Wish::Rollback(revision) => self.roll_back(&revision).await,
                    };
                    // Whoever asked may have gone; what was done is done.
                    let _ = answer.send(done);
                }
            }
        }
    }

    /// The watch has news; they may be what an operator had read already.
    async fn file_changed(&mut self, content: Content) {
        let never_there = self.seen.is_none() && content.is_err();
        if !never_there && !self.has_seen(&content) {
            let _ = self.take(Source::File, content).await;
        }
    }

    /// Reads the file now, as soon as nobody writes it.
    async fn reload(&mut self, source: Source) -> Result<Done, ReloadError> {
        let path = self.file.path().to_owned();
        let read = timeout(READ_TIME, spawn_blocking(move || read_settled(&path))).await;
        let content = match read {
            Ok(Ok(Some(content))) => content,
            Ok(Ok(None)) => {
                let list = vec![Fault::error(Place::Document, "", BEING_WRITTEN)];
                let document = self.file.path().display().to_string();
                return Err(self.rejected(source, Faults { document, list }, None));
            }
            Ok(Err(_)) => Err(Arc::new(io::Error::other("it could not be read"))),
            Err(_) => Err(Arc::new(io::ErrorKind::TimedOut.into())),
        };
        if self.seen.is_none() && content.is_err() {
            // The built-in policy needs no file.
            return Ok(self.unchanged(source));
        }
        self.take(source, content).await
    }

    /// Takes in what the file holds.
    async fn take(&mut self, source: Source, content: Content) -> Result<Done, ReloadError> {
        self.seen = Some(content.clone());
        let bytes = match &content {
            Ok(bytes) => Arc::clone(bytes),
            Err(error) => {
                let faults = unreadable(self.file.path(), error);
                return Err(self.rejected(source, faults, Some(content)));
            }
        };
        let same = self.read.replace(Arc::clone(&bytes)).is_some_and(|known| known == bytes);
        let held = same && self.board.load().pinned;
        if !held && *bytes == *self.policy.load().document.as_bytes() {
            self.told = None;
            self.show(|board| board.pinned = false);
            return Ok(self.unchanged(source));
        }
        let name = self.file.path().display().to_string();
        match self.checked(bytes.to_vec(), name, Terms::policy).await {
            Ok(_) if held => {
                self.told = None;
                Ok(self.unchanged(source))
            }
            Ok(compiled) => Ok(self.put_in_force(source, compiled).await),
            Err(faults) => Err(self.rejected(source, faults, Some(content))),
        }
    }

    /// Puts a policy of the history in force again.
    async fn roll_back(&mut self, revision: &str) -> Result<Done, ReloadError> {
        let document = self.board.load().history.document(revision).ok_or(ReloadError::Unknown)?;
        if revision == self.policy.load().revision {
            self.show(|board| board.pinned = true);
            return Ok(self.unchanged(Source::Rollback));
        }
        let name = format!("revision {revision}");
        // Whatever it says: it was in force.
        match self.checked(document.as_bytes().to_vec(), name, Terms::earlier_policy).await {
            Ok(compiled) => Ok(self.put_in_force(Source::Rollback, compiled).await),
            Err(faults) => Err(self.rejected(Source::Rollback, faults, None)),
        }
    }

    /// The policy of a document, held to what the backend gives; on a thread that may take its time.
    async fn checked(&self, document: Vec<u8>, name: String, check: Check) -> Result<Compiled, Faults> {
        let (terms, acting, called) = (self.terms.clone(), self.policy.load_full(), name.clone());
        let checked = spawn_blocking(move || check(&terms, document, &called, &acting)).await;
        checked.unwrap_or_else(|_| {
            let fault = Fault::error(Place::Document, "", "the compiler failed on it: please report this");
            Err(Faults { document: name, list: vec![fault] })
        })
    }

    /// Another policy takes force: first for gate and requests, in one moment, then for all that follow.
    async fn put_in_force(&mut self, source: Source, compiled: Compiled) -> Done {
        let Compiled { policy, warnings } = compiled;
        let policy = Arc::new(policy);
        let publish = || self.policy.store(Arc::clone(&policy));
        self.admission.put_in_force(&policy.regulator, publish);
        self.followers.follow(&policy);
        let (at, pinned) = (self.clock.wall(), source == Source::Rollback);
        self.told = None;
        let revision = policy.revision.clone();
        info!(revision, source = source.as_str(), "another policy is in force");
        for warning in warnings.to_string().lines() {
            warn!(warning, "the policy works, and probably not as meant");
        }
        self.show(|board| {
            (board.revision, board.loaded_at, board.source) = (policy.revision.clone(), at, source);
            board.pinned = pinned;
        });
        let doubts = warnings.list.clone();
        self.attempted(source, Outcome::Applied, warnings);
        self.follow_candidate(&policy);
        // A diff of long documents takes its time; the policy acts meanwhile.
        let mut history = History::clone(&self.board.load().history);
        let added = spawn_blocking(move || {
            history.add(&policy, source, at);
            history
        });
        if let Ok(history) = added.await {
            self.show(|board| board.history = Arc::new(history));
        }
        Done { outcome: Outcome::Applied, revision, pinned, warnings: doubts }
    }

    fn unchanged(&self, source: Source) -> Done {
        let name = self.file.path().display().to_string();
        self.attempted(source, Outcome::Unchanged, Faults { document: name, list: Vec::new() });
        let board = self.board.load();
        let (revision, pinned) = (board.revision.clone(), board.pinned);
        Done { outcome: Outcome::Unchanged, revision, pinned, warnings: Vec::new() }
    }

    /// The policy in force stays; the log tells once of each content.
    fn rejected(&mut self, source: Source, faults: Faults, content: Option<Content>) -> ReloadError {
        let known = |content: &Content| self.told.as_ref().is_some_and(|told| is_same(told, content));
        if !content.as_ref().is_some_and(known) {
            let acting = self.policy.load();
            let told = told(&faults);
            error!(
                source = source.as_str(),
                in_force = acting.revision,
                faults = told,
                "the policy is rejected"
            );
        }
        if content.is_some() {
            self.told = content;
        }
        self.attempted(source, Outcome::Rejected, faults.clone());
        ReloadError::Faulty(faults)
    }

    fn attempted(&self, source: Source, outcome: Outcome, faults: Faults) {
        self.metrics.policy_reload(outcome.as_str());
        let (at, faults) = (self.clock.wall(), Arc::new(faults));
        self.show(|board| board.last_reload = Some(Attempt { at, source, outcome, faults }));
    }

    fn has_seen(&self, content: &Content) -> bool {
        self.seen.as_ref().is_some_and(|seen| is_same(seen, content))
    }

    /// Watches the candidate that this policy names, if it names one.
    fn follow_candidate(&mut self, policy: &Policy) {
        match self.shadowing.follow(policy.shadow.as_ref(), self.file.path()) {
            // Its counts are about another acting policy.
            Ok(false) => self.admission.shadow().count_anew(),
            Ok(true) => {
                self.admission.shadow().clear();
                self.show(|board| board.shadow = Candidate::None);
            }
            Err(faulty) => self.show_candidate(faulty),
        }
    }

    /// The candidate's file has other content.
    async fn candidate_changed(&mut self, content: Content) {
        let candidate = self.shadowing.candidate(content, &self.admission).await;
        self.show_candidate(candidate);
    }

    fn show_candidate(&self, candidate: Candidate) {
        if let Candidate::Faulty { file, faults } = &candidate {
            self.admission.shadow().clear();
            let (file, faults) = (file.display().to_string(), told(faults));
            error!(file, faults, "the candidate cannot be tried: nothing is in the shadow");
        }
        if let Candidate::On { file, revision } = &candidate {
            info!(file = %file.display(), revision, "a candidate is in the shadow");
        }
        self.show(|board| board.shadow = candidate);
    }

    fn show(&self, change: impl FnOnce(&mut Board)) {
        let mut board = Board::clone(&self.board.load());
        change(&mut board);
        self.board.store(Arc::new(board));
    }
}

/// What holds a document to the terms.
type Check = fn(&Terms, Vec<u8>, &str, &Policy) -> Result<Compiled, Faults>;

/// Faults in one line of the log; of very many the first.
fn told(faults: &Faults) -> String {
    let list = faults.list.iter().take(MOST_TOLD).cloned().collect();
    let first = Faults { document: faults.document.clone(), list }.to_string().replace('\n', "; ");
    match faults.list.len().checked_sub(MOST_TOLD) {
        None | Some(0) => first,
        Some(more) => format!("{first}; and {more} more"),
    }
}

/// A disk that hangs does not hold up an operator for ever.
const READ_TIME: Duration = Duration::from_secs(5);

/// What is said of a file that does not settle.
const BEING_WRITTEN: &str =
    "is being written at this moment: what is in it takes force once it has been the same for a while";

/// Faults that one line of the log names.
const MOST_TOLD: usize = 10;

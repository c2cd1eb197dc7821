//! The jobs of a batch between the gate and the queue: collected by tier, stored in groups, so that a large batch
//! is never in memory as a whole and never one long write in front of critical work.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;

use crate::domain::code::Code;
use crate::domain::idempotency::Fingerprint;
use crate::domain::job::Job;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::policy::Policy;
use crate::policy::classify::Classified;
use crate::queue::keys::KnownJob;
use crate::runtime::admission::Permit;
use crate::runtime::idempotency::Claim;
use crate::server::batch::Form;
use crate::server::batch::tally::Tally;
use crate::server::draft::{self, Draft};
use crate::server::event;
use crate::server::job_head;
use crate::server::keyed::{self, Route, Turn};
use crate::server::limits::SizeLimit;
use crate::server::problem::Problem;
use crate::server::state::Ingest;
use crate::server::witness::BatchWitness;
use crate::telemetry::trace::spans::RequestSpan;

/// A batch being taken.
pub struct Stage<'a> {
    ingest: &'a Ingest,
    parts: &'a Parts,
    form: Form,
    policy: Arc<Policy>,
    draft: Draft,
    span: &'a RequestSpan,
    arrived: Moment,
    groups: TierMap<Group>,
    tally: Tally,
    witness: BatchWitness,
    /// Whether jobs were stored, which may have taken long, since it was last looked whether to go on.
    stored: bool,
}

/// What an event of a batch has of its own.
struct Own {
    /// The batch's head with the event's attributes.
    parts: Parts,
    /// The batch's draft with the same.
    draft: Draft,
}

/// Admitted jobs of one tier that wait to be stored together.
#[derive(Default)]
struct Group {
    permit: Option<Permit>,
    jobs: Vec<Job>,
    claims: Vec<Claim>,
    places: Vec<usize>,
    bytes: usize,
}

impl<'a> Stage<'a> {
    /// An empty stage for a request with this head.
    pub fn new(
        ingest: &'a Ingest,
        parts: &'a Parts,
        form: Form,
        draft: Draft,
        span: &'a RequestSpan,
        arrived: Moment,
    ) -> Stage<'a> {
        let policy = ingest.gateway.policy.load_full();
        let (groups, tally) = (TierMap::default(), Tally::default());
        let witness = BatchWitness::default();
        Stage { ingest, parts, form, policy, draft, span, arrived, groups, tally, witness, stored: false }
    }

    /// Payload bytes that wait to be stored.
    pub fn held(&self) -> usize {
        self.groups.iter().map(|(_, group)| group.bytes).sum()
    }

    /// Jobs that wait to be stored.
    pub fn held_jobs(&self) -> usize {
        self.groups.iter().map(|(_, group)| group.jobs.len()).sum()
    }

    /// Room for one more job.
    ///
    /// # Errors
    /// The batch has as many jobs as it may; the next one is listed as too large.
    pub fn check_room(&mut self) -> Result<(), Problem> {
        let most = self.ingest.limits.max_batch_jobs;
        if u64::try_from(self.tally.len()).unwrap_or(u64::MAX) < most {
            Ok(())
        } else {
            Err(self.too_large(SizeLimit::BatchJobs(most)))
        }
    }

    /// Refuses a batch whose head has an idempotency key.
    ///
    /// # Errors
    /// 400.
    pub fn check_no_key_in_head(&self) -> Result<(), Problem> {
        keyed::check_batch_head(&self.policy, &self.parts.headers)
    }

    /// Lists the next job as one that passes this bound; gives the problem.
    pub fn too_large(&mut self, bound: SizeLimit) -> Problem {
        let problem = Problem::too_large(bound);
        self.tally.failed(problem.clone());
        problem
    }

    /// Lists the next job as longer than a job may be; gives the problem.
    pub fn job_too_large(&mut self) -> Problem {
        self.too_large(SizeLimit::JobBytes(self.ingest.limits.max_job_bytes))
    }

    /// Lists the next job as one that failed.
    pub fn fail(&mut self, problem: Problem) {
        self.tally.failed(problem);
    }

    /// Takes the next job: classified, admitted, and stored when its tier's group is full.
    ///
    /// # Errors
    /// The batch ends before this job: while others were stored, its time ran out or the gateway began to drain.
    pub async fn take(&mut self, payload: Bytes) -> Result<(), Problem> {
        if std::mem::take(&mut self.stored) {
            self.check_going_on()?;
        }
        let own = match self.own_head(&payload) {
            Ok(own) => own,
            Err(problem) => {
                self.tally.failed(problem);
                return Ok(());
            }
        };
        let turn = match self.turn(&payload, own.as_ref()).await {
            Ok(Turn::Stored(known)) => {
                self.replay(known);
                return Ok(());
            }
            Ok(turn) => turn,
            Err(problem) => {
                self.tally.failed(problem);
                return Ok(());
            }
        };
        let answer = self.ask_gate(&payload, own.as_ref());
        self.tell_candidate(&payload, own.as_ref(), &answer);
        match answer {
            Ok((permit, classified)) => self.hold(payload, own.as_ref(), turn, permit, classified).await,
            Err(problem) => match self.ingest.ask_turn(turn).await {
                Ok(Turn::Stored(known)) => self.replay(known),
                Ok(turn) => self.tally.failed(turn.tell(problem)),
                Err(mismatch) => self.tally.failed(mismatch),
            },
        }
        Ok(())
    }

    /// Stores what still waits, critical first; what became of every job.
    pub async fn finish(mut self) -> Tally {
        self.store_all().await;
        self.tally
    }

    /// Stores what waits, critical first.
    pub async fn store_all(&mut self) {
        for tier in Tier::ALL {
            self.store(tier).await;
        }
    }

    fn check_going_on(&self) -> Result<(), Problem> {
        self.ingest.check_taking_jobs()?;
        if self.ingest.time_left(self.arrived).is_zero() { Err(Problem::out_of_time()) } else { Ok(()) }
    }

    /// The head of one item, where it is an event.
    fn own_head(&self, payload: &[u8]) -> Result<Option<Own>, Problem> {
        if self.form != Form::Events {
            return Ok(None);
        }
        let mut parts = self.parts.clone();
        event::open_body(&mut parts.headers, payload)?;
        let draft = Draft { carried: job_head::carried(&parts.headers), ..self.draft.clone() };
        Ok(Some(Own { parts, draft }))
    }

    /// The head that one item goes by: its own, or the batch's.
    fn head_of<'s>(&'s self, own: Option<&'s Own>) -> (&'s Parts, &'s Draft) {
        own.map_or((self.parts, &self.draft), |own| (&own.parts, &own.draft))
    }

    /// Claims the job's key. One that an earlier job of this very batch holds is free, or known, once that is stored.
    async fn turn(&mut self, payload: &[u8], own: Option<&Own>) -> Result<Turn, Problem> {
        let claimed = self.claim(payload, own).await;
        let taken = matches!(&claimed, Err(problem) if problem.code() == Code::IdempotencyInProgress);
        if !(taken && self.groups.iter().any(|(_, group)| !group.claims.is_empty())) {
            return claimed;
        }
        self.store_all().await;
        self.claim(payload, own).await
    }

    async fn claim(&self, payload: &[u8], own: Option<&Own>) -> Result<Turn, Problem> {
        let (parts, draft) = self.head_of(own);
        self.ingest.take_turn(&self.policy, &parts.headers, draft, payload, Route::Batch).await
    }

    /// Lists the next job as one that an earlier request stored.
    fn replay(&mut self, known: KnownJob) {
        let gateway = &self.ingest.gateway;
        gateway.metrics.duplicate(known.tier, 1);
        self.tally.note_limit(known.tier, gateway.admission.allowance(known.tier, &self.draft.caller.tenant));
        self.tally.duplicate(known.id);
    }

    fn ask_gate(&self, payload: &Bytes, own: Option<&Own>) -> Result<(Permit, Classified), Problem> {
        let (parts, draft) = self.head_of(own);
        let length = u64::try_from(payload.len()).ok();
        let head = draft::rule_head(parts, &draft.caller, &self.policy, length);
        let classified = draft::classify(&self.policy, &head, payload)?;
        Ok((self.ingest.admit(&self.policy, &draft.caller, classified.tier)?, classified))
    }

    fn tell_candidate(
        &mut self,
        payload: &Bytes,
        own: Option<&Own>,
        answer: &Result<(Permit, Classified), Problem>,
    ) {
        let head = own.map_or((self.parts, false), |own| (&own.parts, true));
        let outcome = answer.as_ref().map(|(permit, _)| permit.tier());
        self.witness.tell(&self.ingest.gateway, head, &self.draft.caller, payload, outcome);
    }

    /// Keeps an admitted job until its group is full, and then stores the group.
    async fn hold(
        &mut self,
        payload: Bytes,
        own: Option<&Own>,
        turn: Turn,
        permit: Permit,
        classified: Classified,
    ) {
        let (tier, now) = (classified.tier, self.ingest.gateway.clock.wall());
        let (_, draft) = self.head_of(own);
        let job = draft.job(&self.policy, classified, payload, turn.keyed(), now);
        let group = &mut self.groups[tier];
        match &mut group.permit {
            Some(permits) => permits.join(permit),
            none => *none = Some(permit),
        }
        group.bytes += job.payload.len();
        group.claims.extend(turn.into_claim());
        group.jobs.push(job);
        group.places.push(self.tally.admitted());
        if group.jobs.len() >= GROUP_JOBS || group.bytes >= GROUP_BYTES {
            self.store(tier).await;
        }
    }

    async fn store(&mut self, tier: Tier) {
        let group = std::mem::take(&mut self.groups[tier]);
        let Group { permit: Some(permit), jobs, claims, places, .. } = group else { return };
        self.stored = true;
        let limit = permit.limit();
        let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
        let fingerprints: Vec<_> = jobs.iter().map(|job| job.keyed.map(|keyed| keyed.fingerprint)).collect();
        let within = self.store_time();
        let stored = if within.is_zero() {
            Err(Problem::out_of_time().of(tier).unknown_outcome_if(keyed::are_unsure(&claims)))
        } else {
            self.ingest.store(&self.policy, permit, jobs, claims, within, self.span).await
        };
        match stored {
            Ok(stored) => {
                self.tally.note_limit(tier, limit);
                for (index, (place, id)) in places.iter().zip(ids).enumerate() {
                    self.tally.settle_stored(*place, id);
                    if !stored.known.iter().any(|known| known.index == index) {
                        draft::log_stored(&self.policy, tier, id);
                    }
                }
                for known in &stored.known {
                    let place = places.get(known.index).copied();
                    self.settle_known(place, known.job, fingerprints.get(known.index).copied().flatten());
                }
            }
            Err(problem) => places.into_iter().for_each(|place| self.tally.settle_failed(place, &problem)),
        }
    }

    /// Another gateway on the same backend stored a job under this one's key.
    fn settle_known(&mut self, place: Option<usize>, known: KnownJob, fingerprint: Option<Fingerprint>) {
        let Some(place) = place else { return };
        if fingerprint == Some(known.fingerprint) {
            self.ingest.gateway.metrics.duplicate(known.tier, 1);
            self.tally.settle_duplicate(place, known.id);
        } else {
            self.tally.settle_failed(place, &Problem::key_mismatch());
        }
    }

    /// The time to store a group: until the request's time is over, and a little beyond it, in which all that is
    /// still held must find its place.
    fn store_time(&self) -> Duration {
        let beyond = self.ingest.time_left(self.arrived.plus(LAST_STORE_TIME));
        self.ingest.time_left(self.arrived).max(beyond.min(LAST_STORE_TIME))
    }
}

/// Jobs stored together at most.
const GROUP_JOBS: usize = 256;

/// Payload bytes stored together, about.
const GROUP_BYTES: usize = 256 * 1024;

/// A slow client uses up the request's time; what it did send is still stored in this.
const LAST_STORE_TIME: Duration = Duration::from_secs(1);

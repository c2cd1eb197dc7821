//! What became of each job of a batch, and the one answer made of it.

use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::admission::decision::RateLimit;
use crate::domain::code::{Code, Outcome};
use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::server::fields::{self, Text};
use crate::server::leases::reply;
use crate::server::openapi::words;
use crate::server::problem::Problem;

/// The items of a batch in their order.
#[derive(Debug, Default)]
pub struct Tally {
    items: Vec<Item>,
    limits: TierMap<Option<RateLimit>>,
}

/// One job of a batch.
#[derive(Debug)]
enum Item {
    /// Admitted, on its way to the queue.
    Pending,
    Stored(JobId),
    /// Stored by an earlier request, under the same key.
    Duplicate(JobId),
    Failed(Problem),
}

/// A finished batch: its answer, and the problems to count besides the jobs stored.
#[derive(Debug)]
pub struct Verdict {
    /// The answer.
    pub response: Response,
    /// One for each item that failed; one alone where the batch as a whole did.
    pub problems: Vec<Problem>,
    /// The tier, where all items were of one.
    pub tier: Option<Tier>,
}

impl Tally {
    /// Items so far.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Items that are stored, or were before.
    pub fn accepted(&self) -> usize {
        self.items.iter().filter(|item| item.problem().is_none()).count()
    }

    /// Adds an item that was admitted; its place, to settle it later.
    pub fn admitted(&mut self) -> usize {
        self.items.push(Item::Pending);
        self.items.len() - 1
    }

    /// Adds an item that an earlier request stored.
    pub fn duplicate(&mut self, id: JobId) {
        self.items.push(Item::Duplicate(id));
    }

    /// Adds an item that failed.
    pub fn failed(&mut self, problem: Problem) {
        self.items.push(Item::Failed(problem));
    }

    /// An admitted item is stored.
    pub fn settle_stored(&mut self, place: usize, id: JobId) {
        if let Some(item) = self.items.get_mut(place) {
            *item = Item::Stored(id);
        }
    }

    /// An admitted item was stored by an earlier request, as storing it told.
    pub fn settle_duplicate(&mut self, place: usize, id: JobId) {
        if let Some(item) = self.items.get_mut(place) {
            *item = Item::Duplicate(id);
        }
    }

    /// An admitted item is not stored, or may not be.
    pub fn settle_failed(&mut self, place: usize, problem: &Problem) {
        if let Some(item) = self.items.get_mut(place) {
            *item = Item::Failed(problem.clone());
        }
    }

    /// What is left of a tier's allowance after its jobs were stored.
    pub fn note_limit(&mut self, tier: Tier, limit: RateLimit) {
        self.limits[tier] = Some(limit);
    }

    /// The answer. `ended` says why the batch was not read to its end.
    pub fn into_verdict(self, ended: Option<Problem>) -> Verdict {
        let failed: Vec<&Problem> = self.items.iter().filter_map(Item::problem).collect();
        let accepted = self.accepted();
        let may_be_stored =
            accepted > 0 || failed.iter().any(|problem| problem.outcome() == Outcome::Unknown);
        match (ended, alike(&failed)) {
            (Some(ended), _) if !may_be_stored => whole(ended),
            (None, _) if self.items.is_empty() => whole(Problem::malformed("the batch has no jobs")),
            (None, Some(problem)) if accepted == 0 => {
                let response = problem.clone().into_response_with(&self.members(None));
                let tier = problem.tier();
                Verdict { response, problems: failed.into_iter().cloned().collect(), tier }
            }
            (ended, _) => {
                let mut response = reply::json(&self.members(ended.as_ref().map(Problem::code)));
                let complete = failed.is_empty() && ended.is_none();
                let status = if complete { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
                *response.status_mut() = status;
                let tier = if complete { self.insert_limit(&mut response) } else { None };
                Verdict { response, problems: failed.into_iter().cloned().collect(), tier }
            }
        }
    }

    fn members(&self, ended: Option<Code>) -> Members<'_> {
        let accepted = self.accepted();
        Members {
            accepted,
            refused: self.items.len() - accepted,
            items: Items(&self.items),
            ended: ended.map(Code::as_str),
        }
    }

    /// Adds the fields of the one tier that all jobs went to, if it is one.
    fn insert_limit(&self, response: &mut Response) -> Option<Tier> {
        let mut tiers = self.limits.iter().filter_map(|(tier, limit)| limit.map(|limit| (tier, limit)));
        let (Some((tier, limit)), None) = (tiers.next(), tiers.next()) else { return None };
        fields::insert_limit(response.headers_mut(), tier, &limit);
        Some(tier)
    }
}

impl Item {
    const fn problem(&self) -> Option<&Problem> {
        match self {
            Item::Failed(problem) => Some(problem),
            Item::Pending | Item::Stored(_) | Item::Duplicate(_) => None,
        }
    }
}

/// A batch that failed as one request.
fn whole(problem: Problem) -> Verdict {
    let problems = vec![problem.clone()];
    Verdict { tier: problem.tier(), response: problem.into_response(), problems }
}

/// The one problem that stands for all: of the latest return, and without a tier if they are of several.
fn alike(failed: &[&Problem]) -> Option<Problem> {
    let latest = failed.iter().max_by_key(|problem| problem.retry_after())?;
    let same = |problem: &&Problem| problem.code() == latest.code() && problem.status() == latest.status();
    if !failed.iter().all(same) {
        return None;
    }
    let one_tier = failed.iter().all(|problem| problem.tier() == latest.tier());
    let stands_for_all = (*latest).clone();
    Some(if one_tier { stands_for_all } else { stands_for_all.of_several_tiers() })
}

/// What became of each job of a batch.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BatchAnswer")]
pub(in crate::server) struct Members<'a> {
    accepted: usize,
    refused: usize,
    /// In the batch's order.
    #[schemars(with = "Vec<ItemBody>")]
    items: Items<'a>,
    /// Why the batch was not read to its end, where it was not; what was not read is not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::code")]
    ended: Option<&'static str>,
}

struct Items<'a>(&'a [Item]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().enumerate().map(|(index, item)| ItemBody::of(index, item)))
    }
}

/// One job of a batch: the status that it would have got alone, and its id or the code of its refusal.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "BatchItem")]
enum ItemBody {
    Stored {
        index: usize,
        status: u16,
        id: Text<JobId>,
    },
    Duplicate {
        index: usize,
        status: u16,
        id: Text<JobId>,
        /// An earlier request with this idempotency key stored the job: the id is that one's.
        duplicate: bool,
    },
    Failed {
        index: usize,
        status: u16,
        #[schemars(schema_with = "words::code")]
        code: &'static str,
        retry_after_ms: Option<u64>,
    },
}

impl ItemBody {
    fn of(index: usize, item: &Item) -> ItemBody {
        match item {
            Item::Stored(id) => ItemBody::Stored { index, status: 202, id: Text(*id) },
            Item::Duplicate(id) => ItemBody::Duplicate { index, status: 202, id: Text(*id), duplicate: true },
            Item::Failed(problem) => ItemBody::Failed {
                index,
                status: problem.status().as_u16(),
                code: problem.code().as_str(),
                retry_after_ms: problem.retry_after().map(fields::whole_millis),
            },
            // Every admitted item is settled before the answer is made.
            Item::Pending => ItemBody::of(index, &Item::Failed(Problem::new(Code::OutcomeUnknown, ""))),
        }
    }
}

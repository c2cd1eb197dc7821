//! The explanation of one request: every check in the gateway's order, made by the parts that the gateway runs.

use serde::Serialize;
use serde_json::{Value, json};

use crate::admission::decision::{Decision, Refusal};
use crate::cli::explain::gate;
use crate::cli::explain::model::{Model, Queues};
use crate::cli::explain::request::{JobRequest, Route};
use crate::config::Settings;
use crate::domain::tier::{Tier, TierSet};
use crate::policy::Policy;
use crate::policy::classify::{Classified, Head, HeadVerdict};
use crate::policy::origin::TierFrom;
use crate::server::access::{ANONYMOUS, Access};
use crate::server::body::BodyError;
use crate::server::problem::Problem;
use crate::server::{batch, draft, fields, framing, ingest};

/// What is to be explained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Limits, and who may submit.
    pub(super) settings: &'a Settings,
    /// The rules and the law.
    pub(super) policy: &'a Policy,
    /// What people call the policy: its path.
    pub(super) policy_name: &'a str,
    /// The request.
    pub(super) request: &'a JobRequest,
    /// What the gate sees.
    pub(super) queues: &'a Queues,
}

/// Everything that is told of a request.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explanation {
    /// The request as it was understood.
    pub(super) request: RequestTold,
    /// The policy's name.
    pub(super) policy: String,
    /// Its revision.
    pub(super) revision: String,
    /// Tier and names; `None` where the wish is refused.
    pub(super) job: Option<JobTold>,
    /// The checks in their order.
    pub(super) checks: Vec<Step>,
    /// The tier's law at this depth.
    pub(super) law: Option<gate::Law>,
    /// What the client gets.
    pub(super) answer: Answer,
    /// What else is to be known.
    pub(super) notes: Vec<String>,
}

/// The request as it was understood.
#[derive(Debug, Default, Serialize)]
pub(super) struct RequestTold {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) tenant: String,
    pub(super) body_bytes: Option<usize>,
}

/// A job's tier and names, and where they came from.
#[derive(Debug, Serialize)]
pub(super) struct JobTold {
    /// `rule`, `wish` or `default_tier`.
    pub(super) tier_from: &'static str,
    /// The rule's name.
    pub(super) rule: Option<String>,
    /// Where rule or default stand: `file:line:column`.
    pub(super) place: Option<String>,
    pub(super) tier: &'static str,
    /// The tier before the ceiling lowered it.
    pub(super) tier_meant: &'static str,
    pub(super) ceiling: &'static str,
    #[serde(rename = "type")]
    pub(super) job_type: Option<String>,
    pub(super) type_from: Option<String>,
    pub(super) ordering_key: Option<String>,
    pub(super) ordering_key_from: Option<String>,
    /// Whether the head decides the tier without the body.
    pub(super) decided_by_head: bool,
    /// The tiers that the head leaves open.
    pub(super) possible_by_head: Vec<&'static str>,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) check: &'static str,
    pub(super) passes: bool,
    /// Whether the gateway comes to this check: no longer after one that failed.
    pub(super) asked: bool,
    pub(super) says: String,
    /// What it compares.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) numbers: Value,
}

/// What the client gets.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) tier: Option<&'static str>,
    /// The queue, of a job that is stored.
    pub(super) queue: Option<String>,
    pub(super) detail: Option<String>,
    /// As the header says it.
    pub(super) retry_after_seconds: Option<u64>,
    pub(super) retry_after_ms: Option<u64>,
    /// The earliest and latest that chance gave in some draws, in milliseconds.
    pub(super) retry_after_ms_by_chance: Option<[u64; 2]>,
    /// What the time to return is based on.
    pub(super) retry_after_from: Option<String>,
}

/// Explains the case.
pub(super) fn explanation(case: &Case<'_>) -> Explanation {
    let Case { policy, request, .. } = case;
    let mut course = Course::default();
    course.told.request = RequestTold {
        method: request.parts.method.to_string(),
        path: request.parts.uri.to_string(),
        tenant: request.tenant.clone(),
        body_bytes: request.payload.as_ref().map(Vec::len),
    };
    (course.told.policy, course.told.revision) = (case.policy_name.to_owned(), policy.revision.clone());
    before_the_gate(case, &mut course);
    classified(case, &mut course);
    let queue = course.tier.map(|tier| (tier.as_str(), policy.tiers[tier].queue.to_string()));
    course.finish(queue)
}

/// The checks that hang on the head alone, in the order of `server::ingest`.
fn before_the_gate(case: &Case<'_>, course: &mut Course) {
    let Case { settings, request, .. } = case;
    let (parts, limits) = (&request.parts, &settings.limits);
    let route = match request.route {
        Route::Elsewhere => Err(Problem::not_found(parts.uri.path())),
        _ if parts.method != http::Method::POST => Err(Problem::not_allowed(&parts.method)),
        _ => Ok(format!("{} takes jobs", parts.uri.path())),
    };
    course.step("route", route, Value::Null);
    let access = Access {
        anonymous_submits: settings.anonymous.submit,
        anonymous_leases: settings.anonymous_may_lease(),
    };
    let may = access.may_submit(&parts.headers).map(|()| "callers without a key may submit".to_owned());
    course.step("authentication", may, Value::Null);
    let (limit, head) = match request.route {
        Route::Batch => {
            let limit = limits.max_batch_bytes;
            (limit, batch::check_head(parts, request.declared, limit).map(|_| ()))
        }
        Route::Jobs => (
            limits.max_job_bytes,
            ingest::check_head(parts, request.declared, limits.max_job_bytes).map(|_| ()),
        ),
        Route::Elsewhere => (limits.max_job_bytes, framing::check(parts)),
    };
    let bytes =
        request.declared.map_or("a body in chunks".to_owned(), |bytes| format!("{bytes} bytes of body"));
    let head = head.map(|()| format!("well formed, {bytes} of at most {limit}"));
    course.step("head", head, json!({ "declared_bytes": request.declared, "max_bytes": limit }));
    note_on_request(case, limit, course);
}

fn note_on_request(case: &Case<'_>, limit: u64, course: &mut Course) {
    let request = case.request;
    if request.bytes().len() as u64 > limit {
        let bytes = request.bytes().len();
        course.note(format!(
            "the body has {bytes} bytes, the limit is {limit}: what follows 413 is what would be"
        ));
    }
    if request.tenant != ANONYMOUS {
        course.note(format!(
            "keys are not available yet, every caller is `{ANONYMOUS}`: this is what rules would say of `{}`",
            request.tenant
        ));
    }
    if request.route == Route::Batch {
        course.note("the body is taken for one item of the batch; items are decided one by one".to_owned());
    }
    if request.payload.is_none() && request.declared.is_some_and(|declared| declared > 0) {
        course.note(
            "Content-Length says that there is a body; none was given, it is taken for empty".to_owned(),
        );
    }
}

/// Tier and names, then the gate in front of that tier.
fn classified(case: &Case<'_>, course: &mut Course) {
    let mut parts = case.request.parts.clone();
    let mut declared = case.request.declared;
    if case.request.route == Route::Batch {
        batch::become_item(&mut parts);
        declared = None;
    }
    let head = draft::rule_head(&parts, &case.request.tenant, case.policy, declared);
    let payload = case.request.bytes();
    let verdict = case.policy.classify_head(&head);
    let job = case.policy.classify(&head, payload);
    let (verdict, job) = match verdict.and_then(|verdict| Ok((verdict, job?))) {
        Ok(both) => both,
        Err(refused) => {
            let ceiling = json!({ "ceiling": head.ceiling.as_str() });
            return course.step("tier ceiling", Err(Problem::wish(&refused)), ceiling);
        }
    };
    let told = told(case, &head, verdict, &job);
    let ceiling = match (told.tier_from, told.tier == told.tier_meant) {
        ("wish", _) => format!("the wish {} is not above the ceiling {}", told.tier, told.ceiling),
        (_, true) => format!("{} is not above the ceiling {}", told.tier, told.ceiling),
        (_, false) => format!("{} is above the ceiling {}: lowered to it", told.tier_meant, told.ceiling),
    };
    course.step("tier ceiling", Ok(ceiling), json!({ "ceiling": told.ceiling, "tier": told.tier }));
    course.told.job = Some(told);
    let open = match verdict {
        HeadVerdict::NeedsBody(tiers) if case.request.route != Route::Batch => Some(tiers),
        _ => None,
    };
    if let Some(tiers) = open {
        if case.request.payload.is_none() {
            course.note("the tier hangs on the body, and none was given: it is taken for empty".to_owned());
        }
        if let Some((critical, refusal)) = all_shut(case, tiers, 0) {
            course.note(format!(
                "the head leaves {} open and all of them are shut: refused before the body is read, as {critical}",
                listed(tiers)
            ));
            let chance = by_chance(&refusal, |seed| all_shut(case, tiers, seed).map(|(_, refusal)| refusal));
            return gate::tell(case, course, critical, Some((refusal, chance)));
        }
        payload_checks(case, &head, job.tier, course);
    }
    let refusal = refused(case, job.tier, 0);
    let refusal = refusal.map(|refusal| (refusal, by_chance(&refusal, |seed| refused(case, job.tier, seed))));
    gate::tell(case, course, job.tier, refusal);
    if open.is_none() {
        payload_checks(case, &head, job.tier, course);
    }
}

/// What only the body shows: before the gate where the tier hangs on it, else behind.
fn payload_checks(case: &Case<'_>, head: &Head<'_>, tier: Tier, course: &mut Course) {
    let limit = case.settings.limits.max_job_bytes;
    if case.request.bytes().len() as u64 > limit {
        course.step("body", Err(Problem::body(&BodyError::TooLarge { limit })), Value::Null);
    }
    if let Err(problem) = draft::classify(case.policy, head, case.request.bytes()) {
        course.step("ordering key", Err(problem.of(tier)), Value::Null);
    }
}

fn told(case: &Case<'_>, head: &Head<'_>, verdict: HeadVerdict, job: &Classified) -> JobTold {
    let origin = case.policy.origin(head, case.request.bytes(), job);
    let place_of = |place: &crate::yaml::node::Place| place.in_document(case.policy_name).to_string();
    let (tier_from, rule, place) = match origin.tier_from {
        TierFrom::Rule { position, name, place } => {
            let name = name.map_or_else(|| format!("rules[{position}]"), str::to_owned);
            ("rule", Some(name), Some(place_of(place)))
        }
        TierFrom::Wish => ("wish", None, None),
        TierFrom::Default { place } => ("default_tier", None, place.map(place_of)),
    };
    let possible = match verdict {
        HeadVerdict::Decided(tier) => TierSet::only(tier),
        HeadVerdict::NeedsBody(tiers) => tiers,
    };
    JobTold {
        tier_from,
        rule,
        place,
        tier: job.tier.as_str(),
        tier_meant: origin.tier_meant.as_str(),
        ceiling: head.ceiling.as_str(),
        job_type: job.job_type.as_deref().map(str::to_owned),
        type_from: origin.job_type_from,
        ordering_key: job.ordering_key.as_deref().map(str::to_owned),
        ordering_key_from: origin.ordering_key_from,
        decided_by_head: matches!(verdict, HeadVerdict::Decided(_)),
        possible_by_head: possible.iter().map(Tier::as_str).collect(),
    }
}

fn refused(case: &Case<'_>, tier: Tier, seed: u64) -> Option<Refusal> {
    match Model::at(&case.policy.regulator, case.queues, seed).decide(tier) {
        Decision::Admitted(_) => None,
        Decision::Refused(refusal) => Some(refusal),
    }
}

fn all_shut(case: &Case<'_>, tiers: TierSet, seed: u64) -> Option<(Tier, Refusal)> {
    let refusal = Model::at(&case.policy.regulator, case.queues, seed).all_shut(tiers)?;
    Some((tiers.iter().next()?, refusal))
}

/// The earliest and the latest time to return that chance gives, in milliseconds.
fn by_chance(refusal: &Refusal, again: impl Fn(u64) -> Option<Refusal>) -> [u64; 2] {
    let drawn = (1..DRAWS).filter_map(again).map(|refusal| refusal.retry_after);
    let first = refusal.retry_after;
    let (least, most) =
        drawn.fold((first, first), |(least, most), drawn| (least.min(drawn), most.max(drawn)));
    [fields::whole_millis(least), fields::whole_millis(most)]
}

fn listed(tiers: TierSet) -> String {
    tiers.iter().map(Tier::as_str).collect::<Vec<_>>().join(", ")
}

/// The explanation while it is made.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) told: Explanation,
    /// The tier at whose gate the request was.
    pub(super) tier: Option<Tier>,
    answer: Option<Problem>,
}

impl Course {
    /// Notes a check; the first that fails answers.
    pub(super) fn step(&mut self, check: &'static str, outcome: Result<String, Problem>, numbers: Value) {
        let asked = self.answer.is_none();
        let (passes, says) = match outcome {
            Ok(says) => (true, says),
            Err(problem) => {
                let says = problem.detail().to_owned();
                self.answer.get_or_insert(problem);
                (false, says)
            }
        };
        self.told.checks.push(Step { check, passes, asked, says, numbers });
    }

    /// Puts other words to the check noted last.
    pub(super) fn say(&mut self, says: String) {
        if let Some(step) = self.told.checks.last_mut() {
            step.says = says;
        }
    }

    /// Whether a check has failed already.
    pub(super) const fn is_over(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn note(&mut self, note: String) {
        self.told.notes.push(note);
    }

    fn finish(mut self, queue: Option<(&'static str, String)>) -> Explanation {
        let told = std::mem::take(&mut self.told.answer);
        self.told.answer = match (self.answer, queue) {
            (Some(problem), _) => Answer {
                status: problem.status().as_u16(),
                code: Some(problem.code().as_str()),
                tier: problem.tier().map(Tier::as_str),
                detail: Some(problem.detail().to_owned()),
                retry_after_seconds: problem.retry_after().map(fields::whole_seconds),
                retry_after_ms: problem.retry_after().map(fields::whole_millis),
                ..told
            },
            (None, queue) => {
                let (tier, queue) = queue.unzip();
                Answer { status: http::StatusCode::ACCEPTED.as_u16(), tier, queue, ..Answer::default() }
            }
        };
        self.told
    }
}

/// How often the time to return is drawn to show what chance does to it.
const DRAWS: u64 = 16;

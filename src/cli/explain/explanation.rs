//! The explanation of one request: every check in the gateway's order, made by the parts that the gateway runs.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde_json::{Value, json};

use crate::admission::decision::{Decision, Refusal};
use crate::cli::explain::course::{Case, Course};
use crate::cli::explain::gate;
use crate::cli::explain::model::Model;
use crate::cli::explain::request::Route;
use crate::cli::explain::told::{Explanation, JobTold, RequestTold};
use crate::config::Settings;
use crate::domain::tier::{Tier, TierSet};
use crate::policy::classify::{Classified, Head, HeadVerdict};
use crate::policy::origin::TierFrom;
use crate::server::access::key_ring::KeyRing;
use crate::server::access::{ANONYMOUS, Access, Caller};
use crate::server::body::coding::Coding;
use crate::server::event::media_type::Form;
use crate::server::limits::SizeLimit;
use crate::server::problem::Problem;
use crate::server::{batch, by_head, draft, event, fields, framing, ingest, keyed};

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
    let mut head = request.parts.clone();
    before_the_gate(case, &mut head, &mut course);
    let mut item = head.clone();
    let event = open_event(case, &mut item);
    keyed(case, &head, &item, &mut course);
    classified(case, item, event, &mut course);
    let queue = course.tier.map(|tier| (tier.as_str(), policy.tiers[tier].queue.to_string()));
    course.finish(queue)
}

/// The checks that hang on the head alone, in the order of `server::ingest`; an event in the head is decoded.
fn before_the_gate(case: &Case<'_>, parts: &mut Parts, course: &mut Course) {
    let Case { settings, request, .. } = case;
    let limits = &settings.limits;
    let route = match request.route {
        Route::Elsewhere => Err(Problem::not_found(parts.uri.path())),
        _ if parts.method != http::Method::POST => Err(Problem::not_allowed(&parts.method)),
        _ => Ok(format!("{} takes jobs", parts.uri.path())),
    };
    course.step("route", route, Value::Null);
    let may = caller(settings, &parts.headers).map(|caller| match &*caller.tenant {
        ANONYMOUS => "callers without a key may submit".to_owned(),
        tenant => format!("a key of `{tenant}` that may submit, up to {}", caller.ceiling),
    });
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

/// Who sends a request with this head, as far as the head says it.
///
/// # Errors
/// As the gateway's authentication.
pub(super) fn caller(settings: &Settings, headers: &HeaderMap) -> Result<Caller, Problem> {
    let keys = settings.keys.as_ref().map(|file| Arc::new(KeyRing::new(file.table.clone())));
    let anonymous = Access::without_keys(settings.anonymous.submit, settings.anonymous_may_lease());
    Access { keys, ..anonymous }.submitter(headers)
}

/// Who the request is taken to come from: the tenant asked about, with the ceiling of the key that it bears.
fn sender(case: &Case<'_>) -> Caller {
    let known = caller(case.settings, &case.request.parts.headers);
    let ceiling = known.map_or(Tier::P0, |caller| caller.ceiling);
    Caller { tenant: case.request.tenant.as_str().into(), ceiling }
}

/// Reads the event that the body is, if it is one: its attributes stand in the head from then on.
fn open_event(case: &Case<'_>, parts: &mut Parts) -> Option<Result<(), Problem>> {
    let form = event::form(&parts.headers).unwrap_or(Form::Opaque);
    let is_event =
        matches!((case.request.route, form), (Route::Jobs, Form::Event) | (Route::Batch, Form::Batch));
    is_event.then(|| event::open_body(&mut parts.headers, case.request.bytes()))
}

/// The idempotency key, where the job has one: it is looked up before anything that the gate says.
fn keyed(case: &Case<'_>, head: &Parts, item: &Parts, course: &mut Course) {
    let Case { policy, request, .. } = case;
    let route = if request.route == Route::Batch { keyed::Route::Batch } else { keyed::Route::Jobs };
    let in_head = match route {
        keyed::Route::Batch => keyed::check_batch_head(policy, &head.headers),
        keyed::Route::Jobs => Ok(()),
    };
    let key =
        in_head.and_then(|()| keyed::key(policy, &item.headers, &request.tenant, request.bytes(), route));
    let says =
        "a known one is answered 202 with its first receipt, whatever follows; taken for a new one here";
    if let Some(step) = key.map(|key| key.map(|_| says.to_owned())).transpose() {
        course.step("known key", step, Value::Null);
    }
}

fn note_on_request(case: &Case<'_>, limit: u64, course: &mut Course) {
    let request = case.request;
    if request.bytes().len() as u64 > limit {
        let bytes = request.bytes().len();
        course.note(format!(
            "the body has {bytes} bytes, the limit is {limit}: what follows 413 is what would be"
        ));
    }
    if let (Ok(Some(coding)), Some(_)) = (Coding::of(&request.parts.headers), &request.payload) {
        course.note(format!("the body is taken for what the {coding} body decodes to"));
    }
    if request.tenant != ANONYMOUS && !request.parts.headers.contains_key(AUTHORIZATION) {
        course.note(format!(
            "no key is given: without one every caller is `{ANONYMOUS}`; what follows is said of `{}`",
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
fn classified(case: &Case<'_>, mut parts: Parts, event: Option<Result<(), Problem>>, course: &mut Course) {
    let mut declared = case.request.declared;
    if case.request.route == Route::Batch {
        batch::become_item(
            &mut parts,
            if event.is_some() { batch::Form::Events } else { batch::Form::Array },
        );
        declared = None;
    }
    let payload = case.request.bytes();
    let caller = sender(case);
    let head = draft::rule_head(&parts, &caller, case.policy, declared);
    let form = if event.is_some() { Form::Event } else { Form::Opaque };
    let verdict = by_head::verdict(case.policy, &head, form);
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
    }
    if let Some(event) = event {
        let says = event.map(|()| "its attributes stand for ce-* fields".to_owned());
        course.step("event", says, Value::Null);
    }
    if open.is_some() {
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
        course.step("body", Err(Problem::too_large(SizeLimit::JobBytes(limit))), Value::Null);
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
    match Model::at(&case.policy.regulator, case.queues, &case.request.tenant, seed).decide(tier) {
        Decision::Admitted(_) => None,
        Decision::Refused(refusal) => Some(refusal),
    }
}

fn all_shut(case: &Case<'_>, tiers: TierSet, seed: u64) -> Option<(Tier, Refusal)> {
    let refusal =
        Model::at(&case.policy.regulator, case.queues, &case.request.tenant, seed).all_shut(tiers)?;
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

/// How often the time to return is drawn to show what chance does to it.
const DRAWS: u64 = 16;

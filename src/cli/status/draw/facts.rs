//! What surrounds the tiers: first what asks for somebody, then how things are.

use crate::cli::status::document::{Count, Fault, Group, ListenerTls, Retention, Status};
use crate::cli::status::draw::amounts::{percent, time_of};
use crate::cli::status::draw::lines::{Page, Tone};
use crate::cli::status::draw::words::lead;
use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::amount::{jobs, seconds};

/// What is wrong beside the tiers.
pub(super) fn alarms(page: &mut Page, status: &Status) {
    let mut alarm = |text: String| page.paragraph(Tone::Warning, &lead("WARNING"), &text);
    if status.phase != "running" {
        alarm(format!("the gateway is {}", status.phase));
    }
    if let Some(sentence) = &status.edge.sentence {
        alarm(sentence.clone());
    }
    let policy = &status.policy;
    if let Some(last) = policy.last_reload.as_ref().filter(|last| last.result == "rejected") {
        let (when, faults) = (time_of(&last.at, &status.time), all(&last.faults));
        alarm(format!("policy: the reload of {when} was rejected, the one from before stays. {faults}"));
    }
    if policy.pinned {
        alarm(format!("policy: pinned by a rollback until {} changes", policy.file));
    }
    if let Some(last) = policy.last_reload.as_ref().filter(|last| !last.warnings.is_empty()) {
        alarm(format!("policy: probably not as meant. {}", all(&last.warnings)));
    }
    if !status.shadow.faults.is_empty() {
        alarm(format!("shadow: {}", all(&status.shadow.faults)));
    }
    if let Some(fault) = status.keys.as_ref().and_then(|keys| keys.fault.as_ref()) {
        alarm(format!("keys: the file is wrong, the keys from before stay. {fault}"));
    }
    for (listener, tls) in [("ingest", &status.tls.ingest), ("admin", &status.tls.admin)] {
        if let Some(fault) = tls.as_ref().and_then(|tls| tls.last_reload.as_ref()?.fault.as_ref()) {
            alarm(format!("certificate of {listener}: the new one is not taken over. {fault}"));
        }
    }
    if status.share.mode != "alone" && status.share.age_seconds.is_none_or(|age| age > LONG_UNHEARD) {
        let heard =
            status.share.age_seconds.map_or("never".to_owned(), |age| format!("{} ago", seconds(age)));
        alarm(format!("replicas: the others were last heard {heard}; each keeps its last share"));
    }
    for (tier, of) in status.tiers.iter() {
        let tier = tier.as_priority();
        for group in of.groups.iter().filter(|group| is_stuck(group)) {
            alarm(format!("{tier} {}", told(group)));
        }
        if let Some(retention) = &of.retention
            && retention.lost_unread > 0
        {
            alarm(format!("{tier} lost: {} were deleted before they were read", jobs(retention.lost_unread)));
        }
    }
}

/// How things are beside the tiers.
pub(super) fn surroundings(page: &mut Page, status: &Status) {
    let mut fact = |name: &str, text: String| page.paragraph(Tone::Plain, &lead(name), &text);
    for tenant in status.tenants.iter().take(TENANTS) {
        let [asked, admitted, refused] = [tenant.asked_lately, tenant.admitted, tenant.refused].map(jobs);
        let name = &tenant.name;
        fact("tenant", format!("{name}: {asked} asked of late; {admitted} let in, {refused} refused"));
    }
    for (tier, of) in status.tiers.iter() {
        let tier = tier.as_priority();
        if of.spooling || of.spool_depth > 0 {
            let going = if of.spooling { "more are going there" } else { "being forwarded" };
            fact("spool", format!("{tier}: {} on this machine's disk, {going}", jobs(of.spool_depth)));
        }
        for group in of.groups.iter().filter(|group| !is_stuck(group)) {
            fact("group", format!("{tier} {}", told(group)));
        }
        if let Some(left) = of.retention.as_ref().and_then(headroom) {
            fact("retention", format!("{tier}: {left}"));
        }
    }
    let dead: u64 = status.tiers.iter().map(|(_, of)| of.jobs.dead).sum();
    if dead > 0 {
        fact(
            "dead",
            format!("{} letters; GET /v1/dead-letters and the dashboard show and replay them", jobs(dead)),
        );
    }
    if status.share.mode != "alone" {
        let share = &status.share.fraction;
        let part = |tier: Tier| match tier {
            Tier::P0 => share.p0,
            Tier::P1 => share.p1,
            Tier::P2 => share.p2,
        };
        let parts = Tier::ALL.map(|tier| format!("{} {}", tier.as_priority(), percent(part(tier))));
        fact("replicas", format!("{}; this one's part: {}", status.share.replicas, parts.join(", ")));
    }
    if status.shadow.state == "on" {
        let (answers, tiers) = (sum(&status.shadow.disagreements), sum(&status.shadow.moves));
        let file = status.shadow.file.as_deref().unwrap_or_default();
        fact("shadow", format!("{file}: {answers} answers would differ, {tiers} tiers"));
    }
    if let Some(keys) = &status.keys {
        fact("keys", format!("{} in force", keys.in_force));
    }
    for (listener, tls) in [("ingest", &status.tls.ingest), ("admin", &status.tls.admin)] {
        if let Some(ListenerTls { not_after: Some(until), .. }) = tls {
            fact("tls", format!("certificate of {listener} until {}", time_of(until, &status.time)));
        }
    }
}

/// Whether a group keeps jobs waiting.
fn is_stuck(group: &Group) -> bool {
    group.state == "stalled" || (group.state == "empty" && group.lag > 0)
}

fn told(group: &Group) -> String {
    let members = group.members.map_or(String::new(), |members| format!(", {members} members"));
    let Group { name, state, .. } = group;
    format!("group {name} is {state}: {} unread, {} under way{members}", jobs(group.lag), jobs(group.pending))
}

/// What the backend's retention leaves of the oldest job; nothing where it deletes none.
fn headroom(retention: &Retention) -> Option<String> {
    let (limit, left) = (retention.limit_seconds?, retention.headroom_seconds?);
    let pace = match retention.deleted_in_seconds {
        Some(time) => format!("used up in {} at this pace", seconds(time)),
        None => "not shrinking".to_owned(),
    };
    Some(format!("{} of {} left before unread jobs are deleted, {pace}", seconds(left), seconds(limit)))
}

fn all(faults: &[Fault]) -> String {
    faults.iter().map(|fault| &*fault.text).collect::<Vec<_>>().join("; ")
}

fn sum(counts: &[Count]) -> String {
    jobs(counts.iter().map(|count| count.count).sum())
}

/// Replicas tell each other once a second.
const LONG_UNHEARD: f64 = 5.0;

/// The loudest; the dashboard has more.
const TENANTS: usize = 3;

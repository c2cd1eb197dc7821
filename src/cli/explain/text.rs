//! An explanation as text for a terminal.

use std::fmt::{self, Write};

use crate::cli::explain::told::{Answer, Explanation, JobTold, Step};

/// The explanation as people read it.
pub(super) fn write(explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_explanation(&mut text, explanation);
    text.trim_end().to_owned()
}

/// A number without needless digits: three behind the point at most.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "unlimited".to_owned();
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn write_explanation(text: &mut String, explanation: &Explanation) -> fmt::Result {
    let request = &explanation.request;
    let body = match request.body_bytes {
        Some(bytes) => format!("a body of {bytes} bytes"),
        None => "no body".to_owned(),
    };
    line(text, "request", &format!("{} {} as {}, {body}", request.method, request.path, request.tenant))?;
    line(text, "policy", &format!("{}, revision {}", explanation.policy, explanation.revision))?;
    match &explanation.job {
        Some(job) => write_job(text, job)?,
        None => line(text, "tier", "none: the wish is refused")?,
    }
    if let Some(law) = &explanation.law {
        let drain = match law.drain_given {
            Some(given) => format!("drain {}/s learned of {}/s", number(law.drain), number(given)),
            None => "drain not known".to_owned(),
        };
        let (depth, target, rate) = (law.depth, number(law.target), number(law.rate));
        line(text, "law", &format!("{}: depth {depth}, target {target}, {drain}, rate {rate}/s", law.tier))?;
    }
    writeln!(text, "\nchecks, in the gateway's order; in brackets those it does not come to:")?;
    for step in &explanation.checks {
        let says = step.says.replace(char::is_control, " ");
        writeln!(text, "  {:<7}{:<15}{says}", verdict(step), step.check)?;
    }
    writeln!(text)?;
    write_answer(text, &explanation.answer)?;
    explanation.notes.iter().try_for_each(|note| line(text, "note", note))
}

fn write_job(text: &mut String, job: &JobTold) -> fmt::Result {
    let place = job.place.as_deref().unwrap_or("not written in the policy");
    match (job.tier_from, &job.rule) {
        (_, Some(rule)) => line(text, "rule", &format!("{rule}, {place}"))?,
        ("wish", None) => line(text, "rule", "no rule matched: the wish Tidegate-Tier")?,
        (_, None) => line(text, "rule", &format!("no rule matched: default_tier, {place}"))?,
    }
    for (label, value, from) in
        [("type", &job.job_type, &job.type_from), ("ordering", &job.ordering_key, &job.ordering_key_from)]
    {
        match (value, from) {
            (Some(value), Some(from)) => line(text, label, &format!("{value}, from {from}"))?,
            _ => line(text, label, "none")?,
        }
    }
    let lowered = if job.tier == job.tier_meant {
        String::new()
    } else {
        format!(", {} lowered to the ceiling", job.tier_meant)
    };
    let open = job.possible_by_head.join(", ");
    let by = if job.decided_by_head {
        "decided by the head alone".to_owned()
    } else {
        format!("decided by the body; the head leaves {open} open")
    };
    line(text, "tier", &format!("{}{lowered}, {by}", job.tier))
}

fn write_answer(text: &mut String, answer: &Answer) -> fmt::Result {
    let Some(code) = answer.code else {
        let (tier, queue) = (answer.tier.unwrap_or("-"), answer.queue.as_deref().unwrap_or("-"));
        return line(text, "answer", &format!("{}, stored as {tier} in {queue}", answer.status));
    };
    let mut first = format!("{} {code}", answer.status);
    if let (Some(seconds), Some(millis)) = (answer.retry_after_seconds, answer.retry_after_ms) {
        write!(first, ", Retry-After: {seconds} (retry_after_ms {millis}")?;
        if let Some([least, most]) = answer.retry_after_ms_by_chance.filter(|[least, most]| least < most) {
            write!(first, ", by chance {least} to {most}")?;
        }
        write!(first, ")")?;
    }
    line(text, "answer", &first)?;
    if let Some(detail) = &answer.detail {
        line(text, "", detail)?;
    }
    answer.retry_after_from.iter().try_for_each(|from| line(text, "", from))
}

const fn verdict(step: &Step) -> &'static str {
    match (step.passes, step.asked) {
        (true, true) => "pass",
        (false, true) => "FAIL",
        (true, false) => "[pass]",
        (false, false) => "[fail]",
    }
}

fn line(text: &mut String, label: &str, value: &str) -> fmt::Result {
    // A file name or a type may hold anything; it must not look like a line of ours.
    let value = value.replace(char::is_control, " ");
    writeln!(text, "{label:<10}{value}")
}

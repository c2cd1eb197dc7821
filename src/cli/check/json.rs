//! The verdicts for programs: an array with one object for each file.

use serde_json::{Value, json};

use crate::cli::check::play::{Trouble, Unsteady};
use crate::cli::check::verdict::{Kind, Verdict};
use crate::yaml::fault::{Fault, Severity};
use crate::yaml::node::Place;

/// All of them, each on one line: a course has thousands of numbers.
pub(super) fn told(verdicts: &[Verdict], strict: bool) -> String {
    let files: Vec<String> = verdicts.iter().map(|verdict| file(verdict, strict).to_string()).collect();
    format!("[\n{}\n]\n", files.join(",\n"))
}

fn file(verdict: &Verdict, strict: bool) -> Value {
    json!({
        "file": verdict.file,
        "kind": verdict.kind.map(Kind::as_str),
        "ok": verdict.is_good(strict),
        "revision": verdict.revision,
        "faults": verdict.faults.iter().map(fault).collect::<Vec<_>>(),
        "unsteady": verdict.unsteady.as_ref().map(unsteady),
    })
}

fn fault(fault: &Fault) -> Value {
    let (line, column, beside) = match &fault.place {
        Place::Text { line, column } => (Some(*line), Some(*column), None),
        Place::Document => (None, None, None),
        Place::Beside(name) => (None, None, Some(&**name)),
    };
    let severity = match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity,
        "line": line,
        "column": column,
        "beside": beside,
        "key": fault.key,
        "message": fault.message,
    })
}

fn unsteady(unsteady: &Unsteady) -> Value {
    let course = &unsteady.course;
    let (trouble, low, high) = match unsteady.trouble {
        Trouble::Swings { low, high } => ("depth_swings", low, high),
        Trouble::Slams { low, high } => ("rate_swings", low, high),
        Trouble::Misses(mean) => ("target_missed", mean, mean),
    };
    let depths: Vec<f64> = course.depths.iter().map(|depth| (depth * 1e3).round() / 1e3).collect();
    json!({
        "tier": course.tier.as_str(),
        "trouble": trouble,
        "low": low,
        "high": high,
        "advice": unsteady.advice.as_ref().map(|advice| json!({ "key": format!("controller.{}", advice.knob), "value": advice.value })),
        "seconds_between": course.every,
        "depth_over_target": depths,
    })
}

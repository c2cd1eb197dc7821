//! What operators are given beside the program: the list of metrics, Prometheus' rules, the runbook, Grafana's dashboard. Each names what
//! there is, and a real Prometheus that read a real gateway has an answer to all that they ask.

mod amiss;
mod dashboard;
mod listed;
mod queries;
mod rules;
mod runbook;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidegate::telemetry::families::{ALL, Kind};
use tidegate::yaml::node::{Node, Value};
use tidegate::yaml::read::read;

const RECORDING: &str = "deploy/prometheus/recording.rules.yaml";
const ALERTING: &str = "deploy/prometheus/alerting.rules.yaml";

/// A recording or an alerting rule.
#[derive(Debug)]
struct Rule {
    /// What it records, or what the alert is called.
    name: String,
    expression: String,
    runbook: Option<String>,
}

/// The rules of a file, in their order.
fn rules(file: &str) -> Vec<Rule> {
    let tree = read(&text_of(file)).unwrap_or_else(|faults| panic!("{file}: {faults:?}"));
    let groups = list(&under(&tree, "groups").expect("groups").value);
    let rules = groups.iter().flat_map(|group| list(&under(group, "rules").expect("rules").value));
    let rules: Vec<Rule> = rules
        .map(|rule| Rule {
            name: under(rule, "alert").or(under(rule, "record")).map(scalar).expect("a name"),
            expression: under(rule, "expr").map(scalar).expect("an expression"),
            runbook: under(rule, "annotations").and_then(|notes| under(notes, "runbook_url")).map(scalar),
        })
        .collect();
    assert!(rules.len() > 10, "{file} has only {} rules", rules.len());
    rules
}

fn under<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.entry(key).map(|entry| &entry.node)
}

fn list(value: &Value) -> &[Node] {
    match value {
        Value::List(items) => items,
        other => panic!("{other:?} is no list"),
    }
}

fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.clone(),
        other => panic!("{other:?} is no single value"),
    }
}

/// The words of an expression that may name a metric.
fn words(expression: &str) -> BTreeSet<&str> {
    let between = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':');
    expression.split(between).filter(|word| word.contains('_')).collect()
}

/// The family that a series belongs to.
fn family_of(series: &str) -> Option<&'static str> {
    let belongs = |name: &str, kind: Kind| match series.strip_prefix(name) {
        Some("") => kind != Kind::Histogram,
        Some("_bucket" | "_sum" | "_count") => kind == Kind::Histogram,
        _ => false,
    };
    ALL.iter().find(|family| belongs(family.name, family.kind)).map(|family| family.name)
}

/// The families that an expression asks for, by way of recorded ones too.
fn families_in(expression: &str, recording: &[Rule]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for word in words(expression) {
        found.extend(family_of(word));
        let recorded = recording.iter().filter(|rule| rule.name == word);
        found.extend(recorded.flat_map(|rule| families_in(&rule.expression, recording)));
    }
    found
}

fn text_of(file: &str) -> String {
    std::fs::read_to_string(project(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

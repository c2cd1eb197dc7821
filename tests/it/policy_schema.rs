//! `policies/schema.json` under a validator of others: it takes and refuses what the decoder does, as far as a schema can.

use std::path::Path;

use serde_json::{Value as Json, json};
use tidegate::policy::compile::{compile, compile_tree};
use tidegate::policy::schema::schema;
use tidegate::yaml::node::{Node, Value};
use tidegate::yaml::read::read;

use crate::support::schema::judged;

#[tokio::test]
async fn every_shipped_policy_is_valid_and_names_its_schema() {
    let mut documents = Vec::new();
    for file in files("policies") {
        let text = std::fs::read_to_string(&file).unwrap();
        let editors = "# yaml-language-server: $schema=schema.json\n";
        assert!(text.starts_with(editors), "{file} does not begin with {editors:?}");
        documents.push(as_editors_read(&read(&text).unwrap()));
    }
    assert!(documents.len() >= 3);
    for fault in judged(SCHEMA, documents).await {
        assert_eq!(fault, None);
    }
}

/// Files whose every error lies between keys, in a range of times or in the text of a pattern: for a schema they are good.
const BEYOND_A_SCHEMA: [&str; 19] = [
    "durations-out-of-range",
    "queues-shared",
    "retention-of-time-left",
    "rule-behind-a-presence",
    "rule-behind-a-shorter-prefix",
    "rule-behind-a-wider-list",
    "rule-behind-a-wider-range",
    "rule-behind-several",
    "rule-never-reached",
    "rule-written-twice",
    "shed-out-of-order",
    "target-above-bound",
    "target-above-shed",
    "target-of-turned-ends",
    "rate-of-turned-ends",
    "patterns-that-are-none",
    "backoff-above-its-bound",
    "retry-after-of-turned-ends",
    "test-of-turned-ends",
];

/// Refused until their parts are built, and in the schema already.
const NOT_BUILT: [&str; 1] = ["not-available-yet"];

#[tokio::test]
async fn of_the_broken_files_those_are_valid_whose_faults_a_schema_cannot_see() {
    let (mut names, mut documents, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for file in files("tests/fixtures/policy") {
        let text = std::fs::read_to_string(&file).unwrap();
        let Ok(tree) = read(&text) else { continue };
        let name = Path::new(&file).file_stem().unwrap().to_string_lossy().into_owned();
        if NOT_BUILT.contains(&name.as_str()) {
            continue;
        }
        let beyond = BEYOND_A_SCHEMA.contains(&name.as_str());
        used.extend(beyond.then(|| name.clone()));
        names.push((name, compile(&text, "").is_ok() || beyond));
        documents.push(as_editors_read(&tree));
    }
    for ((name, good), fault) in names.iter().zip(judged(SCHEMA, documents).await) {
        assert_eq!(*good, fault.is_none(), "{name}: {fault:?}");
    }
    used.sort();
    let mut all = BEYOND_A_SCHEMA.to_vec();
    all.sort_unstable();
    assert_eq!(used, all, "a name in the list is no file");
}

#[tokio::test]
async fn every_single_value_is_taken_by_both_or_by_neither() {
    let (mut cases, mut documents) = (Vec::new(), Vec::new());
    for path in leaves() {
        for sample in SAMPLES {
            let tree = with(&path, sample);
            cases.push((path.clone(), sample, taken(&tree, &path)));
            documents.push(as_editors_read(&tree));
        }
    }
    assert!(cases.len() > 1_000, "{}", cases.len());
    let faults = judged(SCHEMA, documents).await;
    let wrong: Vec<String> = cases
        .iter()
        .zip(faults)
        .filter(|((_, _, taken), fault)| *taken != fault.is_none())
        .map(|((path, sample, taken), fault)| {
            format!("{path:?} {sample}: the decoder takes it: {taken}; the schema says {fault:?}")
        })
        .collect();
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Each a value of its own in YAML. Not here: numbers written in ways that a document alone cannot tell apart for a schema
/// (`5.0`, `1e3`, `0x10`), and quoted ones, which editors underline and the gateway takes.
const SAMPLES: [&str; 45] = [
    "0",
    "1",
    "2",
    "5",
    "100",
    "1000",
    "1001",
    "1000000000000",
    "1000000000001",
    "-1",
    "1.5",
    "2.5",
    "5s",
    "100ms",
    "30 min",
    "2h",
    "7d",
    "5m",
    "5 s s",
    "500/s",
    "30 /min",
    "1/d",
    "64KiB",
    "1MB",
    "1XB",
    "true",
    "false",
    "yes",
    "hold",
    "open",
    "pass",
    "block",
    "disk",
    "P1",
    "p1",
    "p3",
    "429",
    "500",
    "503",
    "jobs:other",
    "two words",
    "~",
    "header:X-Kind",
    "ce-type",
    "body:/a/b",
];

/// The keys of single values, by path; `*` is a rule, `[]` an item of a list.
fn leaves() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(&schema(), &mut Vec::new(), &mut found);
    for condition in ["type", "method", "path", "tenant", "content_type", "content_length"] {
        found.push(["rules", "*", "when", condition].map(str::to_owned).to_vec());
        for test in ["prefix", "glob", "regex", "at_least", "at_most", "present"] {
            found.push(["rules", "*", "when", condition, test].map(str::to_owned).to_vec());
        }
    }
    for named in ["header", "query"] {
        found.push(["rules", "*", "when", named, "X-Kind"].map(str::to_owned).to_vec());
    }
    found.push(["rules", "*", "when", "body", "/kind"].map(str::to_owned).to_vec());
    found
}

fn walk(schema: &Json, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        path.push(key.clone());
        // Conditions are walked by hand; a burst alone lacks its rate, which a schema of single keys cannot say.
        if key == "when" || path.join(".") == "tenants.default.burst" {
            path.pop();
            continue;
        }
        if below.get("properties").is_some() {
            walk(below, path, found);
        } else if let Some(items) = below.get("items") {
            path.push(if items.get("properties").is_some() { "*" } else { "[]" }.to_owned());
            if items.get("properties").is_some() {
                walk(items, path, found);
            } else {
                found.push(path.clone());
            }
            path.pop();
        } else {
            found.push(path.clone());
        }
        path.pop();
    }
}

/// A good document with this value at this path.
fn with(path: &[String], value: &str) -> Node {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut root = read(GOOD).unwrap();
    let node = |yaml: &str| read(&format!("v: {yaml}")).unwrap().entry("v").unwrap().node.clone();
    match path.as_slice() {
        ["rules", "*", rest @ ..] => {
            let mut rule = node("{ tier: p1 }");
            rule.put(rest, node(value));
            let list = Node { place: rule.place.clone(), value: Value::List(vec![rule]) };
            root.put(&["rules"], list);
        }
        [key, "[]"] => root.put(&[key], node(&format!("[ {value} ]"))),
        // One form of a target at a time.
        ["tiers", tier, "target", "depth"] => {
            root.put(&["tiers", tier, "target"], node(&format!("{{ depth: {value} }}")));
        }
        _ => root.put(&path, node(value)),
    }
    root
}

/// Whether the decoder takes the value as one of its kind. What it says of ranges of times, and of a value beside another,
/// a schema cannot say.
fn taken(tree: &Node, path: &[String]) -> bool {
    let Err(faults) = compile_tree(tree, "", "test") else { return true };
    let key = path.join(".").replace(".[]", "[0]").replace("rules.*", "rules[0]");
    let beyond = [
        "expects a duration from",
        "longer than 0",
        "a rate above 0",
        "must ",
        "not a glob",
        "not a regular",
    ];
    let kind = |message: &str| !beyond.iter().any(|words| message.contains(words));
    !faults.list.iter().any(|fault| fault.key.starts_with(&key) && kind(&fault.message))
}

const GOOD: &str = "tiers:
  p0: { target: { delay: 5s, at_least: 1, at_most: 1000000000000 }, max_depth: 1000000000000 }
  p1: { target: { delay: 5s, at_least: 1, at_most: 1000000000000 }, max_depth: 1000000000000,
        shed: { at: 1000000000000, until: 1 }, retention: { shed_at: 1ms, until: 100d } }
  p2: { target: { delay: 5s, at_least: 1, at_most: 1000000000000 }, max_depth: 1000000000000,
        shed: { at: 1000000000000, until: 1 }, retention: { shed_at: 1ms, until: 100d } }
";

/// The document as JSON, its values typed by YAML's core schema: what an editor's language server sees.
fn as_editors_read(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(as_editors_read).collect(),
        Value::Mapping(entries) => {
            let member =
                |entry: &tidegate::yaml::node::Entry| (entry.key.clone(), as_editors_read(&entry.node));
            Json::Object(entries.iter().map(member).collect())
        }
        Value::Scalar { text, quoted: true } => json!(text),
        Value::Scalar { text, .. } => match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Json::Null,
            "true" | "True" | "TRUE" => json!(true),
            "false" | "False" | "FALSE" => json!(false),
            number if number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => {
                serde_json::from_str(number.trim_start_matches('+')).unwrap_or_else(|_| json!(number))
            }
            text => json!(text),
        },
    }
}

/// The YAML files of a folder of the project.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(project(folder)).unwrap();
    let mut paths: Vec<String> = entries.map(|entry| entry.unwrap().path().display().to_string()).collect();
    paths.retain(|path| path.ends_with(".yaml"));
    paths.sort();
    paths
}

fn project(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

const SCHEMA: &str = "policies/schema.json";

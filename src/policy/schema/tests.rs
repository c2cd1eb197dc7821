//! The schema against the file that is kept and against the decoder: the same keys in the same places.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;
use crate::policy::compile::compile_tree;
use crate::yaml::fault::Fault;
use crate::yaml::node::{Node, Value as Yaml};
use crate::yaml::read::read;

/// `make schema` runs this with `TIDEGATE_WRITE_SCHEMA` set: then the file is written.
#[test]
fn the_schema_that_is_kept_is_the_one_of_the_code() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schema.json");
    if std::env::var_os("TIDEGATE_WRITE_SCHEMA").is_some() {
        std::fs::write(file, text()).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept == text(),
        "policies/schema.json is another schema: run `make schema` and look at the change"
    );
}

/// A mapping of known keys in the schema, by its path; `*` stands for an item of a list.
type Mappings = Vec<(Vec<String>, BTreeSet<String>)>;

fn mappings(schema: &Json, path: &mut Vec<String>, found: &mut Mappings) {
    if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
        found.push((path.clone(), properties.keys().cloned().collect()));
        for (key, below) in properties {
            path.push(key.clone());
            mappings(below, path, found);
            path.pop();
        }
    }
    if let Some(items) = schema.get("items").filter(|items| items.get("properties").is_some()) {
        path.push("*".to_owned());
        mappings(items, path, found);
        path.pop();
    }
}

/// Every key path of the schema, as `tiers.p1.shed.at`.
fn all_mappings() -> Mappings {
    let mut found = Vec::new();
    mappings(&schema(), &mut Vec::new(), &mut found);
    // What a test may be is written once for all conditions.
    let test = &schema()["$defs"]["test"]["anyOf"][1]["properties"];
    let keys = test.as_object().unwrap().keys().cloned().collect();
    found.push((["rules", "*", "when", "type"].map(str::to_owned).to_vec(), keys));
    found
}

/// A good document with `yaml` at this path.
fn with(path: &[String], yaml: &str) -> Node {
    let mut root = read(
        "tiers:\n  p0: { target: { depth: 10 }, max_depth: 20 }\n  p1: { target: { depth: 10 }, max_depth: 20 }\n  \
         p2: { target: { depth: 10 }, max_depth: 20 }\n",
    )
    .unwrap();
    let node = read(yaml).unwrap();
    match path {
        [rules, star, rest @ ..] if star == "*" => {
            let mut rule = read("{ when: { type: x }, tier: p1 }").unwrap();
            put(&mut rule, rest, node);
            let list = Node { place: rule.place.clone(), value: Yaml::List(vec![rule]) };
            root.put(&[rules], list);
        }
        _ => put(&mut root, path, node),
    }
    root
}

fn put(root: &mut Node, path: &[String], node: Node) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    root.put(&path, node);
}

/// All faults of the document that has `yaml` at this path.
fn faults(path: &[String], yaml: &str) -> Vec<Fault> {
    match compile_tree(&with(path, yaml), "", "test") {
        Ok(compiled) => compiled.warnings.list,
        Err(faults) => faults.list,
    }
}

fn said(path: &[String], yaml: &str) -> String {
    faults(path, yaml).iter().map(|fault| format!("{}: {}\n", fault.key, fault.message)).collect()
}

/// Whether the keys below this one are names of the operator's choice: of tenants.
fn holds_names(path: &[String]) -> bool {
    path == ["tenants"]
}

#[test]
fn the_decoder_knows_the_keys_of_the_schema_and_no_others() {
    for (path, keys) in all_mappings() {
        if holds_names(&path) {
            continue;
        }
        let mut below = path.clone();
        below.push(NO_KEY.to_owned());
        let told = said(&below, "1");
        let known: BTreeSet<String> = told
            .lines()
            .find_map(|line| line.split_once(&format!("{NO_KEY}: unknown key, valid here: ")))
            .unwrap_or_else(|| panic!("{path:?}: {told}"))
            .1
            .split(", ")
            .map(str::to_owned)
            .collect();
        assert_eq!(known, keys, "below {path:?}: the decoder's, the schema's");
    }
}

#[test]
fn where_the_schema_has_a_single_value_the_decoder_takes_no_mapping() {
    let all = all_mappings();
    let is_mapping = |path: &[String]| all.iter().any(|(mapping, _)| mapping == path);
    for (path, keys) in &all {
        for key in keys {
            let mut leaf = path.clone();
            leaf.push(key.clone());
            // Names of the operator's choice, and lists, are no single values.
            let named = ["header", "query", "body", "rules"].contains(&key.as_str());
            let test = leaf.get(2).is_some_and(|key| key == "when");
            if named || test || is_mapping(&leaf) {
                continue;
            }
            let told = said(&leaf, &format!("{{ {NO_KEY}: 1 }}"));
            assert!(!told.contains(NO_KEY) && !told.is_empty(), "{leaf:?}: {told}");
        }
    }
}

#[test]
fn every_key_that_is_misspelt_is_shown_the_right_one() {
    for (path, keys) in all_mappings() {
        if holds_names(&path) {
            continue;
        }
        for key in keys {
            let mut wrong = path.clone();
            // A slip that no other key is as near to.
            let slip = if key.len() > 2 { format!("{key}x") } else { key.to_uppercase() };
            wrong.push(slip.clone());
            let told = said(&wrong, "1");
            assert!(
                told.contains(&format!("{slip}: unknown key, did you mean `{key}`?")),
                "{wrong:?}: {told}"
            );
        }
    }
}

#[test]
fn every_key_is_described() {
    fn described(schema: &Json, path: &str) {
        for (key, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            let path = format!("{path}.{key}");
            assert!(below["description"].as_str().is_some_and(|text| text.len() > 4), "{path}");
            described(below, &path);
            described(&below["items"], &path);
        }
    }
    described(&schema(), "");
}

/// No key is called so, nor nearly so.
const NO_KEY: &str = "zzzzzzzzzzzz";

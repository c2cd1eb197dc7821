//! The document against the routers that it describes, and against the file in `docs/`.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use serde_json::Value;

use super::operation::{ADMIN, BOTH, INGEST, Listener};
use super::*;
use crate::domain::code::Code;
use crate::server::testing::{Desk, send};

#[tokio::test]
async fn every_path_that_is_routed_is_described_and_no_other() {
    let described = |listener: Listener| -> BTreeSet<String> {
        let has = |operation: &&Operation| operation.listeners.contains(&listener);
        let all = [ingest::operations(), admin::operations()].concat();
        all.iter().filter(has).map(|operation| operation.path.to_owned()).collect()
    };
    assert_eq!(described(Listener::Ingest), routed(include_str!("../mod.rs")));
    assert_eq!(described(Listener::Admin), routed(include_str!("../admin/mod.rs")));
}

#[tokio::test]
async fn each_path_has_the_methods_that_are_described_and_says_so() {
    let desk = Desk::usual();
    let mut methods: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let operations = [ingest::operations(), admin::operations()].concat();
    for operation in &operations {
        for listener in operation.listeners {
            methods.entry((listener.tag(), operation.path)).or_default().insert(operation.method.as_str());
        }
    }
    for ((listener, path), mut described) in methods {
        if described.contains("GET") {
            described.insert("HEAD");
        }
        let router = if listener == "ingest" { &desk.ingest } else { &desk.admin };
        assert_eq!(allowed(router, path).await, described.into_iter().map(str::to_owned).collect(), "{path}");
    }
}

#[test]
fn every_code_is_an_answer_of_some_operation() {
    let operations = [ingest::operations(), admin::operations()].concat();
    let described: BTreeSet<&str> =
        operations.iter().flat_map(Operation::codes).map(|code| code.as_str()).collect();
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !described.contains(code.as_str())).collect();
    // 405 is no operation's answer.
    assert_eq!(missing, [&Code::MethodNotAllowed]);
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for reference in &used {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "nobody uses {kind}/{name}");
        }
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let mut ids = BTreeSet::new();
    let mut tags = BTreeSet::new();
    for path in document()["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values().filter(|operation| operation.is_object()) {
            assert!(ids.insert(operation["operationId"].to_string()), "{operation}");
            tags.insert(operation["tags"].to_string());
        }
    }
    let tags_of = |listeners: &[Listener]| {
        format!("{:?}", listeners.iter().map(|listener| listener.tag()).collect::<Vec<_>>())
            .replace(", ", ",")
    };
    assert_eq!(tags, BTreeSet::from([INGEST, ADMIN, BOTH].map(tags_of)));
}

/// The paths of a router, as its source names them: axum does not tell them.
fn routed(source: &str) -> BTreeSet<String> {
    let paths: Vec<_> = source
        .split(".route(")
        .skip(1)
        .map(|rest| rest.trim_start().trim_start_matches('"').split('"').next().unwrap().to_owned())
        .collect();
    assert!(paths.len() > 5 && paths.iter().all(|path| path.starts_with('/')), "{paths:?}");
    paths.into_iter().collect()
}

/// What `Allow` says to a method that no path has.
async fn allowed(router: &Router, path: &str) -> BTreeSet<String> {
    let path = path.replace("{id}", "018bcfe5-687b-7fff-8fff-ffffffffffff").replace("{asset}", "main.js");
    let answer = send(router, "BREW", &path, &[("host", "localhost")], Body::empty()).await;
    assert_eq!(answer.code(), (405, "method_not_allowed".to_owned()), "{path}");
    answer.header("allow").unwrap_or_default().split(", ").map(str::to_owned).collect()
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                found.insert(reference.to_owned());
            }
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

//! Grafana's dashboard as a document: what its panels and variables ask for, and that all of it is there to be asked for.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate::telemetry::families::ALL;

use super::{RECORDING, families_in, family_of, rules, text_of, words};

/// A query of a panel, with its variables still in it.
#[derive(Debug)]
pub struct Query {
    /// Panel and legend.
    pub title: String,
    pub expression: String,
}

/// Every query of every panel.
pub fn queries() -> Vec<Query> {
    let mut found = Vec::new();
    for panel in panels(&dashboard()) {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = |key: &str| target[key].as_str().unwrap_or_else(|| panic!("{title} has no {key}"));
            found.push(Query {
                title: format!("{title}: {}", text("legendFormat")),
                expression: text("expr").to_owned(),
            });
        }
    }
    found
}

/// The selector and the label of each variable that Prometheus is asked for.
pub fn variables() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let asked = variables.iter().filter(|variable| variable["type"] == "query");
    asked
        .map(|variable| {
            let query = variable["query"]["query"].as_str().expect("a query");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).expect(query);
            assert_eq!(variable["definition"], query);
            (selector.to_owned(), label.to_owned())
        })
        .collect()
}

#[test]
fn panels_ask_for_metrics_that_there_are_and_for_all_of_them() {
    let recording = rules(RECORDING);
    let mut asked = BTreeSet::new();
    for Query { title, expression } in queries() {
        for word in words(&expression).into_iter().filter(|word| word.contains("tidegate_")) {
            let known = family_of(word).is_some() || recording.iter().any(|rule| rule.name == word);
            assert!(known, "{title}: there is no {word}");
        }
        asked.extend(families_in(&expression, &recording));
    }
    let shown: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
    assert_eq!(asked, shown);
}

#[test]
fn panels_are_told_apart_and_leave_job_and_gateway_to_the_reader() {
    let dashboard = dashboard();
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another");
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            titles.insert(title);
        }
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{title} is too wide");
    }
    assert!(titles.len() > 25, "{titles:?}");
    for Query { title, expression } in queries() {
        let of_the_job = expression.contains(r#"job="$job""#) || expression.starts_with("count(ALERTS");
        assert!(of_the_job, "{title} asks for every job");
    }
    let names: Vec<String> = variables().into_iter().map(|(_, label)| label).collect();
    assert_eq!(names, ["job", "instance"]);
}

#[test]
fn what_grafana_is_provisioned_with_is_yaml_that_can_be_read() {
    for file in ["datasources/prometheus.yaml", "dashboards/tidegate.yaml"] {
        let file = format!("deploy/grafana/provisioning/{file}");
        let tree =
            tidegate::yaml::read::read(&text_of(&file)).unwrap_or_else(|why| panic!("{file}: {why:?}"));
        assert!(tree.entry("apiVersion").is_some(), "{file}");
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&text_of("deploy/grafana/tidegate.json")).expect("JSON")
}

/// Panels, rows, and the panels of rows that are closed.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = dashboard["panels"].as_array().expect("panels");
    top.iter()
        .flat_map(|panel| [panel].into_iter().chain(panel["panels"].as_array().into_iter().flatten()))
        .collect()
}

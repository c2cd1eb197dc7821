//! Prometheus' rules: good in Prometheus' own eyes, each alert tried by promtool, and about metrics that there are.

use std::collections::BTreeSet;

use tidegate::yaml::read::read;

use super::{
    ALERTING, RECORDING, families_in, family_of, list, project, rules, scalar, text_of, under, words,
};
use crate::support::prometheus::{is_wanted, promtool};

#[tokio::test]
async fn the_configuration_and_the_rules_are_good() {
    if !is_wanted() {
        return;
    }
    let folder = project("deploy/prometheus");
    promtool(&folder, &["check", "config", "prometheus.yaml"]).await;
    let said = promtool(&folder, &["check", "rules", "recording.rules.yaml", "alerting.rules.yaml"]).await;
    assert!(!said.contains("FAILED"), "{said}");
}

#[tokio::test]
async fn each_alert_fires_when_it_must_and_only_then() {
    let tests = read(&text_of("deploy/prometheus/tests/alerting.test.yaml")).expect("YAML");
    let mut tried: BTreeSet<(String, bool)> = BTreeSet::new();
    for test in list(&under(&tests, "tests").expect("tests").value) {
        for moment in under(test, "alert_rule_test").map(|moments| list(&moments.value)).into_iter().flatten()
        {
            let silent = list(&under(moment, "exp_alerts").expect("exp_alerts").value).is_empty();
            tried.insert((scalar(under(moment, "alertname").expect("a name")), silent));
        }
    }
    for alert in rules(ALERTING) {
        for silent in [false, true] {
            assert!(
                tried.contains(&(alert.name.clone(), silent)),
                "no test of {}, silent: {silent}",
                alert.name
            );
        }
    }
    if is_wanted() {
        promtool(&project("deploy/prometheus"), &["test", "rules", "tests/alerting.test.yaml"]).await;
    }
}

#[test]
fn rules_ask_for_metrics_that_there_are() {
    let recording = rules(RECORDING);
    let recorded: BTreeSet<&str> = recording.iter().map(|rule| rule.name.as_str()).collect();
    for rule in recording.iter().chain(&rules(ALERTING)) {
        let ours = words(&rule.expression).into_iter().filter(|word| word.contains("tidegate_"));
        for word in ours {
            assert!(
                family_of(word).is_some() || recorded.contains(word),
                "{}: there is no {word}",
                rule.name
            );
        }
        let any = !families_in(&rule.expression, &recording).is_empty();
        assert!(any || rule.name == "TidegateDown", "{} asks for nothing of the gateway", rule.name);
    }
    // Nothing is recorded for nobody: an alert or a panel asks for it.
    let dashboard = text_of("deploy/grafana/tidegate.json");
    let asked = [text_of(ALERTING), text_of(RECORDING), dashboard].concat();
    for name in recorded {
        assert!(asked.matches(name).count() > 1, "nobody asks for {name}");
    }
}

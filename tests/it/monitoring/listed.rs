//! `docs/METRICS.md`: what the table of families says, with the alerts that look at each; and what the gateway serves is that table.

use std::fmt::Write;
use std::time::Duration;

use tidegate::domain::bound::Bound;
use tidegate::domain::code::Code;
use tidegate::domain::tier::Tier;
use tidegate::telemetry::families::{ALL, Family};
use tidegate::telemetry::handshakes::HandshakeFault;
use tidegate::telemetry::trace::counts::SpanDrop;

use super::{ALERTING, RECORDING, Rule, families_in, project, rules};
use crate::support::certificates::Authority;
use crate::support::gateway::Setup;
use crate::support::policy::Policy;
use crate::support::poll::until;

/// `make metrics` runs this test with `TIDEGATE_WRITE_METRICS` set: then the file is written.
#[test]
fn the_list_that_is_kept_is_the_one_of_the_code() {
    let (file, now) = (project("docs/METRICS.md"), document());
    if std::env::var_os("TIDEGATE_WRITE_METRICS").is_some() {
        std::fs::write(&file, &now).expect("docs can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == now, "docs/METRICS.md is another list: run `make metrics` and look at the change");
}

#[tokio::test]
async fn every_family_is_served_from_the_start_as_the_list_says() {
    let setup = Setup::with(&Policy::calm());
    let gateway = setup.start().await;
    let scrape = gateway.metrics().await;
    for family in ALL {
        assert!(scrape.has(family.name), "{} is not served", family.name);
        assert_eq!(scrape.kind(family.name), family.kind.as_str(), "{}", family.name);
    }
    gateway.finish().await;
}

/// Labels of samples, beside those of every histogram's buckets.
#[tokio::test]
async fn every_sample_has_the_labels_that_the_list_says() {
    let authority = Authority::new("monitoring");
    let setup = Setup::with(&Policy::calm()).ingest_tls(&authority.issue(), authority.trusted());
    let gateway = setup.start().await;
    gateway.accept("p1", "{}").await;
    let text = gateway.admin.get("/metrics").send().await.text().to_owned();
    let mut seen = 0;
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap();
        let family = super::family_of(name).unwrap_or_else(|| panic!("{name} is of no family"));
        let family = ALL.iter().find(|other| other.name == family).unwrap();
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let mut labels: Vec<&str> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        let mut told = family.labels.to_vec();
        labels.sort_unstable();
        told.sort_unstable();
        assert_eq!(labels, told, "{sample}");
        seen += 1;
    }
    assert!(seen > 200, "{seen}");
    gateway.finish().await;
}

#[tokio::test]
async fn the_limit_of_age_is_that_of_the_policy_in_force() {
    let policy = |delay: &str| {
        let target = format!("{{ delay: {delay}, at_least: 10, at_most: 20 }}");
        Policy::calm().tier("p1", "target", &target)
    };
    let gateway = Setup::with(&policy("90s")).start().await;
    let limit = async |tier| gateway.metrics().await.sum("tidegate_age_limit_seconds", &[("tier", tier)]);
    assert_eq!([limit("p0").await, limit("p1").await], [f64::INFINITY, 90.0]);
    std::fs::write(gateway.folder().join("policy.yaml"), policy("1500ms").to_yaml()).unwrap();
    until("the other policy's limit shows", PATIENCE, async || (limit("p1").await == 1.5).then_some(()))
        .await;
    gateway.finish().await;
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    writeln!(text, "\n## Labels\n| label | values |\n|---|---|").unwrap();
    for (label, values) in labels() {
        writeln!(text, "| `{label}` | {values} |").unwrap();
    }
    let (recording, alerting) = (rules(RECORDING), rules(ALERTING));
    let (classic, own): (Vec<Family>, Vec<Family>) = ALL.iter().partition(|family| family.is_classic());
    text.push_str("\n## Families\n");
    table(&mut text, &own, &recording, &alerting);
    text.push_str(CLASSIC);
    table(&mut text, &classic, &recording, &alerting);
    text
}

fn table(text: &mut String, families: &[Family], recording: &[Rule], alerting: &[Rule]) {
    text.push_str("| metric | kind | labels | unit | tells | leads to |\n|---|---|---|---|---|---|\n");
    for family in families {
        let labels = family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(" ");
        let alerts = alerting
            .iter()
            .filter(|alert| families_in(&alert.expression, recording).contains(family.name))
            .map(|alert| format!("[{0}](RUNBOOK.md#{1})", alert.name, alert.name.to_lowercase()));
        let alerts: Vec<String> = alerts.collect();
        let alerts =
            if alerts.is_empty() { String::new() } else { format!(" Alert: {}.", alerts.join(", ")) };
        let Family { name, help, kind, unit, action, .. } = family;
        writeln!(text, "| `{name}` | {} | {labels} | {unit} | {help} | {action}{alerts} |", kind.as_str())
            .unwrap();
    }
}

/// Each label of the table with the closed set of its values, or where they come from.
fn labels() -> Vec<(&'static str, String)> {
    let code = |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
    let tiers = code(Tier::ALL.map(Tier::as_str).to_vec());
    let handshakes = code(HandshakeFault::ALL.map(HandshakeFault::as_str).to_vec());
    let spans = code(SpanDrop::ALL.map(SpanDrop::as_str).to_vec());
    let listed = vec![
        ("tier", format!("{tiers}; `none` of what was refused before it was classified")),
        ("code", code(Code::ALL.iter().map(|code| code.as_str()).collect())),
        ("bound", code(Bound::ALL.iter().map(|bound| bound.as_str()).collect())),
        ("status", "HTTP statuses of job routes; `other` of any that is not told apart".to_owned()),
        ("queue", "the names of the policy's three queues; `queue_name` in the classic names".to_owned()),
        ("queue_name", "as `queue`".to_owned()),
        ("priority", code(Tier::ALL.map(Tier::as_priority).to_vec())),
        ("listener", code(vec!["ingest", "admin"])),
        ("reason", format!("of handshakes {handshakes}; of spans {spans}")),
        ("tenant", "the tenants that the policy watches (`watch: true`)".to_owned()),
        ("result", code(vec!["applied", "rejected", "unchanged"])),
        ("file", code(vec!["policy", "keys"])),
        ("revision", "the revision of the policy in force, one at a time".to_owned()),
        ("version", "the version of the program".to_owned()),
        ("verdict", "what the candidate would have answered: `admitted`, a code of a refusal, or why it could not be told".to_owned()),
        ("acting", "a verdict, of the policy in force".to_owned()),
        ("candidate", "a verdict, of the candidate".to_owned()),
        ("from", tiers.clone()),
        ("to", tiers),
    ];
    let used = |label: &&str| ALL.iter().any(|family| family.labels.contains(label));
    assert!(listed.iter().all(|(label, _)| used(label)), "a label that no family has");
    for label in ALL.iter().flat_map(|family| family.labels) {
        assert!(listed.iter().any(|(listed, _)| listed == label), "what are the values of {label}?");
    }
    listed
}

/// Longer than a changed policy may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

const HEAD: &str = "\
# Metrics

<!-- Written from src/telemetry/families.rs by `make metrics`; a test compares it. -->
`GET /metrics` on the admin listener, in the Prometheus text format. Every family is there from the start, and counters by tier and
code show zero before anything happens; a status appears with its first answer. Counters begin at zero with the process. [deploy/prometheus](../deploy/prometheus) has the scrape
configuration and the rules, [deploy/grafana](../deploy/grafana) the dashboard, [RUNBOOK.md](RUNBOOK.md) what to do when an alert comes.

Depth, age, drain, target and pressure are of the *queue*: every replica on it shows them, so take the highest (`max by (job, tier)`). Counts, rates and shares
are of *this gateway*: add them up.

While no request is in flight `received = admitted + duplicate + refused + invalid`, since the process started.
";

const CLASSIC: &str = "
## Classic names
Aliases for dashboards that exist. `telemetry.classic_metric_names: false` switches them off.

";

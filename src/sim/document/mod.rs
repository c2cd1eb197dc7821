//! Reading a scenario from YAML, with every fault at once.

mod parts;

use std::time::Duration;

use crate::policy::compile::compile_tree;
use crate::sim::document::parts::{
    LONGEST, SHORTEST, read_clients, read_expect, read_signal, read_tiers, read_workers,
};
use crate::sim::play::steps;
use crate::sim::scenario::Scenario;
use crate::yaml::decode::Field;
use crate::yaml::fault::{Fault, FaultLog, Faults};
use crate::yaml::node::{Node, Place};
use crate::yaml::read::read;

/// A scenario that still lacks its policy.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The policy file that the document names, relative to its own place.
    pub policy: Option<PolicyFile>,
    /// What faults call the document.
    name: String,
    /// Where the duration is written.
    duration_at: Place,
    scenario: Scenario,
    sets: Vec<(String, Node)>,
}

/// A policy file, and where a scenario names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// The path as it is written.
    pub path: String,
    /// Where.
    pub place: Place,
}

/// Reads a scenario; `name` is what faults call the document.
///
/// # Errors
/// Every fault of the document.
pub fn read_draft(document: &str, name: &str) -> Result<Draft, Faults> {
    let named = |list| Faults { document: name.to_owned(), list };
    let node = read(document).map_err(named)?;
    let log = FaultLog::default();
    let draft = decode(&Field::root(&node, &log), &node, name);
    match draft {
        Some(draft) if log.errors() == 0 => Ok(draft),
        _ => Err(named(log.into_list())),
    }
}

impl Draft {
    /// The scenario under this policy document, with the nodes that `set` replaces.
    ///
    /// # Errors
    /// Every fault of the policy as the scenario has it.
    pub fn under(self, policy: &str, name: &str) -> Result<Scenario, Faults> {
        let named = |list| Faults { document: name.to_owned(), list };
        let mut tree = read(policy).map_err(named)?;
        for (path, node) in self.sets {
            let keys: Vec<&str> = path.split('.').collect();
            tree.put(&keys, node);
        }
        let policy = compile_tree(&tree, policy, name)?.policy;
        let weights = policy.tiers.map(|_, tier| tier.weight);
        let scenario = Scenario { regulator: policy.regulator, weights, ..self.scenario };
        let steps = steps(&scenario);
        if steps > MOST_STEPS {
            let message = format!(
                "this takes about {steps:.0e} steps, at most {MOST_STEPS:.0e} are played: \
                 play a shorter time, offer less, or set a larger target"
            );
            return Err(Faults {
                document: self.name,
                list: vec![Fault::error(self.duration_at, "duration", message)],
            });
        }
        Ok(scenario)
    }
}

fn decode(root: &Field<'_>, node: &Node, document: &str) -> Option<Draft> {
    let mut map = root.mapping()?;
    let mut scenario = Scenario { name: document.to_owned(), ..Scenario::default() };
    let mut duration_at = Place::Document;
    map.set("name", &mut scenario.name, Field::text);
    map.set("seed", &mut scenario.seed, Field::integer);
    if let Some(duration) = map.required("duration") {
        let longest = |field: &Field<'_>| field.duration_within(SHORTEST, LONGEST);
        scenario.duration = longest(&duration).unwrap_or_default();
        duration_at = duration.place().clone();
    }
    let policy = map.field("policy").and_then(|field| {
        let file = |path| PolicyFile { path, place: field.place().clone() };
        field.text().map(file)
    });
    let sets = map.field("set").map(|field| read_sets(&field, node, document)).unwrap_or_default();
    if let Some(field) = map.field("workers") {
        read_workers(&field, &mut scenario.workers);
    }
    if let Some(field) = map.field("tiers") {
        read_tiers(&field, &mut scenario.tiers);
    }
    map.set("arrivals", &mut scenario.poisson, |field| field.word(&[("paced", false), ("poisson", true)]));
    map.set("store_delay", &mut scenario.store_delay, |field| field.duration_within(Duration::ZERO, LONGEST));
    if let Some(field) = map.field("signal") {
        read_signal(&field, &mut scenario.signal);
    }
    if let Some(field) = map.field("clients") {
        read_clients(&field, &mut scenario.clients);
    }
    if let Some(restarts) = map.field("restarts").and_then(|field| field.list()) {
        scenario.restarts = restarts.iter().filter_map(Field::duration).collect();
    }
    if let Some(field) = map.field("expect") {
        scenario.expect = read_expect(&field);
    }
    map.close();
    Some(Draft { policy, name: document.to_owned(), duration_at, scenario, sets })
}

/// The nodes of the policy that the scenario replaces, each with a place that leads back here.
fn read_sets(field: &Field<'_>, node: &Node, document: &str) -> Vec<(String, Node)> {
    let Some(map) = field.mapping() else { return Vec::new() };
    let mut sets = Vec::new();
    for (path, value) in map.all() {
        if path.is_empty() || path.split('.').any(str::is_empty) {
            value.refuse_key("expects a key of the policy such as tiers.p2.target");
            continue;
        }
        let Some(entry) = node.entry("set").and_then(|set| set.node.entry(path)) else { continue };
        let place = Place::Beside(format!("{}", entry.place.in_document(document)).into());
        sets.push((path.to_owned(), entry.node.clone().moved_to(&place)));
    }
    sets
}

/// A step takes 0.1 to 0.2 microseconds: so many are some minutes.
const MOST_STEPS: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::settings::Target;
    use crate::domain::tier::Tier;
    use crate::policy::DEFAULT_DOCUMENT;

    const FLASH_SALE: &str = "\
name: flash sale
seed: 1
duration: 400s
policy: ../../policies/default.yaml
set: { \"tiers.p2.target\": { depth: 10000 } }
workers: { rate: [[0s, 10000]], noise: 0.0 }
tiers:
  p2: { offered: [[0s, 1000], [60s, 100000], [240s, 5000]], drain: [[0s, 10000]] }
signal: { every: 100ms, delay: 0s, commits_every: 0s, lost: [[100s, 220s]] }
clients: { obey: 1.0 }
expect:
  p2: { peak_depth_ratio: { at_most: 1.05 }, utilisation: { at_least: 0.99 } }
";

    fn faults(document: &str) -> Vec<String> {
        let faults = read_draft(document, "s.yaml").unwrap_err();
        faults.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_scenario_reads_as_it_is_written() {
        let draft = read_draft(FLASH_SALE, "s.yaml").unwrap();
        assert_eq!(draft.policy.as_ref().unwrap().path, "../../policies/default.yaml");
        let scenario = draft.under(DEFAULT_DOCUMENT, "default.yaml").unwrap();
        assert_eq!(scenario.regulator.tiers[Tier::P2].target, Target::Depth(10_000));
        assert_eq!(scenario.regulator.tiers[Tier::P2].max_depth, 1_000_000);
        assert_eq!(scenario.tiers[Tier::P2].offered.at(Duration::from_secs(100)), 100_000.0);
        assert_eq!(scenario.signal.lost, [(Duration::from_secs(100), Duration::from_secs(220))]);
        assert_eq!(scenario.expect.len(), 2);
        assert_eq!(scenario.expect[1].at_least, Some(0.99));
    }

    #[test]
    fn every_fault_of_a_scenario_is_told_at_once() {
        let found = faults(
            "duration: 0s\nworker: { rate: 5 }\ntiers:\n  p3: {}\n  p2: { offered: [[5s, 1], [5s, 2]], dead: 2 }\n\
             signal: { lost: [[9s, 3s]] }\nclients: { obey: 0.8, ignore: 0.8 }\n\
             expect: { p2: { utilization: { at_most: 1 }, refused: {} } }\n",
        );
        assert_eq!(
            found,
            [
                "s.yaml:1:11: duration: expects a duration from 1ms to 604800s",
                "s.yaml:2:1: worker: unknown key, did you mean `workers`?",
                "s.yaml:4:3: tiers.p3: unknown key, valid here: p0, p1, p2",
                "s.yaml:5:9: tiers.p2.offered: expects moments that rise",
                "s.yaml:5:44: tiers.p2.dead: expects a number from 0 to 1, found `2`",
                "s.yaml:6:18: signal.lost[0]: expects the earlier moment first",
                "s.yaml:7:1: clients: expects the shares `obey`, `hasty` and `ignore` to be 1 at most together",
                "s.yaml:8:17: expect.p2.utilization: unknown figure, did you mean `utilisation`?",
                "s.yaml:8:46: expect.p2.refused: expects `at_least` or `at_most`",
            ]
        );
    }

    #[test]
    fn a_replaced_node_that_is_wrong_is_told_with_its_own_place() {
        let document = "duration: 1s\nset: { \"tiers.p2.shed.at\": many }\n";
        let draft = read_draft(document, "s.yaml").unwrap();
        let faults = draft.under(DEFAULT_DOCUMENT, "default.yaml").unwrap_err().to_string();
        assert!(faults.starts_with("s.yaml:2:8: tiers.p2.shed.at: "), "{faults}");
    }

    #[test]
    fn a_path_through_a_single_value_or_a_list_is_told_with_its_own_place() {
        for (path, key) in [("default_tier.x", "default_tier"), ("rules.0.tier", "rules")] {
            let draft = read_draft(&format!("duration: 1s\nset: {{ {path}: p0 }}\n"), "s.yaml").unwrap();
            let faults = draft.under(DEFAULT_DOCUMENT, "default.yaml").unwrap_err().to_string();
            assert!(faults.starts_with(&format!("s.yaml:2:8: {key}: expects ")), "{faults}");
        }
    }

    #[test]
    fn what_would_be_played_for_hours_is_refused_with_what_to_do() {
        let heavy =
            "duration: 1h\nset: { tiers.p2.target: { depth: 1 } }\ntiers: { p2: { offered: 100000000 } }\n";
        let faults =
            read_draft(heavy, "s.yaml").unwrap().under(DEFAULT_DOCUMENT, "p").unwrap_err().to_string();
        assert!(faults.starts_with("s.yaml:1:1: duration: this takes about 4e11 steps"), "{faults}");
        let chance = "duration: 1h\nworkers: { rate: 1000000, service: random }\n";
        assert!(read_draft(chance, "s.yaml").unwrap().under(DEFAULT_DOCUMENT, "p").is_err());
        let million = "duration: 1h\ntiers: { p2: { offered: 1000000 } }\nworkers: { rate: 1000000 }\n";
        assert!(read_draft(million, "s.yaml").unwrap().under(DEFAULT_DOCUMENT, "p").is_ok());
    }

    #[test]
    fn a_rate_may_have_a_unit_and_a_schedule_be_one_value() {
        let document =
            "duration: 1s\nworkers: { rate: 500/min }\ntiers: { p1: { offered: [[0s, 30/min]] } }\n";
        let scenario = read_draft(document, "s.yaml").unwrap().under("", "empty").unwrap();
        assert_eq!(scenario.workers.rate.at(Duration::ZERO), 500.0 / 60.0);
        assert_eq!(scenario.tiers[Tier::P1].offered.at(Duration::ZERO), 0.5);
    }
}

//! Policies for tests: the usual rules, with every tier's bounds in the test's own hand.

use std::fmt::Write;

/// A policy document, being put together.
#[derive(Clone, Debug)]
pub struct Policy {
    tiers: [Vec<(String, String)>; 3],
    rest: Vec<(String, String)>,
}

impl Policy {
    /// The usual rules; targets so far away that nothing is ever refused.
    pub fn calm() -> Policy {
        let mut policy = Policy { tiers: Default::default(), rest: Vec::new() };
        for (key, yaml) in RULES {
            policy = policy.top(key, yaml);
        }
        let names = [("p0", "critical", 60), ("p1", "standard", 30), ("p2", "bulk", 10)];
        for (tier, queue, weight) in names {
            policy = policy
                .tier(tier, "queue", &format!("\"jobs:{queue}\""))
                .tier(tier, "target", "{ depth: 1000000 }")
                .tier(tier, "max_depth", "2000000")
                .tier(tier, "weight", &weight.to_string())
                .tier(tier, "on_stale", "hold");
        }
        policy
    }

    /// Sets one key of a tier.
    pub fn tier(mut self, tier: &str, key: &str, yaml: &str) -> Policy {
        let index = ["p0", "p1", "p2"].iter().position(|name| *name == tier).expect("a tier");
        set(&mut self.tiers[index], key, yaml);
        self
    }

    /// Sets one key of all tiers.
    pub fn every_tier(self, key: &str, yaml: &str) -> Policy {
        self.tier("p0", key, yaml).tier("p1", key, yaml).tier("p2", key, yaml)
    }

    /// Sets one key of the document itself.
    pub fn top(mut self, key: &str, yaml: &str) -> Policy {
        set(&mut self.rest, key, yaml);
        self
    }

    pub fn to_yaml(&self) -> String {
        let mut yaml = String::new();
        for (key, value) in &self.rest {
            writeln!(yaml, "{key}: {value}").unwrap();
        }
        yaml.push_str("tiers:\n");
        for (name, keys) in ["p0", "p1", "p2"].iter().zip(&self.tiers) {
            writeln!(yaml, "  {name}:").unwrap();
            for (key, value) in keys {
                writeln!(yaml, "    {key}: {value}").unwrap();
            }
        }
        yaml
    }
}

fn set(keys: &mut Vec<(String, String)>, key: &str, yaml: &str) {
    keys.retain(|(name, _)| name != key);
    keys.push((key.into(), yaml.into()));
}

/// Types `payment`, `analytics` and all others are p0, p2 and p1.
const RULES: [(&str, &str); 3] = [
    ("type_from", "[ \"header:Tidegate-Type\", \"body:/type\" ]"),
    (
        "rules",
        "[ { name: critical work, when: { type: [payment, auth] }, tier: p0 }, \
         { name: bulk work, when: { type: [analytics, digest] }, tier: p2 } ]",
    ),
    ("default_tier", "p1"),
];

//! The rules between the keys of one policy: what must hold, and what probably is not meant.

use crate::control::settings::Target;
use crate::domain::tier::{Tier, TierMap};
use crate::policy::{Policy, Requirement};
use crate::regulator::settings::{RegulatorSettings, TierSettings};
use crate::yaml::decode::Field;
use crate::yaml::fault::{Fault, FaultLog};
use crate::yaml::node::{Node, Place};
use crate::yaml::read::read;

/// Checks one tier: target <= shed.at <= max_depth, shed.until < shed.at.
pub(super) fn check_tier(tier: &Field<'_>, law: &TierSettings) {
    let (top, key) = top_of(law.target);
    if let Some(shed) = law.shed {
        if top > shed.at {
            tier.at(&["target", key]).refuse(format!("the target must not be above shed.at ({})", shed.at));
        }
        if shed.until >= shed.at {
            tier.at(&["shed", "until"]).refuse(format!("must be below shed.at ({})", shed.at));
        }
        if shed.at > law.max_depth {
            tier.at(&["shed", "at"]).refuse(format!("must not be above max_depth ({})", law.max_depth));
        }
    } else if top > law.max_depth {
        tier.at(&["target", key])
            .refuse(format!("the target must not be above max_depth ({})", law.max_depth));
    }
}

/// Warns where the law's own noise would reach a threshold: held at the target, the depth goes up to target times
/// window.
pub(super) fn warn_of_noise(root: &Field<'_>, settings: &RegulatorSettings) {
    let window = settings.controller.window;
    for (tier, law) in settings.tiers.iter() {
        let (top, key) = top_of(law.target);
        let reach = top as f64 * window;
        let field = root.at(&["tiers", tier.as_str(), "target", key]);
        if let Some(shed) = law.shed
            && reach > shed.at as f64
            && top <= shed.at
        {
            field.warn(format!(
                "target x window ({reach:.0}) reaches shed.at ({}): shedding would be a matter of noise",
                shed.at
            ));
        }
        let others_yield = settings.tiers.iter().any(|(other, below)| other > tier && below.yields);
        if others_yield && reach > law.max_depth as f64 && top <= law.max_depth {
            let yielding = yielding_to(tier, settings);
            field.warn(format!(
                "target x window ({reach:.0}) reaches max_depth ({}): {yielding} would be shed by noise",
                law.max_depth
            ));
        }
    }
}

/// The tiers that require more than receipts reach.
pub(super) fn unmet_requirements(policy: &Policy, reached: Option<Requirement>) -> Vec<Fault> {
    let log = FaultLog::default();
    let node = read(&policy.document).unwrap_or_else(|_| Node::empty(Place::Document));
    let root = Field::root(&node, &log);
    for (tier, policy) in policy.tiers.iter() {
        if policy.require > reached {
            let reached = reached.map_or_else(|| "memory".to_owned(), |reached| reached.to_string());
            root.at(&["tiers", tier.as_str(), "require"])
                .refuse(format!("the backend as it is configured reaches only `{reached}`"));
        }
    }
    log.into_list()
}

/// The tiers whose queues the backend cannot have, with the reasons.
pub(super) fn unfit_queues(policy: &Policy, why: &TierMap<Option<String>>) -> Vec<Fault> {
    tier_faults(policy, "queue", why)
}

/// The tiers that cannot be so, with the reasons, at this key of theirs.
pub(super) fn tier_faults(policy: &Policy, key: &'static str, why: &TierMap<Option<String>>) -> Vec<Fault> {
    let log = FaultLog::default();
    let node = read(&policy.document).unwrap_or_else(|_| Node::empty(Place::Document));
    let root = Field::root(&node, &log);
    for (tier, why) in why.iter() {
        if let Some(why) = why {
            root.at(&["tiers", tier.as_str(), key]).refuse(why.as_str());
        }
    }
    log.into_list()
}

fn yielding_to(tier: Tier, settings: &RegulatorSettings) -> String {
    let names: Vec<&str> = settings
        .tiers
        .iter()
        .filter(|(other, below)| *other > tier && below.yields)
        .map(|(other, _)| other.as_str())
        .collect();
    names.join(" and ")
}

/// The highest depth that the target can be, and the key that says so.
const fn top_of(target: Target) -> (u64, &'static str) {
    match target {
        Target::Depth(depth) => (depth, "depth"),
        Target::Delay { at_most, .. } => (at_most, "at_most"),
    }
}

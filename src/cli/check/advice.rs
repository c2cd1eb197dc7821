//! Which knob of the controller calms a tier that swings, and the value that does.

use std::time::Duration;

use crate::cli::check::play::trouble;
use crate::control::settings::ControllerSettings;
use crate::regulator::settings::RegulatorSettings;
use crate::yaml::scalar::written;

/// A knob and the value with which every tier was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    /// The key below `controller`.
    pub(super) knob: &'static str,
    /// The value, as it is written in a policy.
    pub(super) value: String,
}

/// Tries one knob after the other, each in a few steps towards its default. `None` where no single one helps.
pub(super) fn advice(settings: &RegulatorSettings) -> Option<Advice> {
    let calms = |controller: &ControllerSettings| trouble(settings, *controller).is_none();
    candidates(&settings.controller).into_iter().find(|(_, controller)| calms(controller)).map(
        |(knob, controller)| {
            let value = match knob {
                "interval" => written(controller.interval),
                "drain_memory" => written(controller.drain_memory),
                "kd" => controller.kd.to_string(),
                "kp" => controller.kp.to_string(),
                _ => controller.window.to_string(),
            };
            Advice { knob, value }
        },
    )
}

/// One knob changed at a time, the least change first.
fn candidates(written: &ControllerSettings) -> Vec<(&'static str, ControllerSettings)> {
    let usual = ControllerSettings::DEFAULT;
    let mut list = Vec::new();
    if written.kd > usual.kd {
        let kds = [5.0, 1.0, 0.0].into_iter().filter(|kd| *kd < written.kd);
        list.extend(kds.map(|kd| ("kd", ControllerSettings { kd, ..*written })));
    }
    let intervals = INTERVALS.into_iter().map(Duration::from_millis).filter(|step| *step < written.interval);
    list.extend(intervals.map(|interval| ("interval", ControllerSettings { interval, ..*written })));
    if written.kp < usual.kp {
        list.push(("kp", ControllerSettings { kp: usual.kp, ..*written }));
    }
    if written.drain_memory != usual.drain_memory {
        list.push(("drain_memory", ControllerSettings { drain_memory: usual.drain_memory, ..*written }));
    }
    if written.window > usual.window {
        list.push(("window", ControllerSettings { window: usual.window, ..*written }));
    }
    list
}

/// Intervals to try, in milliseconds. Few: each is another play.
const INTERVALS: [u64; 3] = [2_000, 500, 100];

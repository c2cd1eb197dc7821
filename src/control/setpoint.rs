//! The setpoint: the depth to hold, from the policy's target and the measured drain.

use crate::control::settings::Target;

/// D*, in jobs: fixed, or the drain times the acceptable delay within its bounds. `drain` is in jobs per second;
/// before any worker was seen (`None`) a delay's target is its lower bound, so an empty new queue simply fills.
pub fn target_depth(target: Target, drain: Option<f64>) -> f64 {
    match target {
        Target::Depth(depth) => depth as f64,
        Target::Delay { delay, at_least, at_most } => {
            let wanted = drain.unwrap_or(0.0) * delay.as_secs_f64();
            wanted.min(at_most as f64).max(at_least as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DELAY: Target = Target::Delay { delay: Duration::from_secs(60), at_least: 100, at_most: 800 };

    #[test]
    fn a_delay_is_the_drain_times_the_delay_within_its_bounds() {
        assert_eq!(target_depth(DELAY, None), 100.0);
        assert_eq!(target_depth(DELAY, Some(1.0)), 100.0);
        assert_eq!(target_depth(DELAY, Some(5.0)), 300.0);
        assert_eq!(target_depth(DELAY, Some(1e300)), 800.0);
    }

    #[test]
    fn a_fixed_depth_does_not_follow_the_drain() {
        assert_eq!(target_depth(Target::Depth(50), Some(1e6)), 50.0);
    }
}

//! The rate controller: measured drain as the bias, feedback on the error, bounds around the sum.

use crate::control::pid::{Feedback, Gains, Pid, Sight};
use crate::control::settings::{ControllerSettings, PATIENCE_IN_TICKS, RateBounds, most_ki_beside};
use crate::domain::units::Rate;

/// One step's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// What the workers do now, in jobs per second.
    pub drain: f64,
    /// Depth to hold, in jobs.
    pub target: f64,
    /// Predicted depth, in jobs.
    pub depth: f64,
    /// Usual time between two signs of progress, in seconds, where it is known.
    pub usual_gap: Option<f64>,
    /// Seconds since the step before.
    pub elapsed: f64,
    /// Whether somebody was held back since.
    pub demand: bool,
}

/// One step's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The admission rate, within its bounds.
    pub rate: Rate,
    /// The measured drain, in jobs per second.
    pub feed_forward: f64,
    /// What feedback adds.
    pub feedback: Feedback,
    /// The bound that acted.
    pub bound: Option<Bound>,
}

/// A bound of the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The least rate.
    Min,
    /// The largest rate.
    Max,
}

/// The law's second step, with the memory of its feedback.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateController {
    pid: Pid,
}

impl RateController {
    /// `rate = drain + Kp e + integral - derivative`, bounded. More depth never gives more rate.
    pub fn update(
        &mut self,
        measured: Measured,
        settings: &ControllerSettings,
        bounds: RateBounds,
    ) -> Output {
        let (sum, feedback) = self.sum(measured, settings);
        let (rate, bound) = bounded(Rate::saturating(sum), bounds);
        Output { rate, feed_forward: measured.drain, feedback, bound }
    }

    /// Goes over to a new target or to new gains without a jump: the next update that measures this gives `rate`, as far
    /// as its bounds allow, and from there the rate comes over in seconds.
    pub fn go_on_from(&mut self, rate: Rate, measured: Measured, settings: &ControllerSettings) {
        let (sum, _) = self.sum(Measured { elapsed: 0.0, ..measured }, settings);
        self.pid.carry(rate.jobs_per_second() - sum);
    }

    /// What the integral has gathered, in jobs per second.
    pub const fn integral(&self) -> f64 {
        self.pid.integral()
    }

    /// Draws the integral towards that of others who steer the same queue, in `elapsed` seconds.
    pub fn draw_towards(&mut self, integral: f64, elapsed: f64) {
        self.pid.draw_towards(integral, elapsed);
    }

    fn sum(&mut self, measured: Measured, settings: &ControllerSettings) -> (f64, Feedback) {
        let kp = proportional_gain(measured.usual_gap, settings);
        let gains = Gains { kp, ki: sane(settings.ki).min(most_ki_beside(kp)), kd: sane(settings.kd) };
        let sight = Sight {
            target: measured.target,
            depth: measured.depth,
            elapsed: measured.elapsed,
            integral_bound: INTEGRAL_SHARE * measured.drain,
            demand: measured.demand,
        };
        let feedback = self.pid.step(sight, gains);
        (measured.drain + feedback.proportional + feedback.integral - feedback.derivative, feedback)
    }
}

/// The rate within its bounds, and the bound that changed it.
pub fn bounded(rate: Rate, bounds: RateBounds) -> (Rate, Option<Bound>) {
    match bounds.max {
        Some(max) if rate > max => (max, Some(Bound::Max)),
        _ if rate < bounds.min => (bounds.min, Some(Bound::Min)),
        _ => (rate, None),
    }
}

/// A correction must not be repeated before its effect can show.
fn proportional_gain(usual_gap: Option<f64>, settings: &ControllerSettings) -> f64 {
    let slowest = (PATIENCE_IN_TICKS * settings.interval.as_secs_f64()).max(usual_gap.unwrap_or(0.0));
    sane(settings.kp).min(1.0 / slowest)
}

/// What is no gain counts as none, and no gain makes a sum that is no number.
const fn sane(gain: f64) -> f64 {
    gain.max(0.0).min(LARGEST_GAIN)
}

/// Far beyond any use, and small enough for sums of the largest depths.
const LARGEST_GAIN: f64 = 1e12;

/// The integral may correct the measured drain by this share of it.
const INTEGRAL_SHARE: f64 = 0.5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SETTINGS: ControllerSettings = ControllerSettings::DEFAULT;
    const MEASURED: Measured = Measured {
        drain: 1000.0,
        target: 5000.0,
        depth: 5000.0,
        usual_gap: None,
        elapsed: 0.1,
        demand: true,
    };

    fn bounds(min: f64, max: Option<f64>) -> RateBounds {
        RateBounds {
            min: Rate::saturating(min),
            max: max.map(Rate::saturating),
            burst: Duration::from_secs(1),
        }
    }

    #[test]
    fn at_the_target_the_rate_is_the_drain() {
        let output = RateController::default().update(MEASURED, &SETTINGS, bounds(1.0, None));
        assert_eq!((output.rate.jobs_per_second(), output.bound), (1000.0, None));
    }

    #[test]
    fn a_signal_that_shows_progress_every_five_seconds_is_answered_no_faster() {
        let sight = Measured { depth: 4000.0, usual_gap: Some(5.0), ..MEASURED };
        let output = RateController::default().update(sight, &SETTINGS, bounds(1.0, None));
        assert!((output.feedback.proportional - 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_large_gain_is_held_to_a_quarter_of_the_control_rate() {
        let settings = ControllerSettings { kp: 50.0, ..SETTINGS };
        let sight = Measured { depth: 4000.0, ..MEASURED };
        let output = RateController::default().update(sight, &settings, bounds(1.0, None));
        assert!((output.feedback.proportional - 2_500.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn the_rate_is_within_its_bounds_and_more_depth_never_gives_more(
            drain in 0.0..1e12, target in 0.0..1e15, depth in 0.0..1e18, more in 0.0..1e18,
            min in 0.0..1e6, span in 0.0..1e9, demand: bool,
        ) {
            let bounds = bounds(min, Some(min + span));
            let sight = Measured { drain, target, depth, demand, ..MEASURED };
            let (mut one, mut other) = (RateController::default(), RateController::default());
            let rate = one.update(sight, &SETTINGS, bounds).rate;
            prop_assert!(rate >= bounds.min && Some(rate) <= bounds.max);
            let deeper = other.update(Measured { depth: depth + more, ..sight }, &SETTINGS, bounds).rate;
            prop_assert!(deeper <= rate);
        }
    }
}

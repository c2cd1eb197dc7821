//! The feedback terms: proportional, integral and derivative, with what keeps them sane at the bounds.

/// Gains in their units: 1/s, 1/s² and none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gains {
    /// Share of the error worked off each second.
    pub kp: f64,
    /// Growth of the correction per job of error and second, each second.
    pub ki: f64,
    /// Share of the depth's slope that is opposed.
    pub kd: f64,
}

/// One step's view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Depth to hold, in jobs.
    pub target: f64,
    /// Predicted depth, in jobs.
    pub depth: f64,
    /// Seconds since the step before; zero for a step that only looks again.
    pub elapsed: f64,
    /// Bound of the integral's share, in jobs per second.
    pub integral_bound: f64,
    /// Whether the rate was what held admission: without demand the error says nothing about the rate.
    pub demand: bool,
}

/// The terms, in jobs per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Feedback {
    /// Gain times error.
    pub proportional: f64,
    /// What the integral has gathered, and what a change of settings left to fade.
    pub integral: f64,
    /// What is subtracted for the slope.
    pub derivative: f64,
}

/// Integral and slope: what the terms remember.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pid {
    /// Gathered in jobs per second, gain included: a changed gain changes its growth, not what it stands for.
    integral: f64,
    /// What a change of settings would have made the sum jump by, in jobs per second; fades.
    carried: f64,
    slope: f64,
    depth: Option<f64>,
}

impl Pid {
    /// The terms for this sight.
    pub fn step(&mut self, sight: Sight, gains: Gains) -> Feedback {
        let error = sight.target - sight.depth;
        self.integrate(error, sight, gains.ki);
        self.carried *= (-sight.elapsed / FADE).exp();
        if sight.elapsed > 0.0 {
            let rise = sight.depth - self.depth.unwrap_or(sight.depth);
            self.slope += (rise / sight.elapsed - self.slope) * SLOPE_SHARE;
            self.depth = Some(sight.depth);
        }
        Feedback {
            proportional: gains.kp * error,
            integral: self.integral + self.carried,
            derivative: gains.kd * self.slope,
        }
    }

    /// Adds to what fades: the sum of the terms goes on from where it was, and comes over to the new settings in seconds.
    pub fn carry(&mut self, jobs_per_second: f64) {
        let carried = self.carried + jobs_per_second;
        self.carried = if carried.is_finite() { carried } else { 0.0 };
    }

    /// What the integral has gathered, in jobs per second.
    pub const fn integral(&self) -> f64 {
        self.integral
    }

    /// Draws the integral towards another, in `elapsed` seconds: two that see the same error with slightly different eyes
    /// would drift apart for ever.
    pub fn draw_towards(&mut self, other: f64, elapsed: f64) {
        let drawn = self.integral - (other - self.integral) * (-elapsed.max(0.0) / AGREE).exp_m1();
        self.integral = if drawn.is_finite() { drawn } else { self.integral };
    }

    /// The integral removes what proportional leaves near the target. Far from it, or while nobody is held back, it
    /// would only gather what it must unlearn.
    fn integrate(&mut self, error: f64, sight: Sight, ki: f64) {
        // Fades out without a step: a step would give a deeper queue more rate than one just less deep.
        let nearness = (1.0 - error.abs() / (NEAR * sight.target)).max(0.0);
        let unwinds = error * self.integral < 0.0;
        if sight.demand || unwinds {
            self.integral += ki * nearness * error * sight.elapsed.min(LONGEST_STEP);
        }
        self.integral = self.integral.max(-sight.integral_bound).min(sight.integral_bound);
    }
}

/// Seconds in which the integrals of replicas that steer the same queue agree.
const AGREE: f64 = 2.0;

/// Errors up to this share of the target are the integral's business.
const NEAR: f64 = 0.1;

/// Seconds over which what a change of settings left fades.
const FADE: f64 = 2.0;

/// Seconds that one step may count for, however long the steps were away.
const LONGEST_STEP: f64 = 1.0;

/// How much of a new slope is taken over at each step.
const SLOPE_SHARE: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    const GAINS: Gains = Gains { kp: 1.0, ki: 0.05, kd: 0.0 };
    const SIGHT: Sight =
        Sight { target: 100.0, depth: 95.0, elapsed: 0.1, integral_bound: 50.0, demand: true };

    #[test]
    fn an_hour_of_saturation_leaves_the_integral_within_its_bound() {
        let mut pid = Pid::default();
        let mut feedback = Feedback::default();
        for _ in 0..36_000 {
            feedback = pid.step(SIGHT, GAINS);
        }
        assert_eq!(feedback.integral, 50.0);
    }

    #[test]
    fn an_idle_hour_and_a_long_way_to_fill_gather_nothing() {
        let mut pid = Pid::default();
        for _ in 0..36_000 {
            assert_eq!(pid.step(Sight { demand: false, ..SIGHT }, GAINS).integral, 0.0);
            assert_eq!(pid.step(Sight { depth: 0.0, ..SIGHT }, GAINS).integral, 0.0);
        }
    }

    #[test]
    fn the_derivative_opposes_a_rising_depth() {
        let gains = Gains { kd: 1.0, ..GAINS };
        let mut pid = Pid::default();
        pid.step(SIGHT, gains);
        assert!(pid.step(Sight { depth: 99.0, ..SIGHT }, gains).derivative > 0.0);
    }

    #[test]
    fn a_gap_of_ten_minutes_counts_as_one_second() {
        let mut pid = Pid::default();
        let feedback = pid.step(Sight { elapsed: 600.0, ..SIGHT }, GAINS);
        assert!((feedback.integral - 0.05 * 0.5 * 5.0).abs() < 1e-9);
    }
}

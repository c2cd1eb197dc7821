//! Other laws to compare with, each in its usual form: it sees the depth that readings show and sets a rate.
//!
//! They know no drain, no model, no window and no ledger: a token bucket with a second of burst stands at the door, and
//! every refusal tells the same time to return. What is compared is the law alone: `max_depth`, `shed` and `yields`, which
//! would bound any of them, do not stand behind them. Their rate is bounded by `rate.min` and by `rate.max`, which is the
//! highest rate offered where the policy names none; at that they let everybody in. They begin so, but for [`Method::Aiad`].
//! Under a target that is a delay they hold its `at_most`: they measure no drain to multiply it with.

use std::time::Duration;

use crate::admission::token_bucket::TokenBucket;
use crate::control::setpoint::target_depth;
use crate::control::settings::ControllerSettings;
use crate::domain::backlog::Reading;
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::settings::TierSettings;
use crate::sim::laws::answer::{Answer, Setting};

/// How a rival sets its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// All below the target, nothing from it on.
    OnOff,
    /// Additive increase, multiplicative decrease: each second 1 % of the highest rate more, or half.
    Aimd,
    /// Additive both ways: every 10 s 2.5 % of the recent rate more, or 5 % less, where the recent rate is what was let in
    /// since the step before. Steps so small take seven minutes to come down tenfold: it begins at the first rate of the
    /// workers, as by an operator who has measured them, or it would show nothing but how it begins.
    Aiad,
    /// The textbook's PID on the depth, with the policy's gains, at every control step.
    Pid,
    /// Every 5 s: the highest rate - (0.5 e + 0.1 de), where e is the depth above the target in jobs.
    Article,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 5] = [Method::OnOff, Method::Aimd, Method::Aiad, Method::Pid, Method::Article];

    /// What the method does, for `--help`.
    pub const fn what_it_does(self) -> &'static str {
        match self {
            Method::OnOff => "all below the target, nothing from it on",
            Method::Aimd => "1 % of the highest rate more each second, or half",
            Method::Aiad => "2.5 % of the recent rate more every 10 s, or 5 % less",
            Method::Pid => "a plain PID on the depth, with the policy's gains",
            Method::Article => "the highest rate less (0.5 e + 0.1 de), every 5 s",
        }
    }

    /// The name on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::OnOff => "on-off",
            Method::Aimd => "aimd",
            Method::Aiad => "aiad",
            Method::Pid => "pid",
            Method::Article => "article",
        }
    }
}

/// One tier under another law.
#[derive(Debug)]
pub struct Rival {
    method: Method,
    settings: TierSettings,
    controller: ControllerSettings,
    /// Jobs per second: `rate.max`, else the highest rate that will be offered.
    highest: f64,
    rate: f64,
    bucket: TokenBucket,
    /// The depth that was read last, in jobs.
    depth: f64,
    error: Option<f64>,
    integral: f64,
    /// Jobs admitted since the last step.
    admitted: u64,
    stepped: Moment,
    next_step: Moment,
}

impl Rival {
    /// Before an empty queue. `highest_offered` and what the workers do at first, `workers`, in jobs per second.
    pub fn new(
        method: Method,
        settings: TierSettings,
        controller: ControllerSettings,
        highest_offered: f64,
        workers: f64,
        now: Moment,
    ) -> Rival {
        let highest = settings.rate.max.map_or(highest_offered, Rate::jobs_per_second);
        let rate = if method == Method::Aiad && workers > 0.0 { workers.min(highest) } else { highest };
        Rival {
            method,
            settings,
            controller,
            highest,
            rate,
            bucket: TokenBucket::full(Rate::saturating(rate), rate, now),
            depth: 0.0,
            error: None,
            integral: 0.0,
            admitted: 0,
            stepped: now,
            next_step: now.plus(method.pace(&controller)),
        }
    }

    /// Decides one request.
    pub fn decide(&mut self, cost: Cost, now: Moment) -> Answer {
        self.bucket.refill(now);
        // Open as far as it goes is open: chance and returns may bring more in a second than is ever offered on average.
        let open = self.rate >= self.highest && self.settings.rate.max.is_none();
        if !open && !self.bucket.holds(cost) {
            return Answer::Throttled(RETRY_AFTER);
        }
        self.bucket.take_what_is_there(cost);
        self.admitted += u64::from(cost.count());
        Answer::Admitted
    }

    /// Takes a reading in, and sets the rate where a step of the method is due.
    pub fn tick(&mut self, reading: Option<Reading>, now: Moment) -> Setting {
        // No worker's rate is known here: a delay's target is its upper bound, or rates could not rise to it.
        let target = target_depth(self.settings.target, Some(f64::INFINITY));
        if let Some(reading) = reading {
            self.depth = reading.backlog.depth() as f64;
        }
        if now >= self.next_step {
            let elapsed = now.seconds_since(self.stepped);
            self.rate =
                self.step(target, elapsed).max(self.settings.rate.min.jobs_per_second()).min(self.highest);
            if self.method == Method::OnOff && self.depth >= target {
                self.rate = 0.0;
            }
            self.bucket.set(Rate::saturating(self.rate), self.rate, now);
            self.admitted = 0;
            self.stepped = now;
            self.next_step = now.plus(self.method.pace(&self.controller));
        }
        Setting { target, rate: self.rate, drain: 0.0, blind: reading.is_none() }
    }

    /// The rate for the depth that was read last, before bounds.
    fn step(&mut self, target: f64, elapsed: f64) -> f64 {
        let over = self.depth - target;
        let recent = self.admitted as f64 / elapsed;
        match self.method {
            Method::OnOff => self.highest,
            Method::Aimd if over > 0.0 => self.rate / 2.0,
            Method::Aimd => self.rate + self.highest / 100.0,
            Method::Aiad if over > 0.0 => self.rate.min(recent) - 0.05 * recent,
            Method::Aiad => self.rate + 0.025 * recent,
            Method::Pid => self.pid(-over, elapsed),
            Method::Article => {
                let change = over - self.error.replace(over).unwrap_or(over);
                self.highest - (0.5 * over + 0.1 * change)
            }
        }
    }

    fn pid(&mut self, error: f64, elapsed: f64) -> f64 {
        let slope = (error - self.error.replace(error).unwrap_or(error)) / elapsed;
        let ControllerSettings { kp, ki, kd, .. } = self.controller;
        self.integral = (self.integral + ki * error * elapsed).max(0.0).min(self.highest);
        kp * error + self.integral + kd * slope
    }
}

impl Method {
    /// Time between two steps.
    const fn pace(self, controller: &ControllerSettings) -> Duration {
        match self {
            Method::OnOff | Method::Pid => controller.interval,
            Method::Aimd => Duration::from_secs(1),
            Method::Aiad => Duration::from_secs(10),
            Method::Article => Duration::from_secs(5),
        }
    }
}

/// What every refusal of a rival tells.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::settings::Target;
    use crate::domain::backlog::Backlog;
    use crate::domain::tier::Tier;
    use crate::policy::Policy;

    const TARGET: u64 = 1_000;
    const HIGHEST: f64 = 10_000.0;
    const WORKERS: f64 = 400.0;

    /// The rate after each of so many seconds: `depth` says what is read at a second, `used` what is let in during each.
    fn rates(method: Method, seconds: u64, depth: fn(u64) -> u64, used: u32) -> Vec<f64> {
        let law = Policy::default().regulator;
        let settings = TierSettings { target: Target::Depth(TARGET), ..law.tiers[Tier::P2] };
        let mut rival = Rival::new(method, settings, law.controller, HIGHEST, WORKERS, Moment::ORIGIN);
        let mut rates = Vec::new();
        for tenth in 0..seconds * 10 {
            let now = Moment::from_nanos(tenth * 100_000_000);
            let backlog = Backlog { waiting: depth(tenth / 10), ..Backlog::default() };
            let setting = rival.tick(Some(Reading { backlog, taken: now, ..Reading::default() }), now);
            if tenth % 10 == 9 {
                rates.push(setting.rate);
            }
            rival.admitted += u64::from(used) * u64::from(tenth % 10 == 0);
        }
        rates
    }

    fn near(found: &[f64], expected: &[f64]) {
        let close = |(one, other): (&f64, &f64)| (one - other).abs() <= 1e-6 * other.abs().max(1.0);
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(close),
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn on_off_is_open_below_the_target_and_shut_from_it_on() {
        let depth = |second| [999, 1_000, 1_001, 0][second as usize];
        near(&rates(Method::OnOff, 4, depth, 0), &[HIGHEST, 0.0, 0.0, HIGHEST]);
    }

    #[test]
    fn aimd_halves_above_the_target_and_adds_a_hundredth_of_the_highest_rate_below() {
        let depth = |second| if second < 4 { 2_000 } else { 500 };
        near(&rates(Method::Aimd, 7, depth, 0), &[1e4, 5e3, 2.5e3, 1_250.0, 1_350.0, 1_450.0, 1_550.0]);
    }

    #[test]
    fn aiad_begins_at_the_workers_rate_and_moves_by_shares_of_what_was_let_in() {
        let depth = |second| if second < 20 { 500 } else { 2_000 };
        let found = rates(Method::Aiad, 41, depth, 200);
        let found: Vec<f64> = found.into_iter().step_by(10).collect();
        near(&found, &[400.0, 405.0, 200.0 - 10.0, 180.0 + 0.0, 170.0 + 0.0]);
    }

    #[test]
    fn the_articles_law_is_the_highest_rate_less_half_the_error_and_a_tenth_of_its_change() {
        let depth = |second| if second < 8 { 3_000 } else { 4_000 };
        let found = rates(Method::Article, 11, depth, 0);
        // At 5 s the first error has no change yet; at 10 s it has grown by a thousand.
        near(&[found[4], found[5], found[10]], &[HIGHEST, HIGHEST - 1_000.0, HIGHEST - 1_500.0 - 100.0]);
    }

    #[test]
    fn pid_is_the_textbooks_with_an_integral_within_its_bounds() {
        let found = rates(Method::Pid, 3, |_| 900, 0);
        // Gains 1/s and 0.05/s2: 100 jobs below give 100/s, and 5/s more with every second.
        let at_most = [100.0 + 4.5, 100.0 + 9.5, 100.0 + 14.5];
        near(&found, &at_most);
        near(&rates(Method::Pid, 2, |_| 100_000, 0), &[1.0, 1.0]);
    }

    #[test]
    fn who_is_open_refuses_nobody_unless_the_policy_bounds_the_rate() {
        let law = Policy::default().regulator;
        let mut settings = law.tiers[Tier::P2];
        let admitted = |settings: TierSettings| {
            let mut rival = Rival::new(Method::OnOff, settings, law.controller, 10.0, 10.0, Moment::ORIGIN);
            let one = Cost::jobs(1).unwrap();
            (0..100).filter(|_| rival.decide(one, Moment::ORIGIN) == Answer::Admitted).count()
        };
        assert_eq!(admitted(settings), 100);
        settings.rate.max = Rate::per_second(10.0);
        assert_eq!(admitted(settings), 10);
    }

    #[test]
    fn a_delay_is_held_at_its_upper_bound_and_every_refusal_tells_the_same() {
        let law = Policy::default().regulator;
        let target = Target::Delay { delay: Duration::from_secs(60), at_least: 10, at_most: 800 };
        let settings = TierSettings { target, ..law.tiers[Tier::P2] };
        let mut rival = Rival::new(Method::OnOff, settings, law.controller, 1.0, 0.0, Moment::ORIGIN);
        let backlog = Backlog { waiting: 800, ..Backlog::default() };
        let later = Moment::from_nanos(1_000_000_000);
        assert_eq!(rival.tick(Some(Reading { backlog, ..Reading::default() }), later).target, 800.0);
        let one = Cost::jobs(1).unwrap();
        assert_eq!(rival.decide(one, later), Answer::Admitted, "the one token that every bucket keeps");
        assert_eq!(rival.decide(one, later), Answer::Throttled(RETRY_AFTER));
    }
}

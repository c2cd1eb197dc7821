//! Other laws to compare with, each in its usual form: it sees the depth that readings show and sets a rate.
//!
//! They know no drain, no model, no window and no ledger: a token bucket with a second of burst stands at the door, and
//! every refusal tells the same time to return.

use std::time::Duration;

use crate::admission::token_bucket::TokenBucket;
use crate::control::setpoint::target_depth;
use crate::control::settings::ControllerSettings;
use crate::domain::backlog::Reading;
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::settings::TierSettings;
use crate::sim::law::{Answer, Setting};

/// How a rival sets its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// All below the target, nothing from it on.
    OnOff,
    /// Additive increase, multiplicative decrease: each second 1 % of the highest rate more, or half.
    Aimd,
    /// Additive both ways: every 10 s 2.5 % of the recent rate more, or 5 % less.
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
    /// Before an empty queue, open as far as it goes.
    pub fn new(
        method: Method,
        settings: TierSettings,
        controller: ControllerSettings,
        highest_offered: f64,
        now: Moment,
    ) -> Rival {
        let highest = settings.rate.max.map_or(highest_offered, Rate::jobs_per_second);
        Rival {
            method,
            settings,
            controller,
            highest,
            rate: highest,
            bucket: TokenBucket::full(Rate::saturating(highest), highest, now),
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
        if !self.bucket.holds(cost) {
            return Answer::Throttled(RETRY_AFTER);
        }
        self.bucket.take(cost);
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
const RETRY_AFTER: Duration = Duration::from_secs(30);

//! One tier's law: a gate and the controller that moves it.

use std::time::Duration;

use crate::admission::checks::Checks;
use crate::admission::decision::{Decision, RateLimit, Reason, Refusal};
use crate::admission::gate::{GateSettings, Opening, TierGate};
use crate::admission::shed::Headroom;
use crate::admission::tenants::asker::Asker;
use crate::control::drain::{DrainEstimator, Progress};
use crate::control::forecast::Forecast;
use crate::control::rate_controller::{Bound, Measured, Output, RateController, bounded};
use crate::control::setpoint::target_depth;
use crate::control::settings::ControllerSettings;
use crate::control::trend::Trend;
use crate::domain::backlog::Reading;
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::report::{Clamp, Signal, Terms, TickReport};
use crate::regulator::settings::{OnStale, TierSettings};
use crate::regulator::share::part::{Intake, Part};

/// The law of one tier: `decide` asks the gate, `tick` moves it.
#[derive(Clone, Debug)]
pub struct TierRegulator {
    settings: TierSettings,
    controller: ControllerSettings,
    gate: TierGate,
    drain: DrainEstimator,
    rate: RateController,
    forecast: Forecast,
    /// How the time until the oldest unread job is deleted changes.
    headroom: Trend,
    sighting: Option<Sighting>,
    /// When the last reading came, however old it was.
    heard: Moment,
    begun: Moment,
    stepped: Moment,
    output: Output,
    part: Part,
    /// What the gate had refused at the last step.
    held_back: u64,
    /// Jobs go to the spool: it bounds them, not the law.
    spooling: bool,
}

/// The last reading and what the model needs of it.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    reading: Reading,
    /// Jobs let in that the backend had confirmed before the regulator began to count, less those it will never
    /// confirm: what makes `entered - confirmed` the jobs in flight.
    confirmed_beside: i128,
    /// Until when consumption is known.
    known_until: Moment,
    /// Jobs let in that were not there to take at that moment, less those there beside them.
    outside: f64,
}

impl TierRegulator {
    /// A tier before an empty queue, as long as no reading says otherwise.
    pub fn new(
        settings: TierSettings,
        controller: ControllerSettings,
        seed: u64,
        now: Moment,
    ) -> TierRegulator {
        let drain = DrainEstimator::new(controller.drain_memory);
        let mut rate = RateController::default();
        let target = target_depth(settings.target, None);
        let output = rate.update(measured(&drain, target, 0.0, 0.0, false), &controller, settings.rate);
        let opening = law_opening(&settings, &controller, &drain, 0.0, output.rate, Part::WHOLE.share);
        TierRegulator {
            settings,
            controller,
            gate: TierGate::new(gate_settings(&settings), opening, seed, now),
            drain,
            rate,
            forecast: Forecast::new(),
            headroom: Trend::default(),
            sighting: None,
            heard: now,
            begun: now,
            stepped: now,
            output,
            part: Part::WHOLE,
            held_back: 0,
            spooling: false,
        }
    }

    /// Decides one request; `yields` as [`TierGate::decide`] takes it.
    pub fn decide(&mut self, asker: Asker, cost: Cost, yields: Option<f64>, now: Moment) -> Decision {
        self.gate.decide(asker, cost, yields, now)
    }

    /// The check that would refuse the cost now. Takes nothing.
    pub fn check(&mut self, asker: Asker, cost: Cost, yields: Option<f64>, now: Moment) -> Option<Reason> {
        self.gate.check(asker, cost, yields, now)
    }

    /// Every check with its answer, as [`TierGate::checks`] tells them. Takes nothing.
    pub fn checks(&mut self, asker: Asker, cost: Cost, yields: Option<f64>, now: Moment) -> Checks {
        self.gate.checks(asker, cost, yields, now)
    }

    /// What is left of the allowance, as [`TierGate::allowance`] tells it. Takes nothing.
    pub fn allowance(&mut self, asker: Asker, yields: Option<f64>, now: Moment) -> RateLimit {
        self.gate.allowance(asker, yields, now)
    }

    /// The refusal for a reason that [`check`](Self::check) found.
    pub fn refuse(
        &mut self,
        reason: Reason,
        asker: Asker,
        cost: Cost,
        yields: Option<f64>,
        now: Moment,
    ) -> Refusal {
        self.gate.refuse(reason, asker, cost, yields, now)
    }

    /// Gives back what an admitted request of the tenant at this place did not use.
    pub fn give_back(&mut self, place: usize, cost: Cost, now: Moment) {
        self.gate.give_back(place, cost, now);
    }

    /// Lets tenants go who have not asked for a while.
    pub fn sweep(&mut self, now: Moment) {
        self.gate.sweep(now);
    }

    /// Forgets the tenant at this place.
    pub fn forget(&mut self, place: usize, now: Moment) {
        self.gate.forget(place, now);
    }

    /// Jobs that all replicas let in while this one lets one in.
    pub const fn stands_for(&self) -> f64 {
        self.gate.stands_for()
    }

    /// No return is promised later.
    pub const fn longest_promise(&self) -> Duration {
        self.settings.retry_after.max
    }

    /// Whether this tier yields while a higher one is at its bound.
    pub const fn yields(&self) -> bool {
        self.settings.yields
    }

    /// While the tier is at its hard bound: the seconds until it is expected below.
    pub fn at_bound(&self) -> Option<f64> {
        self.gate.is_full().then(|| self.gate.seconds_until_below_bound())
    }

    /// What this replica tells the others.
    pub const fn intake(&self) -> Intake {
        Intake {
            entered: self.gate.entered(),
            asked: self.gate.asked(),
            held_back: self.gate.held_back(),
            rate: self.output.rate.jobs_per_second(),
            integral: self.rate.integral(),
        }
    }

    /// Takes in what the others told, before the step that acts on it.
    pub fn hear(&mut self, part: Part, now: Moment) {
        let news = i128::from(part.others) - i128::from(self.part.others);
        self.gate.hear(i64::try_from(news).unwrap_or(0), part.presumed, part.besides, now);
        self.part = part;
    }

    /// Takes what another gate really let in for what this one would have; see [`TierGate::believe`].
    pub fn believe(&mut self, entered: u64, now: Moment) {
        self.gate.believe(entered, now);
    }

    /// One step of the law. A reading that is not newer than the last one is no news. While jobs go to the spool nothing
    /// is refused; the law takes over again with the first reading after that, which has those jobs in it.
    pub fn tick(&mut self, reading: Option<Reading>, spooling: bool, now: Moment) -> TickReport {
        self.forecast.note(self.entered(), now);
        let last = self.sighting.map(|sighting| sighting.reading.taken);
        let news = reading.filter(|reading| last.is_none_or(|last| reading.taken > last));
        self.spooling = spooling || (self.spooling && news.is_none());
        if let Some(reading) = news {
            self.observe(reading, now);
            self.heard = self.heard.max(now);
        }
        let elapsed = now.seconds_since(self.stepped);
        self.stepped = self.stepped.max(now);
        self.steer(elapsed, now)
    }

    /// Puts new settings in force. Tokens, integral, ledger, shed state and all that was learned stay. The window and the
    /// bounds change at once, the rate comes over to new gains and a new target without a jump.
    pub fn apply(&mut self, settings: TierSettings, controller: ControllerSettings, now: Moment) {
        let law_changes = (settings.target, controller) != (self.settings.target, self.controller);
        self.settings = settings;
        self.controller = controller;
        self.drain.set_memory(controller.drain_memory);
        self.gate.configure(gate_settings(&settings));
        if law_changes {
            let depth = self.gate.level(now);
            let target = target_depth(settings.target, self.drain.capacity());
            let measured = measured(&self.drain, target, depth, 0.0, false);
            self.rate.go_on_from(self.output.rate, measured, &controller);
        }
        self.steer(0.0, now);
    }

    /// Jobs let in less those given back, by all replicas as far as they told.
    const fn entered(&self) -> u64 {
        self.gate.entered().saturating_add(self.part.others)
    }

    /// Takes a reading in: learns the drain and predicts the depth at this moment from that at the reading's.
    fn observe(&mut self, reading: Reading, now: Moment) {
        let entered = i128::from(self.entered());
        let stored = i128::from(reading.flows.stored);
        let depth = i128::from(reading.backlog.depth());
        self.note_headroom(&reading);
        self.drain.set_doubt(self.part.doubt);
        let progress = self.drain.observe(&reading);
        // More confirmed than was let in: somebody stores beside the gate. Their jobs are in the depth, not in flight.
        let mut beside = self.sighting.map_or(0, |last| last.confirmed_beside).max(stored - entered);
        let unconfirmed = entered - (stored - beside);
        // What is on its way for so long has not been given back and will not come: it must not fill the window for good.
        let long_ago = Moment::from_nanos(now.nanos().saturating_sub(LONGEST_FLIGHT.as_nanos() as u64));
        let lately = self.forecast.entered_since(long_ago).map_or(unconfirmed, i128::from);
        let in_flight = unconfirmed.min(lately);
        beside -= unconfirmed - in_flight;
        let (known_until, outside) = match (progress, self.sighting) {
            (Progress::None, Some(last)) => (last.known_until, last.outside),
            _ => (reading.taken, (stored - beside - depth) as f64),
        };
        self.sighting = Some(Sighting { reading, confirmed_beside: beside, known_until, outside });
        let drained = self.drained_unseen(known_until, reading.taken, outside, now);
        let upper_bound = u64::try_from(depth + in_flight).unwrap_or(u64::MAX);
        self.gate.correct(upper_bound, (depth + in_flight) as f64 - drained, now);
    }

    fn note_headroom(&mut self, reading: &Reading) {
        let Some(left) = reading.backlog.headroom else {
            self.headroom.forget();
            self.gate.note_headroom(None);
            return;
        };
        self.headroom.note(left.as_secs_f64(), reading.taken);
        self.gate.note_headroom(Some(Headroom { left, trend: self.headroom.per_second() }));
    }

    /// Jobs that the model says were consumed and that the reading could not show: those it will show with the next
    /// sign of progress, never more than such a sign brings, and those consumed since it was taken.
    fn drained_unseen(&self, known_until: Moment, taken: Moment, outside: f64, now: Moment) -> f64 {
        let until = |moment| self.forecast.drained(known_until, moment, outside, self.drain.modelled());
        let by_reading = until(taken);
        until(now) - by_reading + by_reading.min(self.drain.most_hidden())
    }

    fn steer(&mut self, elapsed: f64, now: Moment) -> TickReport {
        let depth = self.gate.level(now);
        let target = target_depth(self.settings.target, self.drain.capacity());
        let signal = self.signal(now);
        let demand = self.part.held_back || self.gate.held_back() > self.held_back;
        self.held_back = self.gate.held_back();
        // A lost signal teaches nothing: the feedback waits.
        if signal != Signal::Stale {
            let measured = measured(&self.drain, target, depth, elapsed, demand);
            if let Some(integral) = self.part.integral {
                self.rate.draw_towards(integral, elapsed);
            }
            self.output = self.rate.update(measured, &self.controller, self.settings.rate);
        }
        let opening = law_opening(
            &self.settings,
            &self.controller,
            &self.drain,
            depth,
            self.output.rate,
            self.part.share,
        );
        let opening = match signal {
            Signal::Stale => stale_opening(opening, &self.settings, &self.drain, self.part.share),
            _ if now.since(self.heard) > QUIET => Opening { drain: self.drain.sustained(), ..opening },
            _ => opening,
        };
        let opening = Opening { spooling: self.spooling, ..opening };
        self.gate.set(opening, now);
        self.report(signal, target, opening, now)
    }

    fn signal(&self, now: Moment) -> Signal {
        let taken = self.sighting.map_or(self.begun, |sighting| sighting.reading.taken);
        let late = 2 * self.controller.interval + self.part.lateness;
        let age = now.since(taken);
        if age > late + MODEL_FOR {
            Signal::Stale
        } else if self.sighting.is_none() {
            Signal::Awaited
        } else if age > late {
            Signal::Modelled
        } else {
            Signal::Fresh
        }
    }

    fn report(&mut self, signal: Signal, target: f64, opening: Opening, now: Moment) -> TickReport {
        let depth = self.gate.level(now);
        let credit = opening.drain * self.controller.interval.as_secs_f64();
        let window = if opening.shut && !opening.spooling { 0.0 } else { self.gate.room_with(credit) };
        TickReport {
            backlog: self.sighting.map(|sighting| sighting.reading.backlog).unwrap_or_default(),
            signal_age: self.sighting.map(|sighting| now.since(sighting.reading.taken)),
            signal,
            predicted_depth: depth,
            target_depth: target,
            pressure: if target > 0.0 { depth / target } else { 0.0 },
            drain: Rate::saturating(self.drain.rate()),
            recent_drain: Rate::saturating(self.drain.recent()),
            rate: opening.rate,
            share: self.part.share.unwrap_or(0.0),
            terms: Terms {
                feed_forward: self.output.feed_forward,
                proportional: self.output.feedback.proportional,
                integral: self.output.feedback.integral,
                derivative: self.output.feedback.derivative,
            },
            clamp: match self.output.bound {
                _ if signal == Signal::Stale => Clamp::Stale,
                Some(Bound::Min) => Clamp::Min,
                Some(Bound::Max) => Clamp::Max,
                None => Clamp::None,
            },
            window: window as u64,
            shedding: self.gate.is_shedding(),
            full: self.gate.is_full(),
            spooling: self.spooling,
        }
    }
}

fn measured(drain: &DrainEstimator, target: f64, depth: f64, elapsed: f64, demand: bool) -> Measured {
    Measured { drain: drain.rate(), target, depth, usual_gap: drain.usual_gap(), elapsed, demand }
}

/// The opening while the law acts, on the signal or on the model. `rate` is that of all replicas, `share` this one's part
/// of it; without a share yet it lets in the least rate.
fn law_opening(
    settings: &TierSettings,
    controller: &ControllerSettings,
    drain: &DrainEstimator,
    depth: f64,
    rate: Rate,
    share: Option<f64>,
) -> Opening {
    let target = target_depth(settings.target, drain.capacity());
    let (rate, _) = bounded(rate, settings.rate);
    let missing = (target - depth).max(0.0);
    let capacity = drain.capacity().unwrap_or(0.0);
    let expected = if drain.is_proven() { capacity } else { capacity.max(target / FILL_SECONDS) };
    let expected = settings.rate.max.map_or(expected, |max| expected.min(max.jobs_per_second()));
    let part = share.unwrap_or(1.0);
    let pace = if share.is_none() { settings.rate.min } else { rate }.jobs_per_second();
    Opening {
        rate: Rate::saturating(part * pace),
        // Credit beyond what is missing to the target would only carry the depth past it.
        burst: part
            * (pace * settings.rate.burst.as_secs_f64())
                .min(missing + pace * controller.interval.as_secs_f64()),
        // A rate that the operators bounded is always paced.
        paced_from: if settings.rate.max.is_none() && share.is_some() { PACED_FROM * target } else { 0.0 },
        limit: controller.window * target,
        drain: drain.modelled(),
        capacity,
        expected,
        spare: part * SPARE_SHARE * expected,
        share: part,
        shut: false,
        spooling: false,
    }
}

/// The opening without a signal: what the policy says, from what was known last.
fn stale_opening(
    law: Opening,
    settings: &TierSettings,
    drain: &DrainEstimator,
    share: Option<f64>,
) -> Opening {
    let law = Opening { drain: drain.sustained(), ..law };
    let (hold, _) = bounded(Rate::saturating(drain.sustained()), settings.rate);
    let at = |rate: Rate| {
        let rate = if share.is_none() { settings.rate.min } else { rate };
        let pace = law.share * rate.jobs_per_second();
        let burst = pace * settings.rate.burst.as_secs_f64();
        Opening { rate: Rate::saturating(pace), burst, paced_from: 0.0, ..law }
    };
    match settings.on_stale {
        OnStale::Hold => at(hold),
        OnStale::Floor => Opening { limit: f64::INFINITY, ..at(settings.rate.min) },
        OnStale::Shut => Opening { shut: true, ..at(settings.rate.min) },
        OnStale::Open => Opening {
            paced_from: if settings.rate.max.is_none() && share.is_some() { f64::INFINITY } else { 0.0 },
            limit: f64::INFINITY,
            ..at(settings.rate.max.unwrap_or(Rate::saturating(law.rate.jobs_per_second() / law.share)))
        },
    }
}

const fn gate_settings(settings: &TierSettings) -> GateSettings {
    GateSettings {
        max_depth: settings.max_depth,
        shed: settings.shed,
        retention: settings.retention,
        retry_after: settings.retry_after,
    }
}

/// Without any news for so long, the model counts on what the workers sustain and no more: a late signal is no lost one.
const QUIET: Duration = Duration::from_secs(1);

/// How long the model stands in for a late signal.
const MODEL_FOR: Duration = Duration::from_secs(10);

/// No store takes this long: requests end sooner, and the memory of the forecast reaches so far back.
const LONGEST_FLIGHT: Duration = Duration::from_secs(20);

/// Share of the target below which nothing is paced: a half-empty queue has room for a spike, and the window bounds it.
const PACED_FROM: f64 = 0.5;

/// Share of the workers' rate given to promised returns: fresh arrivals find room in the rest. Less makes everybody wait
/// for workers that idle, more brings returns that find no room (0.85, 0.90 and 0.95 were played).
const SPARE_SHARE: f64 = 0.95;

/// As long as no busy queue showed what the workers can do, promises count on the target being worked off in so many
/// seconds: a trickle that they took with ease says nothing.
const FILL_SECONDS: f64 = 10.0;

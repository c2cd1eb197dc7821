//! The drain estimator: how fast workers take jobs away, from the moments at which consumption showed.
//!
//! Consumption arrives in *progress events*: at every reading with the embedded queue and Redis, at each offset commit
//! with Kafka, every few readings where a tier does ten jobs a second. Each event is a number of jobs over the gap
//! since the one before. The rate `mu` is smoothed over them; only a busy queue says what the workers can do, an idle
//! one only what they can do at least.

use std::time::Duration;

use crate::control::stretches::Stretches;
use crate::domain::backlog::Reading;
use crate::domain::time::Moment;

/// What the readings of one tier say about its workers.
#[derive(Clone, Debug)]
pub struct DrainEstimator {
    memory: f64,
    /// Smoothed drain, once two events told a gap.
    mu: Option<f64>,
    last: Option<Reading>,
    /// The last event, or the last reading of an empty queue: consumption could not begin earlier.
    since: Moment,
    /// Whether `since` is such a moment, and not just that of the first reading.
    anchored: bool,
    waiting_then: u64,
    /// Jobs consumed since then; below zero after other producers added some.
    pending: f64,
    /// The last events, newest first.
    events: [Option<Event>; GAPS],
    stretches: Stretches,
    stalled: bool,
    proven: bool,
    /// Jobs by which the counts of a reading may be off: no more than so many are no sign of progress.
    doubt: f64,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    jobs: f64,
    seconds: f64,
    /// Whether the workers, not the clients, set its pace.
    busy: bool,
}

impl DrainEstimator {
    /// Knows nothing yet. `memory` is the time constant of the smoothing.
    pub const fn new(memory: Duration) -> DrainEstimator {
        DrainEstimator {
            memory: memory.as_secs_f64(),
            mu: None,
            last: None,
            since: Moment::ORIGIN,
            anchored: false,
            waiting_then: 0,
            pending: 0.0,
            events: [None; GAPS],
            stretches: Stretches::none(),
            stalled: false,
            proven: false,
            doubt: 0.0,
        }
    }

    /// Changes the smoothing; what was learned stays.
    pub const fn set_memory(&mut self, memory: Duration) {
        self.memory = memory.as_secs_f64();
    }

    /// Says by how many jobs the counts of readings may be off from now on: where other gateways' counts are in them, these
    /// are of moments close by.
    pub const fn set_doubt(&mut self, jobs: f64) {
        self.doubt = jobs;
    }

    /// Learns from a reading taken later than the last one. Says whether consumption is known up to this reading.
    pub fn observe(&mut self, reading: &Reading) -> Progress {
        let Some(last) = self.last.replace(*reading) else {
            return self.anchor(reading, reading.backlog.depth() == 0);
        };
        let floor = -self.mu.unwrap_or(0.0) * self.memory;
        self.pending = (self.pending + consumed_between(&last, reading)).max(floor);
        if self.pending > self.doubt {
            let silent = reading.taken.seconds_since(self.since);
            if self.mu.is_some() || (self.anchored && silent <= LONGEST_FIRST_GAP) {
                self.learn(&last, reading);
            }
            self.anchor(reading, true)
        } else if reading.backlog.depth() == 0 {
            self.anchor(reading, true)
        } else {
            self.look_for_stall(&last, reading);
            Progress::None
        }
    }

    /// mu: what the workers can do, in jobs per second; `None` before it was seen. Outlives a stall, fading slowly.
    pub const fn capacity(&self) -> Option<f64> {
        self.mu
    }

    /// Whether [`capacity`](Self::capacity) was ever measured on a busy queue; an idle one shows only what came in.
    pub const fn is_proven(&self) -> bool {
        self.proven
    }

    /// What the workers do now, in jobs per second: mu, and zero while they stall.
    pub fn rate(&self) -> f64 {
        if self.stalled { 0.0 } else { self.mu.unwrap_or(0.0) }
    }

    /// Drain of the last three events, in jobs per second.
    pub fn recent(&self) -> f64 {
        if self.stalled { 0.0 } else { self.recent_events().map_or(0.0, |sum| sum.jobs / sum.seconds) }
    }

    /// What may be counted on between events, in jobs per second: the lesser of mu and recent.
    pub fn modelled(&self) -> f64 {
        let newest = self.events.first().copied().flatten().map_or(0.0, |event| event.jobs / event.seconds);
        self.rate().min(self.recent().max(newest))
    }

    /// What may be counted on without news, in jobs per second: the least of what the workers did in any of the last
    /// stretches of busy time, pauses included, and never more than [`modelled`](Self::modelled). An error of a hundredth
    /// is nothing while the signal corrects it ten times a second, and a second's worth of jobs after a hundred without.
    pub fn sustained(&self) -> f64 {
        self.modelled().min(self.stretches.slowest())
    }

    /// The most jobs that may be done already and not shown yet: what one of the last three events brought, less the one
    /// that showed it. Where jobs show one by one, none hides.
    pub fn most_hidden(&self) -> f64 {
        let most = self.events.iter().take(RECENT).flatten().map(|event| event.jobs).fold(1.0, f64::max);
        most - 1.0
    }

    /// The usual time between events, in seconds: the median of the last five, since a mean is pulled up by each stall.
    pub fn usual_gap(&self) -> Option<f64> {
        let mut gaps = [f64::INFINITY; GAPS];
        let mut count = 0;
        for (gap, event) in gaps.iter_mut().zip(self.events.iter().flatten()) {
            *gap = event.seconds;
            count += 1;
        }
        gaps.sort_unstable_by(f64::total_cmp);
        gaps.get(count / 2).copied().filter(|gap| gap.is_finite())
    }

    fn learn(&mut self, last: &Reading, reading: &Reading) {
        let since_reading = reading.taken.seconds_since(last.taken);
        let mut seconds = reading.taken.seconds_since(self.since);
        if self.stalled {
            // The stall was counted as a drain of zero while it lasted, not again here; but what piled up behind it
            // and shows at once must not pass for speed.
            let usual = self.mu.map_or(0.0, |mu| self.pending / mu);
            seconds = since_reading.max(usual).min(seconds);
        }
        let busy = self.is_busy(reading);
        let event = Event { jobs: self.pending, seconds: seconds.max(SHORTEST_GAP), busy };
        self.events.rotate_right(1);
        if let Some(newest) = self.events.first_mut() {
            *newest = Some(event);
        }
        let seen = event.jobs / event.seconds;
        let weight = -(-event.seconds / self.memory.max(SHORTEST_GAP)).exp_m1();
        self.mu = match self.mu {
            Some(mu) if busy || seen > mu => Some(mu + weight * (seen - mu)),
            Some(mu) => Some(mu),
            None => Some(seen),
        };
        self.rise();
        if busy {
            self.proven = true;
            self.fall();
            self.stretches.add(self.pending, reading.taken.seconds_since(self.since));
        }
    }

    /// Where each of the last three events says that mu is far too low, it rises at once as far as all of them bear. One
    /// alone may be many jobs that showed at once.
    fn rise(&mut self) {
        let slowest = |slowest: f64, event: &Event| slowest.min(event.jobs / event.seconds);
        let known = self.events.iter().take(RECENT).flatten().count() == RECENT;
        let least = self.events.iter().take(RECENT).flatten().fold(f64::INFINITY, slowest);
        if let Some(mu) = self.mu.filter(|_| known) {
            self.mu = Some(mu.max(RISE * least));
        }
    }

    /// Where the last three events say that mu is far too high, it falls at once as far as they can bear: a fall to just
    /// what they say would make every streak of slow ones by chance a fall. An idle one among them says nothing.
    fn fall(&mut self) {
        if let (Some(mu), Some(sum)) = (self.mu, self.recent_events().filter(|sum| sum.busy)) {
            let recent = sum.jobs / sum.seconds;
            // A few jobs come irregularly by chance alone: they must say it the louder.
            let bar = FALL * (1.0 - 1.0 / (1.0 + sum.jobs).sqrt());
            self.mu = Some(mu.min(recent / bar));
        }
    }

    fn recent_events(&self) -> Option<Event> {
        self.events.iter().take(RECENT).flatten().copied().reduce(|sum, event| Event {
            jobs: sum.jobs + event.jobs,
            seconds: sum.seconds + event.seconds,
            busy: sum.busy && event.busy,
        })
    }

    /// Jobs waited for workers at both ends of the gap: the workers, not the clients, set its pace.
    fn is_busy(&self, reading: &Reading) -> bool {
        let enough = (WAITING_SHARE * self.pending).max(1.0);
        self.waiting_then as f64 >= enough && reading.backlog.waiting as f64 >= enough
    }

    fn look_for_stall(&mut self, last: &Reading, reading: &Reading) {
        let (Some(mu), Some(usual)) = (self.mu, self.usual_gap()) else { return };
        let step = reading.taken.seconds_since(last.taken);
        let silent = reading.taken.seconds_since(self.since);
        let jobs_waited = last.backlog.waiting > 0 && reading.backlog.waiting > 0;
        let at_every_reading = usual <= 1.5 * step && mu * step >= SURE_JOBS;
        let too_long = silent > STALL_GAPS * usual && mu * silent >= MISSED_JOBS;
        self.stalled |= too_long || (at_every_reading && jobs_waited);
        if self.stalled && jobs_waited {
            self.mu = Some(mu * (-step / STALL_MEMORY).exp());
        }
    }

    fn anchor(&mut self, reading: &Reading, anchored: bool) -> Progress {
        self.since = reading.taken;
        self.anchored = anchored;
        self.waiting_then = reading.backlog.waiting;
        self.pending = 0.0;
        self.stalled = false;
        Progress::Known
    }
}

/// Whether a reading shows consumption up to its own moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It does: jobs were consumed, or there were none to consume.
    Known,
    /// It shows none since an earlier one.
    None,
}

/// Jobs consumed by workers between two readings: what came in beside what the depth shows.
fn consumed_between(earlier: &Reading, later: &Reading) -> f64 {
    let stock = |reading: &Reading| {
        let flows = &reading.flows;
        i128::from(flows.stored) + i128::from(flows.replayed)
            - i128::from(flows.expired)
            - i128::from(flows.dead)
            - i128::from(flows.lost)
            - i128::from(reading.backlog.depth())
    };
    (stock(later) - stock(earlier)) as f64
}

/// Events of which the median gap is taken.
const GAPS: usize = 5;

/// Events that make the recent drain.
const RECENT: usize = 3;

/// mu falls to the recent drain where that is below this share of it.
const FALL: f64 = 0.7;

/// mu rises to this share of the slowest of the last three events.
const RISE: f64 = 0.7;

/// Share of an event's jobs that must wait at both of its ends for the queue to count as busy. A worker that keeps up
/// leaves only what came in the last instant.
const WAITING_SHARE: f64 = 0.1;

/// Usual gaps without an event that make a stall.
const STALL_GAPS: f64 = 3.0;

/// ..if this many jobs were due in them: at e^-4 chance alone hardly explains it.
const MISSED_JOBS: f64 = 4.0;

/// Jobs due in one reading from which on a reading without any is no chance.
const SURE_JOBS: f64 = 10.0;

/// Seconds over which mu fades while workers stall: long enough to keep it over a pause, short enough that promises
/// and targets do not speak for workers that are gone.
const STALL_MEMORY: f64 = 30.0;

/// Seconds: before the first sign of progress, a longer silence tells that there were no workers, not how fast they are.
const LONGEST_FIRST_GAP: f64 = 10.0;

/// Readings closer than this, in seconds, tell no rate.
const SHORTEST_GAP: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use crate::domain::backlog::{Backlog, Flows};

    use super::*;

    /// Readings every 100 ms of a queue that holds `depth`; jobs consumed are replaced at once.
    struct Readings {
        drain: DrainEstimator,
        millis: u64,
        consumed: u64,
    }

    impl Readings {
        fn new() -> Readings {
            let mut readings =
                Readings { drain: DrainEstimator::new(Duration::from_secs(2)), millis: 0, consumed: 0 };
            readings.read(1_000, 0);
            readings
        }

        fn read(&mut self, depth: u64, consumed: u64) {
            self.consumed += consumed;
            let taken = Moment::after_origin(Duration::from_millis(self.millis));
            let backlog = Backlog { waiting: depth, ..Backlog::default() };
            let flows = Flows { stored: self.consumed + depth, ..Flows::default() };
            self.drain.observe(&Reading { backlog, flows, taken });
            self.millis += 100;
        }

        fn read_many(&mut self, times: usize, depth: u64, consumed: u64) {
            (0..times).for_each(|_| self.read(depth, consumed));
        }
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 0.01 * expected
    }

    #[test]
    fn a_steady_drain_is_learned_from_the_second_sign_of_progress() {
        let mut readings = Readings::new();
        readings.read(1_000, 100);
        assert_eq!(readings.drain.capacity(), None, "no gap is known yet");
        readings.read(1_000, 100);
        assert!(near(readings.drain.rate(), 1_000.0));
    }

    #[test]
    fn an_idle_queue_never_lowers_what_a_busy_one_taught() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read_many(600, 0, 10);
        assert!(near(readings.drain.rate(), 1_000.0), "{:?}", readings.drain);
        assert!(near(readings.drain.modelled(), 100.0), "it is not counted on either: {:?}", readings.drain);
    }

    #[test]
    fn an_idle_queue_that_drains_faster_raises_it() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read_many(100, 0, 200);
        assert!(near(readings.drain.rate(), 2_000.0));
    }

    #[test]
    fn a_collapse_shows_within_three_readings() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read_many(3, 1_000, 10);
        assert!(
            readings.drain.rate() <= 200.0 && near(readings.drain.recent(), 100.0),
            "{:?}",
            readings.drain
        );
    }

    #[test]
    fn more_workers_show_within_three_readings_and_one_lump_of_jobs_is_none() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read(1_000, 1_000);
        readings.read(1_000, 100);
        assert!(readings.drain.rate() < 1_500.0, "{:?}", readings.drain);
        readings.read_many(50, 1_000, 100);
        readings.read_many(3, 1_000, 500);
        assert!(readings.drain.rate() >= 3_500.0, "{:?}", readings.drain);
    }

    #[test]
    fn without_news_the_least_of_the_last_stretches_is_counted_on_pauses_included() {
        let mut readings = Readings::new();
        readings.read_many(301, 1_000, 100);
        assert!(near(readings.drain.sustained(), 1_000.0), "even workers are counted on in full");
        for _ in 0..6 {
            readings.read_many(10, 1_000, 0);
            readings.read_many(40, 1_000, 100);
        }
        readings.read(1_000, 100);
        assert!((780.0..=820.0).contains(&readings.drain.sustained()), "{:?}", readings.drain);
        assert!(near(readings.drain.rate(), 1_000.0), "{:?}", readings.drain);
    }

    #[test]
    fn a_long_silence_over_an_emptied_queue_does_not_pass_for_slowness() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.millis += 120_000;
        readings.read(0, 1_000);
        readings.read_many(3, 1_000, 100);
        assert!(near(readings.drain.rate(), 1_000.0), "{:?}", readings.drain);
    }

    #[test]
    fn one_reading_without_progress_is_a_stall_where_every_reading_shows_some() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read(1_000, 0);
        assert_eq!((readings.drain.rate(), readings.drain.modelled()), (0.0, 0.0));
        assert!(near(readings.drain.capacity().unwrap(), 1_000.0), "what they can do is kept");
        readings.read(1_000, 100);
        assert!(near(readings.drain.rate(), 1_000.0));
    }

    #[test]
    fn what_piled_up_behind_a_stall_does_not_pass_for_speed() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read_many(20, 1_000, 0);
        readings.read(1_000, 2_100);
        assert!(readings.drain.rate() <= 1_000.0, "{:?}", readings.drain);
    }

    #[test]
    fn eight_jobs_a_second_do_not_stall_between_two_of_them() {
        let mut readings = Readings::new();
        for round in 0..400_u64 {
            let due = (round + 1) * 8 / 10 - round * 8 / 10;
            readings.read(50, due);
            assert!(round < 10 || readings.drain.rate() > 0.0, "{round}: {:?}", readings.drain);
        }
        assert!((readings.drain.rate() - 8.0).abs() < 0.5, "{:?}", readings.drain);
    }

    #[test]
    fn commits_every_five_seconds_are_one_event_each_and_three_missed_a_stall() {
        let mut readings = Readings::new();
        for _ in 0..5 {
            readings.read_many(49, 10_000, 0);
            readings.read(10_000, 5_000);
        }
        assert!(near(readings.drain.rate(), 1_000.0) && near(readings.drain.usual_gap().unwrap(), 5.0));
        readings.read_many(150, 10_000, 0);
        assert!(near(readings.drain.rate(), 1_000.0));
        readings.read(10_000, 0);
        assert_eq!(readings.drain.rate(), 0.0);
    }

    #[test]
    fn other_producers_show_as_less_drain_for_a_while_and_not_for_good() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        let taken = Moment::after_origin(Duration::from_millis(readings.millis));
        let backlog = Backlog { waiting: 1_000_000_000, ..Backlog::default() };
        let flows = Flows { stored: readings.consumed + 1_000, ..Flows::default() };
        readings.drain.observe(&Reading { backlog, flows, taken });
        assert_eq!(readings.drain.rate(), 0.0);
        for _ in 0..25 {
            readings.millis += 100;
            let taken = Moment::after_origin(Duration::from_millis(readings.millis));
            readings.consumed += 100;
            let flows = Flows { stored: readings.consumed + 1_000, ..Flows::default() };
            readings.drain.observe(&Reading { backlog, flows, taken });
        }
        assert!(readings.drain.rate() > 500.0, "{:?}", readings.drain);
    }

    #[test]
    fn workers_that_come_late_to_a_full_queue_are_not_taken_for_slow_ones() {
        let mut readings = Readings::new();
        readings.read(0, 1_000);
        readings.read_many(600, 1_000, 0);
        readings.read_many(2, 1_000, 100);
        assert!(near(readings.drain.rate(), 1_000.0), "{:?}", readings.drain);
    }

    #[test]
    fn workers_that_are_gone_are_forgotten_in_minutes() {
        let mut readings = Readings::new();
        readings.read_many(50, 1_000, 100);
        readings.read_many(1_800, 1_000, 0);
        assert!(readings.drain.capacity().unwrap() < 5.0);
    }
}

//! The ledger of promised returns: each refusal takes the next free place in the spare rate and is told that time.
//!
//! A constant Retry-After sends everybody back at once. The ledger knows how many jobs were told to return at which time,
//! and in no second are they more than the gate can spare. A promise stands where it was told: when the spare rate falls,
//! what was promised at the old rate is full; when it rises, there is room again. It paces, it reserves nothing: time
//! passes whether or not the clients return, so those who vanished starve nobody.
//!
//! `Retry-After` gives whole seconds, so who is refused a quarter past a second returns a quarter past another one. The
//! ledger looks for room only where the client can come, and so knows what the rounding does to many at once.

use std::time::Duration;

use crate::admission::settings::RetryAfterBounds;
use crate::domain::time::Moment;
use crate::domain::units::Cost;

/// Returns promised and not yet due, in jobs.
#[derive(Clone, Debug)]
pub struct Promises {
    /// Jobs told to return within the second that ends with each part of one; part `p` of the clock is at `p` modulo the
    /// length. Those before `present` are over.
    within: Box<[f32; PARTS]>,
    present: u64,
    /// Jobs per second that the gate can take.
    spare: f32,
    /// For each part of a second: the seconds, from the first up to the other, in which it has no room.
    full: [(u64, u64); PER_SECOND],
    /// Refusals told, counted from a number of this ledger's own: what gives those of one second different milliseconds.
    told: u64,
}

impl Promises {
    /// An empty ledger; the seed parts its promises from those of other ledgers.
    pub fn new(seed: u64, now: Moment) -> Promises {
        Promises {
            within: Box::new([0.0; PARTS]),
            present: part(now),
            spare: 0.0,
            full: [(0, 0); PER_SECOND],
            told: seed % STRIDE,
        }
    }

    /// Sets the rate at which the gate can take returns from now on, in jobs per second. A little more or less than before
    /// is none: an estimate that trembles would find new room at each of its peaks.
    pub fn set_spare(&mut self, spare: f64) {
        let spare = spare as f32;
        // What is no number does not tremble, and passes for no rate.
        let trembles = (spare - self.spare).abs() <= TREMOR * self.spare;
        if !trembles {
            self.spare = spare;
            self.full = [(0, 0); PER_SECOND];
        }
    }

    /// Promises a return for `cost` jobs, not before `not_before` seconds from now.
    ///
    /// Where the next free place is too near to the longest promise allowed, and where nothing can be predicted
    /// (infinity), returns are spread over the longer half of it, lest all that were told the maximum come back together.
    pub fn promise(
        &mut self,
        cost: Cost,
        not_before: f64,
        bounds: RetryAfterBounds,
        now: Moment,
    ) -> Duration {
        self.pass(now);
        let (shortest, longest) = (bounds.min.as_secs_f64(), bounds.max.as_secs_f64());
        let earliest = not_before.max(shortest);
        let millis = match self.book(cost, earliest, LEDGER_SHARE * longest) {
            Some(seconds) => self.pick(earliest.max(seconds as f64 - 1.0), seconds as f64),
            None => self.spread(cost, shortest.max(0.5 * longest), longest),
        };
        // The bounds hold whatever rounding gave.
        Duration::from_millis(millis).min(bounds.max).max(bounds.min)
    }

    /// The same for one of several tenants, whose `earliest` follows from its own share of the spare rate: where what the
    /// others were promised leaves no room near it, it is told that time all the same.
    pub fn promise_to_one_of_many(
        &mut self,
        cost: Cost,
        earliest: f64,
        bounds: RetryAfterBounds,
        now: Moment,
    ) -> Duration {
        self.pass(now);
        let (shortest, longest) = (bounds.min.as_secs_f64(), bounds.max.as_secs_f64());
        let (earliest, latest) = (earliest.max(shortest), LEDGER_SHARE * longest);
        let millis = match self.book(cost, earliest, latest.min(earliest + NEAR)) {
            Some(seconds) => self.pick(earliest.max(seconds as f64 - 1.0), seconds as f64),
            None if self.spare > 0.0 && earliest < latest => self.spread(cost, earliest, earliest + 1.0),
            None => self.spread(cost, shortest.max(0.5 * longest), longest),
        };
        Duration::from_millis(millis).min(bounds.max).max(bounds.min)
    }

    /// Seconds up to which the ledger is filled in order, where this is the longest promise.
    pub fn reach(longest: Duration) -> f64 {
        LEDGER_SHARE * longest.as_secs_f64()
    }

    /// Enters the cost at the first whole number of seconds with room, after `earliest` and up to `latest`; what does not
    /// fit there into the seconds after it.
    fn book(&mut self, cost: Cost, earliest: f64, latest: f64) -> Option<u64> {
        // Neither a rate nor a time that is no number passes.
        if !(self.spare > 0.0 && earliest < latest) {
            return None;
        }
        let first = self.first_with_room(earliest as u64 + 1, latest as u64)?;
        let mut left = cost.count() as f32;
        let mut place = self.present + first * PER_SECOND as u64;
        while left > 0.0 && place < self.present + PARTS as u64 {
            let taken = left.min(self.room(place).max(0.0));
            self.add(place, taken);
            left -= taken;
            place += PER_SECOND as u64;
        }
        Some(first)
    }

    /// The first number of seconds from now, of these, with room.
    fn first_with_room(&mut self, first: u64, last: u64) -> Option<u64> {
        let (begin, phase) = (self.present / PER_SECOND as u64, self.present % PER_SECOND as u64);
        let (start, end) = (begin + first, begin + last.min(SECONDS as u64 - 2));
        let (full_from, full_until) = self.full.get(phase as usize).copied()?;
        let is_known = (full_from..full_until).contains(&start);
        let mut second = if is_known { full_until } else { start };
        // The last splinter of a job is no room.
        let least = SPLINTER * self.spare.min(1.0);
        while second <= end && self.room(second * PER_SECOND as u64 + phase) < least {
            second += 1;
        }
        if let Some(full) = self.full.get_mut(phase as usize) {
            *full = (if is_known { full_from } else { start }, second);
        }
        (second <= end).then(|| second - begin)
    }

    /// Enters the cost at one of these seconds: of two by chance the one with fewer returns.
    fn spread(&mut self, cost: Cost, from: f64, until: f64) -> u64 {
        let [one, other] = [self.pick(from, until), self.pick(from, until)];
        let back = |millis: u64| self.present + millis.div_ceil(1000) * PER_SECOND as u64;
        let millis = if self.room(back(other)) > self.room(back(one)) { other } else { one };
        self.add(back(millis), cost.count() as f32);
        millis
    }

    /// Jobs that may still be told to return in this part of the clock: no second around it may have too many.
    fn room(&self, part: u64) -> f32 {
        let seconds =
            (part..part + PER_SECOND as u64).map(|end| self.within.get(place(end)).copied().unwrap_or(0.0));
        self.spare - seconds.fold(0.0, f32::max)
    }

    fn add(&mut self, part: u64, jobs: f32) {
        for end in part..(part + PER_SECOND as u64).min(self.present + PARTS as u64) {
            if let Some(within) = self.within.get_mut(place(end)) {
                *within += jobs;
            }
        }
    }

    /// A whole number of milliseconds after the one and up to the other; the same again only after all others.
    fn pick(&mut self, from: f64, until: f64) -> u64 {
        let from = (from * 1000.0).ceil() as u64;
        let span = ((until * 1000.0) as u64).saturating_sub(from).max(1);
        self.told = self.told.wrapping_add(1);
        from.saturating_add(1 + self.told.wrapping_mul(STRIDE) % span)
    }

    fn pass(&mut self, now: Moment) {
        let now = part(now).max(self.present);
        for over in self.present..now.min(self.present + PARTS as u64) {
            if let Some(within) = self.within.get_mut(place(over)) {
                *within = 0.0;
            }
        }
        self.present = now;
    }
}

const fn part(now: Moment) -> u64 {
    now.nanos() / (1_000_000_000 / PER_SECOND as u64)
}

const fn place(part: u64) -> usize {
    (part % PARTS as u64) as usize
}

/// Seconds kept account of. Returns promised later, where a policy allows more, are spread all the same.
const SECONDS: usize = 1024;

/// Parts of a second that are told apart.
const PER_SECOND: usize = 8;

const PARTS: usize = SECONDS * PER_SECOND;

/// Share of the longest promise up to which the ledger is filled in order: the least mean of what is told beyond, so that
/// a deeper ledger tells no earlier time.
const LEDGER_SHARE: f64 = 0.75;

/// Seconds by which what others were promised may delay the return of one of several tenants.
const NEAR: f64 = 3.0;

/// The spare rate may change by this share of it before the ledger takes note.
const TREMOR: f32 = 0.03;

/// Share of a job that is too little to promise.
const SPLINTER: f32 = 0.1;

/// A prime larger than any span of milliseconds worth the name, and so without a common factor with one: its multiples
/// modulo the span visit all of it, and those of a thousand in long strides.
const STRIDE: u64 = 2_147_483_647;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const BOUNDS: RetryAfterBounds =
        RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) };

    fn ledger(spare: f64) -> Promises {
        let mut ledger = Promises::new(7, Moment::ORIGIN);
        ledger.set_spare(spare);
        ledger
    }

    fn promise(ledger: &mut Promises, millis: u64) -> Duration {
        ledger.promise(Cost::ONE, 0.0, BOUNDS, at(millis))
    }

    fn fill(ledger: &mut Promises, refused: usize) {
        for _ in 0..refused {
            promise(ledger, 0);
        }
    }

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    fn whole_seconds(after: Duration) -> u64 {
        after.as_millis().div_ceil(1000) as u64
    }

    #[test]
    fn promised_returns_fill_each_second_with_the_spare_rate() {
        let mut ledger = ledger(100.0);
        let mut per_second = [0_u32; 13];
        for _ in 0..1000 {
            per_second[whole_seconds(promise(&mut ledger, 0)) as usize] += 1;
        }
        assert_eq!(per_second, [0, 0, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 0]);
    }

    #[test]
    fn returns_after_whole_seconds_never_clump_whenever_their_clients_were_refused() {
        let mut ledger = ledger(50.0);
        let mut parts = [0_u32; 8 * 200];
        for millis in 0..8_000 {
            let back = millis + 1000 * whole_seconds(promise(&mut ledger, millis));
            parts[back as usize / 125] += 1;
        }
        let most = parts.windows(8).map(|second| second.iter().sum::<u32>()).max();
        assert_eq!(most, Some(50));
    }

    #[test]
    fn less_than_one_return_a_second_is_spaced_as_well() {
        let mut ledger = ledger(0.4);
        let told: Vec<u64> = (0..100).map(|_| whole_seconds(promise(&mut ledger, 0))).collect();
        assert!(told.windows(2).all(|pair| (2..=3).contains(&(pair[1] - pair[0]))), "{told:?}");
        assert!((248..=255).contains(&told[99]), "{told:?}");
    }

    #[test]
    fn a_batch_takes_the_place_of_all_its_jobs() {
        let mut ledger = ledger(10.0);
        let batch = Cost::jobs(95).unwrap();
        assert_eq!(whole_seconds(ledger.promise(batch, 0.0, BOUNDS, Moment::ORIGIN)), 2);
        let next = (0..6).map(|_| whole_seconds(promise(&mut ledger, 0))).collect::<Vec<_>>();
        assert_eq!(next, [11, 11, 11, 11, 11, 12]);
    }

    #[test]
    fn a_promise_that_fell_due_makes_room_whether_or_not_its_client_came() {
        let mut ledger = ledger(100.0);
        fill(&mut ledger, 10_000);
        assert!(promise(&mut ledger, 50_000) > Duration::from_secs(51));
        assert!(promise(&mut ledger, 101_000) <= Duration::from_secs(2));
        assert!(promise(&mut ledger, 10_000_000) <= Duration::from_secs(2));
    }

    #[test]
    fn a_fallen_spare_rate_moves_no_promise_and_spaces_the_next_ones_behind_them() {
        let mut ledger = ledger(100.0);
        fill(&mut ledger, 1_000);
        ledger.set_spare(10.0);
        let told: Vec<u64> = (0..30).map(|_| whole_seconds(promise(&mut ledger, 0))).collect();
        assert_eq!((told[0], told[9], told[10], told[29]), (12, 12, 13, 14));
    }

    #[test]
    fn a_risen_spare_rate_finds_room_between_the_promises_of_the_old_one() {
        let mut ledger = ledger(10.0);
        fill(&mut ledger, 1_000);
        ledger.set_spare(100.0);
        let told: Vec<u64> = (0..180).map(|_| whole_seconds(promise(&mut ledger, 0))).collect();
        assert_eq!((told[0], told[89], told[90], told[179]), (2, 2, 3, 3));
    }

    #[test]
    fn beyond_the_ledger_returns_are_spread_over_the_longer_half() {
        let mut ledger = ledger(10.0);
        let (mut least, mut most) = (BOUNDS.max, BOUNDS.min);
        for told in 0..100_000 {
            let after = promise(&mut ledger, 0);
            if told >= 4_501 {
                (least, most) = (least.min(after), most.max(after));
            }
        }
        assert!(least >= BOUNDS.max / 2 && least < BOUNDS.max * 51 / 100, "{least:?}");
        assert!(most <= BOUNDS.max && most > BOUNDS.max * 99 / 100, "{most:?}");
    }

    #[test]
    fn a_deeper_ledger_never_tells_an_earlier_time() {
        let mut ledger = ledger(10.0);
        let mut told = || promise(&mut ledger, 0).as_secs_f64();
        let in_order: Vec<f64> = (0..4_400).map(|_| told()).collect();
        assert!(in_order.windows(2).all(|pair| pair[1].ceil() >= pair[0].ceil()), "{in_order:?}");
        let last = in_order[4_399];
        for _ in 0..40 {
            let mean = (0..1_000).map(|_| told()).sum::<f64>() / 1_000.0;
            assert!(mean >= last, "{mean} after {last}");
        }
    }

    #[test]
    fn a_spare_rate_that_trembles_lets_no_more_return() {
        let mut ledger = ledger(10.0);
        let mut per_second = [0_u32; 200];
        for round in 0..400 {
            ledger.set_spare(if round % 2 == 0 { 10.0 } else { 10.25 });
            for _ in 0..4 {
                per_second[whole_seconds(promise(&mut ledger, 0)) as usize] += 1;
            }
        }
        assert_eq!(per_second.iter().max(), Some(&10));
    }

    #[test]
    fn many_refused_in_one_instant_are_told_as_many_milliseconds() {
        let close = RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(2) };
        for (spare, bounds, refused) in [
            (1e6, BOUNDS, 1_000),
            (1_700.0, BOUNDS, 1_000),
            (3.0, BOUNDS, 1_300),
            (0.0, BOUNDS, 5_000),
            // Two are drawn for each, and there are a thousand.
            (1e6, close, 500),
            (0.0, close, 500),
        ] {
            let mut ledger = ledger(spare);
            let told: BTreeSet<_> =
                (0..refused).map(|_| ledger.promise(Cost::ONE, 0.0, bounds, at(77))).collect();
            assert_eq!(told.len(), refused, "{spare} {bounds:?}");
        }
    }

    #[test]
    fn with_no_rate_to_predict_from_returns_are_spread() {
        let after = promise(&mut ledger(0.0), 0);
        assert!(after >= BOUNDS.max / 2 && after <= BOUNDS.max);
    }

    #[test]
    fn no_promise_is_earlier_than_the_moment_it_can_be_kept() {
        let mut ledger = ledger(1000.0);
        assert!(ledger.promise(Cost::ONE, 42.0, BOUNDS, Moment::ORIGIN) >= Duration::from_secs(42));
    }

    proptest! {
        #[test]
        fn every_promise_is_within_the_bounds(
            steps in prop::collection::vec(
                (0..10_000_u64, 1..1_000_000_u32, any::<f64>(), any::<f64>(), 0..5_000_u64, 0..2_000_000_u64),
                1..50,
            ),
        ) {
            let mut ledger = Promises::new(1, at(5));
            let mut now = 0;
            for (wait, cost, not_before, spare, min, more) in steps {
                now += wait * wait;
                let bounds = RetryAfterBounds {
                    min: Duration::from_millis(min),
                    max: Duration::from_millis(min + more),
                };
                ledger.set_spare(spare);
                let after = ledger.promise(Cost::jobs(cost).unwrap(), not_before, bounds, at(now));
                prop_assert!(after >= bounds.min && after <= bounds.max, "{after:?} {bounds:?}");
            }
        }

        #[test]
        fn in_no_second_return_more_than_can_be_spared(
            spare in 1.0..2_000.0, steps in prop::collection::vec((0..300_u64, 1..400_u32), 1..60),
        ) {
            let mut ledger = ledger(spare);
            let (mut now, mut parts) = (0, vec![0.0; 8 * 700]);
            for (wait, refused) in steps {
                now += wait;
                for _ in 0..refused {
                    let after = promise(&mut ledger, now);
                    if after < BOUNDS.max / 2 {
                        parts[(now + 1000 * whole_seconds(after)) as usize / 125] += 1.0;
                    }
                }
            }
            let most = parts.windows(8).map(|second| second.iter().sum::<f64>()).fold(0.0, f64::max);
            // Splinters of jobs promised for the next second make the rest.
            prop_assert!(most <= spare + 3.0, "{most} of {spare}");
        }
    }
}

//! The only place that reads time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::{Moment, Timestamp};

/// The machine's clocks: a monotonic one with the process's start as its origin, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    hand: Option<ClockHand>,
}

impl Clock {
    /// A clock whose moments count from now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now(), hand: None }
    }

    /// A clock that stands still until its hand is moved; for tests and models. The hand lives as long as the
    /// process.
    pub fn by_hand() -> (Clock, ClockHand) {
        let hand = ClockHand(Box::leak(Box::new(AtomicU64::new(0))));
        (Clock { origin: Instant::now(), hand: Some(hand) }, hand)
    }

    /// The monotonic time.
    pub fn now(&self) -> Moment {
        match self.hand {
            None => Moment::after_origin(self.origin.elapsed()),
            Some(hand) => hand.moment(),
        }
    }

    /// The time of day. A clock set before 1970 reads as 1970.
    pub fn wall(&self) -> Timestamp {
        if let Some(hand) = self.hand {
            return Timestamp::from_millis(HAND_START).plus(hand.moment().since(Moment::ORIGIN));
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    /// The time of day to the nanosecond, as spans are stamped with it.
    pub fn time_of_day(&self) -> SystemTime {
        match self.hand {
            None => SystemTime::now(),
            Some(hand) => {
                UNIX_EPOCH + Duration::from_millis(HAND_START) + hand.moment().since(Moment::ORIGIN)
            }
        }
    }

    /// The monotonic moment as the runtime's timers know it.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.since(Moment::ORIGIN)
    }
}

/// Moves a clock made by [`Clock::by_hand`].
#[derive(Clone, Copy, Debug)]
pub struct ClockHand(&'static AtomicU64);

impl ClockHand {
    /// Lets this much time pass, on the monotonic and on the wall clock.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// The time of day at which a clock moved by hand starts: 2023-11-14T22:13:20Z, in
/// milliseconds.
const HAND_START: u64 = 1_700_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_moved_by_hand_stands_still_otherwise() {
        let (clock, hand) = Clock::by_hand();
        let start = Timestamp::from_millis(HAND_START);
        assert_eq!((clock.now(), clock.wall()), (Moment::ORIGIN, start));
        hand.advance(Duration::from_millis(1500));
        assert_eq!(clock.now(), Moment::after_origin(Duration::from_millis(1500)));
        assert_eq!(clock.wall(), start.plus(Duration::from_millis(1500)));
    }
}

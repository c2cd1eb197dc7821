//! What may happen as often as a client likes has one line in a while, with the number of times since the line before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::time::Moment;

/// Between two lines of one kind.
pub const TELL_EVERY: Duration = Duration::from_secs(10);

/// One kind of line. Threads may meet in it: none waits, and each time is told of once.
#[derive(Debug, Default)]
pub struct Sampled {
    since: AtomicU64,
    /// When the next line may come, in milliseconds; the first may come at once.
    next: AtomicU64,
}

impl Sampled {
    /// It happened once more. The number of times to tell of, if it is time to tell.
    pub fn one_more(&self, now: Moment) -> Option<u64> {
        self.since.fetch_add(1, Ordering::Relaxed);
        self.left(now)
    }

    /// The number of times that were not told of, if there are any and it is time to tell.
    pub fn left(&self, now: Moment) -> Option<u64> {
        let now = millis(now.since(Moment::ORIGIN));
        let next = self.next.load(Ordering::Relaxed);
        if now < next || self.since.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Who sets the time of the next line writes this one.
        let after = now.saturating_add(millis(TELL_EVERY));
        self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.since.swap(0, Ordering::Relaxed)).filter(|count| *count > 0)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn one_line_in_a_while_tells_of_all_since() {
        let sampled = Sampled::default();
        assert_eq!(sampled.left(at(100)), None, "nothing happened");
        assert_eq!(sampled.one_more(at(100)), Some(1), "the first at once");
        for second in [100, 101, 109] {
            assert_eq!(sampled.one_more(at(second)), None);
        }
        assert_eq!(sampled.one_more(at(110)), Some(4));
        assert_eq!(sampled.one_more(at(119)), None);
        assert_eq!(sampled.left(at(119)), None, "not yet");
        assert_eq!(sampled.left(at(120)), Some(1), "who does not come again is told of too");
        assert_eq!(sampled.left(at(500)), None);
        assert_eq!(sampled.one_more(at(500)), Some(1));
    }

    #[test]
    fn threads_that_meet_are_counted_once_each() {
        let sampled = Sampled::default();
        let told: u64 = std::thread::scope(|scope| {
            let many: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| (0..20_000).filter_map(|n| sampled.one_more(at(n / 10))).sum::<u64>())
                })
                .collect();
            many.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(told + sampled.left(at(9_999)).unwrap_or(0), 80_000);
    }
}

//! When to come back where the gate has promised nothing: the queue itself could not take the job.

use std::time::Duration;

use crate::admission::settings::RetryAfterBounds;
use crate::domain::code::Code;
use crate::domain::tier::Tier;
use crate::domain::units::Rate;
use crate::queue::error::StoreError;
use crate::random;
use crate::server::problem::Problem;

/// A tier whose queue cannot take jobs until something outside changes.
pub fn until_next_probe(tier: Tier, detail: &'static str) -> Problem {
    Problem::new(Code::BackendUnavailable, detail).of(tier).after(spread(PROBE, PROBE * 2))
}

/// The pause until a backend that is away has been tried again.
pub fn until_tried(next_try: Duration) -> Duration {
    let least = next_try.max(PROBE);
    spread(least, least + PROBE)
}

/// The pause after a store that failed: the queue's next try, or the time until workers have made room.
pub fn after_failed_store(error: &StoreError, drain: Rate, bounds: RetryAfterBounds) -> Duration {
    match error {
        StoreError::Unavailable { .. } => spread(PROBE, PROBE * 2),
        StoreError::Full { .. } => until_room(drain, bounds),
        StoreError::Overloaded => while_overloaded(),
        StoreError::Closed | StoreError::Unknown | StoreError::TooLarge { .. } => PROBE,
    }
}

/// The pause where the gateway protects itself: what it holds is let go within seconds.
pub fn while_overloaded() -> Duration {
    spread(SHORTEST_OVERLOAD, LONGEST_OVERLOAD)
}

/// One place becomes free every 1 / drain seconds. Without a drain nobody knows when: all come back spread over
/// the later half of the bounds.
fn until_room(drain: Rate, bounds: RetryAfterBounds) -> Duration {
    let slot = Duration::try_from_secs_f64(1.0 / drain.jobs_per_second());
    match slot {
        Ok(slot) => slot.clamp(bounds.min, bounds.max.max(bounds.min)),
        Err(_) => spread(bounds.max / 2, bounds.max),
    }
}

/// A time between two, drawn evenly, so that those who left together do not return together.
fn spread(from: Duration, to: Duration) -> Duration {
    let share = f64::from(u32::try_from(random::number() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    from + to.saturating_sub(from).mul_f64(share)
}

/// Time in which the queue has tried its disk again: it does so every half second.
const PROBE: Duration = Duration::from_secs(1);

/// Nobody is asked back within the second: that is as short as `Retry-After` can say.
const SHORTEST_OVERLOAD: Duration = Duration::from_secs(1);

/// Far enough from the shortest that those who were refused together do not return in one second.
const LONGEST_OVERLOAD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RetryAfterBounds =
        RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) };

    #[test]
    fn a_full_queue_asks_back_when_a_place_is_free() {
        assert_eq!(until_room(Rate::saturating(0.1), BOUNDS), Duration::from_secs(10));
        assert_eq!(until_room(Rate::saturating(1_000.0), BOUNDS), BOUNDS.min);
        assert_eq!(until_room(Rate::saturating(1e-9), BOUNDS), BOUNDS.max);
    }

    #[test]
    fn without_a_drain_returns_are_spread_over_the_later_half() {
        let pauses: Vec<_> = (0..32).map(|_| until_room(Rate::ZERO, BOUNDS)).collect();
        assert!(pauses.iter().all(|pause| (BOUNDS.max / 2..=BOUNDS.max).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn clients_of_an_unavailable_queue_do_not_return_together() {
        let error = StoreError::Unavailable { detail: "disk full".to_owned() };
        let pauses: Vec<_> = (0..32).map(|_| after_failed_store(&error, Rate::ZERO, BOUNDS)).collect();
        assert!(pauses.iter().all(|pause| (PROBE..=PROBE * 2).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}

//! When Redis answered, on our clock: its own time, less the offset that the fastest exchange of late has shown.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Moment;

/// What is known of the distance between a server's clock and ours.
///
/// A server that says `s` between our `a` and `b` has a clock that is `s - (a + b) / 2` ahead, give or take half the round
/// trip. The fastest round trip knows it best (as in NTP, RFC 5905 section 10).
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    lately: VecDeque<Exchange>,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    round_trip: Duration,
    /// Nanoseconds that the server's clock is ahead of our origin.
    offset: i128,
}

impl ServerClock {
    /// The moment at which the server's clock showed `server` (since the epoch), which was between these two.
    pub fn moment(&mut self, server: Duration, asked: Moment, answered: Moment) -> Moment {
        let round_trip = answered.since(asked);
        let server = i128::try_from(server.as_nanos()).unwrap_or(i128::MAX / 2);
        let middle = asked.plus(round_trip / 2);
        if self.lately.len() >= EXCHANGES {
            self.lately.pop_front();
        }
        self.lately.push_back(Exchange { round_trip, offset: server - i128::from(middle.nanos()) });
        let best = self.lately.iter().min_by_key(|exchange| exchange.round_trip);
        let told = best.map_or(0, |exchange| server - exchange.offset);
        let told = Moment::from_nanos(u64::try_from(told.max(0)).unwrap_or(u64::MAX));
        // Whatever a clock that was set meanwhile says, it was within the exchange.
        told.clamp(asked, answered.max(asked))
    }
}

impl ServerClock {
    /// What the server's clock shows at this moment, since the epoch; `None` before the first exchange.
    pub fn shows(&self, moment: Moment) -> Option<Duration> {
        let shown = self.offset()? + i128::from(moment.nanos());
        Some(Duration::from_nanos(u64::try_from(shown.max(0)).unwrap_or(u64::MAX)))
    }

    /// The moment at which the server's clock shows this; `None` before the first exchange.
    pub fn when(&self, server: Duration) -> Option<Moment> {
        let moment = i128::try_from(server.as_nanos()).unwrap_or(i128::MAX / 2) - self.offset()?;
        Some(Moment::from_nanos(u64::try_from(moment.max(0)).unwrap_or(u64::MAX)))
    }

    fn offset(&self) -> Option<i128> {
        self.lately.iter().min_by_key(|exchange| exchange.round_trip).map(|exchange| exchange.offset)
    }
}

/// Exchanges remembered: a few seconds of readings, in which no clock drifts by much.
const EXCHANGES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AHEAD: Duration = Duration::from_secs(1_700_000_000);

    fn ms(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    fn server(millis: u64) -> Duration {
        AHEAD + Duration::from_millis(millis)
    }

    #[test]
    fn a_slow_answer_is_stamped_by_what_a_fast_one_has_shown() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.moment(server(101), ms(100), ms(102)), ms(101));
        assert_eq!(clock.moment(server(210), ms(200), ms(1200)), ms(210), "the way back was slow");
        assert_eq!(clock.moment(server(2190), ms(1300), ms(2200)), ms(2190), "the way there was slow");
    }

    #[test]
    fn without_a_fast_one_it_is_the_middle() {
        assert_eq!(ServerClock::default().moment(server(5), ms(0), ms(1000)), ms(500));
    }

    #[test]
    fn a_server_clock_that_is_set_is_believed_again_after_a_while() {
        let mut clock = ServerClock::default();
        clock.moment(server(1), ms(0), ms(2));
        let day = 86_400_000;
        assert_eq!(
            clock.moment(server(day + 110), ms(100), ms(200)),
            ms(200),
            "within the exchange at least"
        );
        for round in 0..EXCHANGES as u64 {
            let at = 1000 + 100 * round;
            clock.moment(server(day + at + 1), ms(at), ms(at + 2));
        }
        assert_eq!(clock.moment(server(day + 20_010), ms(20_000), ms(20_900)), ms(20_010));
    }

    proptest! {
        #[test]
        fn the_moment_is_off_by_half_the_fastest_round_trip_at_most(
            trips in prop::collection::vec((0..50_u64, 0..50_u64), 1..100),
        ) {
            let (mut clock, mut at) = (ServerClock::default(), 0);
            let mut trips_lately = VecDeque::new();
            for (there, back) in trips {
                at += 1000;
                let moment = clock.moment(server(at + there), ms(at), ms(at + there + back));
                trips_lately.push_back(there + back);
                if trips_lately.len() > EXCHANGES { trips_lately.pop_front(); }
                let fastest = *trips_lately.iter().min().unwrap();
                let off = moment.since(ms(at + there)).max(ms(at + there).since(moment));
                prop_assert!(off <= Duration::from_millis(fastest) / 2, "{off:?} with a trip of {fastest} ms");
                prop_assert!(ms(at) <= moment && moment <= ms(at + there + back));
            }
        }
    }
}

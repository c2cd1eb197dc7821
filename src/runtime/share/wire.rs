//! A replica's line as text on the board: JSON, moments as the server's time in microseconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::queue::redis::backlog::server_clock::ServerClock;
use crate::regulator::share::line::{Line, ReplicaId, Told};
use crate::regulator::share::part::Intake;

#[derive(Serialize, Deserialize)]
struct Text {
    version: u32,
    at: u64,
    #[serde(default)]
    leaving: bool,
    p0: TierText,
    p1: TierText,
    p2: TierText,
}

#[derive(Serialize, Deserialize)]
struct TierText {
    entered: u64,
    asked: u64,
    held_back: u64,
    rate: f64,
    integral: f64,
    demand: f64,
    stored: i64,
    replayed: u64,
    taken: Option<u64>,
}

/// How the board calls a replica.
pub(super) fn name(id: ReplicaId) -> String {
    format!("{:016x}", id.0)
}

/// The line as text; `None` as long as the server's time is not known.
pub(super) fn write(line: &Line, clock: &ServerClock) -> Option<String> {
    let tier = |tier: Tier| {
        let Told { intake, demand, stored, replayed, taken } = line.tiers[tier];
        let Intake { entered, asked, held_back, rate, integral } = intake;
        let taken = taken.and_then(|taken| micros(clock, taken));
        TierText { entered, asked, held_back, rate, integral, demand, stored, replayed, taken }
    };
    let text = Text {
        version: VERSION,
        at: micros(clock, line.at)?,
        leaving: line.leaving,
        p0: tier(Tier::P0),
        p1: tier(Tier::P1),
        p2: tier(Tier::P2),
    };
    serde_json::to_string(&text).ok()
}

/// The line that this text is, with its moments on our clock and none of them after `now`; `None` if it is none.
pub(super) fn read(name: &str, text: &str, clock: &ServerClock, now: Moment) -> Option<Line> {
    let id = ReplicaId(u64::from_str_radix(name, 16).ok()?);
    let text: Text = serde_json::from_str(text).ok().filter(|text: &Text| text.version == VERSION)?;
    // Clocks agree to half a round trip: what was counted a moment ago may seem to be counted in a moment.
    let moment = |micros: u64| clock.when(Duration::from_micros(micros)).map(|at| at.min(now));
    let at = moment(text.at)?;
    let tier = |tier: TierText| {
        let TierText { entered, asked, held_back, rate, integral, demand, stored, replayed, taken } = tier;
        let sane = rate >= 0.0 && demand >= 0.0;
        let intake = Intake { entered, asked, held_back, rate, integral };
        let taken = taken.and_then(moment);
        sane.then_some(Told { intake, demand, stored, replayed, taken })
    };
    let tiers = TierMap::from((tier(text.p0)?, tier(text.p1)?, tier(text.p2)?));
    Some(Line { id, at, leaving: text.leaving, tiers })
}

fn micros(clock: &ServerClock, moment: Moment) -> Option<u64> {
    clock.shows(moment).and_then(|shown| u64::try_from(shown.as_micros()).ok())
}

/// Lines of another version are not read.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> ServerClock {
        let mut clock = ServerClock::default();
        let server = Duration::from_secs(1_700_000_000);
        clock.moment(server, Moment::from_nanos(1_000_000), Moment::from_nanos(3_000_000));
        clock
    }

    fn line(at: Moment) -> Line {
        let intake = Intake { entered: 12, asked: 15, held_back: 3, rate: 99.5, integral: -1.25 };
        let told = Told { intake, demand: 7.5, stored: -4, replayed: 2, taken: Some(at) };
        Line { id: ReplicaId(u64::MAX - 3), at, leaving: false, tiers: TierMap::from_fn(|_| told) }
    }

    #[test]
    fn a_line_reads_back_as_it_was_written_on_a_clock_of_the_readers_own() {
        let written = line(Moment::from_nanos(5_000_000));
        let text = write(&written, &clock()).unwrap();
        let read_at = |now| read(&name(written.id), &text, &clock(), Moment::from_nanos(now));
        assert_eq!(read_at(9_000_000), Some(written));
        assert_eq!(
            read_at(4_000_000).map(|line| line.at),
            Some(Moment::from_nanos(4_000_000)),
            "not after now"
        );
    }

    #[test]
    fn what_is_no_line_is_none() {
        let text = write(&line(Moment::from_nanos(5_000_000)), &clock()).unwrap();
        let reads =
            |name: &str, text: &str| read(name, text, &clock(), Moment::from_nanos(9_000_000)).is_some();
        assert!(reads("a", &text));
        assert!(!reads("not a number", &text));
        for (good, bad) in [
            ("\"version\":1", "\"version\":2"),
            ("99.5", "-1"),
            ("99.5", "1e999"),
            ("\"p2\"", "\"p3\""),
            ("12", "-12"),
            ("{", "["),
        ] {
            assert!(text.contains(good) && !reads("a", &text.replace(good, bad)), "{bad}");
        }
        assert!(
            write(&line(Moment::ORIGIN), &ServerClock::default()).is_none(),
            "the server's time is not known"
        );
    }
}

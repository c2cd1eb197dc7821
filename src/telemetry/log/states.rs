//! The states of the tiers in the log: one line for each change, in the words of the [diagnosis](crate::telemetry::diagnosis).

use std::time::Duration;

use tracing::{error, info, warn};

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::telemetry::diagnosis::{Cause, Diagnosis, Severity, State};

/// What the log was told of each tier.
#[derive(Debug, Default)]
pub struct StateLog(TierMap<Option<Told>>);

/// What the last line of a tier said.
#[derive(Clone, Copy, Debug)]
struct Told {
    word: Word,
    since: Moment,
    /// Since when it is not so any more, without being worse.
    left: Option<Moment>,
}

/// A state as far as another one is worth a line: from demand to drain is a change, from one number to the next is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    state: State,
    severity: Severity,
    cause: Option<Cause>,
}

/// A change that is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    was: State,
    lasted: Duration,
}

impl StateLog {
    /// This is the state of a tier now: a line, if it is another one. What is worse is told at once; what is not, once it has
    /// held for a while, so that a tier at the edge of two states does not fill the log.
    pub fn tell(&mut self, tier: Tier, said: &Diagnosis, now: Moment) {
        let word = Word { state: said.state, severity: said.severity, cause: said.cause };
        let Some(Change { was, lasted }) = self.change(tier, word, now) else { return };
        let Diagnosis { state, severity, cause, sentence, reason, refused, advice } = said;
        let broken = matches!(state, State::Away | State::SignalLost);
        let (tier, state, was, word) = (tier.as_str(), state.as_str(), was.as_str(), severity.as_str());
        let (after_seconds, cause) = (lasted.as_secs(), cause.map(|cause| cause.as_str()));
        let (reason, refused, advice) = (reason.as_deref(), refused.as_deref(), advice.as_deref());
        // The level of an event is part of its declaration.
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    tier,
                    state,
                    was,
                    after_seconds,
                    severity = word,
                    cause,
                    sentence,
                    reason,
                    refused,
                    advice,
                    "the state of a tier changes"
                )
            };
        }
        // What a gate is for is no error, however much it matters: that something is broken is one.
        match severity {
            Severity::Critical if broken => line!(error),
            Severity::Critical | Severity::Warning => line!(warn),
            Severity::Notice | Severity::Calm => line!(info),
        }
    }

    /// Whether this is worth a line.
    fn change(&mut self, tier: Tier, word: Word, now: Moment) -> Option<Change> {
        let unsaid = Told { word: START, since: now, left: None };
        let told = self.0[tier].get_or_insert(unsaid);
        if word == told.word {
            told.left = None;
            return None;
        }
        let left = *told.left.get_or_insert(now);
        // That a gateway begins to read its backlog is no news.
        let begins = told.word.state == State::Waiting && matches!(word.state, State::Waiting | State::Calm);
        if word.severity <= told.word.severity && now.since(left) < HELD && !begins {
            return None;
        }
        let change = Change { was: told.word.state, lasted: left.since(told.since) };
        *told = Told { word, since: left, left: None };
        (!begins).then_some(change)
    }
}

/// Before the first word.
const START: Word = Word { state: State::Waiting, severity: Severity::Calm, cause: None };

/// For so long a state that is not worse must have held.
const HELD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    /// What is told of these states, each at its second.
    fn told(course: &[(u64, State, Severity)]) -> Vec<(u64, State, State, u64)> {
        let mut log = StateLog::default();
        let mut lines = Vec::new();
        for (second, state, severity) in course {
            let word = Word { state: *state, severity: *severity, cause: None };
            if let Some(Change { was, lasted }) = log.change(Tier::P2, word, at(*second)) {
                lines.push((*second, was, *state, lasted.as_secs()));
            }
        }
        lines
    }

    use Severity::{Calm, Critical, Notice, Warning};

    #[test]
    fn a_start_is_no_news_and_trouble_at_the_start_is() {
        assert_eq!(told(&[(1, State::Waiting, Notice), (2, State::Calm, Calm)]), []);
        let away = [(1, State::Away, Critical), (2, State::Away, Critical)];
        assert_eq!(told(&away), [(1, State::Waiting, State::Away, 0)]);
    }

    #[test]
    fn what_is_worse_is_told_at_once_and_what_is_better_once_it_has_held() {
        let course = [
            (1, State::Calm, Calm),
            (5, State::Throttled, Notice),
            (6, State::Shed, Warning),
            (20, State::Throttled, Notice),
            (29, State::Throttled, Notice),
            (30, State::Throttled, Notice),
            (31, State::Calm, Calm),
            (41, State::Calm, Calm),
        ];
        let lines = [
            (5, State::Calm, State::Throttled, 4),
            (6, State::Throttled, State::Shed, 1),
            (30, State::Shed, State::Throttled, 14),
            (41, State::Throttled, State::Calm, 11),
        ];
        assert_eq!(told(&course), lines);
    }

    #[test]
    fn another_cause_is_told_and_a_worse_one_at_once() {
        let mut log = StateLog::default();
        let word = |severity, cause| Word { state: State::Throttled, severity, cause: Some(cause) };
        let mut says = |second, word| log.change(Tier::P1, word, at(second)).is_some();
        assert!(says(1, word(Notice, Cause::Demand)));
        assert!(!says(2, word(Notice, Cause::Demand)));
        assert!(says(3, word(Warning, Cause::Drain)), "workers fell away");
        assert!(!says(4, word(Notice, Cause::Demand)), "perhaps they are back");
        assert!(says(14, word(Notice, Cause::Demand)));
    }

    #[test]
    fn a_tier_at_the_edge_of_two_states_does_not_fill_the_log() {
        let flips = (1..=600).map(|second| {
            if second % 2 == 0 { (second, State::Calm, Calm) } else { (second, State::Throttled, Notice) }
        });
        let lines = told(&flips.collect::<Vec<_>>());
        assert_eq!(lines, [(1, State::Waiting, State::Throttled, 0)]);
    }
}

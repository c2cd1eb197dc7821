//! The script of a round: what happens when, what is said of it, and what `--fast` makes shorter.

use std::time::Duration;

/// One line of the script.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// When, in seconds since the round began, at the usual pace.
    at: u32,
    /// What happens.
    pub change: Change,
    /// What is said of it.
    pub says: &'static str,
}

/// What an act changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// New jobs of critical, standard and bulk work, a second.
    Clients(u32, u32, u32),
    /// So many workers are alive.
    Workers(usize),
    /// The policy's file is written anew.
    Policy(Edition),
}

/// A state of the policy's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// As it ships.
    Usual,
    /// Bulk is shed as soon as a little of it waits.
    BulkClosed,
}

/// How quickly the script is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Three minutes a round.
    Usual,
    /// Thirty-six seconds a round, under a policy with shorter delays.
    Fast,
}

/// The round.
pub const SCRIPT: [Act; 8] = [
    Act {
        at: 0,
        change: Change::Clients(10, 40, 15),
        says: "a quiet day: 10 critical, 40 standard and 15 bulk jobs a second; 12 workers could do 200",
    },
    Act {
        at: 20,
        change: Change::Clients(30, 150, 600),
        says: "the sale opens: 30 critical, 150 standard and 600 bulk jobs a second, four times what the workers can do",
    },
    Act {
        at: 60,
        change: Change::Workers(4),
        says: "8 of 12 workers die with jobs in their hands; those will be handed out again",
    },
    Act {
        at: 75,
        change: Change::Policy(Edition::BulkClosed),
        says: "an operator edits policy.yaml: bulk is shed from 100 waiting jobs on; nothing is restarted",
    },
    Act { at: 100, change: Change::Workers(WORKERS), says: "the workers are back" },
    Act { at: 115, change: Change::Policy(Edition::Usual), says: "the operator takes the edit back" },
    Act {
        at: 125,
        change: Change::Clients(10, 40, 15),
        says: "the sale is over; who was told to come back by now does",
    },
    Act {
        at: CLOSING,
        change: Change::Clients(0, 0, 0),
        says: "the clients go home, the workers finish what waits",
    },
];

/// Workers that are alive at first.
pub const WORKERS: usize = 12;

/// A worker's least time for one job. It takes up to one and a half of it, 60 ms on the average: all together do 200 a
/// second, and not in step.
pub const TIME_PER_JOB: Duration = Duration::from_millis(48);

impl Act {
    /// When it happens, since the round began.
    pub fn after(&self, pace: Pace) -> Duration {
        pace.of(self.at)
    }
}

impl Pace {
    /// This many seconds of the script.
    fn of(self, seconds: u32) -> Duration {
        match self {
            Pace::Usual => Duration::from_secs(seconds.into()),
            Pace::Fast => Duration::from_secs(seconds.into()) / 5,
        }
    }

    /// When the clients go home.
    pub fn closing(self) -> Duration {
        self.of(CLOSING)
    }

    /// Time between two lines of figures.
    pub fn between_figures(self) -> Duration {
        match self {
            Pace::Usual => Duration::from_secs(10),
            Pace::Fast => Duration::from_secs(3),
        }
    }

    /// What a worker asks for: after so many seconds without a word its jobs are handed out again.
    pub fn lease_seconds(self) -> u32 {
        match self {
            Pace::Usual => 5,
            Pace::Fast => 2,
        }
    }

    /// How long a round takes, in words.
    pub fn length(self) -> &'static str {
        match self {
            Pace::Usual => "three minutes",
            Pace::Fast => "36 seconds",
        }
    }
}

/// The policy's file at this pace, in this edition.
pub fn policy(pace: Pace, edition: Edition) -> String {
    let shorter: &[_] = if pace == Pace::Fast { &SHORTER } else { &[] };
    let closed: &[_] = if edition == Edition::BulkClosed { &CLOSED } else { &[] };
    let edit = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    // Bulk's target is edited by both; the operator's word is the last.
    closed.iter().chain(shorter).fold(POLICY.to_owned(), edit)
}

/// The demo's policy, as it ships.
const POLICY: &str = include_str!("../../policies/demo.yaml");

/// What the operator edits: a target below the threshold, and the threshold.
const CLOSED: [(&str, &str); 2] = [
    (
        "target: { delay: 10s, at_least: 100, at_most: 600 }",
        "target: { delay: 1s, at_least: 20, at_most: 80 }",
    ),
    ("shed: { at: 900, until: 600 }", "shed: { at: 100, until: 40 }"),
];

/// What a faster script needs: targets that fill in the time there is.
const SHORTER: [(&str, &str); 4] = [
    (
        "target: { delay: 3s, at_least: 60, at_most: 600 }",
        "target: { delay: 1s, at_least: 60, at_most: 600 }",
    ),
    (
        "target: { delay: 10s, at_least: 100, at_most: 600 }",
        "target: { delay: 6s, at_least: 100, at_most: 600 }",
    ),
    ("retry_after: { min: 1s, max: 2min }", "retry_after: { min: 1s, max: 24s }"),
    ("retry_after: { min: 1s, max: 5min }", "retry_after: { min: 1s, max: 1min }"),
];

/// When the clients go home, in seconds at the usual pace.
const CLOSING: u32 = 175;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Tier;
    use crate::policy::compile::compile;

    #[test]
    fn the_script_is_in_order_and_ends_as_it_began() {
        assert!(SCRIPT.windows(2).all(|acts| acts[0].at < acts[1].at));
        let last = |of: fn(&Change) -> bool| SCRIPT.iter().rfind(|act| of(&act.change)).unwrap().change;
        assert_eq!(last(|change| matches!(change, Change::Clients(..))), Change::Clients(0, 0, 0));
        assert_eq!(last(|change| matches!(change, Change::Workers(_))), Change::Workers(WORKERS));
        assert_eq!(last(|change| matches!(change, Change::Policy(_))), Change::Policy(Edition::Usual));
        assert_eq!(SCRIPT[7].after(Pace::Usual), Pace::Usual.closing());
    }

    #[test]
    fn each_edit_meets_one_line_and_leaves_a_faultless_policy() {
        for (from, _) in CLOSED.iter().chain(&SHORTER) {
            assert_eq!(POLICY.matches(from).count(), 1, "{from}");
        }
        for pace in [Pace::Usual, Pace::Fast] {
            for edition in [Edition::Usual, Edition::BulkClosed] {
                let compiled = compile(&policy(pace, edition), "demo").unwrap();
                assert_eq!(compiled.warnings.list, [], "{pace:?}, {edition:?}");
                let bulk = &compiled.policy.regulator.tiers[Tier::P2];
                assert_eq!(bulk.shed.unwrap().at == 100, edition == Edition::BulkClosed);
            }
        }
    }
}

//! A group of jobs under way: it is answered once, when the fate of each of its jobs is known.

use std::sync::{Arc, Mutex, PoisonError};

use crate::queue::error::StoreError;
use crate::queue::kafka::producer::fate::Fate;
use crate::queue::{Stored, StoringAnswer};

/// What is known of a group so far.
#[derive(Debug)]
pub(super) struct Place(Mutex<Tally>);

#[derive(Debug)]
struct Tally {
    left: usize,
    stored: usize,
    unknown: usize,
    refused: Option<StoreError>,
    answer: Option<StoringAnswer>,
}

/// A group whose fate is known, to be told when no lock is held.
#[derive(Debug)]
#[must_use = "somebody waits for the answer"]
pub(super) struct Settled {
    answer: StoringAnswer,
    outcome: Result<(), StoreError>,
}

impl Place {
    /// A group of this many jobs.
    pub(super) fn new(jobs: usize, answer: StoringAnswer) -> Arc<Place> {
        let tally = Tally { left: jobs, stored: 0, unknown: 0, refused: None, answer: Some(answer) };
        Arc::new(Place(Mutex::new(tally)))
    }

    /// Notes the fate of some of its jobs; the answer when they were the last.
    pub(super) fn settle(&self, jobs: usize, fate: Fate) -> Option<Settled> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.left = tally.left.saturating_sub(jobs);
        match fate {
            Fate::Stored => tally.stored += jobs,
            Fate::Unknown => tally.unknown += jobs,
            Fate::Refused(why) => tally.refused = tally.refused.take().or(Some(why)),
        }
        if tally.left > 0 {
            return None;
        }
        let outcome = match (tally.refused.take(), tally.stored, tally.unknown) {
            (None, _, 0) => Ok(()),
            (Some(why), 0, 0) => Err(why),
            // All or none was asked for: neither can be said.
            _ => Err(StoreError::Unknown),
        };
        tally.answer.take().map(|answer| Settled { answer, outcome })
    }
}

impl Settled {
    /// Tells whoever waits; `stored` is what a stored group's receipt says.
    pub(super) fn tell(self, stored: impl FnOnce() -> Stored) {
        // Nobody waits any more: the jobs are what they are.
        let _ = self.answer.send(self.outcome.map(|()| stored()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::kafka::producer::fate::unavailable;
    use crate::queue::{Durability, Storing};

    async fn outcome(fates: &[Fate]) -> Result<(), StoreError> {
        let (answer, storing) = Storing::channel();
        let place = Place::new(fates.len(), answer);
        let (last, first) = fates.split_last().unwrap();
        for fate in first {
            assert!(place.settle(1, fate.clone()).is_none());
        }
        let receipt = Stored { durability: Durability::Memory, depth: 1, known: Vec::new() };
        place.settle(1, last.clone()).unwrap().tell(|| receipt);
        storing.await.map(drop)
    }

    #[tokio::test]
    async fn a_group_is_stored_or_refused_only_as_a_whole() {
        let refused = || Fate::Refused(unavailable("away"));
        assert_eq!(outcome(&[Fate::Stored, Fate::Stored]).await, Ok(()));
        assert_eq!(outcome(&[refused(), refused()]).await, Err(unavailable("away")));
        for mixed in [
            [Fate::Stored, refused()],
            [refused(), Fate::Stored],
            [Fate::Stored, Fate::Unknown],
            [refused(), Fate::Unknown],
            [Fate::Unknown, Fate::Unknown],
        ] {
            assert_eq!(outcome(&mixed).await, Err(StoreError::Unknown), "{mixed:?}");
        }
    }
}

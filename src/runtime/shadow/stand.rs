//! Where requests leave what the candidate is to be asked: a bounded buffer, and what the candidate has said so far.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::tier::TierMap;
use crate::domain::time::Timestamp;
use crate::regulator::report::TickReport;
use crate::runtime::shadow::sample::{Sample, Step};
use crate::runtime::shadow::tally::{Shown, Tally};

/// One candidate's stand; its thread ends with it.
#[derive(Debug)]
pub(super) struct Stand {
    /// Whether the candidate looks into payloads.
    pub reads_payloads: bool,
    left: Mutex<Left>,
    shown: Mutex<Shown>,
    ended: AtomicBool,
}

/// What was left since the judge last came by.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// In the order in which it happened.
    pub events: Vec<Event>,
    /// Samples that found no room.
    pub dropped: u64,
    bytes: usize,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The acting gate decided.
    Decision(Sample),
    /// The acting law took a step.
    Step(Box<Step>),
}

impl Stand {
    pub(super) fn new(reads_payloads: bool, now: Timestamp) -> Stand {
        Stand {
            reads_payloads,
            left: Mutex::new(Left::with_room()),
            shown: Mutex::new(Shown::since(now)),
            ended: AtomicBool::new(false),
        }
    }

    /// Leaves a decision, if there is room.
    pub(super) fn offer(&self, sample: Sample) {
        let mut left = self.left();
        let bytes = left.bytes + sample.payload.len();
        if left.events.len() >= MOST_SAMPLES || bytes > MOST_BYTES {
            left.dropped += 1;
            return;
        }
        left.bytes = bytes;
        left.events.push(Event::Decision(sample));
    }

    /// Leaves a step; for those some room is kept.
    pub(super) fn step(&self, step: Step) {
        let mut left = self.left();
        if left.events.len() < MOST_EVENTS {
            left.events.push(Event::Step(Box::new(step)));
        }
    }

    /// Takes what was left, and leaves an emptied buffer in its place.
    pub(super) fn swap(&self, emptied: Left) -> Left {
        std::mem::replace(&mut *self.left(), emptied)
    }

    /// Shows what the candidate has said.
    pub(super) fn show(&self, news: &Tally, reports: Option<TierMap<TickReport>>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.tally.add(news);
        shown.reports = reports.or(shown.reports);
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count_anew(&self, now: Timestamp) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown { reports: shown.reports, ..Shown::since(now) };
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    pub(super) fn with_room() -> Left {
        Left { events: Vec::with_capacity(MOST_EVENTS), ..Left::default() }
    }

    /// The same buffer, emptied.
    pub(super) fn emptied(mut self) -> Left {
        self.events.clear();
        Left { events: self.events, ..Left::default() }
    }
}

/// Decisions that may wait: with a judge who comes by every few milliseconds, hundreds of thousands a second.
const MOST_SAMPLES: usize = 4096;

/// With the steps between them.
const MOST_EVENTS: usize = MOST_SAMPLES + 64;

/// Payload bytes that may wait beyond their requests' end.
const MOST_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri};

    use super::*;
    use crate::domain::tier::Tier;
    use crate::domain::time::Moment;
    use crate::domain::verdict::Verdict;
    use crate::runtime::shadow::sample::{Facts, Payload};

    fn sample(payload: Bytes) -> Sample {
        let facts = Facts {
            method: Method::POST,
            uri: Uri::from_static("/v1/jobs"),
            headers: HeaderMap::new(),
            tenant: Arc::from("anonymous"),
            ceiling: Tier::P0,
        };
        Sample {
            facts: Arc::new(facts),
            payload: Payload::Read(payload),
            content_length: None,
            tier: Tier::P1,
            acting: Verdict::Admitted,
            at: Moment::ORIGIN,
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_not_kept() {
        let stand = Stand::new(true, Timestamp::from_millis(0));
        for _ in 0..MOST_SAMPLES + 3 {
            stand.offer(sample(Bytes::new()));
        }
        let left = stand.swap(Left::with_room());
        assert_eq!((left.events.len(), left.dropped), (MOST_SAMPLES, 3));
        let half = Bytes::from(vec![0; MOST_BYTES / 2]);
        for _ in 0..3 {
            stand.offer(sample(half.clone()));
        }
        let left = stand.swap(left.emptied());
        assert_eq!((left.events.len(), left.dropped), (2, 1));
        stand.offer(sample(half));
        assert_eq!(stand.swap(left.emptied()).events.len(), 1, "the bytes were given back");
    }
}

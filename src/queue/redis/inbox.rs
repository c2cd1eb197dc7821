//! What waits for a tier's forwarder: groups of jobs and questions, bounded, with a wake-up only when it is worth one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::domain::backlog::Reading;
use crate::queue::error::{QueueError, StoreError};
use crate::queue::group::Group;

/// Who waits for a reading.
pub(super) type ReadingAnswer = oneshot::Sender<Result<Reading, QueueError>>;

/// What the forwarder took out at once.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Who waits for a reading.
    pub readings: Vec<ReadingAnswer>,
    /// Groups in the order they came.
    pub groups: Vec<Group>,
}

/// What the forwarder is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// There is work.
    Work,
    /// The inbox is closed and nothing is left in it.
    Closed,
}

/// A forwarder's inbox.
#[derive(Debug, Default)]
pub(super) struct Inbox(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    groups: VecDeque<Group>,
    readings: Vec<ReadingAnswer>,
    jobs: usize,
    bytes: usize,
    forwarder: Option<Waker>,
    /// The forwarder wants to be woken from this many jobs on.
    wake_at: usize,
    closed: bool,
    outage: Option<Arc<str>>,
}

impl Inbox {
    /// Hands jobs over.
    ///
    /// # Errors
    /// They are not taken; nothing was stored.
    pub(super) fn append(&self, group: Group) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if let Some(detail) = &inner.outage {
            return Err(StoreError::Unavailable { detail: detail.as_ref().to_owned() });
        }
        if inner.closed {
            return Err(StoreError::Closed);
        }
        let (jobs, bytes) = (inner.jobs + group.jobs.len(), inner.bytes + group.bytes);
        if !inner.groups.is_empty() && (jobs > MAX_WAITING_JOBS || bytes > MAX_WAITING_BYTES) {
            return Err(StoreError::Overloaded);
        }
        (inner.jobs, inner.bytes) = (jobs, bytes);
        inner.groups.push_back(group);
        if inner.jobs >= inner.wake_at {
            wake(inner);
        }
        Ok(())
    }

    /// Asks for a reading.
    ///
    /// # Errors
    /// There is none now.
    pub(super) fn ask(&self, answer: ReadingAnswer) -> Result<(), QueueError> {
        let mut inner = self.lock();
        if let Some(detail) = &inner.outage {
            return Err(QueueError::Unavailable { detail: detail.as_ref().to_owned() });
        }
        if inner.closed {
            return Err(QueueError::Closed);
        }
        if inner.readings.len() >= MAX_READINGS {
            return Err(QueueError::Unavailable { detail: "too many wait for a reading".to_owned() });
        }
        inner.readings.push(answer);
        wake(inner);
        Ok(())
    }

    /// While there is an outage, everything is refused at the door; what had come in already is refused when it begins.
    /// The forwarder is woken at both ends.
    pub(super) fn set_outage(&self, outage: Option<Arc<str>>) {
        let mut inner = self.lock();
        inner.outage.clone_from(&outage);
        let Some(detail) = outage else { return wake(inner) };
        let (groups, readings) = inner.empty();
        wake(inner);
        for group in groups {
            let _ = group.answer.send(Err(StoreError::Unavailable { detail: detail.as_ref().to_owned() }));
        }
        for answer in readings {
            let _ = answer.send(Err(QueueError::Unavailable { detail: detail.as_ref().to_owned() }));
        }
    }

    /// From now on nothing is handed over; what is here is still worked off.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        wake(inner);
    }

    /// Throws everything out: it was never sent.
    pub(super) fn abandon(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let (groups, readings) = inner.empty();
        drop(inner);
        for group in groups {
            let _ = group.answer.send(Err(StoreError::Closed));
        }
        for answer in readings {
            let _ = answer.send(Err(QueueError::Closed));
        }
    }

    /// Takes what fits one pipeline.
    pub(super) fn take(&self) -> Work {
        let mut inner = self.lock();
        let mut work = Work { readings: std::mem::take(&mut inner.readings), groups: Vec::new() };
        let (mut jobs, mut bytes) = (0, 0);
        while let Some(group) = inner.groups.pop_front_if(|group| {
            jobs == 0 || (jobs + group.jobs.len() <= PIPELINE_JOBS && bytes + group.bytes <= PIPELINE_BYTES)
        }) {
            jobs += group.jobs.len();
            bytes += group.bytes;
            work.groups.push(group);
        }
        inner.jobs = inner.jobs.saturating_sub(jobs);
        inner.bytes = inner.bytes.saturating_sub(bytes);
        work
    }

    /// Ready when another pipeline is worth sending while this many are in flight. The first ones go at once; further
    /// ones only when they are well filled, so that pipelines grow with the load instead of their number.
    pub(super) fn poll_work(&self, in_flight: usize, context: &Context<'_>) -> Poll<Call> {
        let mut inner = self.lock();
        let enough = match in_flight {
            _ if in_flight < AT_ONCE => 1,
            _ if in_flight < MAX_IN_FLIGHT => WELL_FILLED,
            _ => usize::MAX,
        };
        let asked = !inner.readings.is_empty() && in_flight < MAX_IN_FLIGHT;
        if asked || inner.jobs >= enough || (enough == 1 && !inner.groups.is_empty()) {
            return Poll::Ready(Call::Work);
        }
        if inner.closed && inner.groups.is_empty() && in_flight == 0 {
            return Poll::Ready(Call::Closed);
        }
        inner.wake_at = enough;
        inner.forwarder = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ready when the inbox is closed.
    pub(super) fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.closed {
            return Poll::Ready(());
        }
        inner.wake_at = usize::MAX;
        inner.forwarder = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn empty(&mut self) -> (VecDeque<Group>, Vec<ReadingAnswer>) {
        (self.jobs, self.bytes) = (0, 0);
        (std::mem::take(&mut self.groups), std::mem::take(&mut self.readings))
    }
}

fn wake(mut inner: MutexGuard<'_, Inner>) {
    let forwarder = inner.forwarder.take();
    drop(inner);
    if let Some(forwarder) = forwarder {
        forwarder.wake();
    }
}

/// Jobs of one tier that may wait to be sent.
const MAX_WAITING_JOBS: usize = 32_768;
/// Bytes of them: four of the largest batches.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Questions that may wait: the control loop asks one at a time, operators a few.
const MAX_READINGS: usize = 64;
/// One pipeline takes about this much.
const PIPELINE_JOBS: usize = 256;
const PIPELINE_BYTES: usize = 1 << 20;
/// Pipelines in flight that are sent with whatever waits: while one is on its way back, the next one is worked off.
const AT_ONCE: usize = 2;
/// Pipelines in flight at most: beyond, an answer is worth more than another question.
const MAX_IN_FLIGHT: usize = 8;
/// Jobs from which on a further pipeline is worth its costs.
const WELL_FILLED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Job, JobId};
    use crate::domain::tier::Tier;
    use crate::domain::time::Timestamp;
    use crate::queue::Storing;

    fn group(jobs: usize, bytes: usize) -> (Group, Storing) {
        let at = Timestamp::from_millis(1);
        let job = Job::bare(JobId::new(at, [0; 10]), Tier::P1);
        let (answer, storing) = Storing::channel();
        (Group { jobs: vec![job; jobs], bytes, answer }, storing)
    }

    fn poll(inbox: &Inbox, in_flight: usize) -> Poll<Call> {
        inbox.poll_work(in_flight, &Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_pipeline_takes_whole_groups_and_a_large_one_goes_alone() {
        let inbox = Inbox::default();
        for (jobs, bytes) in [(200, 1), (56, 1), (1, 1), (1, 2 << 20), (1, 1)] {
            inbox.append(group(jobs, bytes).0).unwrap();
        }
        let sizes: Vec<usize> = (0..4).map(|_| inbox.take().groups.len()).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn further_pipelines_wait_until_they_are_well_filled() {
        let inbox = Inbox::default();
        assert_eq!(poll(&inbox, 0), Poll::Pending);
        inbox.append(group(1, 1).0).unwrap();
        assert_eq!((poll(&inbox, 1), poll(&inbox, 2)), (Poll::Ready(Call::Work), Poll::Pending));
        inbox.append(group(WELL_FILLED, 1).0).unwrap();
        assert_eq!((poll(&inbox, 7), poll(&inbox, 8)), (Poll::Ready(Call::Work), Poll::Pending));
    }

    #[test]
    fn what_waits_is_bounded_in_jobs_and_in_bytes() {
        let inbox = Inbox::default();
        inbox.append(group(1, MAX_WAITING_BYTES * 2).0).unwrap();
        assert_eq!(inbox.append(group(1, 1).0), Err(StoreError::Overloaded));
        inbox.take();
        inbox.append(group(MAX_WAITING_JOBS, 1).0).unwrap();
        assert_eq!(inbox.append(group(1, 1).0), Err(StoreError::Overloaded));
    }

    #[tokio::test]
    async fn an_outage_refuses_what_waits_and_what_comes() {
        let inbox = Inbox::default();
        let (waiting, storing) = group(1, 1);
        inbox.append(waiting).unwrap();
        inbox.set_outage(Some("away".into()));
        let unavailable = StoreError::Unavailable { detail: "away".to_owned() };
        assert_eq!(storing.await, Err(unavailable.clone()));
        assert_eq!(inbox.append(group(1, 1).0), Err(unavailable));
        inbox.set_outage(None);
        inbox.append(group(1, 1).0).unwrap();
    }

    #[test]
    fn a_closed_inbox_is_worked_off_to_the_end() {
        let inbox = Inbox::default();
        inbox.append(group(1, 1).0).unwrap();
        inbox.close();
        assert_eq!(inbox.append(group(1, 1).0), Err(StoreError::Closed));
        assert_eq!(poll(&inbox, 0), Poll::Ready(Call::Work));
        inbox.take();
        assert_eq!(poll(&inbox, 1), Poll::Pending);
        assert_eq!(poll(&inbox, 0), Poll::Ready(Call::Closed));
    }
}

//! The book: every job that was offered, every receipt by its id, and what became of it. What is lost is counted here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};

/// The demo's own books, kept by clients and workers; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Book(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    accounts: TierMap<Account>,
    /// Receipts whose jobs no worker has done yet.
    open: HashMap<JobId, Tier>,
    /// Jobs that were done before their receipt was read: the client heard later than the worker, or is somebody else's.
    early: HashSet<JobId>,
    again: u64,
}

/// What became of a tier's jobs in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Jobs that clients had.
    pub offered: u64,
    /// Receipts.
    pub stored: u64,
    /// Refusals, one for each time that a job was refused.
    pub refused: u64,
    /// Those of them by a threshold.
    pub shed: u64,
    /// Jobs that came back when they were told to.
    pub returned: u64,
    /// Those of them that were stored then.
    pub welcomed: u64,
    /// Jobs whose clients went home: they were told a time after the end.
    pub left: u64,
    /// Jobs without an answer: they may be stored or not.
    pub unanswered: u64,
    /// Receipts whose jobs a worker has done.
    pub done: u64,
}

/// What the book says at the end of a round.
#[derive(Clone, Debug)]
pub struct Balance {
    /// What became of the jobs.
    pub accounts: TierMap<Account>,
    /// Receipts whose jobs no worker has done.
    pub open: TierMap<u64>,
    /// Jobs that were done although no client of the demo has their receipt.
    pub others: u64,
    /// Jobs that were done at a further attempt.
    pub again: u64,
}

impl Book {
    /// Changes a tier's account.
    pub fn note(&self, tier: Tier, change: impl FnOnce(&mut Account)) {
        change(&mut self.pages().accounts[tier]);
    }

    /// A receipt.
    pub fn stored(&self, tier: Tier, id: JobId) {
        let pages = &mut *self.pages();
        let account = &mut pages.accounts[tier];
        account.stored += 1;
        if pages.early.remove(&id) {
            account.done += 1;
        } else {
            pages.open.insert(id, tier);
        }
    }

    /// A job that a worker has done, and that its queue has let go.
    pub fn done(&self, id: JobId, attempt: u64) {
        let pages = &mut *self.pages();
        pages.again += u64::from(attempt > 1);
        match pages.open.remove(&id) {
            Some(tier) => pages.accounts[tier].done += 1,
            None => {
                pages.early.insert(id);
            }
        }
    }

    /// Whether the jobs of all receipts are done.
    pub fn is_settled(&self) -> bool {
        self.pages().open.is_empty()
    }

    /// Ends a round: what it came to. Receipts that are open go over into the next one.
    pub fn close(&self) -> Balance {
        let pages = &mut *self.pages();
        let mut open = TierMap::default();
        pages.open.values().for_each(|tier| open[*tier] += 1);
        let others = u64::try_from(std::mem::take(&mut pages.early).len()).unwrap_or(u64::MAX);
        let (accounts, again) = (std::mem::take(&mut pages.accounts), std::mem::take(&mut pages.again));
        Balance { accounts, open, others, again }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Balance {
    /// Receipts whose jobs neither a worker has done nor the queue still holds.
    pub fn lost(&self, held: &TierMap<u64>) -> TierMap<u64> {
        self.open.map(|tier, open| open.saturating_sub(held[tier]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn id(number: u8) -> JobId {
        JobId::new(Timestamp::from_millis(0), [number; 10])
    }

    #[test]
    fn a_receipt_that_nobody_did_and_nothing_holds_is_lost() {
        let book = Book::default();
        (0..5).for_each(|number| book.stored(Tier::P1, id(number)));
        book.done(id(0), 1);
        book.done(id(1), 2);
        assert!(!book.is_settled());
        let balance = book.close();
        assert_eq!((balance.accounts[Tier::P1].done, balance.open[Tier::P1], balance.again), (2, 3, 1));
        assert_eq!(balance.lost(&(0, 3, 0).into()), (0, 0, 0).into());
        assert_eq!(balance.lost(&(0, 1, 9).into()), (0, 2, 0).into());
    }

    #[test]
    fn a_worker_may_be_quicker_than_the_receipt() {
        let book = Book::default();
        book.done(id(1), 1);
        book.done(id(2), 1);
        book.stored(Tier::P0, id(1));
        assert!(book.is_settled());
        let balance = book.close();
        assert_eq!((balance.accounts[Tier::P0].done, balance.others), (1, 1));
    }
}

//! The bytes of request bodies held in memory, over all requests: reserved before they are read.

use std::sync::Arc;

use crate::runtime::held::Count;

/// How many bytes all bodies together may hold.
#[derive(Debug)]
pub struct ByteBudget {
    limit: u64,
    used: Arc<Count>,
}

/// One request's share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a ByteBudget,
    bytes: u64,
    ceiling: u64,
}

/// The budget has no room for so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory for request bodies is used up")]
pub struct BudgetUsedUp;

impl ByteBudget {
    /// A budget of so many bytes, all free.
    pub fn new(limit: u64) -> ByteBudget {
        ByteBudget::counted(limit, Arc::default())
    }

    /// A budget whose use is counted there.
    pub fn counted(limit: u64, used: Arc<Count>) -> ByteBudget {
        used.bound_to(limit);
        ByteBudget { limit, used }
    }

    /// Reserves so many bytes.
    ///
    /// # Errors
    /// They do not fit.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, BudgetUsedUp> {
        let mut reservation = Reservation { budget: self, bytes: 0, ceiling: self.limit };
        reservation.resize(bytes)?;
        Ok(reservation)
    }

    fn take(&self, bytes: u64, ceiling: u64) -> Result<(), BudgetUsedUp> {
        if self.used.add_within(bytes, ceiling) { Ok(()) } else { Err(BudgetUsedUp) }
    }
}

impl Reservation<'_> {
    /// Holds so many bytes from now on, more or fewer than before.
    ///
    /// # Errors
    /// They do not fit; what was held before stays.
    pub fn resize(&mut self, bytes: u64) -> Result<(), BudgetUsedUp> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes, self.ceiling)?;
        } else {
            self.budget.used.remove(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Leaves the last eighth of the budget to critical work.
    ///
    /// # Errors
    /// The budget is used beyond seven eighths already.
    pub fn yield_to_critical(&mut self) -> Result<(), BudgetUsedUp> {
        self.ceiling = self.budget.limit - self.budget.limit / 8;
        if self.budget.used.used() > self.ceiling { Err(BudgetUsedUp) } else { Ok(()) }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.used.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_dropped_comes_back() {
        let budget = ByteBudget::new(100);
        let mut first = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_err());
        assert!(first.resize(101).is_err());
        first.resize(10).unwrap();
        drop(budget.reserve(90).unwrap());
        drop(first);
        assert!(budget.reserve(100).is_ok());
    }

    #[test]
    fn the_last_eighth_is_for_critical_work() {
        let budget = ByteBudget::new(80);
        let mut bulk = budget.reserve(70).unwrap();
        bulk.yield_to_critical().unwrap();
        assert!(bulk.resize(71).is_err());
        let mut next = budget.reserve(10).unwrap();
        assert!(next.yield_to_critical().is_err());
    }
}

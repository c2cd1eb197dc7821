//! What the writer does while its storage fails: refuse, try again, and work off a disk that is full.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::domain::time::Moment;
use crate::queue::embedded::inbox::{Append, Order, Work};
use crate::queue::embedded::shared::{detail, is_damage};
use crate::queue::embedded::store;
use crate::queue::embedded::transaction::{self, Batch, Failed};
use crate::queue::embedded::writer::{Writer, refuse_order};
use crate::queue::error::StoreError;

/// A failing storage.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// What clients are told.
    pub detail: String,
    kind: Kind,
    next_probe: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The disk is full; the reserve's space may still take what frees some.
    Full,
    /// The disk is full, and so is the reserve's space.
    Stuck,
    /// The file's content is wrong: trying again would help nobody.
    Damaged,
    /// Anything else: tried again.
    Failing,
}

impl Writer {
    /// Notes a failed transaction and tells everybody in it.
    pub(super) fn fail(&mut self, batch: Batch, failed: Failed) {
        tracing::error!(error = %failed.error, "the queue cannot write its file; jobs are refused until it can");
        let detail = detail(&failed.error);
        self.begin_outage(detail.clone(), Kind::of(&failed.error));
        self.shared.state().put_back(batch.changes);
        for append in batch.appends {
            let detail = detail.clone();
            let error = if failed.unknown { StoreError::Unknown } else { StoreError::Unavailable { detail } };
            let _ = append.answer.send(Err(error));
        }
        batch.orders.into_iter().for_each(|order| refuse_order(order, &detail));
    }

    /// An outage that the reader met is tried again in its time like every other.
    pub(super) fn take_over_outage(&mut self) {
        let met = self.shared.state().reader_outage();
        if let (None, Some((detail, damaged))) = (&self.outage, met) {
            let next_probe = self.shared.clock.now().plus(PROBE_EVERY);
            let kind = if damaged { Kind::Damaged } else { Kind::Failing };
            self.outage = Some(Outage { detail, kind, next_probe });
        }
    }

    /// Whether the storage works, as far as is known; one that failed is tried now and then.
    pub(super) fn has_recovered(&mut self) -> bool {
        let Some(outage) = self.outage.clone() else { return true };
        let now = self.shared.clock.now();
        if outage.kind == Kind::Damaged || now < outage.next_probe {
            return false;
        }
        if self.works_again() {
            tracing::info!("the queue can write its file again");
            self.set_outage(None);
            return true;
        }
        let kind = if outage.kind == Kind::Stuck { Kind::Full } else { outage.kind };
        self.outage = Some(Outage { kind, next_probe: now.plus(PROBE_EVERY), ..outage });
        false
    }

    /// The disk works when it has room for the reserve and for something beside it.
    fn works_again(&mut self) -> bool {
        if self.reserve.hold().is_err() {
            return false;
        }
        let probed = store::probe(&self.file.connection);
        transaction::roll_back(&self.file.connection);
        if probed.as_ref().is_err_and(|error| Kind::of(error) == Kind::Full) {
            self.reserve.release();
        }
        probed.is_ok()
    }

    /// Refuses jobs while the storage fails; time goes on, and a full disk is worked off.
    pub(super) fn endure(&mut self, work: Work) {
        self.refuse_appends(work.appends);
        let (free, other): (Vec<_>, Vec<_>) = work.orders.into_iter().partition(Order::frees_space);
        let detail = self.outage_detail();
        other.into_iter().for_each(|order| refuse_order(order, &detail));
        if self.drains() {
            self.drain(free);
        } else {
            let _ = self.pass_time(self.shared.now(), 0);
            free.into_iter().for_each(|order| refuse_order(order, &detail));
        }
    }

    fn refuse_appends(&self, appends: Vec<Append>) {
        let detail = self.outage_detail();
        for append in appends {
            let _ = append.answer.send(Err(StoreError::Unavailable { detail: detail.clone() }));
        }
    }

    /// What clients are told of the outage.
    fn outage_detail(&self) -> String {
        self.outage.as_ref().map(|outage| outage.detail.clone()).unwrap_or_default()
    }

    /// Whether what frees space can be stored.
    pub(super) fn drains(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.kind == Kind::Full)
    }

    /// Stores what frees space in small transactions, each brought into the file before the next: the log never
    /// outgrows what the reserve gave up. The orders go last, so that they find every change stored.
    fn drain(&mut self, orders: Vec<Order>) {
        let mut orders = Some(orders);
        let mut most = DRAIN_CHANGES;
        while self.drains() {
            let changes = self.pass_time(self.shared.now(), most);
            let last = changes.is_empty();
            let orders = if last { orders.take().unwrap_or_default() } else { Vec::new() };
            let expired = if last { DRAIN_CHANGES } else { 0 };
            let batch = Batch { changes, appends: Vec::new(), orders, expired };
            if !self.store_freed(batch, &mut most) || last {
                break;
            }
        }
        let detail = self.outage_detail();
        orders.into_iter().flatten().for_each(|order| refuse_order(order, &detail));
    }

    /// One transaction of the drain; false when no more is to be tried now.
    fn store_freed(&mut self, batch: Batch, most: &mut usize) -> bool {
        let db = &self.file.connection;
        let now = self.shared.now();
        if batch.is_empty() && !self.sweeps(now.1) {
            return false;
        }
        // Whatever stands in the log after a crash or a failure makes room when it is in the file. If it does not fit,
        // the deletions may still shorten the file below it.
        let _ = store::checkpoint(db);
        match transaction::transact(db, &self.shared, &self.content, &batch, now.1) {
            Ok(done) => {
                self.publish(batch, done, now.1);
                store::give_back(&self.file.connection);
                self.measure();
                *most = DRAIN_CHANGES;
                true
            }
            Err(failed) if Kind::of(&failed.error) == Kind::Full => self.retreat(batch, most),
            Err(failed) => {
                self.fail(batch, failed);
                false
            }
        }
    }

    /// The reserve's space did not hold the transaction: try half of it, at last let another change go first.
    fn retreat(&mut self, batch: Batch, most: &mut usize) -> bool {
        let alone = batch.changes.len() <= 1;
        let mut state = self.shared.state();
        if alone {
            state.put_last(batch.changes);
        } else {
            *most = batch.changes.len() / 2;
            state.put_back(batch.changes);
        }
        drop(state);
        if alone && let Some(outage) = &mut self.outage {
            outage.kind = Kind::Stuck;
        }
        let detail = self.outage_detail();
        batch.orders.into_iter().for_each(|order| refuse_order(order, &detail));
        !alone
    }

    fn begin_outage(&mut self, detail: String, kind: Kind) {
        if kind == Kind::Full {
            self.reserve.release();
        }
        let next_probe = self.shared.clock.now().plus(PROBE_EVERY);
        self.set_outage(Some(Outage { detail, kind, next_probe }));
    }

    fn set_outage(&mut self, outage: Option<Outage>) {
        let detail = outage.as_ref().map(|outage| outage.detail.clone());
        self.outage = outage;
        self.shared.inbox.set_outage(detail.as_deref());
        self.shared.state().set_outage(detail);
    }
}

impl Kind {
    fn of(error: &rusqlite::Error) -> Kind {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Kind::Full,
            _ if is_damage(error) => Kind::Damaged,
            _ => Kind::Failing,
        }
    }
}

/// How often a failing storage is tried.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Lease changes stored, or expired jobs dropped, at once on a full disk: with a few pages each, less than the reserve.
const DRAIN_CHANGES: usize = 256;

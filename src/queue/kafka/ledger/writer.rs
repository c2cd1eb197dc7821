//! The ledger's writer thread: one transaction after the other, answers after the commit.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::idempotency::Key;
use crate::domain::time::Timestamp;
use crate::queue::error::StoreError;
use crate::queue::file::OwnFile;
use crate::queue::kafka::ledger::book::Book;
use crate::queue::kafka::ledger::{file, lock};
use crate::queue::keys::index::KeyEntry;
use crate::queue::keys::rows;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Order {
    /// Keys of jobs that are about to be sent; on disk before the answer.
    Begin {
        /// The keys.
        entries: Vec<KeyEntry>,
        /// Whom to tell.
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
    /// What became of them; in the file before the answer, on disk with the next beginning.
    Settle {
        /// The keys.
        entries: Vec<KeyEntry>,
        /// Whether the jobs are stored; else they never will be.
        stored: bool,
        /// Whom to tell.
        answer: oneshot::Sender<()>,
    },
}

/// The writer.
#[derive(Debug)]
pub(super) struct Writer {
    file: OwnFile,
    book: Arc<Mutex<Book>>,
    inbox: mpsc::Receiver<Order>,
    clock: Clock,
    /// Open keys that had to go, to be deleted with the next transaction.
    crowded_out: Vec<Key>,
}

impl Writer {
    /// The writer of a file, before its thread.
    pub(super) const fn new(
        file: OwnFile,
        book: Arc<Mutex<Book>>,
        inbox: mpsc::Receiver<Order>,
        clock: Clock,
    ) -> Writer {
        Writer { file, book, inbox, clock, crowded_out: Vec::new() }
    }

    /// Works until nobody can order any more.
    pub(super) fn run(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let mut orders = vec![first];
            while orders.len() < MOST_AT_ONCE
                && let Ok(next) = self.inbox.try_recv()
            {
                orders.push(next);
            }
            self.work_off(orders);
        }
        let _ = self.file.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn work_off(&mut self, orders: Vec<Order>) {
        let now = self.clock.wall();
        match self.write(&orders, now) {
            Ok(()) => self.publish(orders, now),
            Err(error) => self.refuse(orders, &error),
        }
    }

    /// One transaction with all orders.
    fn write(&self, orders: &[Order], now: Timestamp) -> rusqlite::Result<()> {
        let db = &self.file.connection;
        let begins = orders.iter().any(|order| matches!(order, Order::Begin { .. }));
        // What became of a job need not wait for the disk: forgotten in a power loss, its key is open again.
        db.execute_batch(if begins { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })?;
        let transaction = db.unchecked_transaction()?;
        self.write_all(&transaction, orders, now)?;
        transaction.commit()
    }

    fn write_all(&self, db: &Connection, orders: &[Order], now: Timestamp) -> rusqlite::Result<()> {
        for key in &self.crowded_out {
            file::close(db, *key)?;
        }
        let mut number = lock(&self.book).stored.next();
        for order in orders {
            match order {
                Order::Begin { entries, .. } => {
                    entries.iter().try_for_each(|entry| file::write_open(db, entry))?;
                }
                Order::Settle { entries, stored, .. } => {
                    for entry in entries {
                        file::close(db, entry.keyed.key)?;
                        if *stored {
                            rows::append(db, number, &stored_at(entry, now))?;
                            number += 1;
                        }
                    }
                }
            }
        }
        // What the last transaction made the index forget.
        rows::forget(db, lock(&self.book).stored.first())
    }

    /// Takes what was written into the book, then tells.
    fn publish(&mut self, orders: Vec<Order>, now: Timestamp) {
        let mut book = lock(&self.book);
        self.crowded_out.clear();
        if book.fault.take().is_some() {
            info!("the file of idempotency keys can be written again");
        }
        for order in &orders {
            match order {
                Order::Begin { entries, .. } => {
                    for entry in entries {
                        self.crowded_out.extend(book.open(*entry, now));
                    }
                }
                Order::Settle { entries, stored, .. } => {
                    for entry in entries {
                        book.close(entry.keyed.key);
                        if *stored {
                            book.stored.add(stored_at(entry, now));
                        }
                    }
                }
            }
        }
        book.stored.forget(now);
        drop(book);
        for order in orders {
            match order {
                Order::Begin { answer, .. } => drop(answer.send(Ok(()))),
                Order::Settle { answer, .. } => drop(answer.send(())),
            }
        }
    }

    /// The file cannot be written: nothing is sent. What became of earlier jobs is known as long as this process lives.
    fn refuse(&mut self, orders: Vec<Order>, error: &rusqlite::Error) {
        let mut book = lock(&self.book);
        if book.fault.replace(error.to_string()).is_none() {
            warn!(%error, "the file of idempotency keys cannot be written: jobs with keys are refused");
        }
        for order in &orders {
            if let Order::Settle { entries, stored, .. } = order {
                for entry in entries {
                    if *stored { book.stored_unwritten(entry.keyed.key) } else { book.close(entry.keyed.key) }
                }
            }
        }
        drop(book);
        for order in orders {
            match order {
                Order::Begin { answer, .. } => {
                    let detail = format!("the file of idempotency keys cannot be written: {error}");
                    drop(answer.send(Err(StoreError::Unavailable { detail })));
                }
                Order::Settle { answer, .. } => drop(answer.send(())),
            }
        }
    }
}

/// A key is kept from the moment its job is stored.
fn stored_at(entry: &KeyEntry, now: Timestamp) -> KeyEntry {
    KeyEntry::new(entry.keyed, entry.id, entry.tier, now)
}

/// Orders of one transaction.
const MOST_AT_ONCE: usize = 1_024;

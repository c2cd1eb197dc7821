//! The ledger of idempotency keys: who was promised which id, written down before the job is sent.
//!
//! Kafka cannot say whether a job under some key was stored. So key and id go into a file of the gateway's own first, on
//! disk, and what the delivery report says of it after. A key whose fate was never told, since the broker kept silent or the
//! process died, is open: whoever comes with it again is sent again, under the first id.

mod book;
mod common;
mod file;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::domain::idempotency::{Key, KeyIndex};
use crate::domain::job::Job;
use crate::queue::Known;
use crate::queue::error::StoreError;
use crate::queue::file::OpenError;
use crate::queue::kafka::ledger::book::{Book, Sifted};
use crate::queue::kafka::ledger::common::{Claim, Common};
use crate::queue::kafka::ledger::writer::{Order, Writer};
use crate::queue::keys::index::KeyEntry;
use crate::queue::keys::{KeySettings, KnownJob};
use crate::queue::redis::BadAddress;
use crate::queue::redis::settings::RedisUrl;

/// The ledger, with the thread that writes it.
pub(super) struct Ledger {
    clock: Clock,
    book: Arc<Mutex<Book>>,
    /// What other gateways know, where they share.
    common: Option<Common>,
    /// A key that another gateway claimed for longer was given up by it.
    patience: Duration,
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Jobs of one call that are to be sent, their keys written down.
#[derive(Debug)]
pub(super) struct Begun {
    /// What is to be sent, with the ids that hold.
    pub jobs: Vec<Job>,
    /// What the call's answer tells: jobs that are not sent since their keys stand for earlier ones, and those that are sent
    /// under an earlier id.
    pub known: Vec<Known>,
    /// The keys of what is sent.
    pub entries: Vec<KeyEntry>,
}

/// What became of jobs that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are stored.
    Stored,
    /// They are not, and never will be.
    NotStored,
    /// Nobody knows: their keys stay open.
    Unknown,
}

impl Ledger {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// It cannot be opened, is another process's, or is no ledger.
    pub(super) fn open(path: &Path, settings: KeySettings, clock: Clock) -> Result<Ledger, OpenError> {
        let (file, book) = file::open(path, settings, clock.wall())?;
        let book = Arc::new(Mutex::new(book));
        let (orders, inbox) = mpsc::channel(MAX_ORDERS);
        let writer = Writer::new(file, Arc::clone(&book), inbox, clock);
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| OpenError::Io { path: path.to_owned(), detail: error.to_string() })?;
        Ok(Ledger {
            clock,
            book,
            common: None,
            patience: Duration::ZERO,
            orders: Mutex::new(Some(orders)),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// The same ledger, in agreement with all gateways that meet at this Redis and have topics of these names. A job that
    /// another one sent is settled there within `patience`.
    ///
    /// # Errors
    /// The client cannot use the address.
    pub(super) fn shared_at(
        self,
        url: &RedisUrl,
        topics: &str,
        settings: KeySettings,
        patience: Duration,
    ) -> Result<Ledger, BadAddress> {
        Ok(Ledger { common: Some(Common::new(url, topics, settings)?), patience, ..self })
    }

    /// Whether other gateways' keys are known only when a job is about to be sent.
    pub(super) const fn is_shared(&self) -> bool {
        self.common.is_some()
    }

    /// The job that is known to be stored under a key.
    pub(super) async fn find(&self, key: Key) -> Option<KnownJob> {
        let own = lock(&self.book).find(key, self.clock.wall());
        match (own, &self.common) {
            (None, Some(common)) => common.find(key).await,
            (own, _) => own,
        }
    }

    /// How many keys are known and how far back.
    pub(super) fn index(&self) -> KeyIndex {
        lock(&self.book).index(self.clock.wall())
    }

    /// What is wrong with the file, if it could not be written lately.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.book).fault.clone()
    }

    /// Writes the keys of jobs down, on disk when it returns; jobs without keys go along.
    ///
    /// # Errors
    /// They could not be written, or another gateway has a job of one of them under way; nothing may be sent.
    pub(super) async fn begin(&self, jobs: Vec<Job>) -> Result<Begun, StoreError> {
        let sifted = lock(&self.book).sift(jobs, self.clock.wall());
        let Sifted { jobs, known, entries, .. } = self.agree(sifted).await?;
        if !entries.is_empty() {
            let (answer, written) = oneshot::channel();
            self.order(Order::Begin { entries: entries.clone(), answer }).await?;
            written.await.unwrap_or(Err(StoreError::Closed))?;
        }
        Ok(Begun { jobs, known, entries })
    }

    /// Notes what became of what was sent. When it returns, every later process knows it too, unless the machine itself lost
    /// power: then the keys are open again.
    pub(super) async fn settle(&self, entries: Vec<KeyEntry>, fate: Fate) {
        if entries.is_empty() || fate == Fate::Unknown {
            return;
        }
        let stored = fate == Fate::Stored;
        let told = async {
            if let Some(common) = &self.common {
                common.settle(&entries, stored).await;
            }
        };
        let (answer, written) = oneshot::channel();
        let written = async {
            if self.order(Order::Settle { entries: entries.clone(), stored, answer }).await.is_ok() {
                let _ = written.await;
            }
        };
        tokio::join!(told, written);
    }

    /// Claims the keys before all gateways that share; alone where there are none, or Redis is away.
    async fn agree(&self, sifted: Sifted) -> Result<Sifted, StoreError> {
        let Some(common) = self.common.as_ref().filter(|_| !sifted.entries.is_empty()) else {
            return Ok(sifted);
        };
        let Some(claims) = common.claim(&sifted.entries).await else { return Ok(sifted) };
        let ours = |(entry, claim): (&KeyEntry, &Claim)| (*claim == Claim::Ours).then_some(*entry);
        let claimed: Vec<KeyEntry> = sifted.entries.iter().zip(&claims).filter_map(ours).collect();
        match sifted.heed(claims, self.patience) {
            Some(heeded) => Ok(heeded),
            None => {
                common.settle(&claimed, false).await;
                Err(StoreError::Unknown)
            }
        }
    }

    /// Writes what was ordered, then closes the file.
    pub(super) async fn close(&self) {
        drop(lock(&self.orders).take());
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    async fn order(&self, order: Order) -> Result<(), StoreError> {
        let orders = lock(&self.orders).clone().ok_or(StoreError::Closed)?;
        orders.send(order).await.map_err(|_| StoreError::Closed)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orders that may wait to be written; beyond, callers wait with theirs in hand.
const MAX_ORDERS: usize = 4_096;

#[cfg(test)]
mod tests;

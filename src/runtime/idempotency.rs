//! Who may store under an idempotency key: one request at a time, and none once a job is known by it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::idempotency::{Fingerprint, Key, Keyed};
use crate::queue::JobQueue;
use crate::queue::keys::KnownJob;

/// The keys under which jobs are being stored now. As many as there are jobs in flight, which the memory for request
/// bodies bounds.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<HashMap<Key, Fingerprint>>>);

/// Leave to store one job under a key. Held until the job's fate is known: whoever comes with the key until then is
/// told to wait.
#[derive(Debug)]
#[must_use = "a claim that is dropped lets others store under its key"]
pub struct Claim {
    claims: Claims,
    keyed: Keyed,
    index: Index,
}

/// What is known of a claimed key from the queue's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    /// No job was stored under it.
    Clear,
    /// Not asked: storing tells.
    Unasked,
    /// It could not be asked.
    Silent,
}

/// Why there is no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This job was stored under the key, with the same content.
    Before(KnownJob),
    /// A job is being stored under the key.
    InProgress,
    /// The key stands for a job of another content.
    Mismatch,
}

impl Claims {
    /// Whether the key means anything already: a job is known by it or being stored under it. `None` where the index
    /// cannot be asked.
    pub async fn is_taken(&self, queue: &dyn JobQueue, key: Key) -> Option<bool> {
        if self.lock().contains_key(&key) {
            return Some(true);
        }
        queue.job_of_key(key).await.ok().map(|known| known.is_some())
    }

    /// Claims a key. Where the index cannot be asked the claim is given all the same, and says so. Where storing tells of
    /// known jobs it is not asked: whoever does not come to store asks with [`Claim::ask`].
    ///
    /// # Errors
    /// The key is taken: by whom.
    pub async fn claim(&self, queue: &dyn JobQueue, keyed: Keyed) -> Result<Claim, Claimed> {
        // The claim comes before the question: a claim is given up only when the index knows its job, so nobody can
        // slip through between the two.
        let mut claim = self.take(keyed)?;
        if !queue.tells_known_jobs() {
            claim.ask(queue).await?;
        }
        Ok(claim)
    }

    fn take(&self, keyed: Keyed) -> Result<Claim, Claimed> {
        match self.lock().entry(keyed.key) {
            Entry::Vacant(free) => {
                free.insert(keyed.fingerprint);
                Ok(Claim { claims: self.clone(), keyed, index: Index::Unasked })
            }
            Entry::Occupied(taken) if *taken.get() == keyed.fingerprint => Err(Claimed::InProgress),
            Entry::Occupied(_) => Err(Claimed::Mismatch),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The key with its fingerprint.
    pub const fn keyed(&self) -> Keyed {
        self.keyed
    }

    /// Whether it is known that no job was stored under the key before.
    pub fn is_clear(&self) -> bool {
        self.index == Index::Clear
    }

    /// Asks the queue's index, unless that was done.
    ///
    /// # Errors
    /// A job is known by the key.
    pub async fn ask(&mut self, queue: &dyn JobQueue) -> Result<(), Claimed> {
        if self.index != Index::Unasked {
            return Ok(());
        }
        self.index = match queue.job_of_key(self.keyed.key).await {
            Ok(None) => Index::Clear,
            Ok(Some(known)) if known.fingerprint == self.keyed.fingerprint => {
                return Err(Claimed::Before(known));
            }
            Ok(Some(_)) => return Err(Claimed::Mismatch),
            Err(_) => Index::Silent,
        };
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.keyed.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::scripted::ScriptedQueue;

    fn keyed(key: u8, fingerprint: u8) -> Keyed {
        Keyed { key: Key([key; 16]), fingerprint: Fingerprint([fingerprint; 16]) }
    }

    #[tokio::test]
    async fn a_key_is_claimed_by_one_at_a_time() {
        let (claims, queue) = (Claims::default(), ScriptedQueue::default());
        let claim = claims.claim(&queue, keyed(1, 1)).await.unwrap();
        assert_eq!(claims.claim(&queue, keyed(1, 1)).await.unwrap_err(), Claimed::InProgress);
        assert_eq!(claims.claim(&queue, keyed(1, 2)).await.unwrap_err(), Claimed::Mismatch);
        assert!(claims.claim(&queue, keyed(2, 1)).await.is_ok());
        assert_eq!(claims.is_taken(&queue, Key([1; 16])).await, Some(true));
        drop(claim);
        assert!(claims.claim(&queue, keyed(1, 2)).await.is_ok());
    }

    #[tokio::test]
    async fn a_claim_says_whether_the_index_was_asked() {
        let (claims, queue) = (Claims::default(), ScriptedQueue::default());
        assert!(!claims.claim(&queue, keyed(1, 1)).await.unwrap().is_clear());
        assert_eq!(claims.is_taken(&queue, Key([1; 16])).await, None);
    }
}

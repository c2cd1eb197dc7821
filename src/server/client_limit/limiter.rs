//! Governor's limiter over tables of ours: on the gateway's clock, and with places that can be counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::domain::time::Moment;
use crate::random;
use crate::server::client_limit::ClientRate;

/// What each key has used. The table is in parts, so that a sweep holds up few.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone> {
    parts: [Part<K>; PARTS],
    /// Nobody can choose keys that all fall into one part.
    seed: u64,
}

#[derive(Debug)]
struct Part<K: Hash + Eq + Clone> {
    rows: Rows<K>,
    limiter: RateLimiter<K, Rows<K>, OurClock, NoOpMiddleware<Duration>>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// A limiter that nobody has used yet.
    pub fn new(rate: ClientRate, clock: Clock) -> Limiter<K> {
        // A period of nothing, which is no quota, is never configured.
        let usual = Quota::per_second(rate.burst);
        let quota = Quota::with_period(rate.period).unwrap_or(usual).allow_burst(rate.burst);
        let part = |_| {
            let rows = Rows::default();
            Part { limiter: RateLimiter::new(quota, rows.clone(), OurClock(clock)), rows }
        };
        Limiter { parts: std::array::from_fn(part), seed: random::number() }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// It is one too many; one more may be sent after this time.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        let Some(part) = self.part(key) else { return Ok(()) };
        let limiter = &part.limiter;
        limiter.check_key(key).map_err(|early| early.wait_time_from(limiter.clock().now()))
    }

    /// Whether a key is not known, and as many as `most` are.
    pub fn is_beyond(&self, key: &K, most: usize) -> bool {
        let Some(part) = self.part(key) else { return false };
        let rows = part.rows.lock();
        rows.len() >= most.div_ceil(PARTS) && !rows.contains_key(key)
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.rows.lock().len()).sum()
    }

    /// Forgets those who have their whole burst again.
    pub fn sweep(&self) {
        for part in &self.parts {
            part.limiter.retain_recent();
            part.limiter.shrink_to_fit();
        }
    }

    fn part(&self, key: &K) -> Option<&Part<K>> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let place = hasher.hash_one((self.seed, key)) % PARTS as u64;
        usize::try_from(place).ok().and_then(|place| self.parts.get(place))
    }
}

/// For each key the time at which it will have its whole burst again.
#[derive(Debug)]
struct Rows<K>(Arc<Mutex<HashMap<K, Nanos>>>);

impl<K> Rows<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Clone for Rows<K> {
    fn clone(&self) -> Rows<K> {
        Rows(Arc::clone(&self.0))
    }
}

impl<K> Default for Rows<K> {
    fn default() -> Rows<K> {
        Rows(Arc::default())
    }
}

impl<K: Hash + Eq + Clone> StateStore for Rows<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut rows = self.lock();
        if let Some(row) = rows.get_mut(key) {
            let (result, next) = measure(Some(*row))?;
            *row = next;
            return Ok(result);
        }
        let (result, next) = measure(None)?;
        rows.insert(key.clone(), next);
        Ok(result)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Rows<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().retain(|_, row| *row > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.lock().shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// The gateway's clock, as governor reads it.
#[derive(Clone, Copy, Debug)]
struct OurClock(Clock);

impl GovernorClock for OurClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().since(Moment::ORIGIN)
    }
}

/// Parts of a table: with the most clients, a sweep of one takes less than a millisecond.
const PARTS: usize = 16;

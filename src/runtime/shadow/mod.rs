//! A candidate policy tried on live traffic without acting.
//!
//! Every decision of the acting gate is handed over, with the request's head and what was read of its payload, in a
//! [bounded buffer](stand) that a thread of its own works off: the request waits for nothing, and what finds no room is
//! counted as dropped. The thread's [judge] classifies by the candidate's rules and asks the candidate's own regulator,
//! which began as a copy of the acting one, steps with the same readings and, at each step, takes what was really let in
//! for what it would have let in. So it answers what the candidate would say in the state that is.

pub mod candidate;
mod judge;
pub mod sample;
mod stand;
pub mod tally;

use std::io;
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwapOption;

use crate::clock::Clock;
use crate::policy::Policy;
use crate::regulator::Regulator;
use crate::runtime::shadow::judge::Judge;
use crate::runtime::shadow::sample::{Sample, Step};
use crate::runtime::shadow::stand::Stand;
use crate::runtime::shadow::tally::Shown;
use crate::telemetry::metrics::Metrics;

/// The place of the candidate, empty or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shadow(Arc<Place>);

#[derive(Debug)]
struct Place {
    stand: ArcSwapOption<Stand>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// What a request must keep for the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its payload too: the candidate's rules look into it.
    pub payload: bool,
}

impl Shadow {
    /// Nothing in the shadow.
    pub fn empty(metrics: Arc<Metrics>, clock: Clock) -> Shadow {
        Shadow(Arc::new(Place { stand: ArcSwapOption::empty(), metrics, clock }))
    }

    /// Puts a candidate there in place of any other. `regulator` is a copy of the acting one under the candidate's
    /// settings.
    ///
    /// # Errors
    /// There is no thread to be had; then nothing is in the shadow.
    pub fn put(&self, policy: Arc<Policy>, regulator: Regulator) -> io::Result<()> {
        self.clear();
        let stand = Arc::new(Stand::new(policy.reads_payloads(), self.0.clock.wall()));
        let mut judge = Judge::new(Arc::clone(&stand), policy, regulator, Arc::clone(&self.0.metrics));
        thread::Builder::new().name("shadow".to_owned()).spawn(move || judge.run())?;
        self.0.stand.store(Some(stand));
        Ok(())
    }

    /// Takes away what is there.
    pub fn clear(&self) {
        if let Some(stand) = self.0.stand.swap(None) {
            stand.end();
        }
    }

    /// What is shown counts from now on: the acting policy is another.
    pub fn count_anew(&self) {
        if let Some(stand) = &*self.0.stand.load() {
            stand.count_anew(self.0.clock.wall());
        }
    }

    /// What a request must keep for the candidate; `None` where there is none.
    pub fn wants(&self) -> Option<Wanted> {
        self.0.stand.load().as_ref().map(|stand| Wanted { payload: stand.reads_payloads })
    }

    /// Hands over a decision of the acting gate. Never waits.
    pub fn offer(&self, sample: Sample) {
        if let Some(stand) = &*self.0.stand.load() {
            stand.offer(sample);
        }
    }

    /// Hands over a step of the acting law. Never waits.
    pub fn step(&self, step: impl FnOnce() -> Step) {
        if let Some(stand) = &*self.0.stand.load() {
            stand.step(step());
        }
    }

    /// What the candidate would have done since it is there, or since the acting policy last changed.
    pub fn shown(&self) -> Option<Shown> {
        self.0.stand.load().as_ref().map(|stand| stand.shown())
    }
}

#[cfg(test)]
mod tests;

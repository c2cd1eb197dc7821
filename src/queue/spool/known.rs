//! Jobs whose idempotency key the spool knows: they are taken out of a call before it goes its way, and told in its answer.

use crate::domain::idempotency::Key;
use crate::domain::job::Job;
use crate::queue::keys::KnownJob;
use crate::queue::{Known, Stored};

/// A call's jobs without those that are known.
#[derive(Debug)]
pub(super) struct Sifted {
    /// What is to be stored.
    pub jobs: Vec<Job>,
    /// What was taken out.
    pub out: Out,
}

/// What was taken out of a call.
#[derive(Debug, Default)]
pub(super) struct Out {
    known: Vec<Known>,
    /// The places in the call of the jobs that are left; empty where none was taken out.
    places: Vec<usize>,
}

impl Sifted {
    /// Takes out what is `known` by its key.
    pub(super) fn of(jobs: Vec<Job>, known: impl Fn(Key) -> Option<KnownJob>) -> Sifted {
        let of_job = |job: &Job| job.keyed.and_then(|keyed| known(keyed.key));
        let found: Vec<_> = jobs.iter().map(of_job).collect();
        if found.iter().all(Option::is_none) {
            return Sifted { jobs, out: Out::default() };
        }
        let mut sifted = Sifted { jobs: Vec::with_capacity(jobs.len()), out: Out::default() };
        for (index, (job, found)) in jobs.into_iter().zip(found).enumerate() {
            match found {
                Some(job) => sifted.out.known.push(Known { index, job }),
                None => {
                    sifted.jobs.push(job);
                    sifted.out.places.push(index);
                }
            }
        }
        sifted
    }
}

impl Out {
    /// Whether nothing was.
    pub(super) const fn is_nothing(&self) -> bool {
        self.known.is_empty()
    }

    /// The answer to the whole call, from that to what was left of it.
    pub(super) fn told_in(self, stored: Stored) -> Stored {
        let Out { mut known, places } = self;
        for other in stored.known {
            let index = if places.is_empty() { Some(other.index) } else { places.get(other.index).copied() };
            known.extend(index.map(|index| Known { index, ..other }));
        }
        known.sort_unstable_by_key(|known| known.index);
        Stored { known, ..stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::idempotency::{Fingerprint, Keyed};
    use crate::queue::Durability;
    use crate::queue::spool::tests::job;

    fn keyed(key: u8) -> Job {
        Job {
            keyed: Some(Keyed { key: Key([key; 16]), fingerprint: Fingerprint([key; 16]) }),
            ..job("a", None)
        }
    }

    fn known(job: &Job) -> KnownJob {
        KnownJob { id: job.id, tier: job.tier, fingerprint: Fingerprint([0; 16]) }
    }

    #[test]
    fn what_is_known_here_and_there_is_told_at_its_place() {
        let (here, there) = (keyed(2), keyed(4));
        let jobs = vec![keyed(1), here.clone(), job("b", None), there.clone()];
        let sifted = Sifted::of(jobs, |key| (key == Key([2; 16])).then(|| known(&here)));
        assert_eq!(sifted.jobs.len(), 3);
        let stored = Stored {
            durability: Durability::Disk,
            depth: 1,
            known: vec![Known { index: 2, job: known(&there) }],
        };
        let told = sifted.out.told_in(stored).known;
        assert_eq!(
            told.iter().map(|known| (known.index, known.job.id)).collect::<Vec<_>>(),
            [(1, here.id), (3, there.id)]
        );
    }

    #[test]
    fn a_call_of_which_nothing_is_known_is_as_it_was() {
        let jobs = vec![keyed(1), job("b", None)];
        let sifted = Sifted::of(jobs.clone(), |_| None);
        assert_eq!(sifted.jobs, jobs);
        assert!(sifted.out.is_nothing());
        let there = Known { index: 1, job: known(&jobs[0]) };
        let stored = Stored { durability: Durability::Disk, depth: 1, known: vec![there] };
        assert_eq!(sifted.out.told_in(stored.clone()), stored);
    }
}

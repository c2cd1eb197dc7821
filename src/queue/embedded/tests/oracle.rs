//! The queue against a plain model in memory, under random operations: no job is lost, invented or handed out to
//! two workers, and the counts are right at every step.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::domain::backlog::Flows;

#[derive(Clone, Debug)]
enum Step {
    Store { tier: u8, jobs: usize, key: u8, expiring: bool },
    Lease { max: usize },
    Ack { pick: usize },
    Nack { pick: usize, dead: bool },
    Wait { seconds: u64 },
    Replay,
    Purge,
    Reopen,
}

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Waiting,
    Leased,
    Done,
    Dead,
    Purged,
    Expired,
}

#[derive(Clone, Debug)]
struct Modelled {
    job: Job,
    place: Place,
    failed: u32,
}

/// What must be true, kept as simply as possible.
#[derive(Debug, Default)]
struct Model {
    jobs: BTreeMap<JobId, Modelled>,
    leased: Vec<(Lease, Timestamp)>,
    flows: TierMap<Flows>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8, 1..6_usize, 0..4_u8, any::<bool>())
            .prop_map(|(tier, jobs, key, expiring)| Step::Store { tier, jobs, key, expiring }),
        4 => (1..8_usize).prop_map(|max| Step::Lease { max }),
        4 => any::<usize>().prop_map(|pick| Step::Ack { pick }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(pick, dead)| Step::Nack { pick, dead }),
        2 => (1..40_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Replay),
        1 => Just(Step::Purge),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

impl Model {
    fn set(&mut self, id: JobId, place: Place) {
        self.jobs.get_mut(&id).unwrap().place = place;
    }

    fn ids(&self, place: &Place) -> Vec<JobId> {
        self.jobs.iter().filter(|(_, job)| job.place == *place).map(|(id, _)| *id).collect()
    }

    /// Time passed: leases end, then what waits expires.
    fn pass(&mut self, now: Timestamp) {
        let ended: Vec<_> = self.leased.extract_if(.., |(_, until)| *until <= now).collect();
        for (lease, _) in ended {
            self.fail(lease.job.id, false, now);
        }
        for job in self.jobs.values_mut().filter(|job| job.place == Place::Waiting) {
            if job.job.expires_at.is_some_and(|expires_at| expires_at <= now) {
                job.place = Place::Expired;
                self.flows[job.job.tier].expired += 1;
            }
        }
    }

    fn fail(&mut self, id: JobId, dead: bool, now: Timestamp) {
        let job = self.jobs.get_mut(&id).unwrap();
        job.failed += 1;
        let flows = &mut self.flows[job.job.tier];
        if dead || job.failed == 3 {
            job.place = Place::Dead;
            flows.dead += 1;
        } else if job.job.expires_at.is_some_and(|expires_at| expires_at <= now) {
            job.place = Place::Expired;
            flows.expired += 1;
        } else {
            job.place = Place::Waiting;
        }
    }

    fn check(&self, queue: &EmbeddedQueue, readings: &TierMap<Reading>) {
        assert_balanced(queue);
        for (tier, totals) in queue.totals().iter() {
            let count = |place: Place| {
                self.jobs.values().filter(|job| job.job.tier == tier && job.place == place).count() as u64
            };
            let told = (totals.waiting, totals.leased, totals.dead);
            assert_eq!(told, (count(Place::Waiting), count(Place::Leased), count(Place::Dead)), "{tier}");
            let reading = &readings[tier];
            assert_eq!((reading.backlog.waiting, reading.backlog.leased), (totals.waiting, totals.leased));
            assert_eq!(reading.flows, self.flows[tier], "{tier}");
            assert_eq!(reading.backlog.oldest_age.is_some(), totals.waiting > 0);
        }
    }
}

struct Play {
    rig: Rig,
    queue: Option<EmbeddedQueue>,
    model: Model,
    number: u32,
}

impl Play {
    fn queue(&self) -> &EmbeddedQueue {
        self.queue.as_ref().unwrap()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Store { tier, jobs, key, expiring } => self.store(tier, jobs, key, expiring).await,
            Step::Lease { max } => self.lease(max).await,
            Step::Ack { pick } => self.ack(pick).await,
            Step::Nack { pick, dead } => self.nack(pick, dead).await,
            Step::Wait { seconds } => self.rig.hand.advance(Duration::from_secs(seconds)),
            Step::Replay => self.replay().await,
            Step::Purge => self.purge().await,
            Step::Reopen => self.reopen(),
        }
        self.model.pass(self.rig.clock.wall());
        // One flush lets leases end and drops what expired; the next one what only expired by that.
        flush(self.queue()).await;
        flush(self.queue()).await;
        let readings = self.queue().backlog().await.map(|_, reading| reading.unwrap());
        self.model.check(self.queue(), &readings);
    }

    async fn store(&mut self, tier: u8, jobs: usize, key: u8, expiring: bool) {
        let tier = Tier::from_number(tier).unwrap();
        let make = |_| {
            self.number += 1;
            Job {
                ordering_key: (key > 0).then(|| key.to_string().into()),
                expires_at: expiring.then(|| self.rig.clock.wall().plus(Duration::from_secs(20))),
                ..self.rig.job(tier, &self.number.to_string())
            }
        };
        let jobs: Vec<_> = (0..jobs).map(make).collect();
        store(self.queue(), jobs.clone()).await;
        self.model.flows[tier].stored += jobs.len() as u64;
        for job in jobs {
            self.model.jobs.insert(job.id, Modelled { job, place: Place::Waiting, failed: 0 });
        }
    }

    async fn lease(&mut self, max: usize) {
        let until = self.rig.clock.wall().plus(PERIOD);
        for lease in lease(self.queue(), max).await {
            let known = self.model.jobs.get_mut(&lease.job.id).unwrap();
            assert_eq!(known.place, Place::Waiting, "handed out while it was not waiting");
            assert_eq!((&lease.job, lease.attempt), (&known.job, known.failed + 1));
            known.place = Place::Leased;
            self.model.leased.push((lease, until));
        }
        self.check_keys();
    }

    /// With `block`, two jobs of one key are never out at once.
    fn check_keys(&self) {
        let mut out: HashMap<_, u32> = HashMap::new();
        for (lease, _) in &self.model.leased {
            if self.rig.rules[lease.job.tier].ordering == Ordering::Block && lease.job.ordering_key.is_some()
            {
                let count = out.entry((lease.job.tier, lease.job.ordering_key.clone())).or_default();
                *count += 1;
                assert_eq!(*count, 1, "two jobs of one key are out");
            }
        }
    }

    async fn ack(&mut self, pick: usize) {
        if !self.model.leased.is_empty() {
            let (lease, _) = self.model.leased.remove(pick % self.model.leased.len());
            ack(self.queue(), &lease).await;
            self.model.set(lease.job.id, Place::Done);
        }
    }

    async fn nack(&mut self, pick: usize, dead: bool) {
        if !self.model.leased.is_empty() {
            let (lease, _) = self.model.leased.remove(pick % self.model.leased.len());
            nack(self.queue(), &lease, Nack { dead, ..Nack::default() }).await;
            self.model.fail(lease.job.id, dead, self.rig.clock.wall());
        }
    }

    async fn replay(&mut self) {
        let ids = self.model.ids(&Place::Dead);
        self.queue().replay(ids.clone()).await.unwrap();
        for id in ids {
            let job = self.model.jobs.get_mut(&id).unwrap();
            (job.place, job.failed) = (Place::Waiting, 0);
            self.model.flows[job.job.tier].replayed += 1;
        }
    }

    async fn purge(&mut self) {
        let ids = self.model.ids(&Place::Dead);
        self.queue().purge(ids.clone()).await.unwrap();
        ids.into_iter().for_each(|id| self.model.set(id, Place::Purged));
    }

    fn reopen(&mut self) {
        self.queue = None;
        self.queue = Some(self.rig.open());
        self.model.leased.clear();
        self.model.ids(&Place::Leased).into_iter().for_each(|id| self.model.set(id, Place::Waiting));
        self.model.flows = TierMap::default();
    }

    /// In the end everything that waits is handed out.
    async fn drain(&mut self) {
        for _ in 0..2000 {
            if self.model.ids(&Place::Waiting).is_empty() && self.model.leased.is_empty() {
                return;
            }
            self.lease(1000).await;
            while !self.model.leased.is_empty() {
                self.ack(0).await;
            }
            self.step(Step::Wait { seconds: 1 }).await;
        }
        panic!("jobs that wait are not handed out: {:?}", self.model.ids(&Place::Waiting));
    }
}

fn play(ordering: Ordering, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let rig = Rig::new(ordering);
        let queue = Some(rig.open());
        let mut play = Play { rig, queue, model: Model::default(), number: 0 };
        for step in steps {
            play.step(step).await;
        }
        play.drain().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_and_the_model_agree_with_order_pass(steps in steps()) {
        play(Ordering::Pass, steps);
    }

    #[test]
    fn the_queue_and_the_model_agree_with_order_block(steps in steps()) {
        play(Ordering::Block, steps);
    }
}

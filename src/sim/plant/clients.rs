//! The clients that were refused: who comes back, and when.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::chance::Chance;
use crate::sim::scenario::Clients;

/// How a client takes a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Comes back when told.
    Obedient,
    /// Comes back after half the time.
    Hasty,
    /// Comes back after a time of its own.
    Rude,
}

/// A client that asked and was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    manner: Manner,
    /// Requests it has made, where clients give up at some.
    requests: u16,
}

/// Clients of one kind that come back in the same millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The kind.
    pub client: Client,
    /// How many jobs they bring.
    pub jobs: u32,
}

/// The refused clients of one tier on their way back.
#[derive(Debug)]
pub struct Outside {
    behaviour: Clients,
    chance: Chance,
    /// Jobs that come back, from the slot `next` on: for each slot one count for each kind of client.
    returns: VecDeque<u32>,
    /// Every kind of client that can be on its way.
    kinds: Vec<Client>,
    /// Milliseconds to a slot: 1, and more only where memory would not hold the longest way back.
    slot_millis: u64,
    /// The first slot that has not come yet.
    next: u64,
    /// Milliseconds from which on nobody plays any more.
    end: u64,
    waiting: u64,
    obedient: u64,
}

impl Outside {
    /// Nobody yet, in a scenario of so many milliseconds, where nobody is told to stay away for longer than `longest`.
    pub fn new(behaviour: Clients, longest: Duration, seed: u64, end: u64) -> Outside {
        let Clients { obey, hasty, ignore, attempts, .. } = behaviour;
        let manners = [(obey, Manner::Obedient), (hasty, Manner::Hasty), (ignore, Manner::Rude)];
        let met = manners.into_iter().filter(|(share, _)| *share > 0.0);
        let kinds = met.flat_map(|(_, manner)| {
            (0..attempts.unwrap_or(1)).map(move |requests| Client { manner, requests })
        });
        let kinds: Vec<Client> = kinds.collect();
        let way_back =
            (longest.max(behaviour.ignore_after).as_millis() as u64).saturating_add(1_000).min(end);
        Outside {
            behaviour,
            chance: Chance::from_seed(seed),
            returns: VecDeque::new(),
            slot_millis: way_back.saturating_mul(kinds.len() as u64).div_ceil(MOST_COUNTS).max(1),
            kinds,
            next: 0,
            end,
            waiting: 0,
            obedient: 0,
        }
    }

    /// Those who come back by this millisecond. Milliseconds never go back.
    pub fn returning(&mut self, now: u64) -> Vec<Group> {
        let mut back = Vec::new();
        while self.next * self.slot_millis <= now {
            self.next += 1;
            if self.returns.is_empty() {
                continue;
            }
            let counts = self.returns.drain(..self.kinds.len().min(self.returns.len()));
            let groups = self.kinds.iter().zip(counts).map(|(client, jobs)| Group { client: *client, jobs });
            back.extend(groups.filter(|group| group.jobs > 0));
        }
        for group in &back {
            self.waiting -= u64::from(group.jobs);
            self.obedient -= if group.client.manner == Manner::Obedient { u64::from(group.jobs) } else { 0 };
        }
        back
    }

    /// Notes a refusal at this millisecond of clients that bring so many jobs; `client` is `None` at their first request.
    pub fn refused(&mut self, client: Option<Client>, jobs: u32, retry_after: f64, now: u64) {
        let Some(mut client) = client.or_else(|| self.newcomer()) else { return };
        if let Some(most) = self.behaviour.attempts {
            client.requests += 1;
            if client.requests >= most {
                return;
            }
        }
        // The header gives whole seconds, rounded up.
        let told = retry_after.ceil().max(1.0);
        let seconds = match client.manner {
            Manner::Obedient => told,
            Manner::Hasty => told / 2.0,
            Manner::Rude => self.behaviour.ignore_after.as_secs_f64(),
        };
        let due = now.saturating_add(((seconds * 1000.0) as u64).max(1));
        self.waiting += u64::from(jobs);
        self.obedient += if client.manner == Manner::Obedient { u64::from(jobs) } else { 0 };
        // Who would come back after the end only counts as outside.
        if due < self.end {
            self.note(client, jobs, due);
        }
    }

    /// Jobs whose clients will come back.
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Those of them whose clients come back when told.
    pub const fn obedient(&self) -> u64 {
        self.obedient
    }

    fn note(&mut self, client: Client, jobs: u32, due: u64) {
        let Some(kind) = self.kinds.iter().position(|known| *known == client) else { return };
        // Never earlier than told.
        let slot = due.div_ceil(self.slot_millis).saturating_sub(self.next).min(MOST_COUNTS) as usize;
        let place = slot * self.kinds.len() + kind;
        if self.returns.len() <= place {
            self.returns.resize((slot + 1) * self.kinds.len(), 0);
        }
        if let Some(count) = self.returns.get_mut(place) {
            *count = count.saturating_add(jobs);
        }
    }

    /// A client that asks for the first time, if it will ever come back.
    fn newcomer(&mut self) -> Option<Client> {
        let Clients { obey, hasty, ignore, .. } = self.behaviour;
        let mut drawn = if obey >= 1.0 { 0.0 } else { self.chance.fraction() };
        let shares = [(obey, Manner::Obedient), (hasty, Manner::Hasty), (ignore, Manner::Rude)];
        for (share, manner) in shares {
            if drawn < share {
                return Some(Client { manner, requests: 0 });
            }
            drawn -= share;
        }
        None
    }
}

/// So many counts of clients on their way back fit into memory: 128 MiB for each tier.
const MOST_COUNTS: u64 = 1 << 25;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn outside(behaviour: Clients) -> Outside {
        Outside::new(behaviour, MINUTE, 1, 1_000_000)
    }

    fn jobs(groups: &[Group]) -> u32 {
        groups.iter().map(|group| group.jobs).sum()
    }

    #[test]
    fn who_obeys_comes_back_after_the_whole_seconds_told() {
        let mut outside = outside(Clients { obey: 1.0, ..Clients::default() });
        outside.refused(None, 3, 1.2, 10);
        assert_eq!(jobs(&outside.returning(2_009)), 0);
        assert_eq!((outside.waiting(), outside.obedient()), (3, 3));
        assert_eq!(jobs(&outside.returning(2_010)), 3);
        assert_eq!((outside.waiting(), outside.obedient()), (0, 0));
    }

    #[test]
    fn manners_come_in_their_shares_and_are_kept() {
        let ignore_after = Duration::from_millis(500);
        let behaviour = Clients { obey: 0.5, hasty: 0.2, ignore: 0.2, ignore_after, attempts: None };
        let mut outside = outside(behaviour);
        (0..10_000).for_each(|_| outside.refused(None, 1, 10.0, 0));
        let share = |groups: &[Group]| f64::from(jobs(groups)) / 10_000.0;
        let rude = outside.returning(500);
        let hasty = outside.returning(5_000);
        let obedient = outside.returning(10_000);
        assert!((share(&rude) - 0.2).abs() < 0.02, "{rude:?}");
        assert!((share(&hasty) - 0.2).abs() < 0.02, "{hasty:?}");
        assert!((share(&obedient) - 0.5).abs() < 0.02, "{obedient:?}");
        outside.refused(Some(rude[0].client), 1, 10.0, 10_000);
        assert_eq!(jobs(&outside.returning(10_500)), 1);
    }

    #[test]
    fn who_has_asked_often_enough_gives_up() {
        let mut outside = outside(Clients { obey: 1.0, attempts: Some(2), ..Clients::default() });
        outside.refused(None, 1, 1.0, 0);
        let again = outside.returning(1_000);
        outside.refused(Some(again[0].client), 1, 1.0, 1_000);
        assert_eq!(outside.waiting(), 0);
    }

    #[test]
    fn who_would_return_after_the_end_stays_outside() {
        let mut outside = Outside::new(Clients { obey: 1.0, ..Clients::default() }, MINUTE, 1, 500);
        outside.refused(None, 1, 1.0, 0);
        assert_eq!((jobs(&outside.returning(5_000)), outside.waiting()), (0, 1));
    }

    #[test]
    fn clients_of_many_kinds_sent_away_for_a_day_fit_into_memory_and_are_never_early() {
        let behaviour =
            Clients { obey: 0.4, hasty: 0.3, ignore: 0.3, attempts: Some(20), ..Clients::default() };
        let day = Duration::from_secs(86_400);
        let mut outside = Outside::new(behaviour, day, 1, 7 * 86_400_000);
        for _ in 0..1_000 {
            outside.refused(None, 1, 86_399.5, 1);
        }
        assert!(outside.returns.len() <= MOST_COUNTS as usize, "{}", outside.returns.len());
        outside.returning(86_400_000);
        let (patient, late) = (outside.obedient(), outside.slot_millis);
        assert!(patient > 300, "{patient}");
        assert!(late < 1_000, "{late}");
        assert_eq!(u64::from(jobs(&outside.returning(86_400_001 + late))), patient);
    }
}

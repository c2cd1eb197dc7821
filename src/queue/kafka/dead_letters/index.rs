//! The dead letters that are there, by id, as the topic was read so far: a letter comes with its record, and goes with a
//! tombstone of its id.
//!
//! The oldest [`MOST_LISTED`] are kept with what a list shows. Those beyond are counted, can be shown, replayed and purged by
//! id, and are not listed before there is room for them again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::domain::job::JobId;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::queue::dead_letter::{DeadLetter, DeadLetterPage, DeadLetterQuery, DeadLetterSummary, Death};
use crate::queue::error::QueueError;
use crate::queue::kafka::dead_letters::place::Place;

/// Where a letter's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub partition: i32,
    pub offset: i64,
}

/// A letter that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub tier: Tier,
    pub spot: Spot,
    /// Bytes of its payload.
    pub size: u64,
}

/// The letters that are there.
#[derive(Debug)]
pub(super) struct Index {
    letters: HashMap<JobId, Entry>,
    listed: BTreeMap<Place, DeadLetterSummary>,
    counts: TierMap<u64>,
    most_listed: usize,
    most_known: usize,
}

/// What is known of every letter.
#[derive(Clone, Copy, Debug)]
struct Entry {
    found: Found,
    died_at: Timestamp,
    listed: bool,
}

impl Index {
    pub(super) fn new() -> Index {
        Index::of(MOST_LISTED, MOST_KNOWN)
    }

    fn of(most_listed: usize, most_known: usize) -> Index {
        Index {
            letters: HashMap::new(),
            listed: BTreeMap::new(),
            counts: TierMap::default(),
            most_listed,
            most_known,
        }
    }

    /// A letter came; an earlier one of its id makes way for it. Returns false where there is no room for it at all.
    pub(super) fn insert(&mut self, letter: DeadLetterSummary, spot: Spot) -> bool {
        self.remove(letter.id);
        if self.letters.len() >= self.most_known {
            return false;
        }
        let (id, tier, died_at) = (letter.id, letter.tier, letter.death.died_at);
        let listed = self.listed.len() < self.most_listed;
        self.letters.insert(id, Entry { found: Found { tier, spot, size: letter.size }, died_at, listed });
        self.counts[tier] += 1;
        if listed {
            self.listed.insert(Place { died_at, id }, shortened(letter));
        }
        true
    }

    /// A tombstone came. Whether there was such a letter.
    pub(super) fn remove(&mut self, id: JobId) -> bool {
        let Some(entry) = self.letters.remove(&id) else { return false };
        self.counts[entry.found.tier] = self.counts[entry.found.tier].saturating_sub(1);
        if entry.listed {
            self.listed.remove(&Place { died_at: entry.died_at, id });
        }
        true
    }

    /// The letter was replayed or purged: it goes now, ahead of its tombstone, unless it died again meanwhile.
    pub(super) fn remove_at(&mut self, id: JobId, spot: Spot) {
        if self.letters.get(&id).is_some_and(|entry| entry.found.spot == spot) {
            self.remove(id);
        }
    }

    /// The letter, if it is there.
    pub(super) fn find(&self, id: JobId) -> Option<Found> {
        self.letters.get(&id).map(|entry| entry.found)
    }

    /// Letters of a tier, those that are not listed included.
    pub(super) fn count(&self, tier: Tier) -> u64 {
        self.counts[tier]
    }

    /// Whether enough of those that are listed went, so that reading the topic anew would list others.
    pub(super) fn has_room_for_others(&self) -> bool {
        self.letters.len() > self.listed.len() && self.listed.len() <= self.most_listed / 2
    }

    /// A page, oldest first.
    ///
    /// # Errors
    /// [`QueueError::BadPage`] where `after` is not the `next` of a page.
    pub(super) fn page(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage, QueueError> {
        let from = match &query.after {
            Some(mark) => Bound::Excluded(Place::parse(mark).ok_or(QueueError::BadPage)?),
            None => Bound::Unbounded,
        };
        let of_tier = |tier: Tier| query.tier.is_none_or(|wanted| wanted == tier);
        let mut wanted =
            self.listed.range((from, Bound::Unbounded)).filter(|(_, letter)| of_tier(letter.tier));
        let mut last = None;
        let mut dead_letters = Vec::new();
        for (place, letter) in wanted.by_ref().take(query.limit) {
            last = Some(place);
            dead_letters.push(letter.clone());
        }
        let next = if wanted.next().is_some() { last.map(ToString::to_string) } else { None };
        Ok(DeadLetterPage { dead_letters, next })
    }
}

/// What a list shows of a letter.
pub(super) fn summary(letter: &DeadLetter) -> DeadLetterSummary {
    DeadLetterSummary {
        id: letter.job.id,
        tier: letter.job.tier,
        job_type: letter.job.job_type.clone(),
        accepted_at: letter.job.accepted_at,
        size: u64::try_from(letter.job.payload.len()).unwrap_or(u64::MAX),
        death: letter.death.clone(),
    }
}

/// What a list shows of a letter whose record cannot be read. It can be purged.
pub(super) fn damaged(
    id: JobId,
    tier: Tier,
    died_at: Timestamp,
    size: usize,
    why: &str,
) -> DeadLetterSummary {
    let reason = format!("the dead letter cannot be read: {why}");
    DeadLetterSummary {
        id,
        tier,
        job_type: None,
        accepted_at: died_at,
        size: u64::try_from(size).unwrap_or(u64::MAX),
        death: Death { attempts: 0, reason, first_failed_at: died_at, died_at },
    }
}

/// A worker may write anything as a reason: memory keeps the beginning, the letter itself the whole.
fn shortened(mut letter: DeadLetterSummary) -> DeadLetterSummary {
    if letter.death.reason.len() > LONGEST_REASON {
        letter.death.reason.truncate(letter.death.reason.floor_char_boundary(LONGEST_REASON));
        letter.death.reason.push('…');
    }
    letter.death.reason.shrink_to_fit();
    letter
}

/// Letters that a list shows, at most: with their reasons they take some 40 MB.
const MOST_LISTED: usize = 100_000;

/// Letters that are counted and known by id, at most: they take some 70 MB.
const MOST_KNOWN: usize = 1_000_000;

/// Bytes of a reason that a list shows.
const LONGEST_REASON: usize = 300;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Model;

    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> JobId {
        JobId::from_bytes([number; 16])
    }

    fn letter(number: u8, tier: Tier, died_at: u64) -> DeadLetterSummary {
        let died_at = Timestamp::from_millis(died_at);
        let death = Death { attempts: 3, reason: "it broke".to_owned(), first_failed_at: died_at, died_at };
        DeadLetterSummary { id: id(number), tier, job_type: None, accepted_at: died_at, size: 7, death }
    }

    const fn spot(offset: i64) -> Spot {
        Spot { partition: 0, offset }
    }

    fn ids(index: &Index, query: &DeadLetterQuery) -> (Vec<JobId>, Option<String>) {
        let page = index.page(query).unwrap();
        (page.dead_letters.iter().map(|letter| letter.id).collect(), page.next)
    }

    fn all(limit: usize) -> DeadLetterQuery {
        DeadLetterQuery { tier: None, limit, after: None }
    }

    #[test]
    fn pages_follow_one_another_oldest_first() {
        let mut index = Index::new();
        for (number, tier, died_at) in
            [(1, Tier::P1, 30), (2, Tier::P0, 10), (3, Tier::P1, 20), (4, Tier::P1, 20), (5, Tier::P1, 40)]
        {
            assert!(index.insert(letter(number, tier, died_at), spot(number.into())));
        }
        let (first, next) = ids(&index, &all(3));
        assert_eq!(first, [id(2), id(3), id(4)]);
        let rest = DeadLetterQuery { after: next, ..all(2) };
        assert_eq!(ids(&index, &rest), (vec![id(1), id(5)], None), "exactly the rest: there is no next");
        let of_p0 = DeadLetterQuery { tier: Some(Tier::P0), ..all(1) };
        assert_eq!(ids(&index, &of_p0), (vec![id(2)], None));
        let bad = DeadLetterQuery { after: Some("x".to_owned()), ..all(1) };
        assert_eq!(index.page(&bad), Err(QueueError::BadPage));
        assert_eq!((index.count(Tier::P0), index.count(Tier::P1), index.count(Tier::P2)), (1, 4, 0));
    }

    #[test]
    fn what_was_acted_on_goes_at_once_unless_it_died_again() {
        let mut index = Index::new();
        index.insert(letter(1, Tier::P1, 10), spot(5));
        index.insert(letter(1, Tier::P1, 20), spot(9));
        index.remove_at(id(1), spot(5));
        assert_eq!(index.find(id(1)).map(|found| found.spot), Some(spot(9)), "it is another letter");
        index.remove_at(id(1), spot(9));
        assert_eq!((index.find(id(1)), index.count(Tier::P1)), (None, 0));
        assert!(!index.remove(id(1)));
    }

    #[test]
    fn beyond_the_bound_letters_are_counted_and_known_by_id() {
        let mut index = Index::of(2, 4);
        for number in 1..=4 {
            assert!(index.insert(letter(number, Tier::P2, number.into()), spot(number.into())));
        }
        assert!(!index.insert(letter(5, Tier::P2, 5), spot(5)), "there is no room at all");
        assert_eq!(ids(&index, &all(9)).0, [id(1), id(2)]);
        let last = Found { tier: Tier::P2, spot: spot(4), size: 7 };
        assert_eq!((index.count(Tier::P2), index.find(id(4))), (4, Some(last)));
        assert!(!index.has_room_for_others());
        assert!(index.remove(id(3)), "one that is not listed");
        assert!(index.remove(id(1)));
        assert!(index.has_room_for_others());
        assert!(index.remove(id(4)));
        assert!(!index.has_room_for_others(), "there are no others");
    }

    #[test]
    fn long_reasons_are_shortened_in_lists() {
        let mut index = Index::new();
        let mut long = letter(1, Tier::P1, 1);
        long.death.reason = "é".repeat(1000);
        index.insert(long, spot(1));
        let reason = &index.page(&all(1)).unwrap().dead_letters[0].death.reason;
        assert!(reason.len() <= LONGEST_REASON + 3 && reason.ends_with("é…"), "{reason}");
    }

    proptest! {
        /// Whatever comes and goes, the index holds of each id the last that was not removed.
        #[test]
        fn the_index_is_what_compaction_would_leave(moves in prop::collection::vec((0..8_u8, 0..4_u8, 0..5_u64), 0..60)) {
            let mut index = Index::of(3, 100);
            let mut model: Model<JobId, (Tier, i64)> = Model::new();
            for (offset, (number, tier, died_at)) in (0_i64..).zip(moves) {
                match Tier::from_number(tier) {
                    Some(tier) => {
                        index.insert(letter(number, tier, died_at), spot(offset));
                        model.insert(id(number), (tier, offset));
                    }
                    None => prop_assert_eq!(index.remove(id(number)), model.remove(&id(number)).is_some()),
                }
                for number in 0..8 {
                    let known = index.find(id(number)).map(|found| (found.tier, found.spot.offset));
                    prop_assert_eq!(known, model.get(&id(number)).copied());
                }
                for tier in Tier::ALL {
                    let count = model.values().filter(|(of, _)| *of == tier).count() as u64;
                    prop_assert_eq!(index.count(tier), count);
                }
                prop_assert!(ids(&index, &all(9)).0.len() <= 3);
            }
        }
    }
}

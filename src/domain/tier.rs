//! The three tiers, and a map that holds one value for each.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::str::FromStr;

/// How much a job matters. `P0` is critical, `P1` standard, `P2` bulk; the order is the order of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Critical: bounded, never shed.
    P0,
    /// Standard.
    P1,
    /// Bulk: the first to wait.
    P2,
}

impl Tier {
    /// Every tier, most important first.
    pub const ALL: [Tier; 3] = [Tier::P0, Tier::P1, Tier::P2];

    /// `p0`, `p1` or `p2`: the form of YAML, JSON and headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::P0 => "p0",
            Tier::P1 => "p1",
            Tier::P2 => "p2",
        }
    }

    /// `P0`, `P1` or `P2`: the form of the classic metric label `priority`.
    pub const fn as_priority(self) -> &'static str {
        match self {
            Tier::P0 => "P0",
            Tier::P1 => "P1",
            Tier::P2 => "P2",
        }
    }

    /// 0, 1 or 2: the form in which stored records name the tier.
    pub const fn number(self) -> u8 {
        match self {
            Tier::P0 => 0,
            Tier::P1 => 1,
            Tier::P2 => 2,
        }
    }

    /// The tier with this [`number`](Tier::number), if there is one.
    pub const fn from_number(number: u8) -> Option<Tier> {
        match number {
            0 => Some(Tier::P0),
            1 => Some(Tier::P1),
            2 => Some(Tier::P2),
            _ => None,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tier: write p0, p1 or p2")]
pub struct UnknownTier;

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(word: &str) -> Result<Tier, UnknownTier> {
        Tier::ALL.into_iter().find(|tier| tier.as_str() == word).ok_or(UnknownTier)
    }
}

/// One value per tier; indexing cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierMap<T> {
    p0: T,
    p1: T,
    p2: T,
}

impl<T> TierMap<T> {
    /// Makes the value of each tier, most important first.
    pub fn from_fn(mut make: impl FnMut(Tier) -> T) -> TierMap<T> {
        TierMap { p0: make(Tier::P0), p1: make(Tier::P1), p2: make(Tier::P2) }
    }

    /// A map of the values that `change` makes of these, most important tier first.
    pub fn map<U>(self, mut change: impl FnMut(Tier, T) -> U) -> TierMap<U> {
        TierMap {
            p0: change(Tier::P0, self.p0),
            p1: change(Tier::P1, self.p1),
            p2: change(Tier::P2, self.p2),
        }
    }

    /// One value per tier where every tier has one.
    ///
    /// # Errors
    /// The first tier's that is wrong.
    pub fn try_from_fn<E>(mut make: impl FnMut(Tier) -> Result<T, E>) -> Result<TierMap<T>, E> {
        Ok(TierMap { p0: make(Tier::P0)?, p1: make(Tier::P1)?, p2: make(Tier::P2)? })
    }

    /// Each tier with its value, most important first.
    pub fn iter(&self) -> impl Iterator<Item = (Tier, &T)> {
        [(Tier::P0, &self.p0), (Tier::P1, &self.p1), (Tier::P2, &self.p2)].into_iter()
    }

    /// Each tier with its value to change, most important first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Tier, &mut T)> {
        [(Tier::P0, &mut self.p0), (Tier::P1, &mut self.p1), (Tier::P2, &mut self.p2)].into_iter()
    }
}

/// The values of `p0`, `p1` and `p2`, in this order.
impl<T> From<(T, T, T)> for TierMap<T> {
    fn from((p0, p1, p2): (T, T, T)) -> TierMap<T> {
        TierMap { p0, p1, p2 }
    }
}

impl<T> Index<Tier> for TierMap<T> {
    type Output = T;

    fn index(&self, tier: Tier) -> &T {
        match tier {
            Tier::P0 => &self.p0,
            Tier::P1 => &self.p1,
            Tier::P2 => &self.p2,
        }
    }
}

impl<T> IndexMut<Tier> for TierMap<T> {
    fn index_mut(&mut self, tier: Tier) -> &mut T {
        match tier {
            Tier::P0 => &mut self.p0,
            Tier::P1 => &mut self.p1,
            Tier::P2 => &mut self.p2,
        }
    }
}

/// A set of tiers: which a request may still turn out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierSet(u8);

impl TierSet {
    /// No tier.
    pub const EMPTY: TierSet = TierSet(0);

    /// Only this tier.
    pub const fn only(tier: Tier) -> TierSet {
        TierSet(1 << tier.number())
    }

    /// These tiers and this one.
    #[must_use]
    pub const fn with(self, tier: Tier) -> TierSet {
        TierSet(self.0 | 1 << tier.number())
    }

    /// Whether the tier is in the set.
    pub const fn contains(self, tier: Tier) -> bool {
        self.0 & (1 << tier.number()) != 0
    }

    /// The tiers of the set, most important first.
    pub fn iter(self) -> impl Iterator<Item = Tier> {
        Tier::ALL.into_iter().filter(move |tier| self.contains(*tier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_reads_back_from_its_word_and_its_number() {
        for tier in Tier::ALL {
            assert_eq!(tier.as_str().parse(), Ok(tier));
            assert_eq!(Tier::from_number(tier.number()), Some(tier));
        }
        assert_eq!("P0".parse::<Tier>(), Err(UnknownTier));
        assert_eq!(Tier::from_number(3), None);
    }

    #[test]
    fn a_set_lists_its_tiers_in_order_of_importance() {
        let set = TierSet::only(Tier::P2).with(Tier::P0);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Tier::P0, Tier::P2]);
        assert!(!set.contains(Tier::P1));
    }
}

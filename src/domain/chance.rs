//! Chance from a seed: the same seed gives the same numbers, on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to part clients and to play a plant, and never to guard a secret.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of this seed.
    pub const fn from_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The next number in [0, 1).
    pub const fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_spread_over_the_unit() {
        let draw = |seed| {
            let mut chance = Chance::from_seed(seed);
            (0..10_000).map(|_| chance.fraction()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mean = draw(7).iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!(draw(7).iter().all(|fraction| (0.0..1.0).contains(fraction)));
    }
}

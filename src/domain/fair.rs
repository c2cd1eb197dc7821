//! Which tier's turn it is: weighted fair shares, work-conserving (stride scheduling).

use crate::domain::tier::{Tier, TierMap};

/// Each tier walks along one line, by a stride of 1 / weight for each job it hands out; the tier that is least
/// far goes next. Over time every tier with jobs gets its weight's share, and none starves.
#[derive(Clone, Debug)]
pub struct FairShare {
    stride: TierMap<u64>,
    walked: TierMap<u64>,
    /// Where the tier that went last stood before.
    front: u64,
}

impl FairShare {
    /// Shares by these weights; a weight of 0 counts as 1.
    pub fn new(weights: TierMap<u32>) -> FairShare {
        FairShare { stride: strides(weights), walked: TierMap::default(), front: 0 }
    }

    /// Puts new weights in force.
    pub fn set_weights(&mut self, weights: TierMap<u32>) {
        self.stride = strides(weights);
    }

    /// The tier that goes next of those that `can_go`.
    pub fn next(&self, can_go: impl Fn(Tier) -> bool) -> Option<Tier> {
        Tier::ALL.into_iter().filter(|tier| can_go(*tier)).min_by_key(|tier| self.walked[*tier])
    }

    /// Notes that the tier handed out so many jobs.
    pub fn handed_out(&mut self, tier: Tier, jobs: u64) {
        self.front = self.front.max(self.walked[tier]);
        self.walked[tier] = self.walked[tier].saturating_add(self.stride[tier].saturating_mul(jobs));
        if self.walked[tier] > FAR {
            // Only distances count: all go back together, before the line ends.
            self.front = self.front.saturating_sub(FAR / 2);
            self.walked = self.walked.map(|_, walked| walked.saturating_sub(FAR / 2));
        }
    }

    /// Notes that the tier, empty until now, has jobs again: it claims nothing for the time it had none.
    pub fn rejoined(&mut self, tier: Tier) {
        self.walked[tier] = self.walked[tier].max(self.front);
    }
}

fn strides(weights: TierMap<u32>) -> TierMap<u64> {
    weights.map(|_, weight| STRIDE_OF_ONE / u64::from(weight.max(1)))
}

/// The stride of weight 1: fine enough for every u32 weight.
const STRIDE_OF_ONE: u64 = 1 << 32;

/// From here on all go back: half of the line, so that a turn of a billion jobs still fits.
const FAR: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn share(weights: [u32; 3]) -> FairShare {
        FairShare::new(TierMap::from_fn(|tier| weights[usize::from(tier.number())]))
    }

    fn hand_out(fair: &mut FairShare, jobs: usize, can_go: impl Fn(Tier) -> bool) -> [usize; 3] {
        let mut given = [0; 3];
        for _ in 0..jobs {
            if let Some(tier) = fair.next(&can_go) {
                fair.handed_out(tier, 1);
                given[usize::from(tier.number())] += 1;
            }
        }
        given
    }

    #[test]
    fn a_thousand_jobs_are_shared_by_weight() {
        let given = hand_out(&mut share([60, 30, 10]), 1000, |_| true);
        assert!(given[0].abs_diff(600) <= 1 && given[1].abs_diff(300) <= 1 && given[2].abs_diff(100) <= 1);
    }

    #[test]
    fn an_empty_tiers_share_goes_to_the_others_by_their_weights() {
        let given = hand_out(&mut share([60, 30, 10]), 400, |tier| tier != Tier::P0);
        assert_eq!(given, [0, 300, 100]);
        assert_eq!(hand_out(&mut share([60, 30, 10]), 50, |tier| tier == Tier::P2), [0, 0, 50]);
    }

    #[test]
    fn shares_hold_after_more_jobs_than_the_line_is_long() {
        let mut fair = share([3, 1, 1]);
        for _ in 0..100 {
            let tier = fair.next(|_| true).unwrap();
            fair.handed_out(tier, 1 << 28);
        }
        let mut given = [0_u64; 3];
        for _ in 0..1_000 {
            let tier = fair.next(|_| true).unwrap();
            fair.handed_out(tier, 1 << 28);
            given[usize::from(tier.number())] += 1;
        }
        assert!(given[0].abs_diff(600) <= 3 && given[1].abs_diff(200) <= 3, "{given:?}");
    }

    #[test]
    fn a_tier_that_was_empty_does_not_catch_up_at_the_others_cost() {
        let mut fair = share([60, 30, 10]);
        hand_out(&mut fair, 10_000, |tier| tier == Tier::P2);
        fair.rejoined(Tier::P0);
        let given = hand_out(&mut fair, 700, |tier| tier != Tier::P1);
        assert!(given[0].abs_diff(600) <= 2, "{given:?}");
    }
}

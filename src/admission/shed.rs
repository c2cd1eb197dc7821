//! The shed switch: a threshold that opens again only well below where it shut.

use crate::admission::settings::ShedSettings;

/// Whether the tier is refused whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShedSwitch {
    on: bool,
}

impl ShedSwitch {
    /// Follows the depth: on from `at`, off below `until`, unchanged between. Without thresholds it is off.
    pub fn follow(&mut self, depth: u64, settings: Option<ShedSettings>) {
        self.on = settings
            .is_some_and(|thresholds| depth >= thresholds.at || (self.on && depth >= thresholds.until));
    }

    /// Whether the tier is shed, as of the last [`follow`](Self::follow).
    pub const fn is_on(self) -> bool {
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Option<ShedSettings> = Some(ShedSettings { at: 100, until: 80, unavailable: false });

    fn states(depths: &[u64]) -> Vec<bool> {
        let mut switch = ShedSwitch::default();
        depths
            .iter()
            .map(|depth| {
                switch.follow(*depth, THRESHOLDS);
                switch.is_on()
            })
            .collect()
    }

    #[test]
    fn it_shuts_at_the_threshold_and_opens_only_below_the_lower_one() {
        assert_eq!(states(&[99, 100, 99, 80, 79, 80, 99]), [false, true, true, true, false, false, false]);
    }

    #[test]
    fn a_policy_that_drops_the_thresholds_opens_it() {
        let mut switch = ShedSwitch::default();
        switch.follow(1000, THRESHOLDS);
        switch.follow(1000, None);
        assert!(!switch.is_on());
    }
}

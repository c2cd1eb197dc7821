//! The shed switches: thresholds that open again only well away from where they shut.

use std::time::Duration;

use crate::admission::settings::{RetentionSettings, ShedSettings};

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

/// Whether the tier is refused whole, since its oldest jobs would soon be deleted unread.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetentionSwitch {
    on: bool,
    headroom: Option<Headroom>,
}

/// What is left until the backend deletes the oldest unread job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Headroom {
    /// The time.
    pub left: Duration,
    /// How it changes, in seconds per second, where that is known.
    pub trend: Option<f64>,
}

impl RetentionSwitch {
    /// Follows the headroom: on below `shed_at`, off from `until` on, unchanged between. Without a headroom, nothing waits
    /// or nothing is deleted: it is off.
    pub fn follow(&mut self, headroom: Option<Headroom>, settings: Option<RetentionSettings>) {
        self.headroom = headroom;
        self.on = settings.zip(headroom).is_some_and(|(thresholds, headroom)| {
            headroom.left < thresholds.shed_at || (self.on && headroom.left < thresholds.until)
        });
    }

    /// Whether the tier is shed, as of the last [`follow`](Self::follow).
    pub const fn is_on(self) -> bool {
        self.on
    }

    /// What it last followed.
    pub const fn headroom(self) -> Option<Headroom> {
        self.headroom
    }

    /// Seconds until the headroom is expected at `until`; infinite where it does not grow.
    pub fn seconds_until_off(self, settings: Option<RetentionSettings>) -> f64 {
        let Some((thresholds, headroom)) = settings.zip(self.headroom).filter(|_| self.on) else {
            return 0.0;
        };
        match headroom.trend {
            Some(pace) if pace >= LEAST_PACE => {
                thresholds.until.saturating_sub(headroom.left).as_secs_f64() / pace
            }
            _ => f64::INFINITY,
        }
    }
}

/// A headroom that grows by less than a hundredth of a second a second comes back nobody knows when.
const LEAST_PACE: f64 = 0.01;

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

    const HOURS: Option<RetentionSettings> =
        Some(RetentionSettings { shed_at: Duration::from_secs(3_600), until: Duration::from_secs(7_200) });

    fn left(minutes: u64, trend: Option<f64>) -> Option<Headroom> {
        Some(Headroom { left: Duration::from_secs(minutes * 60), trend })
    }

    #[test]
    fn it_shuts_near_the_cliff_and_opens_only_far_from_it() {
        let mut switch = RetentionSwitch::default();
        let states = [61, 60, 59, 60, 119, 120, 61].map(|minutes| {
            switch.follow(left(minutes, None), HOURS);
            switch.is_on()
        });
        assert_eq!(states, [false, false, true, true, true, false, false]);
        switch.follow(left(10, None), HOURS);
        switch.follow(None, HOURS);
        assert!(!switch.is_on(), "nothing waits any more");
    }

    #[test]
    fn it_opens_when_the_headroom_has_grown_enough() {
        let mut switch = RetentionSwitch::default();
        switch.follow(left(50, Some(2.0)), HOURS);
        assert_eq!(switch.seconds_until_off(HOURS), 70.0 * 60.0 / 2.0);
        switch.follow(left(50, Some(-1.0)), HOURS);
        assert_eq!(switch.seconds_until_off(HOURS), f64::INFINITY);
        switch.follow(left(500, Some(-1.0)), HOURS);
        assert_eq!(switch.seconds_until_off(HOURS), 0.0);
    }

    #[test]
    fn a_policy_that_drops_the_thresholds_opens_it() {
        let mut switch = ShedSwitch::default();
        switch.follow(1000, THRESHOLDS);
        switch.follow(1000, None);
        assert!(!switch.is_on());
    }
}

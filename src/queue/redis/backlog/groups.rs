//! What each group of a stream does, from one reading to the next.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::time::Moment;
use crate::queue::GroupState;
use crate::queue::group_watch::{Doing, GroupWatch, Membership};
use crate::queue::redis::backlog::stream::Group;

/// Watches the groups of one stream.
#[derive(Debug, Default)]
pub(super) struct Watches(HashMap<Arc<str>, Watched>);

#[derive(Debug, Default)]
struct Watched {
    watch: GroupWatch,
    /// The last entry that was handed out, and how many are not acknowledged.
    at: Option<(String, u64)>,
}

impl Watches {
    /// Takes in a reading: what each group does, in their order.
    pub(super) fn see(&mut self, groups: &[Group], now: Moment) -> Vec<Doing> {
        // A group that is gone is forgotten.
        let mut before = std::mem::take(&mut self.0);
        let see = |group: &Group| {
            let mut watched = before.remove(&group.name).unwrap_or_default();
            let doing = watched.see(group, now);
            self.0.insert(Arc::clone(&group.name), watched);
            doing
        };
        groups.iter().map(see).collect()
    }
}

impl Watched {
    fn see(&mut self, group: &Group, now: Moment) -> Doing {
        let at = (group.last.clone(), group.pending);
        let before = self.at.replace(at.clone());
        let doing = self.watch.see(before.is_some_and(|before| before != at), group.lag, members(group), now);
        // Whoever works on one job for long is not still.
        let state = match doing.state {
            GroupState::Idle if group.pending > 0 => GroupState::Reading,
            state => state,
        };
        Doing { state, ..doing }
    }
}

/// Redis remembers consumers that are long gone: only that there never was one says something. One that waits in an empty
/// stream may not be known yet.
fn members(group: &Group) -> Option<Membership> {
    let none = group.consumers == 0 && group.lag > 0;
    none.then_some(Membership { rebalancing: false, members: 0 })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn group(last: &str, lag: u64, pending: u64, consumers: u64) -> Group {
        Group { name: "workers".into(), lag, pending, oldest: None, consumers, last: last.into() }
    }

    fn states(seen: &[(u64, Group)]) -> Vec<GroupState> {
        let mut watches = Watches::default();
        let at = |second: &u64| Moment::after_origin(Duration::from_secs(*second));
        let state = |(second, group): &(u64, Group)| {
            watches.see(std::slice::from_ref(group), at(second)).first().unwrap().state
        };
        seen.iter().map(state).collect()
    }

    #[test]
    fn a_group_that_is_handed_jobs_reads_and_one_that_is_not_stalls() {
        let busy: Vec<_> = (0..60).map(|second| (second, group(&format!("{second}-0"), 5, 1, 1))).collect();
        assert!(states(&busy).iter().all(|state| *state == GroupState::Reading));
        let still: Vec<_> = (0..=30).map(|second| (second, group("7-0", 5, 1, 1))).collect();
        let states = states(&still);
        assert_eq!((states[29], states[30]), (GroupState::Reading, GroupState::Stalled));
    }

    #[test]
    fn one_that_acknowledges_goes_on() {
        let acknowledges: Vec<_> = (0..60).map(|second| (second, group("7-0", 5, 100 - second, 1))).collect();
        assert!(states(&acknowledges).iter().all(|state| *state == GroupState::Reading));
    }

    #[test]
    fn one_long_job_is_no_standstill_and_nothing_to_do_is_idle() {
        let long = [(0, group("7-0", 0, 1, 1)), (600, group("7-0", 0, 1, 1)), (601, group("7-0", 0, 0, 1))];
        assert_eq!(states(&long), [GroupState::Reading, GroupState::Reading, GroupState::Idle]);
    }

    #[test]
    fn a_group_that_nobody_ever_read_for_is_empty_once_jobs_wait() {
        let nobody = [(0, group("0-0", 0, 0, 0)), (1, group("0-0", 3, 0, 0)), (2, group("1-0", 2, 1, 1))];
        assert_eq!(states(&nobody), [GroupState::Idle, GroupState::Empty, GroupState::Reading]);
    }
}

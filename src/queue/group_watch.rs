//! What a consumer group does, from its commits: it reads, has nothing to do, or stands still. In Redis a group commits
//! when entries are handed out to it or acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Moment;
use crate::queue::GroupState;

/// Watches the commits of one group to one tier.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupWatch {
    /// The last commit, or the moment at which jobs began to wait if that was later.
    since: Option<Moment>,
    /// Times between its last commits while jobs waited, newest last.
    gaps: VecDeque<Duration>,
    last_commit: Option<Moment>,
    doing: Option<Doing>,
}

/// What the backend says of a group's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// They share out the partitions anew.
    pub rebalancing: bool,
    /// How many there are.
    pub members: u32,
}

/// What a group does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doing {
    /// Its state.
    pub state: GroupState,
    /// For how long jobs have waited without a commit, once that is longer than usual.
    pub still_for: Option<Duration>,
    /// How many members it has, where the backend told.
    pub members: Option<u32>,
    /// Whether it came to a standstill, or went on after one.
    pub turn: Option<Turn>,
}

/// A change worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It stands still.
    Stalled,
    /// It commits again, or has nothing to do.
    WentOn,
}

impl GroupWatch {
    /// Takes in a look: whether the group committed since the last one, and what waits before it.
    pub(super) fn see(
        &mut self,
        committed: bool,
        lag: u64,
        members: Option<Membership>,
        now: Moment,
    ) -> Doing {
        if committed {
            self.last_commit = Some(now);
        }
        if committed && let Some(since) = self.since {
            self.gaps.push_back(now.since(since));
            if self.gaps.len() > GAPS {
                self.gaps.pop_front();
            }
        }
        self.since = match self.since {
            _ if lag == 0 => None,
            Some(since) if !committed => Some(since),
            _ => Some(now),
        };
        let waited = self.since.map(|since| now.since(since));
        let still_for = waited.filter(|waited| *waited >= self.patience());
        let was_still = self.doing.is_some_and(|doing| doing.still_for.is_some());
        let turn = match (was_still, still_for.is_some()) {
            (false, true) => Some(Turn::Stalled),
            (true, false) => Some(Turn::WentOn),
            _ => None,
        };
        let state = match members {
            Some(members) if members.rebalancing => GroupState::Rebalancing,
            Some(members) if members.members == 0 => GroupState::Empty,
            _ if still_for.is_some() => GroupState::Stalled,
            _ if lag == 0 => GroupState::Idle,
            _ => GroupState::Reading,
        };
        let doing = Doing { state, still_for, members: members.map(|members| members.members), turn };
        self.doing = Some(doing);
        doing
    }

    /// What it did at the last look.
    pub(super) const fn doing(&self) -> Option<Doing> {
        self.doing
    }

    /// Whether somebody of it is at work: it committed not longer ago than usual. One without members may still be at work,
    /// since a consumer need not join to commit.
    pub(super) fn is_live(&self, members: Option<Membership>, now: Moment) -> bool {
        let joined = members.is_none_or(|members| members.members > 0);
        let usual = self.usual_gap().filter(|_| joined).unwrap_or_default();
        let patience = (usual * LIVE_GAPS).clamp(LIVE_AT_LEAST, LIVE_AT_MOST);
        self.last_commit.is_some_and(|last| now.since(last) <= patience)
    }

    /// How long the group may be silent while jobs wait.
    fn patience(&self) -> Duration {
        self.usual_gap().map_or(FIRST_PATIENCE, |usual| (usual * STALL_GAPS).max(LEAST_PATIENCE))
    }

    fn usual_gap(&self) -> Option<Duration> {
        let mut gaps: Vec<_> = self.gaps.iter().copied().collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }
}

/// Gaps kept: their median is the usual one.
const GAPS: usize = 5;

/// A group that is silent for so many usual gaps stands still.
const STALL_GAPS: u32 = 5;

/// A group that commits again within so many usual gaps was at work all the time.
const LIVE_GAPS: u32 = 2;

/// Even of one that commits after every job.
const LIVE_AT_LEAST: Duration = Duration::from_secs(2);

/// Losses are not held back for longer.
const LIVE_AT_MOST: Duration = Duration::from_secs(15);

/// No group is called still sooner: a consumer may be busy with one batch.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// As long as a group's gaps are not known: six of those that consumers have unless told otherwise (5 s).
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_group_that_commits_every_five_seconds_stalls_after_five_gaps() {
        let mut watch = GroupWatch::default();
        for second in 0..=60 {
            let doing = watch.see(second % 5 == 0, 100, None, at(second));
            assert_eq!((doing.state, doing.turn), (GroupState::Reading, None), "{second}");
        }
        for second in 61..85 {
            assert_eq!(watch.see(false, 100, None, at(second)).state, GroupState::Reading, "{second}");
        }
        let doing = watch.see(false, 100, None, at(85));
        assert_eq!((doing.state, doing.turn), (GroupState::Stalled, Some(Turn::Stalled)));
        assert_eq!(doing.still_for, Some(Duration::from_secs(25)));
        assert_eq!(watch.see(false, 100, None, at(90)).turn, None, "once");
        assert_eq!(watch.see(true, 90, None, at(91)).turn, Some(Turn::WentOn));
    }

    #[test]
    fn a_group_with_nothing_to_do_is_idle_however_long() {
        let mut watch = GroupWatch::default();
        for second in 0..10 {
            watch.see(true, 10, None, at(second));
        }
        assert_eq!(watch.see(true, 0, None, at(10)).state, GroupState::Idle);
        assert_eq!(watch.see(false, 0, None, at(1_000)).state, GroupState::Idle);
        assert_eq!(watch.see(false, 1, None, at(1_001)).state, GroupState::Reading, "a job came in just now");
        assert_eq!(watch.see(false, 1, None, at(1_011)).state, GroupState::Stalled);
    }

    #[test]
    fn a_group_never_seen_to_commit_is_given_half_a_minute() {
        let mut watch = GroupWatch::default();
        assert_eq!(watch.see(false, 5, None, at(0)).state, GroupState::Reading);
        assert_eq!(watch.see(false, 5, None, at(29)).state, GroupState::Reading);
        assert_eq!(watch.see(false, 5, None, at(30)).state, GroupState::Stalled);
    }

    #[test]
    fn what_the_backend_says_of_members_comes_first() {
        let mut watch = GroupWatch::default();
        let members = |rebalancing, members| Some(Membership { rebalancing, members });
        assert_eq!(watch.see(false, 5, members(false, 0), at(0)).state, GroupState::Empty);
        assert_eq!(watch.see(false, 5, members(true, 2), at(1)).state, GroupState::Rebalancing);
        let doing = watch.see(false, 5, members(false, 0), at(31));
        assert_eq!((doing.state, doing.turn), (GroupState::Empty, Some(Turn::Stalled)), "empty and still");
    }
}

//! How many of our records a topic has below given ends, from the offsets in delivery reports.
//!
//! Reports of one partition come in the order of its offsets. Where nobody else writes, a partition's end is its frontier
//! (the highest confirmed offset + 1), less what was confirmed since the end was read, plus what it has without a report.

/// What is confirmed of one topic.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    confirmed: u64,
    partitions: Vec<Partition>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    /// The highest confirmed offset + 1; before the first one, the end that was seen first.
    reached: Option<i64>,
    /// What it was when ends were last compared.
    compared: Option<i64>,
}

impl Frontier {
    /// Notes a record that is stored; its offset is negative where Kafka did not say it.
    pub(super) fn confirm(&mut self, partition: i32, offset: i64) {
        self.confirmed = self.confirmed.saturating_add(1);
        let Ok(index) = usize::try_from(partition) else { return };
        let partition = self.partition(index);
        match partition.reached {
            // A record that Kafka had already when it came again: the next one.
            Some(reached) if offset < 0 => partition.reached = Some(reached.saturating_add(1)),
            None if offset < 0 => {}
            // Below the frontier: the topic was made anew.
            Some(reached) if offset < reached => {
                *partition = Partition { reached: Some(offset.saturating_add(1)), compared: None };
            }
            _ => partition.reached = Some(offset.saturating_add(1)),
        }
    }

    /// Our records below these ends, by partition, with at most `under_way` that are not confirmed yet. The ends were
    /// asked for after the last call.
    pub(super) fn stored_below(&mut self, ends: &[i64], under_way: u64) -> u64 {
        let (mut later, mut early) = (0u64, 0u64);
        for (index, end) in ends.iter().enumerate() {
            let partition = self.partition(index);
            let reached = match (partition.reached, partition.compared) {
                // The end fell below what was confirmed before it was asked for: the topic was made anew.
                (Some(_), Some(compared)) if *end < compared => *end,
                (Some(reached), _) => reached,
                (None, _) => *end,
            };
            (partition.reached, partition.compared) = (Some(reached), Some(reached));
            later = later.saturating_add(u64::try_from(reached.saturating_sub(*end)).unwrap_or(0));
            early = early.saturating_add(u64::try_from(end.saturating_sub(reached)).unwrap_or(0));
        }
        self.confirmed.saturating_sub(later).saturating_add(early.min(under_way))
    }

    /// The topic is gone: its next offsets are others.
    pub(super) fn forget(&mut self) {
        self.partitions.clear();
    }

    fn partition(&mut self, index: usize) -> &mut Partition {
        if self.partitions.len() <= index {
            self.partitions.resize(index + 1, Partition::default());
        }
        // Just made long enough.
        #[expect(clippy::indexing_slicing, reason = "resized above")]
        &mut self.partitions[index]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_end_read_before_the_last_confirmations_leaves_them_out() {
        let mut frontier = Frontier::default();
        assert_eq!(frontier.stored_below(&[10, 0], 0), 0);
        for offset in 10..15 {
            frontier.confirm(0, offset);
        }
        frontier.confirm(1, 0);
        assert_eq!(frontier.stored_below(&[13, 1], 0), 4);
        assert_eq!(frontier.stored_below(&[15, 1], 0), 6);
    }

    #[test]
    fn what_has_no_report_yet_counts_at_most_as_much_as_is_under_way() {
        let mut frontier = Frontier::default();
        frontier.stored_below(&[0], 0);
        frontier.confirm(0, 0);
        assert_eq!(frontier.stored_below(&[4], 5), 4);
        assert_eq!(frontier.stored_below(&[4], 2), 3);
        assert_eq!(frontier.stored_below(&[9], 0), 1);
    }

    #[test]
    fn a_record_confirmed_without_its_offset_is_the_next_one() {
        let mut frontier = Frontier::default();
        frontier.stored_below(&[7], 0);
        frontier.confirm(0, -1001);
        frontier.confirm(0, -1001);
        assert_eq!(frontier.stored_below(&[9], 3), 2);
        frontier.confirm(0, 9);
        assert_eq!(frontier.stored_below(&[10], 0), 3);
    }

    #[test]
    fn a_topic_made_anew_begins_again() {
        let mut frontier = Frontier::default();
        frontier.stored_below(&[0, 0], 0);
        for offset in 0..100 {
            frontier.confirm(0, offset);
            frontier.confirm(1, offset);
        }
        assert_eq!(frontier.stored_below(&[100, 100], 0), 200);
        assert_eq!(frontier.stored_below(&[0, 0], 0), 200);
        frontier.confirm(0, 0);
        assert_eq!(frontier.stored_below(&[1, 0], 0), 201);
        frontier.forget();
        assert_eq!(frontier.stored_below(&[0, 0], 0), 201);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Confirm(usize, bool),
        Read(usize),
        Compare,
    }

    fn step() -> impl Strategy<Value = Step> {
        let partition = 0..3usize;
        prop_oneof![
            4 => partition.clone().prop_map(Step::Append),
            4 => (partition.clone(), prop::bool::weighted(0.9)).prop_map(|(p, told)| Step::Confirm(p, told)),
            2 => partition.prop_map(Step::Read),
            1 => Just(Step::Compare),
        ]
    }

    proptest! {
        /// Where nobody else writes it is exact, however appends, reports and the reading of ends interleave.
        #[test]
        fn it_is_exact_where_nobody_else_writes(
            before in prop::array::uniform3(0..50i64),
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let mut frontier = Frontier::default();
            frontier.stored_below(&before, 0);
            let (mut ends, mut told) = (before, before);
            let mut read: [Option<i64>; 3] = [None; 3];
            for step in steps {
                match step {
                    Step::Append(p) => ends[p] += 1,
                    Step::Confirm(p, offset) => if told[p] < ends[p] {
                        frontier.confirm(p as i32, if offset { told[p] } else { -1001 });
                        told[p] += 1;
                    },
                    Step::Read(p) => read[p] = Some(ends[p]),
                    Step::Compare => {
                        let seen = [0, 1, 2].map(|p| read[p].take().unwrap_or(ends[p]));
                        let ours: i64 = (0..3).map(|p| seen[p] - before[p]).sum();
                        let under_way: i64 = (0..3).map(|p| ends[p] - told[p]).sum();
                        prop_assert_eq!(frontier.stored_below(&seen, under_way as u64), ours as u64);
                    }
                }
            }
        }
    }
}

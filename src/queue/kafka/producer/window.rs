//! What was handed to librdkafka and has no report yet: few records, since their fate is open when Kafka goes away, and in few
//! bursts, so that what waits makes the batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::time::Moment;
use crate::queue::kafka::producer::place::Place;

/// A record under way.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The group it is of.
    pub place: Arc<Place>,
    /// Its bytes, about.
    pub bytes: usize,
    /// When it was handed over.
    pub sent: Moment,
}

/// The records under way, by a number that librdkafka carries along.
#[derive(Debug, Default)]
pub(super) struct Window {
    tickets: Vec<Option<(Ticket, u64)>>,
    free: Vec<usize>,
    bytes: usize,
    /// Records without a report of each burst, the oldest first.
    bursts: VecDeque<usize>,
    /// The number of the oldest.
    oldest: u64,
    /// When it was last empty.
    begun: Moment,
    /// When Kafka last said that it stored a record.
    reported: Option<Moment>,
    /// It said so since it was last away.
    proven: bool,
}

impl Window {
    /// Whether a record of this weight may be handed over now. An empty window takes any.
    pub(super) fn has_room(&self, bytes: usize, now: Moment) -> bool {
        let under_way = self.under_way();
        let most = if self.proven { MAX_RECORDS } else { TRIAL_RECORDS };
        under_way == 0 || (under_way < most && self.bytes + bytes <= MAX_BYTES && self.silence(now) < CAUTION)
    }

    /// Whether so many waiting records are worth sending now. While enough bursts are on their way the others wait for the
    /// next report and go together: a broker takes a hundred records as fast as one.
    pub(super) fn takes_burst(&self, waiting: usize) -> bool {
        waiting >= WELL_FILLED || self.bursts.iter().filter(|left| **left > 0).count() < BURSTS
    }

    /// The records from now on are another burst.
    pub(super) fn begin_burst(&mut self) {
        self.bursts.push_back(0);
    }

    /// Notes a record that is handed over; its number.
    pub(super) fn enter(&mut self, ticket: Ticket) -> usize {
        if self.under_way() == 0 {
            self.begun = ticket.sent;
        }
        self.bytes += ticket.bytes;
        if self.bursts.is_empty() {
            self.begin_burst();
        }
        let last = self.bursts.len().saturating_sub(1);
        if let Some(left) = self.bursts.get_mut(last) {
            *left += 1;
        }
        let ticket = (ticket, self.oldest.saturating_add(u64::try_from(last).unwrap_or(u64::MAX)));
        let number = self.free.pop().unwrap_or(self.tickets.len());
        match self.tickets.get_mut(number) {
            Some(place) => *place = Some(ticket),
            None => self.tickets.push(Some(ticket)),
        }
        number
    }

    /// Takes the record of this number out, if it is under way.
    pub(super) fn leave(&mut self, number: usize) -> Option<Ticket> {
        let (ticket, burst) = self.tickets.get_mut(number)?.take()?;
        self.free.push(number);
        self.bytes = self.bytes.saturating_sub(ticket.bytes);
        self.reported_of(burst);
        Some(ticket)
    }

    /// One record less of a burst; those that are over are forgotten.
    fn reported_of(&mut self, burst: u64) {
        let place = usize::try_from(burst.saturating_sub(self.oldest)).unwrap_or(usize::MAX);
        if let Some(left) = self.bursts.get_mut(place) {
            *left = left.saturating_sub(1);
        }
        while self.bursts.pop_front_if(|left| *left == 0).is_some() {
            self.oldest = self.oldest.saturating_add(1);
        }
    }

    /// Kafka stored a record.
    pub(super) const fn prove(&mut self, now: Moment) {
        self.reported = Some(now);
        self.proven = true;
    }

    /// Kafka may be away: until it stores a record, few are risked.
    pub(super) const fn doubt(&mut self) {
        self.proven = false;
    }

    /// Whether Kafka stored a record after this moment.
    pub(super) fn reported_since(&self, moment: Moment) -> bool {
        self.reported.is_some_and(|reported| reported > moment)
    }

    /// Whether Kafka stored a record since it was last away.
    pub(super) const fn proven(&self) -> bool {
        self.proven
    }

    /// Records under way.
    pub(super) const fn under_way(&self) -> usize {
        self.tickets.len() - self.free.len()
    }

    /// For how long Kafka has stored nothing although something is under way.
    pub(super) fn silence(&self, now: Moment) -> Duration {
        if self.under_way() == 0 {
            return Duration::ZERO;
        }
        now.since(self.reported.map_or(self.begun, |reported| reported.max(self.begun)))
    }

    /// For how long the oldest record has been under way.
    pub(super) fn longest(&self, now: Moment) -> Duration {
        let sent = self.tickets.iter().flatten().map(|(ticket, _)| ticket.sent).min();
        sent.map_or(Duration::ZERO, |sent| now.since(sent))
    }

    /// Takes all records out: their reports will not come.
    pub(super) fn empty(&mut self) -> Vec<Ticket> {
        self.free.clear();
        self.bytes = 0;
        self.bursts.clear();
        std::mem::take(&mut self.tickets).into_iter().flatten().map(|(ticket, _)| ticket).collect()
    }
}

/// Records under way at most.
const MAX_RECORDS: usize = 2048;
/// Bytes of them: a sixteenth of what one of librdkafka's queues takes.
const MAX_BYTES: usize = 16 << 20;
/// Bursts under way, unless more is worth sending: while one is on its way back, the next one is stored.
const BURSTS: usize = 2;
/// Records from which on another burst is worth its costs.
const WELL_FILLED: usize = 64;
/// As long as Kafka has stored none since it was away.
const TRIAL_RECORDS: usize = 64;
/// Without a report for so long no further records are risked.
const CAUTION: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Storing;

    fn ticket(bytes: usize, millis: u64) -> Ticket {
        Ticket { place: Place::new(1, Storing::channel().0), bytes, sent: at(millis) }
    }

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn numbers_are_used_again_and_only_once_at_a_time() {
        let mut window = Window::default();
        let numbers: Vec<usize> = (0..3).map(|_| window.enter(ticket(5, 1))).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(window.leave(1).map(|ticket| ticket.bytes), Some(5));
        assert!(window.leave(1).is_none() && window.leave(9).is_none());
        assert_eq!((window.enter(ticket(7, 2)), window.under_way(), window.bytes), (1, 3, 17));
        assert_eq!(window.empty().len(), 3);
        assert_eq!((window.under_way(), window.bytes), (0, 0));
    }

    #[test]
    fn further_bursts_wait_for_a_report_or_until_they_are_well_filled() {
        let mut window = Window::default();
        let mut numbers = Vec::new();
        for records in [1, 3] {
            assert!(window.takes_burst(1));
            window.begin_burst();
            numbers.extend((0..records).map(|_| window.enter(ticket(1, 1))));
        }
        assert!(
            !window.takes_burst(1) && !window.takes_burst(WELL_FILLED - 1) && window.takes_burst(WELL_FILLED)
        );
        // The later burst may be reported first.
        for number in &numbers[1..3] {
            window.leave(*number);
            assert!(!window.takes_burst(1));
        }
        window.leave(numbers[3]);
        assert!(window.takes_burst(1));
        window.leave(numbers[0]);
        assert_eq!((window.bursts.len(), window.oldest), (0, 2));
        window.enter(ticket(1, 2));
        assert_eq!(window.empty().len(), 1);
        assert!(window.takes_burst(1));
    }

    #[test]
    fn it_is_bounded_in_records_and_bytes_and_tighter_until_kafka_has_stored_one() {
        let mut window = Window::default();
        assert!(window.has_room(MAX_BYTES * 2, at(1)));
        for _ in 0..TRIAL_RECORDS {
            window.enter(ticket(1, 1));
        }
        assert!(!window.has_room(1, at(1)));
        window.prove(at(1));
        assert!(window.has_room(MAX_BYTES - TRIAL_RECORDS, at(1)));
        assert!(!window.has_room(MAX_BYTES - TRIAL_RECORDS + 1, at(1)));
        for _ in TRIAL_RECORDS..MAX_RECORDS {
            window.enter(ticket(1, 1));
        }
        assert!(!window.has_room(1, at(1)));
    }

    #[test]
    fn silence_counts_from_the_last_report_and_closes_the_window() {
        let mut window = Window::default();
        window.prove(at(1_000));
        assert_eq!(window.silence(at(5_000)), Duration::ZERO);
        let number = window.enter(ticket(1, 5_000));
        window.enter(ticket(1, 5_100));
        assert_eq!(window.silence(at(5_200)), Duration::from_millis(200));
        assert!(window.has_room(1, at(5_299)) && !window.has_room(1, at(5_300)));
        window.leave(number);
        window.prove(at(5_400));
        assert!(window.reported_since(at(5_399)) && !window.reported_since(at(5_400)));
        assert!(window.has_room(1, at(5_500)));
        assert_eq!(window.longest(at(5_500)), Duration::from_millis(400));
    }
}

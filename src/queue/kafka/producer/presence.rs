//! Whether Kafka takes this tier's records: what decides it, when an outage begins and ends.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::domain::time::Moment;
use crate::queue::kafka::producer::fate::{self, Fate};
use crate::queue::kafka::producer::place::Settled;
use crate::queue::kafka::producer::{Core, State};
use crate::random;

/// Whether Kafka is there, for those who wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It was not tried yet.
    Starting,
    /// It takes records.
    There,
    /// It is away.
    Away,
    /// The lane is closed.
    Closed,
}

/// Whether records are handed to librdkafka.
#[derive(Debug)]
pub(super) enum Gate {
    /// Not yet: Kafka was not tried; what comes waits.
    Starting,
    /// Yes.
    Open,
    /// A connection failed: what comes waits until a probe has said whether that is an outage.
    Held,
    /// No, and what comes is refused.
    Away(Away),
}

/// An outage.
#[derive(Debug)]
pub(super) struct Away {
    /// What is wrong.
    pub detail: Arc<str>,
    /// Since when.
    pub since: Moment,
    /// When it is tried again.
    pub next_try: Moment,
}

impl Core {
    /// Something is wrong with a connection: nothing more is risked until a probe has looked.
    pub(super) fn suspect(&self) {
        let now = self.shared.clock.now();
        let mut state = self.lock();
        state.trouble = Some(now);
        if matches!(state.gate, Gate::Open) {
            state.gate = Gate::Held;
            self.bell.notify_all();
        }
    }

    /// Nothing more is risked until a probe has looked.
    pub(super) fn hold(&self) {
        let mut state = self.lock();
        if matches!(state.gate, Gate::Open) {
            state.gate = Gate::Held;
        }
    }

    /// An outage begins, or goes on for this reason. What waits is refused: it was not sent.
    pub(super) fn declare(&self, detail: &str) {
        let now = self.shared.clock.now();
        let mut state = self.lock();
        let since = if let Gate::Away(away) = &state.gate { Some(away.since) } else { None };
        if since.is_none() {
            warn!(tier = %self.tier, topic = &*self.topic, detail, "Kafka is away: jobs are refused or spooled");
        }
        // Where nothing was stored in between, it was never really back.
        let pause = if state.window.proven() { FIRST_PAUSE } else { state.pause * 2 };
        state.pause = pause.clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let next_try = now.plus(random::spread(state.pause));
        state.gate = Gate::Away(Away { detail: detail.into(), since: since.unwrap_or(now), next_try });
        state.trouble = Some(now);
        state.window.doubt();
        let settled = state.turn_away(&Fate::Refused(fate::unavailable(detail)));
        self.presence.send_replace(Presence::Away);
        drop(state);
        self.tell(settled);
    }

    /// Kafka answers, and the topic can be written to as far as can be seen: what waits goes on its way.
    pub(super) fn restore(&self) {
        let now = self.shared.clock.now();
        let mut state = self.lock();
        if let Gate::Away(away) = &state.gate {
            info!(tier = %self.tier, after = ?now.since(away.since), "Kafka is back");
        }
        state.gate = Gate::Open;
        let settled = self.refill(&mut state);
        self.presence.send_replace(Presence::There);
        drop(state);
        self.tell(settled);
    }
}

impl State {
    /// Takes out what waits; the groups that are settled by it.
    pub(super) fn turn_away(&mut self, fate: &Fate) -> Vec<Settled> {
        self.line.empty().filter_map(|(place, left)| place.settle(left, fate.clone())).collect()
    }
}

/// The pause before the first probe of an outage.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

//! Who is there: replicas are known by their lines, and forgotten when these stand still.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::time::Moment;
use crate::regulator::share::line::{Line, ReplicaId};

/// The other replicas.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    others: BTreeMap<ReplicaId, Sight>,
    heard: Option<Moment>,
    exchanges: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    /// When the newest line was made.
    at: Moment,
    /// Time in which lines were read and this one's stood still.
    silent: Duration,
}

impl Presence {
    /// Takes in the lines of one exchange, this replica's own among them or not.
    ///
    /// Silence counts only where lines could be read: while the exchange is away nobody is forgotten, and when it comes
    /// back with nothing in it, each has time to write its line again.
    pub fn hear(&mut self, own: ReplicaId, lines: &[Line], now: Moment) {
        let since = self.heard.map_or(Duration::ZERO, |heard| now.since(heard)).min(LONGEST_SILENCE);
        self.heard = Some(self.heard.map_or(now, |heard| heard.max(now)));
        self.exchanges = self.exchanges.saturating_add(1);
        self.others.values_mut().for_each(|sight| sight.silent = sight.silent.saturating_add(since));
        for line in lines.iter().filter(|line| line.id != own) {
            if line.leaving {
                self.others.remove(&line.id);
            } else if let Some(sight) = self.others.get_mut(&line.id) {
                // A server's clock that was set makes lines earlier: what changes is alive.
                if line.at != sight.at {
                    *sight = Sight { at: line.at, silent: Duration::ZERO };
                }
            } else if now.since(line.at) < FORGET_AFTER && self.others.len() + 1 < MOST_REPLICAS {
                self.others.insert(line.id, Sight { at: line.at, silent: Duration::ZERO });
            }
        }
        self.others.retain(|_, sight| sight.silent < FORGET_AFTER);
    }

    /// Whether this replica is there.
    pub fn knows(&self, id: ReplicaId) -> bool {
        self.others.contains_key(&id)
    }

    /// The replicas there are, this one included.
    pub fn count(&self) -> usize {
        self.others.len() + 1
    }

    /// Whether this replica has a share: it read the lines of the others, and they had the time to read its own.
    pub const fn has_share(&self) -> bool {
        self.exchanges >= EXCHANGES_TO_A_SHARE
    }

    /// When lines were last read.
    pub const fn heard(&self) -> Option<Moment> {
        self.heard
    }

    /// Whether lines were read lately.
    pub fn is_alive(&self, now: Moment) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= LONGEST_SILENCE)
    }
}

/// More replicas than this are not heard.
pub const MOST_REPLICAS: usize = 64;

/// A replica whose line stands still for so long is gone.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// Three exchanges. A longer gap between two of them says nothing of the others.
const LONGEST_SILENCE: Duration = Duration::from_millis(300);

/// The line that the first one brought is read by the others before they have done their next.
const EXCHANGES_TO_A_SHARE: u64 = 2;

//! A replica's line: what it publishes for the others, in plain values.

use crate::domain::tier::TierMap;
use crate::domain::time::Moment;
use crate::regulator::share::part::Intake;

/// Which replica: a number of its own for each start of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

/// What one replica tells the others. Its moments are on the clock of who holds the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Whose line it is.
    pub id: ReplicaId,
    /// When the intake was counted.
    pub at: Moment,
    /// Whether the replica says goodbye.
    pub leaving: bool,
    /// Each tier.
    pub tiers: TierMap<Told>,
}

/// What a line says of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// What the regulator did.
    pub intake: Intake,
    /// Jobs asked for per second, smoothed.
    pub demand: f64,
    /// Jobs of its own that stood in the shared queue at its last reading or were taken from there, since the start; below
    /// zero where others than it lets in are in its spool. What happens at workers shows in every replica's own readings.
    pub stored: i64,
    /// Dead letters that it put back into the queue until then.
    pub replayed: u64,
    /// When that reading was taken; `None` before the first.
    pub taken: Option<Moment>,
}

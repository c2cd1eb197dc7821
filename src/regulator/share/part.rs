//! What one replica tells of a tier, and what the law needs to know of the others.

use std::time::Duration;

/// What a regulator tells the other replicas of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Intake {
    /// Jobs let in less those given back, since the start.
    pub entered: u64,
    /// Jobs asked for since the start, whatever the answer.
    pub asked: u64,
    /// Of those, jobs that bucket or window refused.
    pub held_back: u64,
    /// The rate for all replicas together, in jobs per second.
    pub rate: f64,
    /// What the integral has gathered, in jobs per second.
    pub integral: f64,
}

/// One replica's part of a tier, and the others' counts, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its share of rate, window, bound and ledger; `None` as long as it has none: it lets in the least rate.
    pub share: Option<f64>,
    /// Jobs that the others let in, counted from where `stored` of the summed readings counts them.
    pub others: u64,
    /// Jobs that they are presumed to have let in beyond that, in proportion to what this one did since it heard of them.
    pub presumed: f64,
    /// Jobs that they may have let in besides, since counts between two moments are taken to have grown evenly: the hard bound
    /// counts with them.
    pub besides: f64,
    /// Jobs by which the others' counts in the summed reading may be off.
    pub doubt: f64,
    /// Whether others held somebody back since the last step.
    pub held_back: bool,
    /// The integral on which all agree, where there are others.
    pub integral: Option<f64>,
    /// How much later readings may be than alone: they wait until the others' counts of their moment are known.
    pub lateness: Duration,
}

impl Part {
    /// Alone.
    pub const WHOLE: Part = Part {
        share: Some(1.0),
        others: 0,
        presumed: 0.0,
        besides: 0.0,
        doubt: 0.0,
        held_back: false,
        integral: None,
        lateness: Duration::ZERO,
    };
}

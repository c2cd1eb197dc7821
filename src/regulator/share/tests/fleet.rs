//! Several replicas before one modelled queue, on a virtual clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::admission::decision::Decision;
use crate::admission::settings::RetryAfterBounds;
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::Regulator;
use crate::regulator::report::TickReport;
use crate::regulator::settings::{OnStale, RegulatorSettings, TierSettings};
use crate::regulator::share::Replicas;
use crate::regulator::share::line::{Line, ReplicaId};

/// A fixed target, no thresholds, the default gains.
pub fn law(target: u64) -> RegulatorSettings {
    let tier = TierSettings {
        target: Target::Depth(target),
        max_depth: 1_000_000,
        rate: RateBounds { min: Rate::saturating(1.0), max: None, burst: Duration::from_secs(1) },
        shed: None,
        retention: None,
        yields: false,
        on_stale: OnStale::Hold,
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(60) },
    };
    RegulatorSettings {
        controller: ControllerSettings::DEFAULT,
        tiers: TierMap::from_fn(|_| tier),
        tenants: std::sync::Arc::default(),
    }
}

/// One replica: the law, what it knows of the others, its clients, its jobs on their way.
pub struct Node {
    pub id: u64,
    pub offered: f64,
    pub report: TickReport,
    /// Jobs let in so far.
    pub admitted: u64,
    /// Whether it can reach the exchange.
    pub reaches: bool,
    /// Milliseconds by which it takes the others' lines for later than they are.
    pub slow: u64,
    replicas: Replicas,
    regulator: Regulator,
    next_tick: u64,
    due: f64,
    storing: VecDeque<(u64, u64)>,
    stored: u64,
    lines: VecDeque<(u64, Vec<Line>)>,
}

/// The queue, its workers, the replicas before it and the board on which they write their lines.
pub struct Fleet {
    pub now: u64,
    pub depth: f64,
    /// Jobs that workers take a second.
    pub drain: f64,
    pub nodes: Vec<Node>,
    /// Milliseconds that an exchange takes to bring its lines.
    pub latency: u64,
    /// Whether clients come by chance.
    pub by_chance: bool,
    /// Milliseconds between two commits, where consumption shows only then.
    pub commits_every: u64,
    /// Whether refused clients come back when told, to any replica.
    pub obey: bool,
    /// Requests so far, returns included.
    pub requests: u64,
    /// Returns in each second.
    pub returns: Vec<u64>,
    outside: BTreeMap<u64, u64>,
    uncommitted: f64,
    pub peak: f64,
    pub drained: f64,
    /// Jobs let in by all in each slice of 100 ms.
    pub slices: Vec<u64>,
    /// Whether lines are exchanged at all; without, there is one gateway alone.
    shares: bool,
    settings: RegulatorSettings,
    board: BTreeMap<u64, Line>,
    chance: u64,
}

impl Fleet {
    pub fn new(settings: RegulatorSettings, drain: f64) -> Fleet {
        Fleet {
            now: 0,
            depth: 0.0,
            drain,
            nodes: Vec::new(),
            latency: 4,
            by_chance: false,
            commits_every: 0,
            obey: false,
            requests: 0,
            returns: Vec::new(),
            outside: BTreeMap::new(),
            uncommitted: 0.0,
            peak: 0.0,
            drained: 0.0,
            slices: Vec::new(),
            shares: true,
            settings,
            board: BTreeMap::new(),
            chance: 88_172_645_463_325_252,
        }
    }

    /// So many replicas with this much offered to each, started at moments of their own.
    pub fn with(settings: RegulatorSettings, drain: f64, replicas: u64, offered: f64) -> Fleet {
        let mut fleet = Fleet::new(settings, drain);
        fleet.shares = replicas > 1;
        for _ in 0..replicas {
            fleet.join(offered);
        }
        fleet
    }

    pub fn join(&mut self, offered: f64) {
        let id = self.nodes.last().map_or(1, |last| last.id + 1);
        let start = at(self.now);
        let mut node = Node {
            id,
            offered,
            report: TickReport::default(),
            admitted: 0,
            reaches: true,
            slow: 0,
            replicas: Replicas::new(ReplicaId(id), self.settings.controller.interval),
            regulator: Regulator::new(&self.settings, id, start),
            next_tick: self.now + 1 + id * 37 % 100,
            due: 0.0,
            storing: VecDeque::new(),
            stored: 0,
            lines: VecDeque::new(),
        };
        // Nothing is served before a first step.
        self.tick(&mut node, start);
        self.nodes.push(node);
    }

    /// One dies: what was on its way is stored all the same, nobody is told.
    pub fn crash(&mut self, id: u64) {
        let (gone, left) = std::mem::take(&mut self.nodes).into_iter().partition(|node| node.id == id);
        self.nodes = left;
        let gone: Vec<Node> = gone;
        self.depth += gone.iter().flat_map(|node| &node.storing).map(|(_, jobs)| *jobs as f64).sum::<f64>();
    }

    /// One stops in good order.
    pub fn leave(&mut self, id: u64) {
        self.crash(id);
        if let Some(line) = self.board.get_mut(&id) {
            line.leaving = true;
        }
    }

    /// What stood on the board is gone, as when the exchange's server starts anew.
    pub fn wipe_board(&mut self) {
        self.board.clear();
    }

    pub fn offer(&mut self, each: f64) {
        self.nodes.iter_mut().for_each(|node| node.offered = each);
    }

    pub fn reach(&mut self, reaches: bool) {
        self.nodes.iter_mut().for_each(|node| node.reaches = reaches);
    }

    pub fn run(&mut self, seconds: f64) {
        for _ in 0..(seconds * 1000.0) as u64 {
            self.step();
        }
    }

    /// Runs on and returns what all let in, in jobs per second; peak and drained are of this time.
    pub fn measure(&mut self, seconds: f64) -> f64 {
        self.peak = self.depth;
        self.drained = 0.0;
        let before = self.slices.len();
        self.run(seconds);
        self.slices.iter().skip(before).sum::<u64>() as f64 / seconds
    }

    /// The most let in within any second of the last so many, over the drain.
    pub fn worst_second(&self, seconds: usize) -> f64 {
        let last = &self.slices[self.slices.len() - 10 * seconds..];
        last.windows(10).map(|second| second.iter().sum::<u64>()).max().unwrap_or(0) as f64 / self.drain
    }

    /// Clients that were refused and have not come back yet.
    pub fn waiting(&self) -> u64 {
        self.outside.values().sum()
    }

    pub fn shares(&self) -> Vec<f64> {
        self.nodes.iter().map(|node| node.report.share).collect()
    }

    pub fn admitted(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.admitted).collect()
    }

    fn step(&mut self) {
        if self.now.is_multiple_of(100) {
            self.slices.push(0);
        }
        let taken = (self.drain / 1000.0).min(self.depth);
        self.depth -= taken;
        self.drained += taken;
        self.uncommitted += taken;
        if self.commits_every == 0 || self.now.is_multiple_of(self.commits_every) {
            self.uncommitted = 0.0;
        }
        if self.now.is_multiple_of(1000) {
            self.returns.push(0);
        }
        let mut nodes = std::mem::take(&mut self.nodes);
        // Nobody is always the first.
        let first = self.now as usize % nodes.len().max(1);
        for place in 0..nodes.len() {
            let count = nodes.len();
            self.play(&mut nodes[(first + place) % count]);
        }
        let returning = self.outside.remove(&self.now).unwrap_or(0);
        *self.returns.last_mut().unwrap() += returning;
        for _ in 0..returning {
            let place = self.requests as usize % nodes.len();
            self.ask(&mut nodes[place]);
        }
        self.nodes = nodes;
        self.peak = self.peak.max(self.depth);
        self.now += 1;
    }

    fn play(&mut self, node: &mut Node) {
        let now = at(self.now);
        while let Some((_, jobs)) = node.storing.pop_front_if(|(due, _)| *due <= self.now) {
            node.stored += jobs;
            self.depth += jobs as f64;
        }
        while let Some((_, lines)) = node.lines.pop_front_if(|(due, _)| *due <= self.now) {
            node.replicas.hear(&lines, now);
        }
        if self.now >= node.next_tick {
            node.next_tick += 100;
            self.tick(node, now);
        }
        node.due += node.offered / 1000.0 * if self.by_chance { self.draw() } else { 1.0 };
        while node.due >= 1.0 {
            node.due -= 1.0;
            self.ask(node);
        }
    }

    fn ask(&mut self, node: &mut Node) {
        self.requests += 1;
        match node.regulator.decide(Tier::P1, Cost::ONE, None, at(self.now)) {
            Decision::Admitted(_) => {
                node.admitted += 1;
                node.storing.push_back((self.now + STORE_MILLIS, 1));
                *self.slices.last_mut().unwrap() += 1;
            }
            Decision::Refused(refusal) if self.obey => {
                let seconds = refusal.retry_after.as_millis().div_ceil(1000) as u64;
                *self.outside.entry(self.now + 1000 * seconds).or_default() += 1;
            }
            Decision::Refused(_) => {}
        }
    }

    fn tick(&mut self, node: &mut Node, now: Moment) {
        let flows = Flows { stored: node.stored, ..Flows::default() };
        let backlog = Backlog { waiting: (self.depth + self.uncommitted) as u64, ..Backlog::default() };
        let mut readings = TierMap::default();
        readings[Tier::P1] = Some(Reading { backlog, flows, taken: now });
        if self.shares {
            let steps = node.replicas.step(readings, TierMap::default(), node.regulator.intake(), now);
            node.regulator.hear(steps.map(|_, (_, part)| part), now);
            readings = steps.map(|_, (reading, _)| reading);
        }
        node.report = node.regulator.tick(readings, now)[Tier::P1];
        if self.shares && node.reaches {
            let line = node.replicas.line(node.regulator.intake(), now);
            self.board.insert(node.id, line);
            let lines = self.board.values().map(|line| late(*line, node.slow)).collect();
            node.lines.push_back((self.now + self.latency, lines));
        }
    }

    /// A positive number with mean 1, exponential.
    fn draw(&mut self) -> f64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let uniform = (self.chance >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }
}

/// A line as one sees it whose clock is behind by so many milliseconds.
fn late(mut line: Line, millis: u64) -> Line {
    let by = Duration::from_millis(millis);
    line.at = line.at.plus(by);
    line.tiers.iter_mut().for_each(|(_, told)| told.taken = told.taken.map(|taken| taken.plus(by)));
    line
}

/// What storing takes.
const STORE_MILLIS: u64 = 3;

const fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

//! The parts of a scenario's document: workers, tiers, signal, clients, bands, schedules.

use std::time::Duration;

use crate::domain::tier::{Tier, TierMap};
use crate::domain::units::Rate;
use crate::sim::figures::Figure;
use crate::sim::scenario::{Band, Clients, Load, Pauses, Schedule, SignalPath, Workers};
use crate::yaml::decode::{Field, Mapping};
use crate::yaml::fault::suggestion;
use crate::yaml::node::Value;
use crate::yaml::scalar;

pub(super) fn read_workers(field: &Field<'_>, workers: &mut Workers) {
    let Some(mut map) = field.mapping() else { return };
    map.set("rate", &mut workers.rate, |field| read_schedule(field, rate));
    map.set("noise", &mut workers.noise, share);
    map.set("service", &mut workers.irregular, |field| field.word(&[("even", false), ("random", true)]));
    if let Some(pauses) = map.field("pauses") {
        workers.pauses = read_pauses(&pauses);
    }
    map.close();
}

fn read_pauses(field: &Field<'_>) -> Option<Pauses> {
    let mut map = field.mapping()?;
    let every = map.required("every").and_then(|field| field.some_duration());
    let lasting = map.required("for").and_then(|field| field.some_duration());
    map.close();
    let (every, lasting) = (every?, lasting?);
    if lasting >= every {
        field.at(&["for"]).refuse("expects less than `every`: somebody has to work in between");
    }
    Some(Pauses { every, lasting })
}

pub(super) fn read_tiers(field: &Field<'_>, tiers: &mut TierMap<Load>) {
    let Some(mut map) = field.mapping() else { return };
    for tier in Tier::ALL {
        let Some(mut map) = map.field(tier.as_str()).and_then(|field| field.mapping()) else { continue };
        let load = &mut tiers[tier];
        map.set("offered", &mut load.offered, |field| read_schedule(field, rate));
        load.drain = map.field("drain").and_then(|field| read_schedule(&field, rate));
        map.set("beside", &mut load.beside, |field| read_schedule(field, rate));
        map.set("backlog", &mut load.backlog, |field| field.integer_within(0, MOST_BACKLOG));
        load.expires_in = map.field("expires_in").and_then(|field| field.some_duration());
        map.set("dead", &mut load.dead, |field| read_schedule(field, share));
        map.close();
    }
    map.close();
}

pub(super) fn read_signal(field: &Field<'_>, signal: &mut SignalPath) {
    let Some(mut map) = field.mapping() else { return };
    signal.every = map.field("every").and_then(|field| field.duration_within(SHORTEST, LONGEST));
    map.set("delay", &mut signal.delay, |field| field.duration_within(Duration::ZERO, LATEST));
    map.set("commits_every", &mut signal.commits_every, |field| {
        field.duration_within(Duration::ZERO, LONGEST)
    });
    if let Some(lost) = map.field("lost").and_then(|field| field.list()) {
        signal.lost = lost.iter().filter_map(read_span).collect();
    }
    map.close();
}

fn read_span(field: &Field<'_>) -> Option<(Duration, Duration)> {
    let ends = field.list()?;
    let [from, until] = ends.as_slice() else {
        field.refuse("expects two moments such as [100s, 220s]");
        return None;
    };
    let (from, until) = (from.duration()?, until.duration()?);
    if from >= until {
        field.refuse("expects the earlier moment first");
        return None;
    }
    Some((from, until))
}

pub(super) fn read_clients(field: &Field<'_>, clients: &mut Clients) {
    let Some(mut map) = field.mapping() else { return };
    map.set("obey", &mut clients.obey, share);
    map.set("hasty", &mut clients.hasty, share);
    map.set("ignore", &mut clients.ignore, share);
    map.set("ignore_after", &mut clients.ignore_after, |field| field.duration_within(SHORTEST, LONGEST));
    clients.attempts = map
        .field("attempts")
        .and_then(|field| field.integer_within(1, MOST_ATTEMPTS))
        .and_then(|attempts| u16::try_from(attempts).ok());
    map.close();
    // Shares such as 0.7 and 0.3 may miss one by the last bit.
    if clients.obey + clients.hasty + clients.ignore > 1.0 + 1e-9 {
        field.refuse("expects the shares `obey`, `hasty` and `ignore` to be 1 at most together");
    }
}

pub(super) fn read_expect(field: &Field<'_>) -> Vec<Band> {
    let mut bands = Vec::new();
    let Some(mut map) = field.mapping() else { return bands };
    for tier in Tier::ALL {
        let Some(figures) = map.field(tier.as_str()).and_then(|field| field.mapping()) else { continue };
        for (name, field) in figures.all() {
            let figure = Figure::ALL.iter().copied().find(|figure| figure.as_str() == name);
            let Some(figure) = figure else {
                let names: Vec<&str> = Figure::ALL.iter().map(|figure| figure.as_str()).collect();
                field.refuse_key(&format!("unknown figure, {}", suggestion(name, &names)));
                continue;
            };
            bands.extend(read_band(&field, tier, figure));
        }
    }
    map.close();
    bands
}

fn read_band(field: &Field<'_>, tier: Tier, figure: Figure) -> Option<Band> {
    let mut map = field.mapping()?;
    let bound =
        |map: &mut Mapping<'_>, key| map.field(key).and_then(|field| field.number_within(0.0, f64::MAX));
    let at_least = bound(&mut map, "at_least");
    let at_most = bound(&mut map, "at_most");
    map.close();
    if at_least.is_none() && at_most.is_none() {
        field.refuse("expects `at_least` or `at_most`");
    }
    if at_least.zip(at_most).is_some_and(|(least, most)| least > most) {
        field.refuse("expects `at_least` to be no more than `at_most`");
    }
    Some(Band { tier, figure, at_least, at_most })
}

/// A list of `[moment, value]`, or one value for all the time.
fn read_schedule(field: &Field<'_>, value: fn(&Field<'_>) -> Option<f64>) -> Option<Schedule> {
    if matches!(field.value(), Value::Scalar { .. }) {
        return value(field).map(Schedule::constant);
    }
    let mut steps = Vec::new();
    for item in field.list()? {
        let pair = item.list()?;
        let [moment, step] = pair.as_slice() else {
            item.refuse("expects a moment and a value such as [60s, 100000]");
            return None;
        };
        steps.push((moment.duration()?, value(step)?));
    }
    let schedule = Schedule::new(steps);
    if schedule.is_none() {
        field.refuse("expects moments that rise");
    }
    schedule
}

/// Jobs per second, bare or with a unit.
fn rate(field: &Field<'_>) -> Option<f64> {
    let parse = |text: &str| {
        let jobs = scalar::rate(text).map(Rate::jobs_per_second);
        jobs.or_else(|| scalar::number(text)).filter(|jobs| (0.0..=HIGHEST_RATE).contains(jobs))
    };
    field.scalar("jobs per second from 0 to 100000000 such as 500, or a rate such as 500/min", parse)
}

fn share(field: &Field<'_>) -> Option<f64> {
    field.number_within(0.0, 1.0)
}

/// Shorter would be less than a step of the clock.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// A longer scenario than a week would be played for hours.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// A reading on its way takes memory; a signal later than this is a lost one.
const LATEST: Duration = Duration::from_secs(3_600);

/// Rates beyond this are slips of the pen.
const HIGHEST_RATE: f64 = 1e8;

/// Clients with more patience than this may as well have no limit; each step of it takes memory.
const MOST_ATTEMPTS: u64 = 20;

/// The largest backlog to begin with.
const MOST_BACKLOG: u64 = 1_000_000_000_000;

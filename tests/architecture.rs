//! Reads the tree as text and holds it to the rules of the house: floors, purity, one place for each thing.
//!
//! Every rule is a function from the tree to its faults; a fault names file, line and reason. Below the rules
//! each one is shown a small tree that breaks it, so that a rule which stopped working is noticed.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use source::{Before, CodePath, Source};

/// The rooms and their floors. Imports go to a lower floor only.
const FLOORS: &[(&str, u8)] = &[
    ("domain", 0),
    ("admission", 1),
    ("control", 1),
    ("yaml", 1),
    ("regulator", 2),
    ("policy", 2),
    ("sim", 2),
    ("clock", 3),
    ("random", 3),
    ("telemetry", 3),
    ("queue", 4),
    ("runtime", 5),
    ("worker", 5),
    ("server", 6),
    ("config", 7),
    ("app", 7),
    ("demo", 7),
    ("cli", 7),
    ("main", 7),
];

/// The imports between rooms of one floor that are wanted: (who, of whom).
const SIDEWAYS: &[(&str, &str)] = &[
    ("policy", "regulator"),
    ("sim", "policy"),
    ("sim", "regulator"),
    ("app", "config"),
    ("cli", "app"),
    ("cli", "config"),
    ("cli", "demo"),
    ("demo", "app"),
    ("demo", "config"),
    ("main", "cli"),
];

/// The highest floor that knows nothing of the world.
const LAST_PURE_FLOOR: u8 = 2;

/// What the pure floors may not name, by the head of its path.
const IMPURE: &[&str] = &[
    "tokio",
    "axum",
    "hyper",
    "hyper_util",
    "tower",
    "prometheus",
    "tracing",
    "rusqlite",
    "rand",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "std::sync::mpsc",
];

/// Status codes that say a request went well; every other one is a failure's.
const SUCCESS: &[&str] = &["OK", "ACCEPTED", "NO_CONTENT", "MULTI_STATUS"];

/// How metric names begin: ours, and the classic ones that dashboards know.
const METRIC_NAMES: &[&str] =
    &["tidegate_", "queue_depth_total", "consumer_lag_seconds", "message_age_p99_seconds", "shed_count"];

/// Files longer than this have more than one job.
const MAX_LINES: usize = 500;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    file: String,
    line: usize,
    reason: String,
}

fn fault(source: &Source, line: usize, reason: String) -> Fault {
    Fault { file: source.path.clone(), line, reason }
}

/// Every room has a floor, and uses rooms of lower floors only.
fn floors(tree: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in tree {
        let Some(room) = source.room() else { continue };
        let Some(floor) = floor_of(room) else {
            faults.push(fault(source, 1, format!("the room `{room}` has no floor: give it one in FLOORS")));
            continue;
        };
        for path in source.paths() {
            if let Some(other) = other_room(&path, room)
                && let Some(other_floor) = floor_of(other)
                && other_floor >= floor
                && !SIDEWAYS.contains(&(room, other))
            {
                let reason = format!(
                    "`{room}` (floor {floor}) uses `{other}` (floor {other_floor}): imports go down only"
                );
                faults.push(fault(source, path.line, reason));
            }
            let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
            if supers >= source.depth() + usize::from(path.in_test) {
                faults.push(fault(
                    source,
                    path.line,
                    "leaves the room by `super`: write `crate::`".to_owned(),
                ));
            }
        }
    }
    faults.dedup();
    faults
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The room a path leads to, if it is another one.
fn other_room<'a>(path: &'a CodePath, room: &str) -> Option<&'a str> {
    let own = if room == "main" { "tidegate" } else { "crate" };
    match path.segments.as_slice() {
        [first, other, ..] if first == own && other != room => Some(other),
        _ => None,
    }
}

/// Floors 0 to 2 name nothing that touches the world: time comes in as a parameter, results go out as values.
fn purity(tree: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in tree {
        let Some(floor) = source.room().and_then(floor_of).filter(|floor| *floor <= LAST_PURE_FLOOR) else {
            continue;
        };
        for path in source.paths().iter().filter(|path| !path.in_test) {
            let written = path.segments.join("::");
            let impure =
                IMPURE.iter().any(|head| written == *head || written.starts_with(&format!("{head}::")));
            let reads_time =
                path.segments.iter().any(|segment| segment == "Instant" || segment == "SystemTime");
            // A lone word is a name of our own; a crate is entered by `::` or by `use`.
            if (impure && path.segments.len() > 1) || reads_time {
                faults.push(fault(
                    source,
                    path.line,
                    format!("`{written}` on floor {floor}: floors 0 to 2 are pure"),
                ));
            }
        }
    }
    faults
}

/// Only `clock.rs` reads time.
fn one_clock(tree: &[Source]) -> Vec<Fault> {
    faults_in_code(tree, "src/clock.rs", |path| {
        let reads = match path.segments.as_slice() {
            [.., kind, call] => {
                (kind == "Instant" || kind == "SystemTime") && call == "now" || call == "now_v7"
            }
            [call] => call == "elapsed" && path.after == Before::Dot && path.called,
            [] => false,
        };
        reads.then(|| format!("`{}` reads time: only clock.rs does", path.segments.join("::")))
    })
}

/// Only `random.rs` draws.
fn one_dice(tree: &[Source]) -> Vec<Fault> {
    faults_in_code(tree, "src/random.rs", |path| {
        let crates = ["rand", "getrandom", "fastrand"];
        let draws = match path.segments.as_slice() {
            // A socket of IPv4 is no number drawn.
            [.., socket, last] if socket == "TcpSocket" && last == "new_v4" => false,
            [first, .., last] => {
                crates.contains(&first.as_str()) || last == "new_v4" || last == "RandomState"
            }
            _ => false,
        };
        draws.then(|| format!("`{}` draws: only random.rs does", path.segments.join("::")))
    })
}

/// Only `server/problem/` turns a failure into a status code; elsewhere only success is named.
fn one_map_to_http(tree: &[Source]) -> Vec<Fault> {
    faults_in_code(tree, "src/server/problem/", |path| {
        let (kind, constant) = match path.segments.as_slice() {
            [.., kind, constant] => (kind, constant),
            _ => return None,
        };
        let failure = kind == "StatusCode" && !SUCCESS.contains(&constant.as_str());
        failure.then(|| format!("`StatusCode::{constant}`: only server/problem maps failures to HTTP"))
    })
}

fn faults_in_code(tree: &[Source], home: &str, reason: impl Fn(&CodePath) -> Option<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in
        tree.iter().filter(|source| source.path.starts_with("src/") && !source.path.starts_with(home))
    {
        for path in source.paths().iter().filter(|path| !path.in_test) {
            faults.extend(reason(path).map(|reason| fault(source, path.line, reason)));
        }
    }
    faults
}

/// Metric names are written in the one table only.
fn one_metrics_table(tree: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let outside = |path: &str| path.starts_with("src/") && path != "src/telemetry/families.rs";
    for source in tree.iter().filter(|source| outside(&source.path)) {
        for (line, text) in source.strings.iter().filter(|(line, _)| !source.is_test_line(*line)) {
            if let Some(name) = METRIC_NAMES.iter().find(|name| text.contains(*name)) {
                faults.push(fault(
                    source,
                    *line,
                    format!("`{name}`: metrics are named in telemetry/families.rs only"),
                ));
            }
        }
    }
    faults
}

/// Traits of our own are not used as `dyn`, the queue's excepted.
fn one_dyn_seam(tree: &[Source]) -> Vec<Fault> {
    let paths: Vec<_> =
        tree.iter().filter(|source| source.path.starts_with("src/")).map(|s| (s, s.paths())).collect();
    let all = || paths.iter().flat_map(|(source, paths)| paths.iter().map(move |path| (source, path)));
    let ours: BTreeSet<_> = all()
        .filter(|(_, path)| path.after == Before::Trait)
        .filter_map(|(_, path)| path.segments.last())
        .collect();
    let as_dyn = all().filter(|(_, path)| path.after == Before::Dyn && !path.in_test);
    as_dyn
        .filter_map(|(source, path)| path.segments.last().map(|name| (source, path, name)))
        .filter(|(.., name)| ours.contains(name) && *name != "JobQueue")
        .map(|(source, path, name)| {
            fault(source, path.line, format!("`dyn {name}`: `dyn` only for JobQueue"))
        })
        .collect()
}

/// Every file opens by saying its one job.
fn one_job_said(tree: &[Source]) -> Vec<Fault> {
    let silent = tree.iter().filter(|source| !source.text.starts_with("//! "));
    silent
        .map(|source| fault(source, 1, "opens without a `//!` sentence that says its job".to_owned()))
        .collect()
}

/// No file is longer than one job needs.
fn short_files(tree: &[Source]) -> Vec<Fault> {
    let long = tree.iter().filter(|source| source.text.lines().count() > MAX_LINES);
    long.map(|s| fault(s, MAX_LINES + 1, format!("{} lines, {MAX_LINES} at most", s.text.lines().count())))
        .collect()
}

type Rule = fn(&[Source]) -> Vec<Fault>;

/// Holds the tree on disk to a rule.
fn hold(rule: Rule) {
    let tree = read_tree();
    for landmark in ["src/lib.rs", "src/clock.rs", "src/random.rs", "src/domain/job.rs", "src/queue/mod.rs"] {
        assert!(
            tree.iter().any(|source| source.path == landmark),
            "{landmark} is not in the tree: is it read at all?"
        );
    }
    let faults = rule(&tree);
    let lines: Vec<_> = faults.iter().map(|f| format!("{}:{}: {}", f.file, f.line, f.reason)).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// All Rust files of the project.
fn read_tree() -> Vec<Source> {
    let mut tree = Vec::new();
    for folder in ["src", "tests", "benches", "load-tests", "fuzz"] {
        read_folder(Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(folder), &mut tree);
    }
    mark_test_files(&mut tree);
    tree
}

fn read_folder(top: &Path, folder: &Path, tree: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(top.join(folder)) else { return };
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if top.join(&path).is_dir() {
            read_folder(top, &path, tree);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(top.join(&path))
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            tree.push(Source::new(&path.to_string_lossy(), &text));
        }
    }
}

/// `#[cfg(test)] mod name;` makes `name.rs` beside the file, or below its folder, a test as a whole.
fn mark_test_files(tree: &mut [Source]) {
    let mut tests = BTreeSet::new();
    for source in tree.iter() {
        let folder = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs").to_owned();
        tests.extend(source.test_modules().into_iter().map(|name| format!("{folder}/{name}.rs")));
    }
    tree.iter_mut().filter(|source| tests.contains(&source.path)).for_each(Source::mark_as_test);
}

#[test]
fn imports_go_down_the_floors() {
    hold(floors);
    let broken = [
        ("src/domain/job.rs", "use crate::queue::error;", 1),
        ("src/queue/mod.rs", "//! x\nuse crate::{domain::job, server::{limits, problem}};", 2),
        ("src/admission/gate.rs", "fn f() { crate::control::pid::step() }", 1),
        ("src/domain/job.rs", "use super::super::queue;", 1),
        ("src/cellar/mod.rs", "", 1),
        ("src/main.rs", "use tidegate::server;", 0),
    ];
    for (file, text, line) in broken {
        expect(floors, file, text, line);
    }
    for (file, text) in [
        ("src/policy/mod.rs", "use crate::regulator::settings;"),
        ("src/queue/mod.rs", "// crate::server\n/* crate::server */ const A: &str = \"crate::server\";"),
        ("src/server/mod.rs", "use crate::server::problem; use crate::{domain::job, queue};"),
        ("src/domain/job.rs", "#[cfg(test)] mod tests { use super::*; }"),
    ] {
        expect(floors, file, text, 0);
    }
}

#[test]
fn the_lower_floors_are_pure() {
    hold(purity);
    expect(purity, "src/admission/gate.rs", "use std::time::{Duration,\n Instant};", 2);
    expect(purity, "src/policy/mod.rs", "use std::{fmt, fs};", 1);
    expect(purity, "src/regulator/mod.rs", "let x = rand::random();", 1);
    expect(purity, "src/policy/mod.rs", "use http::HeaderMap; let rand = 1; f(rand);", 0);
    expect(purity, "src/policy/mod.rs", "#[cfg(test)]\nmod tests {\n use std::fs;\n}", 0);
    expect(purity, "src/queue/mod.rs", "use tokio::sync::oneshot;", 0);
}

#[test]
fn only_the_clock_reads_time() {
    hold(one_clock);
    expect(one_clock, "src/server/mod.rs", "let a = '\"';\nlet t = std::time::Instant::now();", 2);
    expect(one_clock, "src/server/mod.rs", "let t = start.elapsed();", 1);
    expect(one_clock, "src/clock.rs", "let t = Instant::now();", 0);
    expect(one_clock, "src/control/drain.rs", "let elapsed = now.since(then); f(elapsed, step.elapsed)", 0);
}

#[test]
fn only_random_draws() {
    hold(one_dice);
    expect(one_dice, "src/server/mod.rs", "use rand::Rng;", 1);
    expect(one_dice, "src/server/mod.rs", "let id = Uuid::new_v4();", 1);
    expect(one_dice, "src/random.rs", "rand::random()", 0);
    expect(one_dice, "src/app/mod.rs", "TcpSocket::new_v4()", 0);
}

#[test]
fn only_the_problem_maps_failures_to_http() {
    hold(one_map_to_http);
    expect(one_map_to_http, "src/server/ingest.rs", "let a = 'x';\n\n StatusCode::NOT_FOUND", 3);
    expect(one_map_to_http, "src/server/ingest.rs", "http::StatusCode::from_u16(503)", 1);
    expect(one_map_to_http, "src/server/ingest.rs", "StatusCode::ACCEPTED", 0);
    expect(one_map_to_http, "src/server/problem/mod.rs", "StatusCode::NOT_FOUND", 0);
}

#[test]
fn metrics_are_named_in_one_table() {
    hold(one_metrics_table);
    expect(
        one_metrics_table,
        "src/server/ingest.rs",
        "f(r#\"a\"b\"#,\n \"tidegate_jobs_received_total\")",
        2,
    );
    expect(one_metrics_table, "src/telemetry/families.rs", "\"tidegate_jobs_received_total\"", 0);
    let in_a_test = "#[cfg(test)]\nmod tests {\n const A: &str = \"tidegate_pressure\";\n}";
    expect(one_metrics_table, "src/server/ingest.rs", in_a_test, 0);
}

#[test]
fn dyn_is_for_the_queue_only() {
    hold(one_dyn_seam);
    expect(one_dyn_seam, "src/server/mod.rs", "trait Door {}\nfn f(door: &dyn Door) {}", 2);
    expect(
        one_dyn_seam,
        "src/queue/mod.rs",
        "trait JobQueue {}\nfn f(q: &dyn JobQueue, e: &dyn std::fmt::Debug) {}",
        0,
    );
}

#[test]
fn every_file_says_its_job() {
    hold(one_job_said);
    expect(one_job_said, "src/server/mod.rs", "pub mod x;\n//! late", 1);
    expect(one_job_said, "src/server/mod.rs", "//! HTTP.\n", 0);
}

#[test]
fn no_file_is_long() {
    hold(short_files);
    expect(short_files, "src/server/mod.rs", &"\n".repeat(501), 501);
    expect(short_files, "src/server/mod.rs", &"\n".repeat(500), 0);
}

#[test]
fn a_module_declared_for_tests_is_a_test_as_a_whole() {
    let mut tree = [
        Source::new("src/regulator/mod.rs", "#[cfg(test)]\nmod properties;"),
        Source::new("src/regulator/properties.rs", "use std::fs;"),
    ];
    assert_eq!(purity(&tree).len(), 1);
    mark_test_files(&mut tree);
    assert_eq!(purity(&tree), []);
}

/// Shows a rule one file: it must find a fault on this line, or none where the line is 0.
fn expect(rule: Rule, file: &str, text: &str, line: usize) {
    let lines: Vec<_> = rule(&[Source::new(file, text)]).iter().map(|fault| fault.line).collect();
    let wanted: Vec<_> = (line > 0).then_some(line).into_iter().collect();
    assert_eq!(lines, wanted, "{file}: {text}");
}

#[test]
fn every_shipped_scenario_is_played_by_a_test() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let played = std::fs::read_to_string(top.join("src/sim/tests/shipped.rs")).unwrap();
    let mut scenarios = 0;
    for entry in std::fs::read_dir(top.join("load-tests/sim")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            scenarios += 1;
            assert!(played.contains(&format!("\"{name}\",")), "{name} is not in src/sim/tests/shipped.rs");
        }
    }
    assert!(scenarios >= 14, "{scenarios} scenarios");
}

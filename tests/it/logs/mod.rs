//! Logs: what a run writes, and that docs/LOGS.md and its schema say so of every line of the code.

mod code;
mod run;

use code::Line;

/// The rows of the tables in docs/LOGS.md, as lines.
fn listed() -> Vec<Line> {
    let text = std::fs::read_to_string(project("docs/LOGS.md")).unwrap();
    let (_, tables) = text.split_once("## Every line").unwrap();
    let rows = tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| level |"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [levels, message, fields, _] = cells.as_slice() else { panic!("no row of four cells: {row}") };
        let fields: Vec<String> = fields.split_whitespace().map(|field| field.replace('`', "")).collect();
        let line =
            |level: &str| Line { level: level.into(), message: (*message).into(), fields: fields.clone() };
        levels.split_whitespace().map(line).collect::<Vec<_>>()
    })
    .collect()
}

fn project(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

const SCHEMA: &str = "docs/log.schema.json";

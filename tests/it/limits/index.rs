//! The table of limits in docs/PROTECTION.md: every limit of the configuration is in it, and its tests are there.

use std::fs;
use std::path::Path;

#[test]
fn every_limit_is_in_the_table_and_every_test_of_the_table_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
    let document = read("docs/PROTECTION.md");
    let (_, table) = document.split_once("\n## Each limit and its test\n").expect("the table's heading");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let config = read("config/tidegate.yaml");
    let (_, limits) = config.split_once("\nlimits:").expect("the limits");
    let limits = limits.split("\n\n").next().unwrap();
    let keys =
        limits.lines().filter_map(|line| line.strip_prefix("  ").filter(|key| !key.starts_with([' ', '#'])));
    for (key, _) in keys.filter_map(|line| line.split_once(':')) {
        assert!(rows.iter().any(|row| row.contains(&format!("`limits.{key}`"))), "{key} is in no row");
    }
    let mut tests = 0;
    for row in &rows {
        let in_row: Vec<&str> = row.split('`').filter(|code| code.contains("::")).collect();
        assert!(!in_row.is_empty(), "no test shows {row}");
        for test in in_row {
            let (path, name) = test.rsplit_once("::").unwrap();
            let path = path.replace("::", "/");
            let there = [format!("tests/it/{path}.rs"), format!("tests/it/{path}/mod.rs")];
            let source = there.iter().find(|path| root.join(path).is_file());
            let source = read(source.unwrap_or_else(|| panic!("no file for {test}")));
            assert!(source.contains(&format!("fn {name}(")), "{test} is not there");
            tests += 1;
        }
    }
    assert!(rows.len() >= 15 && tests >= 30, "{} rows, {tests} tests", rows.len());
}

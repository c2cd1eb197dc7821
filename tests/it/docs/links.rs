//! Links within the repository: to a file that is there, and to a heading that it has.

use std::path::Path;

use super::{docs, markdown_under};
use crate::support::markdown::{anchors, links};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = markdown_under(&docs()).into_iter().map(|page| format!("docs/{page}"));
    let beside = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"];
    let mut faults = Vec::new();
    let mut followed = 0;
    for page in pages.chain(beside.map(str::to_owned)) {
        let text = std::fs::read_to_string(top.join(&page)).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.target.contains("://")) {
            followed += 1;
            if let Some(fault) = fault(&top.join(&page), &text, &link.target) {
                faults.push(format!("{page}:{}: {}: {fault}", link.line, link.target));
            }
        }
    }
    assert!(followed > 200, "only {followed} links were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Paths of the repository that a sentence names, such as `policies/default.yaml`.
#[test]
fn every_file_that_is_named_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut named, mut faults) = (0, Vec::new());
    for page in markdown_under(&docs()) {
        let text = std::fs::read_to_string(docs().join(&page)).unwrap();
        let words = codes(&text).filter(|words| FOLDERS.iter().any(|folder| words.starts_with(folder)));
        for path in words.filter(|words| !words.contains([' ', '*', '{', '<'])) {
            named += 1;
            if !top.join(path).exists() {
                faults.push(format!("docs/{page} names {path}"));
            }
        }
    }
    assert!(named > 60, "only {named} were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What stands between single backticks, line by line.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

const FOLDERS: [&str; 9] =
    ["config/", "deploy/", "docs/", "examples/", "fuzz/", "load-tests/", "policies/", "src/", "tests/"];

fn fault(page: &Path, text: &str, target: &str) -> Option<&'static str> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = page.parent().expect("its folder").join(file);
    if !file.is_empty() && !path.exists() {
        return Some("no such file");
    }
    let anchor = anchor?;
    let there = match file {
        "" => text.to_owned(),
        _ => std::fs::read_to_string(path).unwrap_or_default(),
    };
    (!anchors(&there).iter().any(|other| other == anchor)).then_some("no such heading")
}

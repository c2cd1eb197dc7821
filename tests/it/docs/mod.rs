//! `docs/` as a book: its table of contents is whole, its links lead somewhere, and its commands do what it says.

mod commands;
mod contents;
mod links;
mod pages;

use std::path::{Path, PathBuf};

use crate::support::markdown;

const SUMMARY: &str = "SUMMARY.md";

/// The files of the book's pages, in the order of its table of contents.
fn chapters() -> Vec<String> {
    markdown::links(&text_of(SUMMARY)).into_iter().map(|link| link.target).collect()
}

/// The text of a file of the book.
fn text_of(page: &str) -> String {
    let file = docs().join(page);
    std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The Markdown files under a folder, as paths from there.
fn markdown_under(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(markdown_under(&entry.path()).iter().map(|inner| format!("{name}/{inner}")));
        } else if name.ends_with(".md") {
            found.push(name);
        }
    }
    found.sort();
    found
}

//! The table of contents: every page is in it once, under the name that it gives itself.

use std::collections::BTreeSet;

use super::{SUMMARY, chapters, docs, markdown_under, text_of};

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let (listed, mut there) = (chapters(), markdown_under(&docs()));
    there.retain(|page| page != SUMMARY);
    let once: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    assert_eq!(once, there.iter().collect(), "the table of contents and the folder differ");
}

/// The rules by which mdBook reads it: a title, parts, links in a list that is indented by two.
#[test]
fn the_table_of_contents_is_one_that_mdbook_reads() {
    let mut depth = 0;
    for line in text_of(SUMMARY).lines().filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        let item = line.trim_start().starts_with("- [") && line.ends_with(')');
        let whole = line.starts_with("# ") || line.starts_with('[') || item;
        assert!(whole, "neither a part nor a page: {line}");
        assert!(indent % 2 == 0 && indent / 2 <= depth + 1, "indented by {indent}: {line}");
        depth = indent / 2;
    }
}

#[test]
fn every_page_begins_with_its_name() {
    for page in chapters() {
        let text = text_of(&page);
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# "), "{page} begins with {first:?}");
        let others = text.lines().skip(1).filter(|line| line.starts_with("# "));
        let within_blocks = crate::support::markdown::blocks(&text);
        let in_blocks: usize = within_blocks
            .iter()
            .map(|block| block.text.lines().filter(|line| line.starts_with("# ")).count())
            .sum();
        assert_eq!(others.count(), in_blocks, "{page} has two names");
    }
}

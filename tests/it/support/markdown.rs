//! What the documents are made of, as far as tests ask: fenced blocks, headings, links.

/// A fenced block of a page.
#[derive(Debug)]
pub struct Block {
    /// The line of its opening fence, counted from 1.
    pub line: usize,
    /// The first word of its info string; empty where there is none.
    pub language: String,
    /// What follows it behind commas, such as `not-run`.
    pub options: Vec<String>,
    pub text: String,
}

impl Block {
    pub fn is(&self, option: &str) -> bool {
        self.options.iter().any(|other| other == option)
    }
}

/// A link or a picture: where it stands and where it leads.
#[derive(Debug)]
pub struct Link {
    pub line: usize,
    pub target: String,
}

/// The fenced blocks of a page, in their order; what is indented within a list is moved to the left.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    for (index, line) in page.lines().enumerate() {
        let (indent, inner) = (line.len() - line.trim_start().len(), line.trim_start());
        match (&mut open, inner.strip_prefix(FENCE)) {
            (None, Some(info)) => {
                let mut words = info.trim().split(',').map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let block =
                    Block { line: index + 1, language, options: words.collect(), text: String::new() };
                open = Some((block, indent));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, margin)), None) => {
                block.text.push_str(line.get(indent.min(*margin)..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed: {open:?}");
    blocks
}

/// The names by which links reach the headings of a page, as forges and mdBook make them.
pub fn anchors(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in prose(page) {
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()) else {
            continue;
        };
        let keep = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
        let anchor = heading.to_lowercase().chars().filter(keep).collect::<String>().replace(' ', "-");
        let before = found.iter().filter(|other| **other == anchor).count();
        found.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
    }
    found
}

/// The links and pictures of a page that are written `[words](target)`.
pub fn links(page: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(page) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| Link { line, target: target.to_owned() }));
    }
    found
}

/// The lines outside of blocks, with their numbers.
fn prose(page: &str) -> Vec<(usize, &str)> {
    let mut within = false;
    let mut lines = Vec::new();
    for (index, line) in page.lines().enumerate() {
        if line.trim_start().starts_with(FENCE) {
            within = !within;
        } else if !within {
            lines.push((index + 1, line));
        }
    }
    lines
}

const FENCE: &str = "```";

#[test]
fn blocks_headings_and_links_are_found() {
    let page = "# A `b` c\n[x](Y.md#z) ![p](q.png)\n1. in a list\n   ```sh,not-run\n   ls\n     -l\n   ```\n\
                ## A b c\n```text\n# no heading [no](link)\n```\n";
    let blocks = blocks(page);
    assert_eq!((blocks.len(), blocks[0].line, blocks[0].text.as_str()), (2, 4, "ls\n  -l\n"));
    assert!(blocks[0].language == "sh" && blocks[0].is("not-run") && !blocks[1].is("not-run"));
    assert_eq!(blocks[1].text, "# no heading [no](link)\n");
    assert_eq!(anchors(page), ["a-b-c", "a-b-c-1"]);
    let targets: Vec<String> = links(page).into_iter().map(|link| link.target).collect();
    assert_eq!(targets, ["Y.md#z", "q.png"]);
}

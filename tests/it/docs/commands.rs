//! Every command in the book is run, or is listed as one that is not, with the reason.
//!
//! What a block is, says the first word behind its fence: `sh` is a script, every command of which must succeed; `console`
//! is copied from a run, and says the same again; `console,server` starts the gateway that the rest of its page talks to; `not-run`
//! behind a comma leaves a block out; `yaml,file=NAME` is a file that the reader writes. `python` and `bash` are files of `examples/`, which tests run. All blocks of a page are
//! typed into one shell, in their order. `TIDEGATE_WRITE_BOOK=1` puts what was said now in place of what the page says.

use std::path::Path;

use tidegate::yaml::read::read;

use super::pages::{Beside, ELSEWHERE, NOT_RUN, PAGES, Page};
use super::{chapters, docs, text_of};
use crate::support::kafka::Kafka;
use crate::support::markdown::{Block, blocks, links};
use crate::support::redis::Redis;
use crate::support::shell::{Manner, Shell, Step};
use crate::support::transcript::{Exchange, agrees, body, exchanges};

#[test]
fn every_page_with_commands_is_one_that_is_run() {
    for page in chapters() {
        let commands = blocks(&text_of(&page)).iter().filter(|block| runs(block)).count();
        let listed = PAGES.iter().any(|other| other.file == page) || ELSEWHERE.contains(&page.as_str());
        assert_eq!(commands > 0, listed, "{page} has {commands} blocks to run");
    }
}

#[test]
fn what_is_not_run_is_listed_with_its_reason() {
    let mut left_out = 0;
    for page in chapters() {
        for block in blocks(&text_of(&page)).into_iter().filter(|block| block.is("not-run")) {
            left_out += 1;
            let listed =
                NOT_RUN.iter().filter(|(file, words, _)| *file == page && block.text.contains(words));
            assert_eq!(listed.count(), 1, "docs/{page}:{} is to be listed once:\n{}", block.line, block.text);
        }
    }
    assert_eq!(left_out, NOT_RUN.len(), "a block is listed that is run, or is no more");
    assert!(NOT_RUN.iter().all(|(_, _, reason)| reason.len() > 20));
}

/// The policies that ship and the scenarios that show them: each has a page that plays it or runs it.
#[test]
fn every_example_is_shown() {
    let pages: String = chapters().iter().map(|page| text_of(page)).collect();
    for folder in ["load-tests/sim/examples", "policies"] {
        for file in std::fs::read_dir(docs().join("..").join(folder)).unwrap().flatten() {
            let name = format!("{folder}/{}", file.file_name().to_string_lossy());
            assert!(!name.ends_with(".yaml") || pages.contains(&name), "no page shows {name}");
        }
    }
}

#[test]
fn no_command_hides_in_a_block_of_another_kind() {
    for page in chapters() {
        for block in blocks(&text_of(&page)) {
            let place = format!("docs/{page}:{}", block.line);
            assert!(KINDS.contains(&block.language.as_str()), "{place}: a block of {:?}", block.language);
            let known = |option: &String| OPTIONS.contains(&option.as_str()) || option.starts_with("file=");
            assert!(block.options.iter().all(known), "{place}");
            match block.language.as_str() {
                "python" | "bash" => assert!(block.is("not-run") || is_an_example(&block.text), "{place}"),
                "redis" => assert!(block.is("not-run"), "{place}"),
                "yaml" => assert!(read(&block.text).is_ok(), "{place}: {:?}", read(&block.text)),
                "sh" | "console" => {}
                _ => assert!(!block.text.lines().any(looks_typed), "{place} has a command"),
            }
        }
    }
}

/// Whether a block is one that this test types into its shell.
fn runs(block: &Block) -> bool {
    (matches!(block.language.as_str(), "sh" | "console") || file_of(block).is_some()) && !block.is("not-run")
}

/// The name of the file that a block is.
fn file_of(block: &Block) -> Option<&str> {
    block.options.iter().find_map(|option| option.strip_prefix("file="))
}

fn looks_typed(line: &str) -> bool {
    PROGRAMS.iter().any(|program| line.trim_start_matches("$ ").starts_with(program))
        || line.starts_with("$ ")
}

fn is_an_example(text: &str) -> bool {
    let folders = ["redis", "kafka"].map(|name| docs().join("../examples").join(name));
    let mut files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    files.any(|file| std::fs::read_to_string(file.path()).is_ok_and(|example| example.trim() == text.trim()))
}

/// Plays a page, and holds what is said against what it says.
async fn plays(file: &str) {
    let page = PAGES.iter().find(|page| page.file == file).expect("a page of the list");
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::new(folder.path());
    let (redis, kafka) = match page.beside {
        Beside::Nothing => (None, None),
        Beside::Redis => (Some(Redis::durable(&[]).await), None),
        Beside::Kafka => (None, Some(Kafka::start(&[]).await)),
    };
    if let Some(redis) = &redis {
        shell = shell
            .environment("TIDEGATE_REDIS__URL", &redis.url())
            .address(":6379", &format!(":{}", redis.port()));
    }
    if let Some(kafka) = &kafka {
        shell = shell.environment("TIDEGATE_KAFKA__BROKERS", &kafka.brokers());
    }
    let text = text_of(file);
    let before = before(page);
    let parts: Vec<Part> = blocks(&text).iter().filter(|block| runs(block)).flat_map(parts).collect();
    let steps: Vec<Step> = before.iter().chain(parts.iter().map(|part| &part.step)).cloned().collect();
    let said = shell.play(&steps).await;
    pictures(file, &text, folder.path());
    let told = parts.iter().zip(&said[before.len()..]);
    let wrong: Vec<(&Exchange, &String)> = told
        .filter_map(|(part, said)| Some((part.exchange.as_ref()?, said)))
        .filter(|(exchange, said)| !agrees(exchange, said))
        .collect();
    if writes() {
        return write(&docs().join(file), &text, &wrong);
    }
    let shown = wrong.iter().map(|(exchange, said)| {
        format!(
            "docs/{file}:{}: {}\n--- the page\n{}--- now\n{said}",
            exchange.line, exchange.command, exchange.said
        )
    });
    assert!(wrong.is_empty(), "{}", shown.collect::<Vec<_>>().join("\n\n"));
}

/// The pictures of a page are those that its commands draw.
fn pictures(file: &str, text: &str, folder: &Path) {
    for link in links(text).into_iter().filter(|link| link.target.ends_with(".svg")) {
        let (drawn, kept) = (folder.join(&link.target), docs().join(file).with_file_name(&link.target));
        if writes() {
            std::fs::copy(&drawn, &kept).expect("a picture that a command drew");
        }
        let same =
            std::fs::read(&drawn).expect("a picture that a command drew") == std::fs::read(&kept).unwrap();
        assert!(same, "docs/{file}:{}: {} is drawn otherwise now", link.line, link.target);
    }
}

/// Whether pages are to be written anew, rather than compared.
fn writes() -> bool {
    std::env::var_os("TIDEGATE_WRITE_BOOK").is_some()
}

/// A step, and what the page says that it says.
struct Part {
    step: Step,
    exchange: Option<Exchange>,
}

fn before(page: &Page) -> Vec<Step> {
    let made = Step { typed: page.made.into(), manner: Manner::Script };
    let served = page.serve.map(|typed| Step { typed: typed.into(), manner: Manner::Server });
    let then = Step { typed: page.then.into(), manner: Manner::Script };
    std::iter::once(made).chain(served).chain([then]).collect()
}

fn parts(block: &Block) -> Vec<Part> {
    let script = match file_of(block) {
        Some(file) => Some(format!("cat >{file} <<'END OF FILE'\n{}END OF FILE\n", block.text)),
        None => (block.language == "sh").then(|| block.text.clone()),
    };
    if let Some(typed) = script {
        return vec![Part { step: Step { typed, manner: Manner::Script }, exchange: None }];
    }
    let manner = if block.is("server") { Manner::Server } else { Manner::Command };
    // Of a gateway's log a page may show nothing at all.
    let part = |exchange: Exchange| Part {
        step: Step { typed: exchange.command.clone(), manner },
        exchange: Some(exchange).filter(|exchange| manner == Manner::Command || !exchange.said.is_empty()),
    };
    exchanges(block).into_iter().map(part).collect()
}

/// The page with what was said in place of what it says.
fn write(file: &Path, text: &str, wrong: &[(&Exchange, &String)]) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (exchange, said) in wrong.iter().rev() {
        let first = exchange.line - 1;
        let margin = " ".repeat(lines[first - 1].len() - lines[first - 1].trim_start().len());
        let blank = exchange.said.lines().rev().take_while(|line| line.trim().is_empty()).count();
        let last = first + exchange.said.lines().count() - blank;
        let said = body(said).lines().map(|line| format!("{margin}{}", line.trim_end()));
        lines.splice(first..last, said);
    }
    std::fs::write(file, lines.join("\n") + "\n").expect("the page can be written");
}

/// What a block may be: two that are run, files of others, and what is only to be read.
const KINDS: [&str; 8] = ["sh", "console", "python", "bash", "yaml", "json", "redis", "text"];
const OPTIONS: [&str; 2] = ["server", "not-run"];

/// What a line begins with that somebody would type.
const PROGRAMS: [&str; 9] =
    ["curl ", "tidegate ", "make ", "redis-cli ", "kafka-", "docker ", "openssl ", "promtool ", "cargo "];

macro_rules! played {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                plays($file).await;
            }
        )*

        #[test]
        fn every_listed_page_is_played() {
            assert_eq!(PAGES.iter().map(|page| page.file).collect::<Vec<_>>(), [$($file),*]);
        }
    };
}

played! {
    the_quick_start: "QUICK_START.md",
    tuning: "TUNING.md",
    tuning_a_flash_sale: "tuning/FLASH_SALE.md",
    tuning_a_nightly_batch: "tuning/NIGHTLY_BATCH.md",
    tuning_webhooks: "tuning/WEBHOOKS.md",
    tuning_iot: "tuning/IOT.md",
    policy: "POLICY.md",
    simulate: "SIMULATE.md",
    clients: "CLIENTS.md",
    events: "EVENTS.md",
    delivery: "DELIVERY.md",
    redis: "REDIS.md",
    kafka: "KAFKA.md",
    configuration: "CONFIGURATION.md",
    dashboard: "DASHBOARD.md",
    faq: "FAQ.md",
}

//! `tidegate status --watch`: into a pipe, on a terminal, while the gateway goes away and comes back, until it is interrupted.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::{PATIENCE, url};
use crate::support::gateway::Setup;
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;

#[tokio::test]
async fn while_the_gateway_is_gone_it_says_so_and_comes_back_by_itself() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let proxy = Proxy::before(gateway.admin.address()).await;
    let url = format!("http://{}", proxy.address);
    let mut watch = Watch::start(program(&["--watch", "--every", "200ms", "--url", &url]));
    watch.until(|said| said.matches("all that comes is taken").count() >= 2).await;
    assert!(!watch.said.contains("NO ANSWER"), "{}", watch.said);

    gateway.kill();
    watch.until(|said| said.contains("NO ANSWER since ")).await;
    let lost = watch.until(|said| said.matches("NO ANSWER").count() >= 3).await.to_owned();
    let banners: Vec<&str> = lost.lines().filter(|line| line.starts_with("NO ANSWER since ")).collect();
    assert!(
        banners.iter().all(|line| line[..26] == banners[0][..26]),
        "since when does not move: {banners:?}"
    );
    assert!(lost.contains("The last one came at ") && lost.contains("Asking again every 200ms."), "{lost}");

    gateway.restart().await;
    proxy.lead_to(gateway.admin.address());
    assert!(!is_back(&watch.said), "{}", watch.said);
    watch.until(is_back).await;
    assert!(!watch.said.contains('\u{1b}'), "a pipe gets no escapes");
    watch.interrupt();
    assert_eq!(watch.ended().await, Some(0), "an interrupt is the way to end it");
    gateway.finish().await;
}

#[tokio::test]
async fn documents_come_one_a_line_and_what_is_wrong_goes_elsewhere() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let proxy = Proxy::before(gateway.admin.address()).await;
    let url = format!("http://{}", proxy.address);
    let mut watch = Watch::start(program(&["--watch", "--json", "--every", "200ms", "--url", &url]));
    watch.until(|said| said.lines().count() >= 3).await;
    proxy.deaf(true);
    let mut errors = BufReader::new(watch.child.stderr.take().unwrap()).lines();
    let line = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.contains("Z no answer: http://"), "{line}");
    proxy.deaf(false);
    let before = watch.said.lines().count();
    watch.until(|said| said.lines().count() > before + 2).await;
    watch.interrupt();
    assert_eq!(watch.ended().await, Some(0));
    for line in watch.said.lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        assert_eq!(document["tiers"]["p0"]["state"]["word"], "calm");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_reader_who_goes_away_ends_it_quietly() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let url = url(&gateway);
    for form in ["", "--json", "--watch --every 200ms", "--watch --every 200ms --json"] {
        let line = format!("{PROGRAM} status {form} --url {url} | head -c 20; echo; echo ${{PIPESTATUS[0]}}");
        let mut bash = Command::new("bash");
        bash.args(["-c", &line]);
        let ending = bash.stdin(Stdio::null()).kill_on_drop(true).output();
        let ended = timeout(PATIENCE, ending).await.expect("it ends").unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(said.ends_with("\n0\n"), "{form}: {said}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{form}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn what_cannot_be_written_was_not_told() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let url = url(&gateway);
    for form in ["", "--json", "--watch --every 200ms", "--watch --every 200ms --json"] {
        let line = format!("{PROGRAM} status {form} --url {url} > /dev/full");
        let mut bash = Command::new("bash");
        let ending = bash.args(["-c", &line]).stdin(Stdio::null()).kill_on_drop(true).output();
        let ended = timeout(PATIENCE, ending).await.expect("it ends").unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{form}: {said}");
        let words = "standard output cannot be written: No space left on device";
        assert!(said.starts_with(words) && said.lines().count() == 1, "{form}: {said}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_terminal_is_drawn_over_in_place_within_its_size() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let url = url(&gateway);
    let mut watch = Watch::start(on_terminal("cols 80 rows 14", &url, &[("TERM", "xterm")]));
    let said = watch.until(|said| said.matches("\u{1b}[H").count() >= 4).await;
    let frames: Vec<&str> = said.split("\u{1b}[H").skip(1).collect();
    for frame in &frames[..3] {
        let lines: Vec<String> = frame.split('\n').map(plain).collect();
        assert!(lines.len() == 14, "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        assert!(
            lines[0].starts_with("tidegate ") && lines.last().unwrap().contains("a taller window shows"),
            "{lines:#?}"
        );
        assert!(frame.ends_with("\u{1b}[J"), "what was below is cleared: {frame:?}");
    }
    assert!(frames[1].contains("\u{1b}[1m"), "heads stand out");
    assert!(!said.contains("\u{1b}[2J") && !said.contains("\u{1b}[?"), "no flicker, no other screen");
    // Ctrl-C, as typed.
    watch.child.stdin.as_mut().unwrap().write_all(b"\x03").await.unwrap();
    assert_eq!(watch.ended().await, Some(0));
    assert!(
        watch.said.ends_with('\n'),
        "the cursor is left below: {:?}",
        &watch.said[watch.said.len() - 40..]
    );

    let mut low = Watch::start(on_terminal("cols 80 rows 8", &url, &[("TERM", "xterm")]));
    let said = low.until(|said| said.matches("\u{1b}[H").count() >= 2).await;
    let lines: Vec<String> = said.split("\u{1b}[H").nth(1).unwrap().split('\n').map(plain).collect();
    assert!(lines.len() == 8 && lines[1].contains("all that comes is taken"), "{lines:#?}");
    low.child.stdin.as_mut().unwrap().write_all(b"\x03").await.unwrap();
    assert_eq!(low.ended().await, Some(0));

    let mut plain =
        Watch::start(on_terminal("cols 80 rows 14", &url, &[("TERM", "xterm"), ("NO_COLOR", "1")]));
    let said = plain.until(|said| said.matches("\u{1b}[H").count() >= 3).await;
    assert!(!said.contains("\u{1b}[1"), "neither bold nor colour: {said:?}");
    plain.child.stdin.as_mut().unwrap().write_all(b"\x03").await.unwrap();
    assert_eq!(plain.ended().await, Some(0));

    let mut dumb = Watch::start(on_terminal("cols 80 rows 14", &url, &[("TERM", "dumb")]));
    let said = dumb.until(|said| said.matches("all that comes").count() >= 2).await;
    assert!(!said.contains('\u{1b}'), "{said:?}");
    dumb.child.stdin.as_mut().unwrap().write_all(b"\x03").await.unwrap();
    assert_eq!(dumb.ended().await, Some(0));
    gateway.finish().await;
}

/// A `status` that goes on, and what it said so far.
struct Watch {
    child: Child,
    out: ChildStdout,
    said: String,
}

impl Watch {
    fn start(mut command: Command) -> Watch {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.kill_on_drop(true).spawn().expect("it starts");
        let out = child.stdout.take().expect("its output");
        Watch { child, out, said: String::new() }
    }

    /// Reads on until all that was said is so.
    async fn until(&mut self, is_so: impl Fn(&str) -> bool) -> &str {
        let reading = async {
            let mut piece = [0; 16 * 1_024];
            while !is_so(&self.said) {
                let length = self.out.read(&mut piece).await.expect("it can be read");
                assert!(length > 0, "it ended: {}", self.said);
                self.said.push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        };
        let waited = timeout(PATIENCE, reading).await;
        assert!(waited.is_ok(), "in vain: {}", self.said);
        &self.said
    }

    fn interrupt(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Its exit code, once it ended by itself.
    async fn ended(&mut self) -> Option<i32> {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.out.read_to_end(&mut rest)).await.expect("it ends").unwrap();
        self.said.push_str(&String::from_utf8_lossy(&rest));
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("status").args(args).env_clear().current_dir(std::env::temp_dir());
    command
}

/// `status --watch` on a terminal of its own, of this size.
fn on_terminal(size: &str, url: &str, environment: &[(&str, &str)]) -> Command {
    let line = format!("stty {size}; exec {PROGRAM} status --watch --every 200ms --url {url}");
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command.envs(environment.iter().copied()).current_dir(std::env::temp_dir());
    command
}

/// Whether nothing is complained of between the last two pictures.
fn is_back(said: &str) -> bool {
    said.rsplit("all that comes is taken").nth(1).is_some_and(|between| !between.contains("NO ANSWER"))
}

/// A line without what steers the terminal.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut letters = line.chars().filter(|letter| *letter != '\r');
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            text.push(letter);
        }
    }
    text
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");

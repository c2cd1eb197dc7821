//! `tidegate demo` as a stranger meets it: one command, a dashboard, a commentary, a tally, and nothing left behind.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::client::Client;
use crate::support::command::tidegate;
use crate::support::gateway::free_port;
use crate::support::metrics::Scrape;
use crate::support::poll::until;

const TIERS: [&str; 3] = ["p0", "p1", "p2"];

#[tokio::test]
async fn a_round_shows_the_sale_and_its_tally_is_that_of_the_metrics() {
    let mut demo = Demo::start(&["--fast", "--rounds", "1"]);
    let admin = demo.admin().await;
    assert!(demo.started.elapsed() < Duration::from_secs(5), "the address comes at once");
    let page = admin.get("/dashboard").send().await;
    assert!(page.status == 200 && page.text().contains("<title>tidegate"), "{page:?}");

    let (mut seen, mut last) = (TIERS.map(|_| BTreeSet::new()), None);
    until("the round ends", PATIENCE, async || {
        if let Ok(status) = admin.get("/v1/status").try_send().await
            && status.status == 200
        {
            for (words, tier) in seen.iter_mut().zip(TIERS) {
                words.insert(status.json()["tiers"][tier]["state"]["word"].as_str().unwrap().to_owned());
            }
        }
        // While it ends, the last answers may stay out.
        if let Ok(answer) = admin.get("/metrics").try_send().await
            && answer.status == 200
        {
            last = Some(Scrape::parse(answer.text()).unwrap());
        }
        demo.child.try_wait().unwrap()
    })
    .await;
    let (status, text) = demo.ended().await;
    assert_eq!(status.code(), Some(0), "{text}");
    let [critical, standard, bulk] = seen;
    assert!(critical.contains("calm") && !critical.contains("throttled"), "{critical:?}");
    assert!(standard.contains("throttled") && standard.contains("calm"), "{standard:?}");
    assert!(["calm", "throttled", "shed"].iter().all(|word| bulk.contains(*word)), "{bulk:?}");
    for said in [
        "the sale opens",
        "critical calm: depth",
        "standard throttled: depth",
        "bulk shed: depth",
        "demand: ",
    ] {
        assert!(text.contains(said), "{said:?} was not said:\n{text}");
    }

    let metrics = last.unwrap();
    let row = |what: &str| row(&text, what);
    let stored = row("stored, with a receipt");
    for (place, tier) in TIERS.into_iter().enumerate() {
        let counted = |family| metrics.count(family, &[("tier", tier)]);
        assert_eq!(stored[place], counted("tidegate_jobs_admitted_total"), "{tier}:\n{text}");
        assert_eq!(row("refusals")[place], counted("tidegate_jobs_refused_total"), "{tier}:\n{text}");
        assert_eq!(row("receipts done")[place], counted("tidegate_jobs_done_total"), "{tier}:\n{text}");
        assert_eq!(row("jobs that clients had")[place], stored[place] + row("given up")[place], "{text}");
        assert_eq!(
            stored[place],
            row("receipts done")[place] + row("receipts still waiting")[place],
            "{text}"
        );
    }
    assert_eq!((row("receipts lost"), row("refusals")[0]), ([0, 0, 0], 0), "{text}");
    assert!(row("and were stored then")[1..].iter().all(|welcomed| *welcomed > 0), "{text}");
    assert!(2 * row("came back when told")[2] < row("refusals")[2], "bulk does not wait as told:\n{text}");
    assert!(stored[0] > 500 && row("of them shed")[2] > 100, "the sale was none:\n{text}");
}

#[tokio::test]
async fn asked_to_stop_in_the_middle_it_counts_and_leaves_nothing_behind() {
    for (signal, moment) in [("INT", "bulk throttled: depth"), ("TERM", "round 1")] {
        let demo = Demo::start(&["--fast"]);
        demo.said(moment).await;
        demo.signal(signal);
        let (status, text) = demo.ended().await;
        assert_eq!(status.code(), Some(0), "{text}");
        assert_eq!(row(&text, "receipts lost"), [0, 0, 0], "{text}");
        if signal == "INT" {
            assert!(row(&text, "receipts still waiting")[2] > 0, "nobody waited for the backlog:\n{text}");
        }
    }
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_told_and_another_one_is_taken_only_unasked() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let demo = Demo::start(&["--set", &format!("admin.listen={address}")]);
    let (status, text) = demo.ended().await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("cannot listen on {address}: Address already in use")), "{text}");
    assert!(!text.contains("dashboard"), "nothing is promised: {text}");

    // Whoever has the usual port, this test or somebody else, the demo finds another one.
    let _usual = TcpListener::bind((Ipv4Addr::LOCALHOST, 9090));
    let demo = Demo::start(&["--fast"]);
    let admin = demo.admin().await;
    assert_ne!(admin.address().port(), 9090);
    assert_eq!(admin.get("/healthz").send().await.status, 200);
    demo.signal("INT");
    assert_eq!(demo.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_reader_who_goes_away_ends_it_quietly() {
    let mut demo = Demo::start_unread(&["--fast"]);
    let mut out = BufReader::new(demo.child.stdout.take().unwrap());
    out.read_line(&mut String::new()).await.unwrap();
    drop(out);
    let (status, said) = demo.ended().await;
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_reader_who_reads_no_more_does_not_keep_it_from_stopping() {
    for signal in ["INT", "TERM"] {
        let (reader, writer) = std::io::pipe().unwrap();
        // It is full, and stays so.
        let mut flood = writer.try_clone().unwrap();
        let flood = std::thread::spawn(move || while flood.write_all(&[b'.'; 4_096]).is_ok() {});
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let demo = Demo::start_into(&["--fast", "--set", &format!("admin.listen={address}")], writer.into());
        let admin = Client::new(address);
        until("the sale goes on all the same", PATIENCE, async || {
            let answer = admin.get("/metrics").try_send().await.ok().filter(|answer| answer.status == 200)?;
            let metrics = Scrape::parse(answer.text()).unwrap();
            (metrics.count("tidegate_jobs_done_total", &[("tier", "p2")]) > 0).then_some(())
        })
        .await;
        let asked = Instant::now();
        demo.signal(signal);
        let (status, said) = demo.ended().await;
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{signal}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{signal}: {:?}", asked.elapsed());
        drop(reader);
        flood.join().unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    tidegate(place, &["demo", "--rounds", "0"], &[]).await.says(2, &["--rounds", "0 is not in 1.."]);
    tidegate(place, &["demo", "--set", "admin.lisen=127.0.0.1:1"], &[])
        .await
        .says(2, &["admin.lisen", "did you mean `listen`?"]);
    tidegate(place, &["demo", "--config", "absent.yaml"], &[]).await.says(2, &["absent.yaml"]);
    let absent = place.join("absent").display().to_string();
    tidegate(place, &["demo"], &[("TMPDIR", &absent)]).await.says(1, &[&absent, "TMPDIR"]);
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 0, "something is left behind");
}

/// A running demo, where a configuration and the environment speak of another gateway, with a folder of its own for what
/// is temporary.
struct Demo {
    child: Child,
    said: Arc<Mutex<String>>,
    folder: TempDir,
    temporary: TempDir,
    started: Instant,
}

impl Demo {
    fn start(args: &[&str]) -> Demo {
        let mut demo = Demo::start_unread(args);
        let mut out = BufReader::new(demo.child.stdout.take().unwrap());
        let said = Arc::clone(&demo.said);
        tokio::spawn(async move {
            let mut line = String::new();
            while out.read_line(&mut line).await.unwrap() > 0 {
                said.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        demo
    }

    fn start_unread(args: &[&str]) -> Demo {
        Demo::start_into(args, Stdio::piped())
    }

    fn start_into(args: &[&str], out: Stdio) -> Demo {
        let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/tidegate.yaml"), "backend: kafka\n").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("demo")
            .args(args)
            .current_dir(folder.path())
            .env_clear()
            .env("TMPDIR", temporary.path())
            .env("TIDEGATE_BACKEND", "redis")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Demo { child, said: Arc::default(), folder, temporary, started: Instant::now() }
    }

    /// The line in which this is said.
    async fn said(&self, words: &str) -> String {
        until(words, PATIENCE, async || {
            let said = self.said.lock().unwrap();
            said.lines().find(|line| line.contains(words)).map(str::to_owned)
        })
        .await
    }

    async fn admin(&self) -> Client {
        let line = self.said("/dashboard").await;
        let address = line.split("http://").nth(1).unwrap().strip_suffix("/dashboard").unwrap();
        Client::new(address.parse::<SocketAddr>().unwrap())
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// How it ended, and all that it said, on both streams; nothing is left behind.
    async fn ended(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        for (folder, own) in [(&self.folder, 1), (&self.temporary, 0)] {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), own, "something is left behind");
        }
        // What it logs is what happened to bulk.
        errors = errors.lines().filter(|line| !line.contains(" WARN shedding ")).collect();
        let text = format!("{}{errors}", self.said.lock().unwrap());
        assert!(!text.contains('\x1b') && !text.contains("panicked"), "{text}");
        (status, text)
    }
}

/// The figures of the last tally's row that begins with these words: critical, standard, bulk.
fn row(text: &str, what: &str) -> [u64; 3] {
    let line = text.lines().rfind(|line| line.trim_start().starts_with(what));
    let line = line.unwrap_or_else(|| panic!("no row {what:?}:\n{text}"));
    let figures: Vec<_> = line.split_whitespace().rev().take(3).collect();
    [2, 1, 0].map(|place: usize| figures[place].replace(',', "").parse().unwrap())
}

/// Longer than a fast round on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

//! A real Prometheus of a test's own: in its own folder, on a loopback port, never left behind; and its promtool.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::gateway::free_port;
use super::poll::until;

/// A running Prometheus. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Prometheus {
    folder: TempDir,
    child: Child,
    http: Client,
}

impl Prometheus {
    /// A server by this configuration, with other files beside it.
    pub async fn start(configuration: &str, beside: &[(&str, String)]) -> Prometheus {
        for _ in 0..LAUNCHES {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let write = |name: &str, content: &str| {
                std::fs::write(folder.path().join(name), content).expect("a file can be written");
            };
            write(CONFIGURATION, configuration);
            beside.iter().for_each(|(name, content)| write(name, content));
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let child = spawn(folder.path(), address);
            let mut prometheus = Prometheus { folder, child, http: Client::new(address) };
            if prometheus.is_ready().await {
                return prometheus;
            }
        }
        panic!("{SERVER} does not start");
    }

    /// The value of an instant query now: each series with its labels and its number.
    pub async fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expression))).await?;
        let series = answer["result"].as_array().ok_or(format!("no vector: {answer}"))?;
        let number = |series: &Value| series["value"][1].as_str().and_then(|number| number.parse().ok());
        series
            .iter()
            .map(|series| Some((series["metric"].clone(), number(series)?)))
            .collect::<Option<Vec<_>>>()
            .ok_or(format!("no numbers: {answer}"))
    }

    /// The values of a label among the series that a selector matches.
    pub async fn label_values(&self, label: &str, selector: &str) -> Result<Vec<String>, String> {
        let answer = self.ask(&format!("/api/v1/label/{label}/values?match[]={}", encoded(selector))).await?;
        let values = answer.as_array().ok_or(format!("no list: {answer}"))?;
        Ok(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    }

    /// All rules, with how their last evaluation went.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules").await.expect("rules");
        let groups = answer["groups"].as_array().expect("groups");
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }

    async fn ask(&self, path: &str) -> Result<Value, String> {
        let mut answer = self.http.get(path).send().await.json();
        match answer["status"].as_str() {
            Some("success") if answer["warnings"].is_null() => Ok(answer["data"].take()),
            _ => Err(answer.to_string()),
        }
    }

    /// Whether it became ready; not, if it ended, since somebody else took the port.
    async fn is_ready(&mut self) -> bool {
        let (child, http, log) = (&mut self.child, &self.http, self.folder.path().join(LOG));
        until("Prometheus is ready", PATIENCE, async || {
            if child.try_wait().unwrap().is_some() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                assert!(log.contains("address already in use"), "{SERVER} ended:\n{log}");
                return Some(false);
            }
            let answer = http.get("/-/ready").try_send().await.ok()?;
            (answer.status == 200).then_some(true)
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
            eprintln!("--- Prometheus' log\n{log}\n---");
        }
    }
}

fn spawn(folder: &Path, address: SocketAddr) -> Child {
    // It dies with the thread that starts it, so that a test that is killed leaves nothing behind either.
    let mut command = match Path::new(SETPRIV).exists() {
        true => Command::new(SETPRIV),
        false => Command::new(SERVER),
    };
    if command.get_program() == SETPRIV {
        command.args(["--pdeathsig", "KILL", SERVER]);
    }
    let log = std::fs::File::create(folder.join(LOG)).expect("the log can be written");
    command
        .arg(format!("--config.file={CONFIGURATION}"))
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=warn")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|why| panic!("{SERVER}: {why}: {ADVICE}"))
}

/// Runs promtool in this folder; what it said. Fails where it does.
pub async fn promtool(folder: &Path, arguments: &[&str]) -> String {
    let ending = tokio::process::Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(PATIENCE, ending).await.expect("promtool ends");
    let ended = ended.unwrap_or_else(|why| panic!("promtool: {why}: {ADVICE}"));
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "promtool {arguments:?}:\n{said}");
    said
}

/// Whether tests that need Prometheus are to run: `make test` says where it can neither be found nor installed.
pub fn is_wanted() -> bool {
    let wanted = std::env::var_os(WITHOUT).is_none();
    if !wanted {
        // Not by println!, which is shown of failed tests only.
        writeln!(std::io::stderr(), "SKIPPED, {WITHOUT} is set: {ADVICE}").expect("standard error");
    }
    wanted
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

const SERVER: &str = "prometheus";
const SETPRIV: &str = "/usr/bin/setpriv";
const WITHOUT: &str = "WITHOUT_PROMETHEUS";
const ADVICE: &str =
    "run `make test`, or install Prometheus 2.42 or later (Debian: `apt-get install prometheus`)";
const CONFIGURATION: &str = "prometheus.yaml";
const LOG: &str = "prometheus.log";
const LAUNCHES: usize = 5;

/// Longer than a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

//! The program under test as a child process: started, asked, killed, started again on the same data.

use std::fs::{File, OpenOptions, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use super::certificates::{Authority, Pair};
use super::client::Client;
use super::identities;
use super::policy::Policy;
use super::poll::until;
use super::tally::Tally;

/// A running gateway with its own folder and ports. A test ends with [`Gateway::finish`].
#[derive(Debug)]
pub struct Gateway {
    setup: Setup,
    child: Option<Child>,
    /// Clients and workers.
    pub ingest: Client,
    /// Operators.
    pub admin: Client,
    /// What clients were answered since the process started.
    pub tally: Arc<Tally>,
    /// Dead letters found at the process's start, per tier.
    pub dead_at_start: [u64; 3],
    finished: bool,
}

/// What a process holds in memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident: u64,
    /// The most that it ever held.
    pub highest: u64,
}

/// What a gateway is started with; survives its deaths.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    config: Option<PathBuf>,
    host: Ipv4Addr,
    admin_host: Ipv4Addr,
    admin_token: Option<String>,
    ingest_tls: Option<ClientConfig>,
    admin_tls: Option<ClientConfig>,
}

impl Setup {
    /// Built-in defaults, no file at all.
    pub fn bare() -> Setup {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = vec![
            ("embedded.path".into(), folder.path().join("queue.db").display().to_string()),
            ("log.format".into(), "json".into()),
        ];
        let (host, admin_host) = (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        Setup {
            folder,
            settings,
            environment: Vec::new(),
            config: None,
            host,
            admin_host,
            admin_token: None,
            ingest_tls: None,
            admin_tls: None,
        }
    }

    pub fn with(policy: &Policy) -> Setup {
        Setup::bare().policy(policy)
    }

    pub fn policy(mut self, policy: &Policy) -> Setup {
        let path = self.write("policy.yaml", &policy.to_yaml());
        self.settings.retain(|(key, _)| key != "policy");
        self.set("policy", &path.display().to_string())
    }

    /// A `--set` of the next start.
    pub fn set(mut self, key: &str, value: &str) -> Setup {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// A configuration file.
    pub fn config(mut self, yaml: &str) -> Setup {
        self.config = Some(self.write("config.yaml", yaml));
        self
    }

    /// An environment variable; there are no others.
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Ingest listens on every address, as in a container; tests still use loopback.
    pub fn ingest_beyond_loopback(mut self) -> Setup {
        self.host = Ipv4Addr::UNSPECIFIED;
        self
    }

    /// Admin listens on every address.
    pub fn admin_beyond_loopback(mut self) -> Setup {
        self.admin_host = Ipv4Addr::UNSPECIFIED;
        self
    }

    /// Operators must show this token.
    pub fn admin_token(mut self, token: &str) -> Setup {
        let file = self.write("admin.token", &format!("{token}\n"));
        self.admin_token = Some(token.into());
        self.set("admin.token_file", &file.display().to_string())
    }

    /// Ingest speaks TLS with this pair of certificate and key; the harness trusts it so.
    pub fn ingest_tls(mut self, pair: &Pair, trust: ClientConfig) -> Setup {
        self.ingest_tls = Some(trust);
        self.tls("ingest", pair)
    }

    /// Admin speaks TLS.
    pub fn admin_tls(mut self, pair: &Pair, trust: ClientConfig) -> Setup {
        self.admin_tls = Some(trust);
        self.tls("admin", pair)
    }

    /// Clients of a listener must show a certificate of this authority.
    pub fn client_ca(mut self, listener: &str, authority: &Authority) -> Setup {
        let file = self.write(&format!("{listener}-clients.pem"), &authority.pem());
        self.set(&format!("{listener}.tls.client_ca"), &file.display().to_string())
    }

    fn tls(mut self, listener: &str, pair: &Pair) -> Setup {
        let certificate = self.write(&format!("{listener}.pem"), &pair.certificate);
        let key = self.write(&format!("{listener}.key"), &pair.key);
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("a key of ours");
        self.set(&format!("{listener}.tls.certificate"), &certificate.display().to_string())
            .set(&format!("{listener}.tls.key"), &key.display().to_string())
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file into the gateway's folder.
    pub fn write(&mut self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file can be written");
        path
    }

    /// The command line of `serve` with these ports.
    pub fn arguments(&self, ingest: u16, admin: u16) -> Vec<String> {
        let listen = [
            ("ingest.listen", format!("{}:{ingest}", self.host)),
            ("admin.listen", format!("{}:{admin}", self.admin_host)),
        ];
        let settings = self.settings.iter().map(|(key, value)| format!("{key}={value}"));
        let settings = settings.chain(listen.into_iter().map(|(key, value)| format!("{key}={value}")));
        let mut arguments = vec!["serve".to_owned()];
        if let Some(config) = &self.config {
            arguments.extend(["--config".to_owned(), config.display().to_string()]);
        }
        arguments.extend(settings.flat_map(|setting| ["--set".to_owned(), setting]));
        arguments
    }

    /// Starts a gateway and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let nowhere = Client::new((Ipv4Addr::LOCALHOST, 0).into());
        let mut gateway = Gateway {
            setup: self,
            child: None,
            ingest: nowhere.clone(),
            admin: nowhere,
            tally: Arc::default(),
            dead_at_start: [0; 3],
            finished: false,
        };
        gateway.launch().await;
        gateway
    }

    fn spawn(&self, ingest: u16, admin: u16) -> Child {
        let log = self.log();
        Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(self.arguments(ingest, admin))
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("the program starts")
    }

    fn log(&self) -> File {
        let path = self.folder.path().join(LOG);
        OpenOptions::new().create(true).append(true).open(path).expect("the log can be written")
    }
}

impl Gateway {
    /// Its own folder: data, policy, log.
    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    /// Puts another policy in its place; in force from the next start.
    pub fn change_policy(&mut self, policy: &Policy) {
        self.setup.write("policy.yaml", &policy.to_yaml());
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running gateway");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    /// Asks the process to do something by a signal, `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("a running gateway").id().to_string();
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid).status().expect("kill can be run");
        assert!(status.success());
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("a running gateway");
        let status = until("the gateway ends", patience, async || child.try_wait().unwrap()).await;
        self.child = None;
        status
    }

    /// Stops it kindly and checks that it ends well.
    pub async fn stop(&mut self) {
        self.signal("TERM");
        let status = self.ended(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "{status}");
    }

    /// The process's memory that is in use.
    pub fn resident_bytes(&self) -> u64 {
        let pid = self.child.as_ref().expect("a running gateway").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Starts again on the same data, with new ports.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.tally.restart();
        self.launch().await;
    }

    /// The memory of the process.
    pub fn memory(&self) -> Memory {
        let pid = self.child.as_ref().expect("a running gateway").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of this name");
            line.trim_end_matches("kB").trim().parse().expect("a number")
        };
        Memory { resident: kib("VmRSS:"), highest: kib("VmHWM:") }
    }

    /// Everything the process has logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.setup.folder.path().join(LOG)).unwrap_or_default()
    }

    /// Ends a test: the counts agree, every line of the log is an object, none is an error (a panic is neither).
    pub async fn finish(mut self) {
        identities::assert_identities(&self).await;
        for line in self.log().lines().filter(|line| !port_taken(line)) {
            let level = serde_json::from_str::<Value>(line).map(|line| line["level"].clone());
            assert!(level.is_ok_and(|level| level.is_string() && level != "ERROR"), "it logged: {line}");
        }
        self.finished = true;
    }

    /// Ends a test on a backend that was away: what came in is what was answered. Where jobs are is the backend's to tell,
    /// and an outage may be logged as an error.
    pub async fn finish_after_outage(mut self) {
        identities::assert_answers(&self).await;
        for line in self.log().lines().filter(|line| !port_taken(line)) {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "it panicked: {line}");
        }
        self.finished = true;
    }

    /// Ends a test whose log is text: what came in is what was answered, and nothing panicked.
    pub async fn finish_with_text_log(mut self) {
        identities::assert_answers(&self).await;
        assert!(!self.log().contains("panicked"), "it panicked");
        self.finished = true;
    }

    async fn launch(&mut self) {
        for _ in 0..LAUNCHES {
            let (ingest, admin) = (free_port(), free_port());
            self.child = Some(self.setup.spawn(ingest, admin));
            self.ingest = client((Ipv4Addr::LOCALHOST, ingest).into(), self.setup.ingest_tls.clone());
            let token = self.setup.admin_token.clone();
            self.admin = client((Ipv4Addr::LOCALHOST, admin).into(), self.setup.admin_tls.clone());
            self.admin = self.admin.clone().with_bearer(token);
            if self.ready().await {
                self.dead_at_start = identities::dead_now(self).await;
                return;
            }
        }
        panic!("the gateway does not start");
    }

    /// Whether it became ready; not, if it ended because somebody else took a port.
    async fn ready(&mut self) -> bool {
        let (ingest, child) = (self.ingest.clone(), &mut self.child);
        let status = until("the gateway is ready", PATIENCE, async || {
            if let Some(status) = child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                return Some(Some(status));
            }
            let answer = ingest.get("/readyz").try_send().await.ok()?;
            (answer.status == 200).then_some(None)
        });
        let Some(status) = status.await else { return true };
        self.child = None;
        assert!(port_taken(self.log().lines().last().unwrap_or_default()), "the gateway ended with {status}");
        false
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- the gateway's log (the end of {} lines)\n{}\n---", lines.len(), tail.join("\n"));
        } else {
            assert!(self.finished, "a test must end with finish()");
        }
    }
}

fn client(address: SocketAddr, tls: Option<ClientConfig>) -> Client {
    match tls {
        Some(tls) => Client::secure(address, tls),
        None => Client::new(address),
    }
}

/// The last words of a gateway that was given somebody else's port.
fn port_taken(line: &str) -> bool {
    line.to_lowercase().contains("address already in use")
}

/// A port that nobody listens on, from below the range that outgoing connections are given theirs from.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(61);
    for _ in 0..PORTS {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST_PORT + u16::try_from(start.wrapping_add(step) % u32::from(PORTS)).unwrap();
        if TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

const LOG: &str = "gateway.log";
const LAUNCHES: usize = 5;
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Longer than a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

//! A real Redis server of a test's own: in its own folder, on a loopback port, never left behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Mutex;

use super::gateway::free_port;
use super::poll::until;
use super::resp::{Reply, Resp};

/// A running Redis. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    options: Vec<(String, String)>,
    port: u16,
    child: Option<Child>,
    /// What the test itself asks with; made anew when Redis was away.
    line: Mutex<Option<Resp>>,
}

impl Redis {
    /// A Redis that keeps nothing on disk, with these options as redis.conf calls them.
    pub async fn start(options: &[(&str, &str)]) -> Redis {
        assert_version();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let unless_set = DEFAULTS.iter().filter(|(key, _)| options.iter().all(|(other, _)| other != key));
        let mut redis = Redis {
            folder: tempfile::tempdir().expect("a temporary folder"),
            options: unless_set.chain(options).map(own).collect(),
            port: 0,
            child: None,
            line: Mutex::new(None),
        };
        for _ in 0..LAUNCHES {
            redis.port = free_port();
            redis.child = Some(redis.spawn());
            if redis.is_ready().await {
                return redis;
            }
        }
        panic!("redis-server does not start:\n{}", redis.log());
    }

    /// A Redis that has every write on disk before it answers.
    pub async fn durable(options: &[(&str, &str)]) -> Redis {
        Redis::start(&[&[("appendonly", "yes"), ("appendfsync", "always")], options].concat()).await
    }

    /// Sets an option for the next [`Redis::restart`].
    pub fn set_option(&mut self, key: &str, value: &str) {
        self.options.retain(|(name, _)| name != key);
        self.options.push((key.into(), value.into()));
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// How the gateway is told of it; with the password, where it has one.
    pub fn url(&self) -> String {
        match self.password() {
            Some(password) => format!("redis://:{password}@{}", self.address()),
            None => format!("redis://{}", self.address()),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The answer to a command that must not be refused.
    pub async fn cli<A: AsRef<[u8]>>(&self, command: &[A]) -> Reply {
        let shown = || command.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect::<Vec<_>>();
        match self.try_cli(command).await {
            Ok(Reply::Error(why)) | Err(why) => panic!("{:?}: {why}", shown()),
            Ok(reply) => reply,
        }
    }

    /// The answer to any command, a refusal too; the error where there is none.
    pub async fn try_cli<A: AsRef<[u8]>>(&self, command: &[A]) -> Result<Reply, String> {
        let mut line = self.line.lock().await;
        let mut open = match line.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        let reply = open.ask(command).await?;
        *line = Some(open);
        Ok(reply)
    }

    /// A connection of its own, for commands that wait or change it.
    pub async fn connect(&self) -> Result<Resp, String> {
        let mut line = Resp::connect(self.address()).await?;
        if let Some(password) = self.password() {
            line.ask(&["AUTH", password]).await?.good();
        }
        Ok(line)
    }

    /// Changes an option while it runs.
    pub async fn config(&self, key: &str, value: &str) {
        self.cli(&["CONFIG", "SET", key, value]).await;
    }

    /// A field of `INFO`, such as `used_memory`.
    pub async fn info(&self, field: &str) -> String {
        let info = self.cli(&["INFO", "everything"]).await.text().to_owned();
        let found = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no {field} in INFO:\n{info}")).to_owned()
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running Redis");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
        *self.line.get_mut() = None;
    }

    /// Stops the process where it stands (SIGSTOP): connections stay open, nothing is answered.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// Lets a stopped process go on.
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// Starts again on the same port and folder, after [`Redis::kill`] or in its place; returns when it is ready.
    pub async fn restart(&mut self) {
        self.restart_unready();
        self.ready().await;
    }

    /// As [`Redis::restart`], without waiting: it may still be loading what it has on disk.
    pub fn restart_unready(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        self.child = Some(self.spawn());
    }

    /// Waits until it has loaded and answers.
    pub async fn ready(&mut self) {
        assert!(self.is_ready().await, "redis-server ended:\n{}", self.log());
    }

    /// Everything it has logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }

    fn password(&self) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == "requirepass").map(|(_, password)| password.as_str())
    }

    /// Whether it became ready; not, if it ended, since somebody else took the port or an option is wrong. Its own log
    /// says so, line by line with its process id: who answers on the port might be another.
    async fn is_ready(&mut self) -> bool {
        let (log, address) = (self.log_file(), self.address());
        let child = self.child.as_mut().expect("it was started");
        let mine = format!("{}:", child.id());
        let says_so = |line: &str| line.starts_with(&mine) && line.contains("Ready to accept connections");
        let ready = until("redis-server is ready", PATIENCE, async || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.lines().any(says_so).then_some(())?;
            Resp::connect(address).await.ok()?.ask(&["PING"]).await.ok().map(|_| true)
        });
        let ready = ready.await;
        if !ready {
            self.child = None;
        }
        ready
    }

    fn spawn(&self) -> Child {
        // It dies with the thread that starts it, so that a test that is killed leaves nothing behind either.
        let mut command = match Path::new(SETPRIV).exists() {
            true => Command::new(SETPRIV),
            false => Command::new(SERVER),
        };
        if command.get_program() == SETPRIV {
            command.args(["--pdeathsig", "KILL", SERVER]);
        }
        let place = [
            ("port".to_owned(), self.port.to_string()),
            ("dir".to_owned(), self.folder.path().display().to_string()),
            ("logfile".to_owned(), self.log_file().display().to_string()),
        ];
        for (key, value) in place.iter().chain(&self.options) {
            command.arg(format!("--{key}"));
            // Several words, such as `replicaof HOST PORT`, are several arguments; no word is an empty one.
            match value.is_empty() {
                true => command.arg(""),
                false => command.args(value.split(' ')),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("a running Redis").id().to_string();
        let status = Command::new("kill").arg(format!("-{name}")).arg(pid).status().expect("kill can be run");
        assert!(status.success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the end of Redis' log\n{}\n---",
                lines[lines.len().saturating_sub(15)..].join("\n")
            );
        }
    }
}

/// There is a redis-server, and it is not too old: streams tell the lag of their groups since version 7.
fn assert_version() {
    let said = Command::new(SERVER).arg("--version").output();
    let said = said.unwrap_or_else(|why| {
        panic!("{SERVER}: {why}: run `make test`, or install Redis 7.0 or later (Debian: `apt-get install redis-server`)")
    });
    let said = String::from_utf8_lossy(&said.stdout);
    let major = said.split_once("v=").and_then(|(_, rest)| rest.split_once('.')?.0.parse::<u32>().ok());
    assert!(major >= Some(7), "{SERVER} is too old, 7.0 is needed: {said}");
}

const SERVER: &str = "redis-server";
const SETPRIV: &str = "/usr/bin/setpriv";

const DEFAULTS: [(&str, &str); 4] =
    [("bind", "127.0.0.1"), ("save", ""), ("appendonly", "no"), ("daemonize", "no")];

const LAUNCHES: usize = 5;

/// Longer than a start may take on a busy machine, with a file to load.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_was_written_survives_a_kill_and_a_stop_and_nothing_survives_the_test() {
    let mut redis = Redis::durable(&[("requirepass", "secret"), ("save", "3600 1")]).await;
    redis.cli(&["SET", "name", "value of two words"]).await;
    assert_eq!(redis.info("aof_enabled").await, "1");
    redis.kill();
    assert!(redis.try_cli(&["PING"]).await.is_err());
    redis.restart().await;
    assert_eq!(redis.cli(&["GET", "name"]).await.text(), "value of two words");
    assert_eq!(redis.cli(&["CONFIG", "GET", "save"]).await.items()[1].text(), "3600 1");

    redis.stop();
    let asked = tokio::time::timeout(Duration::from_millis(300), redis.try_cli(&["PING"]));
    assert!(asked.await.is_err(), "it answers though it was stopped");
    redis.cont();
    assert_eq!(redis.cli(&["PING"]).await.text(), "PONG");

    assert!(matches!(redis.try_cli(&["INCR", "name"]).await, Ok(Reply::Error(_))));
    let (address, folder) = (redis.address(), redis.folder().to_owned());
    drop(redis);
    assert!(Resp::connect(address).await.is_err() && !folder.exists());
}

//! What the Redis queue stores per second beside what redis-benchmark does with the same commands:
//! `cargo bench --bench redis`. It starts a redis-server of its own, which keeps nothing on disk.

use std::error::Error;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate::clock::Clock;
use tidegate::domain::idempotency::{Fingerprint, Key, Keyed};
use tidegate::domain::job::Job;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::JobQueue;
use tidegate::queue::redis::RedisQueue;
use tidegate::queue::redis::settings::{RedisSettings, RedisUrl, Structure};
use tidegate::random;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let _server = Server::start(port, folder.path())?;
    println!("{:<56} {:>12}", "payload 256 B", "per second");
    yardstick(port)?;
    for (structure, word) in [(Structure::Stream, "stream"), (Structure::List, "list")] {
        let settings = RedisSettings {
            url: RedisUrl::parse(&format!("redis://127.0.0.1:{port}"))?,
            structure,
            ..RedisSettings::default()
        };
        let names = TierMap::from_fn(|tier| format!("{word}:{tier}"));
        let queue = runtime.block_on(async {
            let queue = RedisQueue::open(&settings, &names, Clock::start())?;
            queue.reached().await.map_err(|why| why.to_string())?;
            Outcome::Ok(Arc::new(queue))
        })?;
        for (callers, each) in [(64, 1), (256, 1), (4, 256), (16, 256)] {
            let rate = runtime.block_on(store(&queue, callers, each, job))?;
            line(&format!("{word}: {callers} callers, {each} jobs a call"), rate);
        }
        let rate = runtime.block_on(store(&queue, 64, 1, keyed))?;
        line(&format!("{word}: 64 callers, 1 job a call, under keys"), rate);
        runtime.block_on(queue.close());
    }
    Ok(())
}

/// `redis-benchmark -P 128` with the entry of one job.
fn yardstick(port: u16) -> Outcome<()> {
    let (job, port) = (job(), port.to_string());
    let (id, at, body) = (job.id.to_string(), job.accepted_at.to_string(), "x".repeat(256));
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &port, "-P", "128", "-n", "1000000", "-c", "8", "--csv", "XADD", "yardstick", "*"]);
    command.args(["id", &id, "tier", "p1", "tenant", "anonymous", "accepted_at", &at]);
    command.args(["content_type", "application/json", "attempt", "1", "body", &body]);
    let said = String::from_utf8(command.output()?.stdout)?;
    let rate = said.lines().last().and_then(|line| line.rsplit("\",\"").nth(6)).unwrap_or("?").to_owned();
    line("redis-benchmark -P 128 -c 8 XADD, the same entry", rate.parse().unwrap_or_default());
    Ok(())
}

async fn store(queue: &Arc<RedisQueue>, callers: usize, each: usize, make: fn() -> Job) -> Outcome<f64> {
    let started = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let queue = Arc::clone(queue);
            tokio::spawn(async move {
                let mut stored = 0;
                while started.elapsed() < RUN {
                    let jobs = (0..each).map(|_| make()).collect();
                    queue.enqueue(Tier::P1, jobs)?.await?;
                    stored += each;
                }
                Outcome::Ok(stored)
            })
        })
        .collect();
    let mut stored = 0;
    for caller in callers {
        stored += caller.await??;
    }
    Ok(stored as f64 / started.elapsed().as_secs_f64())
}

fn line(what: &str, rate: f64) {
    println!("{what:<56} {rate:>12.0}");
}

fn job() -> Job {
    let at = Clock::start().wall();
    Job {
        id: random::job_id(at),
        tier: Tier::P1,
        tenant: "anonymous".into(),
        job_type: None,
        ordering_key: None,
        content_type: Some("application/json".into()),
        accepted_at: at,
        expires_at: None,
        headers: Vec::new(),
        keyed: None,
        payload: Bytes::from_static(&[b'x'; 256]),
    }
}

fn keyed() -> Job {
    let (job, number) = (job(), random::number());
    let key = Key(u128::from(number).to_le_bytes());
    Job { keyed: Some(Keyed { key, fingerprint: Fingerprint([7; 16]) }), ..job }
}

/// A redis-server that ends with the measurement.
struct Server(Child);

impl Server {
    fn start(port: u16, folder: &std::path::Path) -> Outcome<Server> {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(folder);
        let server = Server(command.stdout(Stdio::null()).spawn()?);
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Long enough for a steady state, short enough for the memory of the server.
const RUN: Duration = Duration::from_secs(2);

//! A wire that can be cut: a TCP proxy in front of a real server, which ends connections after so many bytes, or is slow.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A listener on loopback behind which the real server stands. It ends with its owner.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    wire: Arc<Wire>,
    task: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Wire {
    /// Where new connections lead.
    server: Mutex<SocketAddr>,
    /// Bytes that may still pass before a cut, towards the server and back; [`WHOLE`] is no cut.
    towards: AtomicU64,
    back: AtomicU64,
    cuts: AtomicU64,
    /// Every piece of an answer is held back for so many milliseconds.
    delay: AtomicU64,
    /// Answers end their connection in place of passing.
    deaf: AtomicBool,
    /// Told when every connection is to end at once.
    all: Notify,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let wire = Arc::new(Wire {
            server: Mutex::new(server),
            towards: AtomicU64::new(WHOLE),
            back: AtomicU64::new(WHOLE),
            cuts: AtomicU64::new(0),
            delay: AtomicU64::new(0),
            deaf: AtomicBool::new(false),
            all: Notify::new(),
        });
        let shared = wire.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = *shared.server.lock().unwrap();
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Proxy { address, wire, task }
    }

    /// How the gateway is told of a Redis behind it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// New connections lead to this server: the one from before is gone, and has come back elsewhere.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.wire.server.lock().unwrap() = server;
    }

    /// The connection that carries the byte after so many more towards the server ends before that byte.
    pub fn cut_commands_after(&self, bytes: u64) {
        self.wire.towards.store(bytes, Ordering::Relaxed);
    }

    /// The same for what comes back: the server has done what was asked, and nobody hears of it.
    pub fn cut_answers_after(&self, bytes: u64) {
        self.wire.back.store(bytes, Ordering::Relaxed);
    }

    /// Every connection ends now, in the middle of whatever is on its way.
    pub fn cut_all(&self) {
        self.wire.all.notify_waiters();
    }

    /// Cuts made so far.
    pub fn cuts(&self) -> u64 {
        self.wire.cuts.load(Ordering::Relaxed)
    }

    /// Holds every piece of an answer back for this long.
    pub fn delay(&self, delay: Duration) {
        self.wire.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// From now on every connection ends with its first answer, unheard; or no longer.
    pub fn deaf(&self, deaf: bool) {
        self.wire.deaf.store(deaf, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries both ways until one end closes or the wire is cut; then both ends are closed.
async fn carry(client: TcpStream, server: SocketAddr, wire: Arc<Wire>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let at_once = AtomicU64::new(0);
    tokio::select! {
        () = wire.all.notified() => {}
        () = pump(client_reads, server_writes, &wire, &wire.towards, &at_once) => {}
        () = pump(server_reads, client_writes, &wire, &wire.back, &wire.delay) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    wire: &Wire,
    left: &AtomicU64,
    delay: &AtomicU64,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut piece).await {
        if length == 0 {
            return;
        }
        let delay = delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if std::ptr::eq(left, &wire.back) && wire.deaf.load(Ordering::Relaxed) {
            wire.cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let allowed = left.load(Ordering::Relaxed);
        if allowed == WHOLE {
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
            continue;
        }
        let passes = usize::try_from(allowed).unwrap().min(length);
        let _ = to.write_all(&piece[..passes]).await;
        if passes < length {
            left.store(WHOLE, Ordering::Relaxed);
            wire.cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
        left.store(allowed - passes as u64, Ordering::Relaxed);
    }
}

const WHOLE: u64 = u64::MAX;

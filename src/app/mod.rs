//! Floor 7: wires the floors together: from settings and a policy to a gateway that runs until it is told to stop.

mod backend;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::app::backend::Backend;
use crate::clock::Clock;
use crate::config::{self, AdminSettings, KeysFile, Settings};
use crate::domain::tier::{Tier, TierMap};
use crate::policy::{Policy, Requirement};
use crate::queue::embedded::EmbeddedQueue;
use crate::queue::file::OpenError;
use crate::queue::kafka::KafkaOpenError;
use crate::queue::kafka::checks::TopicFault;
use crate::queue::redis::BadAddress;
use crate::queue::spool::SpooledQueue;
use crate::queue::{Durability, JobQueue};
use crate::random;
use crate::regulator::Regulator;
use crate::runtime::admission::Admission;
use crate::runtime::control_loop::ControlLoop;
use crate::runtime::file_limit;
use crate::runtime::forward::Forward;
use crate::runtime::gateway::Gateway;
use crate::runtime::held::Held;
use crate::runtime::idempotency::Claims;
use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::{Lifecycle, Phase};
use crate::runtime::reload::PolicyDesk;
use crate::runtime::reload::keeper::{Followers, Keeper, Parts};
use crate::runtime::share::Share;
use crate::runtime::share::exchange::{BadMeetingPoint, Exchange};
use crate::runtime::share::settings::ShareSettings;
use crate::runtime::shutdown::{self, ShutdownSettings};
use crate::runtime::signals::{HangUps, StopSignals};
use crate::runtime::spool_drain::SpoolDrain;
use crate::runtime::tls::material::MaterialError;
use crate::runtime::tls::{Certificate, Certificates};
use crate::server::access::Access;
use crate::server::access::key_ring::KeyRing;
use crate::server::admin::guard::Guard;
use crate::server::admin::{Admin, admin_router, events, heartbeat};
use crate::server::client_limit::ClientLimit;
use crate::server::cors;
use crate::server::crowd::crowded_router;
use crate::server::ingest_router;
use crate::server::limits::Limits;
use crate::server::listen::handshakes::Handshakes;
use crate::server::listen::slots;
use crate::server::listen::{self, Door, Routes};
use crate::server::state::Ingest;
use crate::telemetry::metrics::{Metrics, MetricsError};
use crate::telemetry::trace::collector::CollectorError;
use crate::telemetry::trace::delivery::Delivery;
use crate::telemetry::trace::{System, Traces};

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The queue's file.
    #[error("the queue cannot be opened")]
    Queue(#[from] OpenError),
    /// The spool's file.
    #[error("the spool cannot be opened")]
    Spool(#[source] OpenError),
    /// The address of Redis.
    #[error("redis.url cannot be used")]
    Address(#[from] BadAddress),
    /// The address at which gateways share.
    #[error("share.redis_url cannot be used")]
    MeetingPoint(#[from] BadMeetingPoint),
    /// A tier requires more than the backend gives.
    #[error("tier {tier} requires {required}, and {backend} gives {}: {fix}", reached.as_str())]
    Durability {
        /// Which backend.
        backend: &'static str,
        /// Which tier.
        tier: Tier,
        /// What it requires.
        required: Requirement,
        /// What a receipt would say.
        reached: Durability,
        /// What would mend it.
        fix: String,
    },
    /// Kafka as the backend.
    #[error("the queue in Kafka cannot be opened")]
    Kafka(#[from] KafkaOpenError),
    /// Topics that jobs could not go to.
    #[error("{}", told(.0))]
    Topics(Vec<TopicFault>),
    /// The backend cannot be reached, and no tier could be taken without it.
    #[error("the {backend} backend is away: {detail}")]
    Away {
        /// Which.
        backend: &'static str,
        /// What is wrong.
        detail: Arc<str>,
    },
    /// A listener.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The files of a listener's TLS.
    #[error("{listener}.tls cannot be used")]
    Tls {
        /// Which listener.
        listener: &'static str,
        /// What is wrong.
        source: MaterialError,
    },
    /// The watch over files.
    #[error("files cannot be watched")]
    Watch(#[source] io::Error),
    /// The collector of traces.
    #[error("telemetry.otlp_endpoint cannot be used")]
    Collector(#[from] CollectorError),
    /// The runtime's threads.
    #[error("the runtime cannot start")]
    Runtime(#[source] io::Error),
    /// The signals.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// The metrics table.
    #[error("the metrics table is faulty")]
    Metrics(#[from] MetricsError),
}

fn told(faults: &[TopicFault]) -> String {
    faults.iter().map(TopicFault::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs the gateway until a stop signal, then stops in good order. It starts with this policy, which came from the file
/// that the settings name, or is the built-in one.
///
/// # Errors
/// Something that is needed at the start is missing; nothing was served.
pub async fn run(settings: Settings, policy: Policy, from_file: bool) -> Result<(), StartError> {
    let mut signals = StopSignals::listen().map_err(StartError::Signals)?;
    let running = start(settings, policy, from_file).await?;
    signals.next().await;
    running.stop(signals.next()).await;
    Ok(())
}

/// A gateway that serves.
pub struct Running {
    /// Where clients and workers reach it.
    pub ingest: SocketAddr,
    /// Where operators do.
    pub admin: SocketAddr,
    gateway: Gateway,
    tasks: JoinSet<()>,
    shutdown: ShutdownSettings,
    /// The way of spans to their collector.
    delivery: Option<Delivery>,
}

/// Starts the gateway, as [`run`] does.
///
/// # Errors
/// As [`run`].
pub async fn start(settings: Settings, policy: Policy, from_file: bool) -> Result<Running, StartError> {
    let hang_ups = HangUps::listen().map_err(StartError::Signals)?;
    ask_for_files(&settings.limits);
    let (ingest, ingest_address) = bind("ingest", settings.ingest.listen, None)?;
    let (admin, admin_address) = bind("admin", settings.admin.listen, Some(ADMIN_SEND_BUFFER))?;
    let clock = Clock::start();
    let (certificates, renewals) = tls::open(&settings, clock)?;
    let Backend { queue, leases, spool, drain } = backend::open(&settings, &policy, clock).await?;
    let mut gateway = gateway(&settings, policy, queue, leases, certificates, clock)?;
    let delivery = open_traces(&settings, &mut gateway)?;
    let (sender, interval) = watch::channel(gateway.policy.load().regulator.controller.interval);
    let (keeper, policy) = keeper(&settings, from_file, &gateway, spool, sender)?;
    let mut exchange = exchange(&settings, &gateway)?;
    if let Some(exchange) = &mut exchange {
        exchange.begin().await;
    }
    let (admission, metrics) = (gateway.admission.clone(), Arc::clone(&gateway.metrics));
    let mut control = ControlLoop::new(admission, gateway.share.clone(), metrics, gateway.clock, interval);
    control.first_step(gateway.queue.as_ref()).await;
    let mut tasks = serve(&settings, &gateway, policy, ingest, admin)?;
    tasks.spawn(control.run(Arc::clone(&gateway.queue)));
    tasks.spawn(keeper.run(hang_ups));
    if let Some(exchange) = exchange {
        tasks.spawn(exchange.run(gateway.lifecycle.clone()));
    }
    if let Some(drain) = drain {
        let policy = Arc::clone(&gateway.policy);
        tasks.spawn(SpoolDrain::new(drain, gateway.admission.clone(), policy).run());
    }
    for renewal in renewals {
        tasks.spawn(renewal.run());
    }
    gateway.lifecycle.advance(Phase::Running);
    info!(version = env!("CARGO_PKG_VERSION"), "ready");
    let shutdown = settings.shutdown;
    Ok(Running { ingest: ingest_address, admin: admin_address, gateway, tasks, shutdown, delivery })
}

impl Running {
    /// Stops in good order; `hurry` ends every wait.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) {
        let Gateway { lifecycle, in_flight, queue, .. } = &self.gateway;
        shutdown::stop(self.shutdown, lifecycle, in_flight, hurry).await;
        if timeout(CLOSING_TIME, queue.close()).await.is_err() {
            error!(
                "the queue did not close in time: what was accepted is on disk, acknowledgements may be repeated"
            );
        }
        if let Some(delivery) = self.delivery {
            delivery.finish(LAST_SPANS_TIME).await;
        }
        self.tasks.abort_all();
        info!("stopped");
    }
}

/// Each connection is an open file; beyond what the system allows, clients would wait without an answer.
fn ask_for_files(limits: &Limits) {
    let connections = limits.max_connections + slots::most_heard(limits.max_connections);
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let allowed = file_limit::raise(needed);
    if allowed < needed {
        warn!(
            allowed,
            needed,
            "limits.max_connections needs more open files than the system allows: raise ulimit -n or lower it"
        );
    }
}

/// Listens; the line it logs names the port even where the settings left it open with port 0. Connections get the
/// system's send buffer unless another is asked for.
fn bind(
    name: &'static str,
    address: SocketAddr,
    send_buffer: Option<u32>,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As a bound listener of tokio's has it: a restart does not wait for connections of the last run to fade.
        socket.set_reuseaddr(true)?;
        send_buffer.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes))?;
        socket.bind(address)?;
        socket.listen(slots::BACKLOG)
    };
    let listener = listen().map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    info!(%address, "{name} listens");
    Ok((listener, address))
}

/// Everything a request may touch, not yet serving.
fn gateway(
    settings: &Settings,
    policy: Policy,
    queue: Arc<dyn JobQueue>,
    leases: Option<Arc<EmbeddedQueue>>,
    certificates: Certificates,
    clock: Clock,
) -> Result<Gateway, StartError> {
    let metrics = Arc::new(Metrics::new(settings.classic_metric_names)?);
    let regulator = Regulator::new(&policy.regulator, random::number(), clock.now());
    let share = (settings.share != ShareSettings::Alone)
        .then(|| Share::new(random::number(), policy.regulator.controller.interval, clock));
    Ok(Gateway {
        clock,
        share,
        admission: Admission::new(regulator, clock, Arc::clone(&metrics)),
        forward: Forward::new(Arc::clone(&queue), Arc::clone(&metrics), clock),
        policy: Arc::new(ArcSwap::from_pointee(policy)),
        claims: Claims::default(),
        queue,
        leases,
        lifecycle: Lifecycle::starting(),
        in_flight: InFlight::none(),
        held: Held::default(),
        certificates,
        metrics,
        refusals: Arc::default(),
        traces: Traces::off(),
    })
}

/// Spans, where there is a collector for them; what sends them.
fn open_traces(settings: &Settings, gateway: &mut Gateway) -> Result<Option<Delivery>, StartError> {
    let Some(collector) = &settings.otlp_endpoint else { return Ok(None) };
    let system = match settings.backend {
        config::Backend::Embedded => System::Embedded,
        config::Backend::Redis => System::Redis,
        config::Backend::Kafka => System::Kafka,
    };
    let (traces, delivery) = Traces::to(collector, system, &gateway.metrics)?;
    gateway.traces = traces;
    Ok(Some(delivery))
}

/// The owner of the policy in force, and the desk at which operators ask it. `from_file` says whether the policy was read
/// from its file.
fn keeper(
    settings: &Settings,
    from_file: bool,
    gateway: &Gateway,
    spool: Option<Arc<SpooledQueue>>,
    interval: watch::Sender<Duration>,
) -> Result<(Keeper, PolicyDesk), StartError> {
    let terms = backend::terms(settings, Arc::clone(&gateway.queue), spool.is_some());
    let (leases, share) = (gateway.leases.clone(), gateway.share.clone());
    let parts = Parts {
        policy: Arc::clone(&gateway.policy),
        admission: gateway.admission.clone(),
        followers: Followers { leases, spool, share, interval },
        terms,
        clock: gateway.clock,
        metrics: Arc::clone(&gateway.metrics),
        file: settings.policy.clone(),
        from_file,
    };
    Keeper::new(parts).map_err(StartError::Watch)
}

/// The exchange with the other gateways, where there may be some.
fn exchange(settings: &Settings, gateway: &Gateway) -> Result<Option<Exchange>, StartError> {
    let (ShareSettings::Redis(meeting_point), Some(share)) = (&settings.share, &gateway.share) else {
        return Ok(None);
    };
    let policy = gateway.policy.load();
    let queues = TierMap::from_fn(|tier| policy.tiers[tier].queue.to_string());
    let admission = gateway.admission.clone();
    Ok(Some(Exchange::new(share.clone(), admission, meeting_point, &queues, gateway.clock)?))
}

/// Who may do what; what follows the keys file and forgets clients runs from here on.
fn access(settings: &Settings, gateway: &Gateway, tasks: &mut JoinSet<()>) -> Result<Access, StartError> {
    let metrics = &gateway.metrics;
    let mut access = Access::without_keys(settings.anonymous.submit, settings.anonymous_may_lease());
    if let Some(KeysFile { path, table }) = &settings.keys {
        let ring = Arc::new(KeyRing::new(table.clone()));
        let following = Arc::clone(&ring).follow(path, Arc::clone(metrics));
        tasks.spawn(following.map_err(StartError::Watch)?);
        access.keys = Some(ring);
    }
    if let Some(rate) = settings.client_rate {
        let proxies = settings.ingest.trusted_proxies.clone();
        let clients = Arc::new(ClientLimit::new(rate, proxies, gateway.clock));
        tasks.spawn(Arc::clone(&clients).keep_swept());
        access.clients = Some(clients);
    }
    Ok(access)
}

/// Starts both listeners.
fn serve(
    settings: &Settings,
    gateway: &Gateway,
    policy: PolicyDesk,
    ingest: TcpListener,
    admin: TcpListener,
) -> Result<JoinSet<()>, StartError> {
    let mut tasks = JoinSet::new();
    let access = access(settings, gateway, &mut tasks)?;
    let (keys, clients) = (access.keys.clone(), access.clients.clone());
    let ingest_state = Ingest::new(gateway.clone(), settings.limits, access);
    let ingest_routes = [ingest_router(Arc::clone(&ingest_state)), crowded_router(ingest_state)];
    let [usual, crowded] = ingest_routes.map(|routes| cors::around(routes, &settings.ingest.cors));
    let ingest_routes = Routes { usual, crowded };
    let AdminSettings { listen, token, hosts, tls } = settings.admin.clone();
    let guard = Guard::new(listen, token.map(|token| token.reveal().to_owned()), hosts, tls.is_some());
    let admin_state = Admin::new(gateway.clone(), policy, settings.limits, guard, keys, clients);
    tasks.spawn(events::publish(Arc::clone(&admin_state)));
    tasks.spawn(heartbeat::run(Arc::clone(&admin_state)));
    let admin_routes = admin_router(admin_state);
    // Operators are answered beyond the bound too: each then gets one answer.
    let admin_routes = Routes { usual: admin_routes.clone(), crowded: admin_routes };
    let held = &gateway.held;
    let certificates = gateway.certificates.clone();
    let door = |name, listener, certificate: Option<Arc<Certificate>>| {
        let shaken =
            |certificate| Handshakes::of(name, certificate, Arc::clone(&gateway.metrics), gateway.clock);
        Door { listener, tls: certificate.map(shaken) }
    };
    let ingest = door("ingest", ingest, certificates.ingest);
    let admin = door("admin", admin, certificates.admin);
    for (door, routes, count) in [
        (ingest, ingest_routes, Arc::clone(&held.ingest_connections)),
        (admin, admin_routes, Arc::clone(&held.admin_connections)),
    ] {
        let (limits, lifecycle, in_flight) =
            (settings.limits, gateway.lifecycle.clone(), gateway.in_flight.clone());
        tasks.spawn(async move { listen::serve(door, routes, &limits, count, lifecycle, in_flight).await });
    }
    Ok(tasks)
}

/// The writer finishes its transaction and syncs; a slow disk gets this long.
const CLOSING_TIME: Duration = Duration::from_secs(10);

/// A collector that is away or slow does not hold a stop up for longer.
const LAST_SPANS_TIME: Duration = Duration::from_secs(3);

/// Open files beside the connections of clients: the queue, the logs, operators.
const OTHER_FILES: u64 = 512;

/// Bytes that the kernel holds for an operator who does not read. Without a bound it takes megabytes, and a listener to
/// events that stopped reading would be noticed after a quarter of an hour.
const ADMIN_SEND_BUFFER: u32 = 32 * 1024;

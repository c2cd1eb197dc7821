//! The gateway's documents as far as they are drawn; what is unknown here is passed over.

use serde::Deserialize;

use crate::domain::tier::Tier;
use crate::telemetry::diagnosis::Severity;
use crate::telemetry::flow::Flow;
use crate::telemetry::latency::Quantiles;

/// `/v1/status`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) phase: String,
    pub(super) time: String,
    pub(super) uptime_seconds: f64,
    pub(super) backend: String,
    pub(super) durability: String,
    pub(super) policy: Policy,
    pub(super) shadow: Shadow,
    pub(super) keys: Option<Keys>,
    pub(super) share: Share,
    pub(super) tenants: Vec<Tenant>,
    pub(super) tls: Tls,
    /// Unknown to older gateways.
    #[serde(default)]
    pub(super) edge: Edge,
    pub(super) tiers: Tiers,
}

/// What is refused before it has a tier.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Edge {
    pub(super) sentence: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    pub(super) revision: String,
    pub(super) file: String,
    pub(super) loaded_at: String,
    pub(super) pinned: bool,
    pub(super) last_reload: Option<Reload>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reload {
    pub(super) at: String,
    pub(super) result: String,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    /// All of it in one line, as `tidegate check` says it.
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Shadow {
    pub(super) state: String,
    pub(super) file: Option<String>,
    pub(super) faults: Vec<Fault>,
    pub(super) disagreements: Vec<Count>,
    pub(super) moves: Vec<Count>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Count {
    pub(super) count: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Keys {
    pub(super) in_force: usize,
    pub(super) fault: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Share {
    pub(super) mode: String,
    pub(super) replicas: usize,
    pub(super) fraction: Fractions,
    pub(super) age_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fractions {
    pub(super) p0: f64,
    pub(super) p1: f64,
    pub(super) p2: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) admitted: u64,
    pub(super) refused: u64,
    pub(super) asked_lately: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tls {
    pub(super) ingest: Option<ListenerTls>,
    pub(super) admin: Option<ListenerTls>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListenerTls {
    pub(super) not_after: Option<String>,
    pub(super) last_reload: Option<TlsReload>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TlsReload {
    pub(super) fault: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tiers {
    p0: TierStatus,
    p1: TierStatus,
    p2: TierStatus,
}

#[derive(Debug, Deserialize)]
pub(super) struct TierStatus {
    pub(super) state: State,
    pub(super) bounds: Bounds,
    pub(super) flow: Flow,
    pub(super) depth: u64,
    pub(super) leased: u64,
    pub(super) oldest_age_seconds: Option<f64>,
    pub(super) signal: String,
    pub(super) signal_age_seconds: Option<f64>,
    pub(super) target: f64,
    pub(super) recent_drain: f64,
    pub(super) rate: f64,
    pub(super) shedding: bool,
    pub(super) full: bool,
    pub(super) spooling: bool,
    /// Why the backend is away.
    pub(super) outage: Option<String>,
    pub(super) spool_depth: u64,
    pub(super) groups: Vec<Group>,
    pub(super) retention: Option<Retention>,
    pub(super) jobs: Jobs,
    pub(super) latency_seconds: Quantiles,
    pub(super) retry_after_seconds: Quantiles,
}

#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) word: String,
    pub(super) severity: Severity,
    pub(super) sentence: String,
    pub(super) reason: Option<String>,
    pub(super) refused: Option<String>,
    pub(super) advice: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Bounds {
    pub(super) max_depth: u64,
    pub(super) shed_at: Option<u64>,
    pub(super) shed_until: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) lag: u64,
    pub(super) pending: u64,
    pub(super) state: String,
    pub(super) members: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Retention {
    pub(super) limit_seconds: Option<f64>,
    pub(super) headroom_seconds: Option<f64>,
    pub(super) deleted_in_seconds: Option<f64>,
    pub(super) lost_unread: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Jobs {
    pub(super) dead: u64,
}

/// `/v1/history`, as far as it is drawn.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct History {
    pub(super) step_seconds: u64,
    tiers: HistoryTiers,
}

#[derive(Clone, Debug, Deserialize)]
struct HistoryTiers {
    p0: Columns,
    p1: Columns,
    p2: Columns,
}

#[derive(Clone, Debug, Deserialize)]
struct Columns {
    depth: Vec<Option<f64>>,
}

/// Why a document cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("it runs tidegate {theirs}, whose status this one ({}) cannot draw: {source}", env!("CARGO_PKG_VERSION"))]
pub(super) struct DocumentError {
    theirs: String,
    source: serde_json::Error,
}

impl Status {
    /// Reads a document.
    ///
    /// # Errors
    /// Something that is drawn is not there: the gateway is of another version.
    pub(super) fn read(text: &str) -> Result<Status, DocumentError> {
        serde_json::from_str(text).map_err(|source| {
            #[derive(Default, Deserialize)]
            struct Version {
                version: String,
            }
            let theirs = serde_json::from_str::<Version>(text).unwrap_or_default().version;
            DocumentError { theirs, source }
        })
    }
}

impl Tiers {
    /// The tiers, critical work first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Tier, &TierStatus)> {
        [(Tier::P0, &self.p0), (Tier::P1, &self.p1), (Tier::P2, &self.p2)].into_iter()
    }

    /// The tiers, those in the worst state first.
    pub(super) fn worst_first(&self) -> Vec<(Tier, &TierStatus)> {
        let mut tiers: Vec<_> = self.iter().collect();
        tiers.sort_by_key(|(_, status)| std::cmp::Reverse(status.state.severity));
        tiers
    }

    /// The highest severity.
    pub(super) fn worst(&self) -> Severity {
        self.iter().map(|(_, status)| status.state.severity).max().unwrap_or(Severity::Calm)
    }
}

impl Status {
    /// The highest severity of a tier, or of what is refused before it has one.
    pub(super) fn worst(&self) -> Severity {
        let edge = if self.edge.sentence.is_some() { Severity::Warning } else { Severity::Calm };
        self.tiers.worst().max(edge)
    }
}

impl TierStatus {
    /// Whether nothing may come in, whatever the rate says.
    pub(super) fn is_shut(&self) -> bool {
        self.shedding || self.full || (self.outage.is_some() && !self.spooling)
    }

    /// What workers take: a pause between two acknowledgements is no end of all work.
    pub(super) fn drain_now(&self) -> f64 {
        if self.recent_drain > 0.0 { self.recent_drain } else { self.flow.done }
    }

    /// What is refused of what is asked for: 0 to 1; nothing where nobody asks.
    pub(super) fn refused_part(&self) -> Option<f64> {
        (self.flow.demand > 0.0).then(|| self.flow.refused() / self.flow.demand)
    }
}

impl History {
    /// The depths of a tier, the oldest first.
    pub(super) fn depth(&self, tier: Tier) -> &[Option<f64>] {
        match tier {
            Tier::P0 => &self.tiers.p0.depth,
            Tier::P1 => &self.tiers.p1.depth,
            Tier::P2 => &self.tiers.p2.depth,
        }
    }
}

//! The names of OpenTelemetry's semantic conventions that our spans use (HTTP: stable; messaging: in development), and our own.

pub(super) const HTTP_METHOD: &str = "http.request.method";
pub(super) const HTTP_ROUTE: &str = "http.route";
pub(super) const HTTP_STATUS: &str = "http.response.status_code";
pub(super) const URL_PATH: &str = "url.path";
pub(super) const URL_SCHEME: &str = "url.scheme";
pub(super) const PROTOCOL_VERSION: &str = "network.protocol.version";
pub(super) const PEER_ADDRESS: &str = "network.peer.address";
pub(super) const ERROR_TYPE: &str = "error.type";

pub(super) const MESSAGING_SYSTEM: &str = "messaging.system";
pub(super) const OPERATION_NAME: &str = "messaging.operation.name";
pub(super) const OPERATION_TYPE: &str = "messaging.operation.type";
pub(super) const DESTINATION: &str = "messaging.destination.name";
pub(super) const MESSAGE_ID: &str = "messaging.message.id";
pub(super) const MESSAGE_COUNT: &str = "messaging.batch.message_count";

/// The tier of the jobs.
pub(super) const TIER: &str = "tidegate.tier";
/// Who sent them, where the policy names it.
pub(super) const TENANT: &str = "tidegate.tenant";
/// What the gate said: `admitted`, or the code of the refusal.
pub(super) const VERDICT: &str = "tidegate.verdict";
/// Seconds until the client may come back.
pub(super) const RETRY_AFTER: &str = "tidegate.retry_after";
/// The code of a problem document.
pub(super) const CODE: &str = "tidegate.code";
/// How safely the jobs are kept.
pub(super) const DURABILITY: &str = "tidegate.durability";
/// Jobs that the backend knew by their keys and did not store again.
pub(super) const DUPLICATES: &str = "tidegate.duplicates";
/// Jobs of a batch that were stored, or known.
pub(super) const ACCEPTED: &str = "tidegate.batch.accepted";
/// Jobs of a batch that were not.
pub(super) const REFUSED: &str = "tidegate.batch.refused";

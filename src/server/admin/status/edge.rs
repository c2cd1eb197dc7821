//! What is refused before it has a tier, in `GET /v1/status`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::telemetry::diagnosis::edge;
use crate::telemetry::flow::EdgeFlow;

/// Requests that are refused before they have a tier, each second: critical work may be among them.
#[derive(Serialize, JsonSchema)]
pub(super) struct EdgeStatus {
    /// By the rate of one client.
    client_limit: f64,
    /// Since the gateway protects itself.
    overloaded: f64,
    /// In all.
    refused: f64,
    /// What it means and what to turn; null where nothing is refused so.
    sentence: Option<String>,
}

impl From<EdgeFlow> for EdgeStatus {
    fn from(edge: EdgeFlow) -> EdgeStatus {
        let EdgeFlow { client_limit, overloaded, refused } = edge;
        EdgeStatus { client_limit, overloaded, refused, sentence: edge::sentence(&edge) }
    }
}

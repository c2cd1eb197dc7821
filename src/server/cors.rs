//! Which pages of other origins a browser lets ask the ingest listener, and read what it says: none, unless configured.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, RETRY_AFTER};
use http::{HeaderValue, Method};
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::server::fields::{RATELIMIT, RATELIMIT_POLICY, TIDEGATE_TIER, X_REQUEST_ID};

/// The origins whose pages may: `ingest.cors.origins`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// None: no answer has a field of CORS.
    #[default]
    None,
    /// Those of this list, such as `https://app.example`.
    Listed(Vec<HeaderValue>),
    /// All. No answer hangs on cookies, so a page learns no more than any other client would.
    Any,
}

/// Lets pages of these origins ask these routes, and read every answer, refusals included.
pub fn around(routes: Router, origins: &Origins) -> Router {
    let origins = match origins {
        Origins::None => return routes,
        Origins::Listed(listed) => AllowOrigin::list(listed.iter().cloned()),
        Origins::Any => AllowOrigin::any(),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::POST])
        // Rules read whatever field the policy names, and workers get every `ce-*`: there is no closed list of them.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([RETRY_AFTER, RATELIMIT, RATELIMIT_POLICY, TIDEGATE_TIER, X_REQUEST_ID])
        .vary([ORIGIN])
        .max_age(PREFLIGHT_HOLDS);
    routes.layer(middleware::from_fn_with_state(layer, answer))
}

/// The layer takes every OPTIONS for a preflight; one that is none is the handshake of webhooks.
async fn answer(State(layer): State<CorsLayer>, request: Request, next: Next) -> Response {
    let is_preflight = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && !is_preflight {
        return next.run(request).await;
    }
    let answered: Result<Response, Infallible> = layer.layer(next).call(request).await;
    match answered {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// How long a browser needs not ask again; Chromium takes two hours at most.
const PREFLIGHT_HOLDS: Duration = Duration::from_secs(600);

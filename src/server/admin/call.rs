//! The body of an operator's call.

use axum::body::Bytes;
use axum::extract::Request;

use crate::server::admin::Admin;
use crate::server::body::Intake;
use crate::server::budget::ByteBudget;
use crate::server::framing;
use crate::server::limits::SizeLimit;
use crate::server::problem::Problem;

/// Reads it within the request's time and this bound.
///
/// # Errors
/// 400, 408, 413 and 415.
pub(super) async fn body(admin: &Admin, request: Request, bound: SizeLimit) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let now = admin.gateway.clock.now();
    let deadline = admin.gateway.clock.instant(now.plus(admin.limits.request_timeout));
    let mut intake = Intake::new(&parts.headers, body, deadline);
    let budget = ByteBudget::new(bound.most());
    let mut held = budget.reserve(0).map_err(|_| Problem::overloaded())?;
    let read = async {
        framing::check_plain(&parts)?;
        intake.whole(bound, &mut held).await.map_err(|error| Problem::body(&error))
    };
    let read = read.await;
    intake.discard_rest().await;
    read
}

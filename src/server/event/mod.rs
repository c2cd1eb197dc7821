//! CloudEvents 1.0: events in the three modes of the HTTP protocol binding, checked and taken apart.
//!
//! Whichever way an event came, its attributes end as `ce-*` fields of plain text in the request's head: rules,
//! ordering keys and workers know one form only. [`media_type`] tells the modes apart; [`binary`] decodes the fields
//! that are there already, [`structured`] reads them out of the body. The rules are in [`attributes`], what breaks
//! them is a [`fault`].

pub mod attributes;
pub mod binary;
pub mod fault;
mod header_value;
pub mod media_type;
pub mod structured;
#[cfg(test)]
mod tests;
mod timestamp;

use http::{HeaderMap, HeaderName};

use crate::domain::code::Code;
use crate::server::event::media_type::Form;
use crate::server::job_head;
use crate::server::problem::Problem;

/// What the head says of the body.
///
/// # Errors
/// 400 and 415.
pub fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let content_type = job_head::content_type(headers)?.unwrap_or_default();
    media_type::form(content_type)
        .map_err(|error| Problem::new(Code::UnsupportedMediaType, error.to_string()))
}

/// Checks and decodes the event in the head of a request whose body is opaque, if there is one.
///
/// # Errors
/// 400, with the attribute that is wrong.
pub fn open_head(headers: &mut HeaderMap) -> Result<(), Problem> {
    binary::open(headers).map_err(|fault| Problem::event(&fault))
}

/// Takes every attribute out of a head.
pub fn drop_attributes(headers: &mut HeaderMap) {
    let fields = headers.keys().filter(|name| name.as_str().starts_with(PREFIX));
    for field in fields.cloned().collect::<Vec<HeaderName>>() {
        headers.remove(field);
    }
}

/// Reads the event that this JSON is; its attributes take the place of the request's own `ce-*` fields.
///
/// # Errors
/// 400, with the attribute that is wrong.
pub fn open_body(headers: &mut HeaderMap, event: &[u8]) -> Result<(), Problem> {
    structured::open(headers, event, job_head::MOST_CARRIED_BYTES).map_err(|fault| Problem::event(&fault))?;
    job_head::check_carried(headers)
}

/// What the names of all fields with attributes begin with.
pub const PREFIX: &str = "ce-";

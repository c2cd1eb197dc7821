//! The rules between the keys of one configuration.

use std::net::SocketAddr;

use crate::config::{Backend, Settings, remote};
use crate::runtime::share::settings::ShareSettings;
use crate::yaml::decode::Field;

/// Notes every broken rule.
pub(super) fn check(root: &Field<'_>, settings: &Settings) {
    check_listeners(root, settings);
    if settings.backend == Backend::Embedded && settings.share != ShareSettings::Alone {
        first_written(root, &[&["share", "mode"], &["backend"]]).refuse(
            "share.mode: redis needs a backend that gateways can share: an embedded queue is of one gateway alone"
                .to_owned(),
        );
    }
    if settings.backend == Backend::Kafka {
        check_deadlines(root, settings);
    }
    remote::check_kafka(root, &settings.kafka);
    let limits = &settings.limits;
    let job = limits.max_job_bytes;
    if job > limits.max_in_flight_bytes {
        let most = limits.max_in_flight_bytes;
        first_written(root, &[&["limits", "max_job_bytes"], &["limits", "max_in_flight_bytes"]]).refuse(format!(
            "limits.max_job_bytes ({job}) must not be above limits.max_in_flight_bytes ({most}): such a job could \
             never come in"
        ));
    }
    if job > settings.embedded.max_bytes {
        let most = settings.embedded.max_bytes;
        first_written(root, &[&["embedded", "max_bytes"], &["limits", "max_job_bytes"]]).refuse(format!(
            "limits.max_job_bytes ({job}) must not be above embedded.max_bytes ({most}): such a job could never be \
             stored"
        ));
    }
}

/// The fate of a job that was sent must be known before its client is answered.
fn check_deadlines(root: &Field<'_>, settings: &Settings) {
    let (sending, request) = (settings.kafka.timeout, settings.limits.request_timeout);
    if sending >= request {
        first_written(root, &[&["kafka", "timeout"], &["limits", "request_timeout"]]).refuse(format!(
            "kafka.timeout ({}) must be below limits.request_timeout ({}): a client would be answered before the fate \
             of its job is known",
            humantime::format_duration(sending),
            humantime::format_duration(request)
        ));
    }
}

fn check_listeners(root: &Field<'_>, settings: &Settings) {
    let (ingest, admin) = (settings.ingest.listen, settings.admin.listen);
    if collide(ingest, admin) {
        first_written(root, &[&["admin", "listen"], &["ingest", "listen"]])
            .refuse(format!("ingest ({ingest}) and admin ({admin}) cannot listen on one address"));
    }
    if !admin.ip().is_loopback() && settings.admin.token.is_none() {
        root.at(&["admin", "listen"])
            .refuse(format!("{admin} is beyond loopback: admin.token_file must name a file with a token"));
    }
}

/// Whether the second listener would find the port taken. Port 0 takes a free one.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_interface = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_interface
}

/// The first of these keys that is written: where to point at when two keys do not fit.
fn first_written<'a>(root: &Field<'a>, paths: &[&[&str]]) -> Field<'a> {
    let written = paths.iter().map(|path| root.at(path)).find(Field::is_written);
    written.unwrap_or_else(|| root.clone())
}

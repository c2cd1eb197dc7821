//! The files of a listener's TLS: named by the configuration, and read to tell faults at the keys that name them.

use crate::config::decode::path;
use crate::runtime::tls::material::Part;
use crate::runtime::tls::{Certificate, TlsFiles};
use crate::yaml::decode::Field;

/// Reads `tls`; `None` where it cannot be used, or is not written out.
pub(super) fn files(field: &Field<'_>) -> Option<Option<TlsFiles>> {
    let mut map = field.mapping()?;
    let (certificate, key) = (map.required("certificate"), map.required("key"));
    let client_ca = map.field("client_ca");
    map.close();
    let (certificate, key) = (certificate?, key?);
    let authority = match &client_ca {
        Some(field) => Some(path(field)?),
        None => None,
    };
    let files = TlsFiles { certificate: path(&certificate)?, key: path(&key)?, client_ca: authority };
    match Certificate::read(&files) {
        Ok(_) => Some(Some(files)),
        Err(error) => {
            let field = match error.part {
                Part::Certificate => &certificate,
                Part::Key => &key,
                Part::ClientCa => client_ca.as_ref().unwrap_or(field),
            };
            field.refuse(error.to_string());
            None
        }
    }
}

//! The request that is explained: a head as a client would send it, and its payload.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// One job request.
#[derive(Debug)]
pub(super) struct JobRequest {
    /// The head, with the fields that every client adds.
    pub(super) parts: Parts,
    /// Where it goes to.
    pub(super) route: Route,
    /// Who sends it.
    pub(super) tenant: String,
    /// The body's declared length.
    pub(super) declared: Option<u64>,
    /// The body; `None` where none was given.
    pub(super) payload: Option<Vec<u8>>,
}

/// Which of the routes that take jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// One job.
    Jobs,
    /// Many; the payload is one of them.
    Batch,
    /// None of them.
    Elsewhere,
}

/// Why there is no request to explain.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The body cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The body is longer than anything a gateway takes.
    #[error("{path}: has more than {LONGEST_BODY} bytes")]
    TooLong {
        /// The file.
        path: String,
    },
    /// Head and body disagree.
    #[error("the header says Content-Length {said}, the body has {has} bytes")]
    Length {
        /// What the header says.
        said: String,
        /// The bytes there are.
        has: usize,
    },
}

impl JobRequest {
    /// The request of these parts; what every client adds to a head is added where it is missing.
    ///
    /// # Errors
    /// The body cannot be read, or the head says another length.
    pub(super) fn new(
        method: Method,
        path: Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        tenant: String,
        body: Option<&Path>,
    ) -> Result<JobRequest, RequestError> {
        let route = match path.path() {
            JOBS => Route::Jobs,
            BATCH => Route::Batch,
            _ => Route::Elsewhere,
        };
        let payload = body.map(read_body).transpose()?;
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut()) = (method, path);
        for (name, value) in headers {
            request.headers_mut().append(name, value);
        }
        let (mut parts, ()) = request.into_parts();
        let declared = declare(&mut parts, payload.as_deref())?;
        parts.headers.entry(HOST).or_insert(HeaderValue::from_static("tidegate"));
        if route == Route::Batch {
            let lines = HeaderValue::from_static("application/x-ndjson");
            parts.headers.entry(CONTENT_TYPE).or_insert(lines);
        }
        Ok(JobRequest { parts, route, tenant, declared, payload })
    }

    /// The body's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }
}

/// The length that the head declares: the body's, unless it comes in chunks. A length without a body stands as it is.
fn declare(parts: &mut Parts, payload: Option<&[u8]>) -> Result<Option<u64>, RequestError> {
    let said = parts.headers.get(CONTENT_LENGTH).cloned();
    let has = payload.map_or(0, <[u8]>::len);
    match said {
        Some(said) => {
            let length: Option<u64> = said.to_str().ok().and_then(|text| text.parse().ok());
            let agrees = length.is_some_and(|length| payload.is_none() || length == has as u64);
            let said = || String::from_utf8_lossy(said.as_bytes()).into_owned();
            if agrees { Ok(length) } else { Err(RequestError::Length { said: said(), has }) }
        }
        None if parts.headers.contains_key(TRANSFER_ENCODING) => Ok(None),
        None => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(has));
            Ok(Some(has as u64))
        }
    }
}

/// The bytes of a file, or of standard input where it is called `-`.
fn read_body(path: &Path) -> Result<Vec<u8>, RequestError> {
    let name = || path.display().to_string();
    let unreadable = |source| RequestError::Unreadable { path: name(), source };
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(LONGEST_BODY + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).map_err(unreadable)?.take(LONGEST_BODY + 1).read_to_end(&mut bytes)
    };
    read.map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_BODY { Err(RequestError::TooLong { path: name() }) } else { Ok(bytes) }
}

/// The route of single jobs.
pub(super) const JOBS: &str = "/v1/jobs";

/// The route of many.
const BATCH: &str = "/v1/jobs/batch";

/// Bytes of a body that are read: far more than gateways are told to take.
const LONGEST_BODY: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        fields: &[(&'static str, &'static str)],
        body: Option<&str>,
    ) -> Result<JobRequest, RequestError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        let body = body.map(|text| std::fs::write(&path, text).unwrap()).map(|()| path.as_path());
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        JobRequest::new(Method::POST, Uri::from_static(JOBS), fields.collect(), "anonymous".into(), body)
    }

    #[test]
    fn the_length_is_the_bodys_unless_it_comes_in_chunks() {
        let declared = |fields: &[_], body| request(fields, body).unwrap().declared;
        assert_eq!(declared(&[], Some("four")), Some(4));
        assert_eq!(declared(&[], None), Some(0));
        assert_eq!(declared(&[("transfer-encoding", "chunked")], Some("four")), None);
        assert_eq!(declared(&[("content-length", "5000")], None), Some(5_000));
        let wrong = request(&[("content-length", "5")], Some("four")).unwrap_err();
        assert_eq!(wrong.to_string(), "the header says Content-Length 5, the body has 4 bytes");
    }

    #[test]
    fn a_body_that_cannot_be_read_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none.json");
        let told = read_body(&none).unwrap_err().to_string();
        assert!(told.starts_with(&none.display().to_string()), "{told}");
        assert!(read_body(folder.path()).is_err(), "a folder is no body");
    }
}

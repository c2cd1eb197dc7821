//! What it costs to tell a job's tier: by the head alone, and with a pointer into a small and a large body.
//!
//! `cargo bench --bench classify`

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderValue, Method, Uri};
use tidegate::domain::tier::Tier;
use tidegate::policy::Policy;
use tidegate::policy::classify::Head;

fn main() {
    divan::main();
}

/// The default policy, a type in the header: the body stays unread.
#[divan::bench]
fn head_decides(bencher: Bencher<'_, '_>) {
    let request = Request::new(Some("digest"));
    let policy = Policy::default();
    bencher.bench(|| policy.classify_head(black_box(&request.head())));
}

/// The whole answer, type, ordering key and rule, with a type in the header.
#[divan::bench]
fn whole_job_by_its_head(bencher: Bencher<'_, '_>) {
    let request = Request::new(Some("digest"));
    let policy = Policy::default();
    let payload = payload(1_024);
    bencher.bench(|| policy.classify(black_box(&request.head()), black_box(payload.as_bytes())));
}

/// The default policy, the type at the end of the body.
#[divan::bench(args = [1_024, 27 * 1_024])]
fn whole_job_by_its_body(bencher: Bencher<'_, '_>, bytes: usize) {
    let request = Request::new(None);
    let policy = Policy::default();
    let payload = payload(bytes);
    bencher
        .counter(BytesCount::new(payload.len()))
        .bench(|| policy.classify(black_box(&request.head()), black_box(payload.as_bytes())));
}

/// For comparison: the same body parsed into a tree.
#[divan::bench(args = [1_024, 27 * 1_024])]
fn parsed_into_a_tree(bencher: Bencher<'_, '_>, bytes: usize) {
    let payload = payload(bytes);
    bencher.counter(BytesCount::new(payload.len())).bench(|| {
        let tree: serde_json::Result<serde_json::Value> =
            serde_json::from_slice(black_box(payload.as_bytes()));
        tree.is_ok_and(|tree| tree.pointer("/type").is_some())
    });
}

/// An order of about this many bytes, its type at the end.
fn payload(bytes: usize) -> String {
    let mut lines = String::new();
    let mut number = 0;
    while lines.len() + 120 < bytes {
        number += 1;
        lines.push_str(&format!(
            r#"{{"sku":"A-{number:05}","title":"a thing \"in\" a box","quantity":{number},"price":19.99,"tags":["x","y"]}},"#
        ));
    }
    format!(r#"{{"order":4711,"lines":[{}],"type":"digest"}}"#, lines.trim_end_matches(','))
}

struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Request {
    /// What a client sends, with the type in a header if there is one.
    fn new(job_type: Option<&'static str>) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("gate.internal"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("user-agent", HeaderValue::from_static("client/1.0"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        if let Some(job_type) = job_type {
            headers.insert("tidegate-type", HeaderValue::from_static(job_type));
        }
        Request { method: Method::POST, uri: Uri::from_static("/v1/jobs"), headers }
    }

    fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            tenant: "anonymous",
            ceiling: Tier::P0,
            content_length: None,
        }
    }
}

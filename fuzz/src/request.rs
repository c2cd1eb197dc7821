//! A request written as text: what a person can read in a corpus, and a fuzzer change a byte at a time.
//!
//! ```text
//! :policy body
//! :queue full
//! :depth p2 600000
//! :frames 7
//! POST /v1/jobs
//! content-type: application/json
//!
//! {"type":"payment"}
//! ```
//!
//! Lines that begin with a colon say what the request meets ([`Setting`]); a `Host` is added where there is none, and
//! `Content-Length` is what the body has, since hyper lets no other through.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use tidegate::domain::tier::Tier;

use super::frames::Frames;

/// What a request meets.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Which of the policies, by number; counted round.
    pub policy: usize,
    /// How the queue answers.
    pub mood: Mood,
    /// The depth that the law sees of a tier.
    pub depth: Option<(Tier, u64)>,
    /// The gateway is stopping.
    pub draining: bool,
}

/// How a queue answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It stores.
    #[default]
    Stores,
    /// It refuses: cannot now.
    Unavailable,
    /// It refuses: full.
    Full,
    /// It refuses: too large.
    TooLarge,
    /// It refuses: too much waits.
    Overloaded,
    /// It refuses: closed.
    Closed,
    /// It never says.
    Unknown,
    /// It is known to be away.
    Away,
    /// It stores, and does not know any key.
    Keyless,
}

/// A request that can be sent more than once.
#[derive(Clone, Debug)]
pub struct Written {
    pub setting: Setting,
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Bytes of one frame of the body.
    pub frame: usize,
}

impl Written {
    /// A plain POST.
    pub fn post(path: &'static str, content_type: Option<&'static str>, body: Bytes) -> Written {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("tidegate"));
        if let Some(content_type) = content_type {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Written {
            setting: Setting::default(),
            method: Method::POST,
            uri: Uri::from_static(path),
            version: Version::HTTP_11,
            headers,
            body,
            frame: usize::MAX,
        }
    }

    /// The request of a text; `None` where its first line is none.
    pub fn read(text: &[u8]) -> Option<Written> {
        let mut written = Written::post("/v1/jobs", None, Bytes::new());
        written.headers.clear();
        let (mut rest, mut declared, mut hostless) = (text, true, false);
        let start = loop {
            let (line, after) = split_line(rest);
            rest = after;
            match line.strip_prefix(b":") {
                Some(b"undeclared") => declared = false,
                Some(b"hostless") => hostless = true,
                Some(b"http 1.0") => written.version = Version::HTTP_10,
                Some(word) => written.meets(std::str::from_utf8(word).ok()?),
                None => break line,
            }
            if rest.is_empty() {
                return None;
            }
        };
        let start = std::str::from_utf8(start).ok()?;
        let (method, target) = start.split_once(' ')?;
        written.method = Method::from_bytes(method.as_bytes()).ok()?;
        written.uri = target.parse().ok()?;
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            written.field(line);
        }
        written.body = Bytes::copy_from_slice(rest);
        if declared && !written.body.is_empty() {
            written.headers.insert(CONTENT_LENGTH, HeaderValue::from(written.body.len()));
        }
        if !hostless && !written.headers.contains_key(HOST) {
            written.headers.insert(HOST, HeaderValue::from_static("tidegate"));
        }
        Some(written)
    }

    /// The request, to be sent once.
    pub fn request(&self) -> Request<Body> {
        let body =
            if self.body.is_empty() { Body::empty() } else { Frames::of(self.body.clone(), self.frame) };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn meets(&mut self, line: &str) {
        let setting = &mut self.setting;
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("policy"), Some(number), _) => setting.policy = number.parse().unwrap_or(0),
            (Some("frames"), Some(bytes), _) => self.frame = bytes.parse().unwrap_or(1).max(1),
            (Some("depth"), Some(tier), Some(depth)) => {
                setting.depth = tier.parse().ok().zip(depth.parse().ok());
            }
            (Some("draining"), ..) => setting.draining = true,
            (Some("queue"), Some(mood), _) => setting.mood = Mood::named(mood),
            _ => {}
        }
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else {
            return;
        };
        if name != CONTENT_LENGTH && self.headers.len() < MOST_FIELDS {
            self.headers.append(name, value);
        }
    }
}

impl Mood {
    fn named(word: &str) -> Mood {
        match word {
            "unavailable" => Mood::Unavailable,
            "full" => Mood::Full,
            "too_large" => Mood::TooLarge,
            "overloaded" => Mood::Overloaded,
            "closed" => Mood::Closed,
            "unknown" => Mood::Unknown,
            "away" => Mood::Away,
            "keyless" => Mood::Keyless,
            _ => Mood::Stores,
        }
    }

    /// By number; counted round.
    pub fn numbered(number: u8) -> Mood {
        const ALL: [Mood; 9] = [
            Mood::Stores,
            Mood::Unavailable,
            Mood::Full,
            Mood::TooLarge,
            Mood::Overloaded,
            Mood::Closed,
            Mood::Unknown,
            Mood::Away,
            Mood::Keyless,
        ];
        ALL[usize::from(number) % ALL.len()]
    }

    /// Whether jobs that are admitted come into the queue.
    pub fn stores(self) -> bool {
        matches!(self, Mood::Stores | Mood::Keyless)
    }
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = &text[..end];
            (line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..])
        }
        None => (text, &[]),
    }
}

/// As many as hyper takes.
const MOST_FIELDS: usize = 100;

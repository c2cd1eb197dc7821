//! One fault as a row of a table: bytes to send, and what must come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::support::answer::Answer;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;
use crate::support::raw::Raw;

/// Bytes to send and what must come back.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A problem document with this status and code.
    Problem(u16, &'static str),
    /// A batch whose items were answered so, `202` or a code each.
    Items(u16, &'static [&'static str]),
    /// Ugly, but HTTP and the contract let it: this status.
    Fine(u16),
    /// Not HTTP, or not whole: a 4xx with or without a body, or a close. Never a 5xx, never a second answer.
    Rejected,
    /// As `Rejected`, but the job may be taken, if it is the only one and the connection is closed after it.
    OneAnswer,
}

use Expect::{Fine, Items, OneAnswer, Problem, Rejected};

/// 400 `malformed_request`.
pub const MALFORMED: Expect = Problem(400, "malformed_request");
/// 413.
pub const TOO_LARGE: Expect = Problem(413, "too_large");
/// 408.
pub const TOO_SLOW: Expect = Problem(408, "request_timeout");

pub fn case(name: impl Into<String>, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case { name: name.into(), bytes: bytes.into(), expect }
}

/// A gateway with small limits, so that what takes a client long takes the test short.
pub async fn guarded() -> Gateway {
    let policy = Policy::calm().top("ordering_key_from", "[ 'header:Tidegate-Ordering-Key', 'body:/order' ]");
    let policy = policy.top("idempotency_key_from", "[ 'header:Idempotency-Key', 'body:/key' ]");
    let limits = [
        ("max_job_bytes", format!("{JOB_BYTES}B")),
        ("max_batch_bytes", format!("{BATCH_BYTES}B")),
        ("max_batch_jobs", BATCH_JOBS.to_string()),
        ("header_timeout", "1s".into()),
        ("request_timeout", "1s".into()),
    ];
    let setup = Setup::with(&policy);
    let set = |setup: Setup, (key, value): &(&str, String)| setup.set(&format!("limits.{key}"), value);
    limits.iter().fold(setup, set).start().await
}

/// A whole test of one kind of fault: each case, then the next good job, and nothing stored that was hidden.
pub async fn check(cases: Vec<Case>) {
    let gateway = guarded().await;
    all(&gateway, cases).await;
    nothing_hidden(&gateway).await;
    gateway.finish().await;
}

/// Sends all cases, many at a time, each on a connection of its own; tells every one that fails.
pub async fn all(gateway: &Gateway, cases: Vec<Case>) {
    let (count_all, mut failed) = (cases.len(), Vec::new());
    let mut under_way = VecDeque::new();
    let mut cases = cases.into_iter();
    loop {
        let next = if under_way.len() < AT_ONCE { cases.next() } else { None };
        if let Some(case) = next {
            let (name, address) = (case.name.clone(), gateway.ingest.address());
            under_way.push_back((name, tokio::spawn(async move { (hear(address, &case).await, case) })));
            continue;
        }
        let Some((name, heard)) = under_way.pop_front() else { break };
        match heard.await {
            Ok((answer, case)) => count(gateway, &case, answer.as_ref()),
            Err(_) => failed.push(name),
        }
    }
    gateway.tally.open(failed.len() as u64);
    assert!(failed.is_empty(), "{} of {count_all} failed: {failed:#?}", failed.len());
    gateway.post("the next good job", &[]).await.receipt();
}

/// Leases all there is: nothing may be there that stood within another request.
pub async fn nothing_hidden(gateway: &Gateway) {
    let jobs = gateway.drain().await;
    let hidden = jobs.iter().find(|job| job.body.as_deref() == Some(HIDDEN));
    assert_eq!(hidden, None, "a request within a request was served");
}

/// Sends one case and checks what comes back, and what the connection is worth afterwards.
pub async fn hear(address: SocketAddr, case: &Case) -> Option<Answer> {
    let name = &case.name;
    let mut connection = Raw::connect(address).await;
    connection.send(&case.bytes).await;
    let answer = match case.method() {
        b"HEAD" => connection.answer_to_head(PATIENCE).await,
        _ => connection.answer_within(PATIENCE).await,
    };
    let answer = match (case.expect, answer) {
        (Rejected | OneAnswer, answer) => {
            let status = answer.as_ref().map_or(400, |answer| answer.status);
            let taken = status == 202 && case.expect == OneAnswer;
            assert!(taken || (400..500).contains(&status), "{name}: {answer:?}");
            let second = connection.answer_within(PATIENCE).await;
            assert!(second.is_none(), "{name}: a second answer: {second:?}");
            return answer;
        }
        (_, None) => panic!("{name}: closed without an answer"),
        (_, Some(answer)) => answer,
    };
    match case.expect {
        Problem(status, code) => {
            let told = (answer.status, answer.json()["code"].as_str().map(str::to_owned));
            assert_eq!(told, (status, Some(code.to_owned())), "{name}: {answer:?}");
            answer.problem(status, code);
        }
        Items(status, outcomes) => {
            assert_eq!((answer.status, outcomes_of(&answer)), (status, owned(outcomes)), "{name}");
        }
        Fine(status) => assert_eq!(answer.status, status, "{name}: {answer:?}"),
        Rejected | OneAnswer => unreachable!("returned above"),
    }
    if case.is_whole() {
        goes_on(name, &mut connection, &answer).await;
    }
    Some(answer)
}

/// The connection still speaks HTTP: the next request has its own answer, or the gateway closes, as it must where it
/// said so.
pub async fn goes_on(name: &str, connection: &mut Raw, answer: &Answer) {
    connection.send("GET /healthz HTTP/1.1\r\nhost: tidegate\r\n\r\n").await;
    let next = connection.answer_within(PATIENCE).await;
    let closing = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    match next {
        None => {}
        Some(next) => {
            assert!(!closing, "{name}: said it would close, then {next:?}");
            assert_eq!((next.status, next.text()), (200, "ok\n"), "{name}: then");
        }
    }
}

/// Counts a case as the contract has the gateway count it.
pub fn count(gateway: &Gateway, case: &Case, answer: Option<&Answer>) {
    match answer {
        // What never became a request is not counted; what broke off may be.
        None => gateway.tally.open(1),
        Some(answer) if answer.body.is_empty() && !case.has_no_body() => gateway.tally.open(1),
        Some(answer) if case.is_counted(answer.status) => {
            let duplicate = answer.status == 202 && answer.json()["duplicate"] == true;
            if duplicate {
                gateway.tally.duplicate();
            } else if case.has_no_body() {
                gateway.tally.job(answer.status);
            } else {
                gateway.count_batch(answer);
            }
        }
        Some(_) => {}
    }
}

impl Case {
    fn method(&self) -> &[u8] {
        self.bytes.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// Where the answer to a good request has no body either.
    fn has_no_body(&self) -> bool {
        matches!(self.method(), b"HEAD") || (self.method() == b"OPTIONS" && matches!(self.expect, Fine(_)))
    }

    /// Only job routes count, and what is at no route.
    fn is_counted(&self, status: u16) -> bool {
        let target = self.bytes.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let target = String::from_utf8_lossy(target);
        let path = target.split('?').next().unwrap_or_default();
        let other = ["/v1/leases", "/v1/leases/ack", "/v1/leases/nack", "/v1/leases/extend"];
        let health = ["/healthz", "/readyz"];
        status != 200 && status != 204 && !other.contains(&path) && !health.contains(&path)
    }

    /// Whether its end is where its head says, so that what follows is a request of its own.
    fn is_whole(&self) -> bool {
        let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        let (head, body) = self.bytes.split_at(end + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let field = |name: &str| {
            let mut values = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.next().map(|value| value.trim().to_owned())
        };
        match (field("content-length"), field("transfer-encoding")) {
            (Some(length), None) => length.parse() == Ok(body.len()),
            (None, Some(coding)) => coding == "chunked" && body.ends_with(b"\r\n0\r\n\r\n"),
            (None, None) => body.is_empty(),
            (Some(_), Some(_)) => false,
        }
    }
}

/// `202` or the code of each item of a batch.
pub fn outcomes_of(answer: &Answer) -> Vec<String> {
    let document = answer.json();
    let items = document["items"].as_array().unwrap_or_else(|| panic!("no items: {document}"));
    let outcome = |item: &Value| item["code"].as_str().unwrap_or("202").to_owned();
    items.iter().map(outcome).collect()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A request of this line and these header fields, without a body.
pub fn raw(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nhost: tidegate\r\n{fields}\r\n").into_bytes()
}

/// `POST` to a path with a body of declared length.
pub fn post(path: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let fields = format!("{fields}content-length: {}\r\n", body.len());
    [raw(&format!("POST {path} HTTP/1.1"), &fields), body.to_vec()].concat()
}

/// A job: these header fields, this body, and nothing said of its length.
pub fn job(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [raw(POST, fields), body.as_ref().to_vec()].concat()
}

/// A job with this header field and an honest body.
pub fn with(field: &str) -> Vec<u8> {
    post("/v1/jobs", &format!("{field}\r\n"), "{}")
}

/// A chunked request; the body as it is on the wire.
pub fn chunks(path: &str, fields: &str, wire: impl AsRef<[u8]>) -> Vec<u8> {
    [raw(&format!("POST {path} HTTP/1.1"), &format!("{fields}{CHUNKED}")), wire.as_ref().to_vec()].concat()
}

/// One chunk.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// So many levels of this bracket, closed or not.
pub fn deep(open: &str, levels: usize, close: &str) -> String {
    format!("{}{}", open.repeat(levels), close.repeat(levels))
}

pub const POST: &str = "POST /v1/jobs HTTP/1.1";
pub const CHUNKED: &str = "transfer-encoding: chunked\r\n";
pub const NDJSON: &str = "content-type: application/x-ndjson\r\n";
pub const JSON: &str = "content-type: application/json\r\n";

/// The payload of a request that stands within another one.
pub const HIDDEN: &str = "hidden";

/// Room for a hundred thousand levels, opened and closed.
pub const JOB_BYTES: usize = 256 * 1024;
pub const BATCH_BYTES: usize = 1024 * 1024;
pub const BATCH_JOBS: usize = 50;

/// Cases on their way at one time; most of them wait.
const AT_ONCE: usize = 64;

/// Longer than the gateway may take to answer or close: its own time, and that of the rest of a body.
const PATIENCE: Duration = Duration::from_secs(8);

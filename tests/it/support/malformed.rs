//! Broken requests as a table: bytes to send, and what must come back.

use std::time::Duration;

use super::answer::Answer;
use super::gateway::{Gateway, Setup};
use super::policy::Policy;
use super::raw::Raw;

/// Bytes to send and what must come back.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

pub enum Expect {
    /// A problem document with this status and code.
    Problem(u16, &'static str),
    /// Not HTTP, or not whole: a 4xx with or without a body, or a close. Never a 5xx, never a second answer.
    Rejected,
    /// As `Rejected`, but the job may be taken, if it is the only one and the connection is closed after it.
    OneAnswer,
}

use Expect::{OneAnswer, Problem, Rejected};

/// A gateway with small limits, so that what takes a client long takes the test short.
pub async fn guarded() -> Gateway {
    let setup = Setup::with(&Policy::calm()).set("limits.max_job_bytes", "16KiB");
    setup.set("limits.header_timeout", "1s").set("limits.request_timeout", "1s").start().await
}

pub async fn all(gateway: &Gateway, cases: Vec<Case>) {
    for case in &cases {
        hear(gateway, case).await;
    }
}

/// Sends one case on a connection of its own, checks its answer, and that the next good job is taken.
pub async fn hear(gateway: &Gateway, case: &Case) -> Option<Answer> {
    println!("{}", case.name);
    let mut connection = Raw::connect(gateway.ingest.address()).await;
    connection.send(&case.bytes).await;
    let answer = connection.answer_within(Duration::from_secs(8)).await;
    match (&case.expect, &answer) {
        (Problem(status, code), Some(answer)) => {
            answer.problem(*status, code);
            if case.is_a_job() {
                gateway.tally.job(answer.status);
            } else {
                gateway.tally.open(1);
            }
        }
        (Problem(..), None) => panic!("{}: closed without an answer", case.name),
        (Rejected | OneAnswer, answer) => {
            let status = answer.as_ref().map_or(400, |answer| answer.status);
            let taken = status == 202 && matches!(case.expect, OneAnswer);
            assert!(taken || (400..500).contains(&status), "{}: {answer:?}", case.name);
            let second = connection.answer_within(Duration::from_secs(8)).await;
            assert!(second.is_none(), "{}: a second answer: {second:?}", case.name);
            gateway.tally.open(1);
        }
    }
    gateway.post("the next good job", &[]).await.receipt();
    answer
}

impl Case {
    fn is_a_job(&self) -> bool {
        self.bytes.starts_with(b"POST /v1/jobs HTTP/1.1\r\n")
    }
}

pub fn case(name: &str, bytes: Vec<u8>, expect: Expect) -> Case {
    Case { name: name.into(), bytes, expect }
}

pub fn raw(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\nhost: tidegate\r\n{fields}\r\n").into_bytes()
}

pub fn job(fields: &str, body: &str) -> Vec<u8> {
    [raw(POST, fields), body.as_bytes().to_vec()].concat()
}

pub fn json_post(path: &str, body: &[u8]) -> Vec<u8> {
    let fields = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    [raw(&format!("POST {path} HTTP/1.1"), &fields), body.to_vec()].concat()
}

pub const POST: &str = "POST /v1/jobs HTTP/1.1";

//! A request on its way through the checks: what is to be explained, and the explanation while it is made.

use serde_json::Value;

use crate::cli::explain::model::Queues;
use crate::cli::explain::request::JobRequest;
use crate::cli::explain::told::{Answer, Explanation, Step};
use crate::config::Settings;
use crate::domain::tier::Tier;
use crate::policy::Policy;
use crate::server::fields;
use crate::server::problem::Problem;

/// What is to be explained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Limits, and who may submit.
    pub(super) settings: &'a Settings,
    /// The rules and the law.
    pub(super) policy: &'a Policy,
    /// What people call the policy: its path.
    pub(super) policy_name: &'a str,
    /// The request.
    pub(super) request: &'a JobRequest,
    /// What the gate sees.
    pub(super) queues: &'a Queues,
}

/// The explanation while it is made.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) told: Explanation,
    /// The tier at whose gate the request was.
    pub(super) tier: Option<Tier>,
    answer: Option<Problem>,
}

impl Course {
    /// Notes a check; the first that fails answers.
    pub(super) fn step(&mut self, check: &'static str, outcome: Result<String, Problem>, numbers: Value) {
        let asked = self.answer.is_none();
        let (passes, says) = match outcome {
            Ok(says) => (true, says),
            Err(problem) => {
                let says = problem.detail().to_owned();
                self.answer.get_or_insert(problem);
                (false, says)
            }
        };
        self.told.checks.push(Step { check, passes, asked, says, numbers });
    }

    /// Puts other words to the check noted last.
    pub(super) fn say(&mut self, says: String) {
        if let Some(step) = self.told.checks.last_mut() {
            step.says = says;
        }
    }

    /// Whether a check has failed already.
    pub(super) const fn is_over(&self) -> bool {
        self.answer.is_some()
    }

    pub(super) fn note(&mut self, note: String) {
        self.told.notes.push(note);
    }

    /// The explanation; `queue` is where the job is stored, with its tier, if nothing refused it.
    pub(super) fn finish(mut self, queue: Option<(&'static str, String)>) -> Explanation {
        let told = std::mem::take(&mut self.told.answer);
        self.told.answer = match (self.answer, queue) {
            (Some(problem), _) => Answer {
                status: problem.status().as_u16(),
                code: Some(problem.code().as_str()),
                tier: problem.tier().map(Tier::as_str),
                detail: Some(problem.detail().to_owned()),
                retry_after_seconds: problem.retry_after().map(fields::whole_seconds),
                retry_after_ms: problem.retry_after().map(fields::whole_millis),
                ..told
            },
            (None, queue) => {
                let (tier, queue) = queue.unzip();
                Answer { status: http::StatusCode::ACCEPTED.as_u16(), tier, queue, ..Answer::default() }
            }
        };
        self.told
    }
}

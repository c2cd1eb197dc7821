//! How a job's idempotency key travels through the spool's file: in a header of the spool's own, put on when the job goes
//! in and taken off when it comes out.

use crate::domain::idempotency::{Fingerprint, Key, Keyed};
use crate::domain::job::{Job, JobId};

/// Puts the job's key beside its headers. The file keeps the key itself only to find the job by it.
pub fn seal(job: &mut Job) {
    if let Some(keyed) = job.keyed {
        job.headers.push((HEADER.into(), written(keyed).into()));
    }
}

/// Gives a job from the file the key to send it under: its own, or one made of its id. So a backend that has the job
/// already says so.
pub fn unseal(job: &mut Job) {
    let sealed = job.headers.pop_if(|(name, _)| &**name == HEADER);
    let own = sealed.and_then(|(_, text)| read(&text));
    job.keyed = Some(own.unwrap_or_else(|| of_id(job.id)));
}

/// Bytes that the job takes in the file, about.
pub fn bytes(job: &Job) -> u64 {
    let headers: usize = job.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let texts = [&job.job_type, &job.ordering_key, &job.content_type];
    let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    (job.payload.len() + headers + texts + OVERHEAD) as u64
}

/// Clients' keys are digests: none of them can be made to be an id.
const fn of_id(id: JobId) -> Keyed {
    Keyed { key: Key(*id.as_bytes()), fingerprint: Fingerprint(*id.as_bytes()) }
}

fn written(keyed: Keyed) -> String {
    let (key, fingerprint) = (u128::from_be_bytes(keyed.key.0), u128::from_be_bytes(keyed.fingerprint.0));
    format!("{key:032x}{fingerprint:032x}")
}

fn read(text: &str) -> Option<Keyed> {
    let half = |text: &str| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes);
    let (key, fingerprint) = text.split_at_checked(32)?;
    Some(Keyed { key: Key(half(key)?), fingerprint: Fingerprint(half(fingerprint)?) })
}

/// No client can send it: only `traceparent`, `tracestate` and `ce-*` are carried.
const HEADER: &str = ":keyed";

/// What a row takes beside texts and payload: id, times, lengths, checksum, its key and its share of the pages above.
const OVERHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::spool::tests::job;

    #[test]
    fn a_key_comes_out_as_it_went_in_and_leaves_no_trace() {
        let keyed = Keyed { key: Key([0; 16]), fingerprint: Fingerprint([0xfe; 16]) };
        let mut sealed = job("a", Some("k"));
        sealed.keyed = Some(keyed);
        sealed.headers.push(("traceparent".into(), "00-1-2-01".into()));
        let before = sealed.clone();
        seal(&mut sealed);
        assert_eq!(sealed.headers.len(), 2);
        sealed.keyed = None;
        unseal(&mut sealed);
        assert_eq!(sealed, before);
    }

    #[test]
    fn a_job_without_a_key_is_sent_under_its_id() {
        let mut plain = job("a", None);
        seal(&mut plain);
        assert!(plain.headers.is_empty());
        unseal(&mut plain);
        assert_eq!(plain.keyed, Some(of_id(plain.id)));
    }
}

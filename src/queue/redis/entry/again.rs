//! The fields of a job that goes into its stream again: those of the first time, with its attempts.

use crate::queue::redis::entry::element::Element;
use crate::queue::redis::entry::stream;

/// Fields and values in turn.
pub fn fields(element: &Element) -> Vec<Vec<u8>> {
    let Element { job, tries } = element;
    let mut fields = Vec::with_capacity(stream::arguments(job) + 4);
    let mut history = Vec::new();
    if tries.earlier > 0 {
        history.extend([b"earlier_attempts".to_vec(), tries.earlier.to_string().into_bytes()]);
    }
    if let Some(first) = tries.first_failed_at {
        history.extend([b"first_failed_at".to_vec(), first.to_string().into_bytes()]);
    }
    stream::write(job, &mut fields);
    if let Some([_, attempt]) = fields.as_chunks_mut::<2>().0.iter_mut().find(|[name, _]| name == b"attempt")
    {
        *attempt = tries.attempt.to_string().into_bytes();
    }
    // The body stays last.
    let body = fields.len().saturating_sub(2);
    fields.splice(body..body, history);
    fields
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::Value;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::queue::redis::entry::element::decode;
    use crate::queue::tries::Tries;

    #[test]
    fn a_job_reads_back_with_its_attempts() {
        let json = br#"{"id":"018bcfe5-6800-7b2f-8c1d-000000000001","tier":"p1","tenant":"attempt","accepted_at":"2023-11-14T22:13:20.007Z","ce_attempt":"x","body":"b"}"#;
        let job = decode(json).unwrap().job;
        let first_failed_at = Some(Timestamp::from_millis(1_700_000_001_000));
        for tries in [Tries::NONE, Tries { attempt: 3, earlier: 4, first_failed_at }] {
            let element = Element { job: job.clone(), tries };
            let fields: Vec<_> = fields(&element).into_iter().map(Value::BulkString).collect();
            assert_eq!(stream::read(&fields), Ok(element));
            assert_eq!(fields[fields.len() - 2], Value::BulkString(b"body".to_vec()));
        }
    }
}

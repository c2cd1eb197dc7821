//! Replies of Redis as the values that a reading needs: what is not as expected is an error, never a zero.

use std::time::Duration;

use deadpool_redis::redis::Value;

use crate::queue::error::QueueError;
use crate::queue::redis::failure::Refusal;

/// Values in their order.
#[derive(Debug)]
pub(in crate::queue::redis) struct Replies(std::vec::IntoIter<Value>);

impl Replies {
    /// The values of an answer.
    pub(in crate::queue::redis) fn new(values: Vec<Value>) -> Replies {
        Replies(values.into_iter())
    }

    /// The values of an array.
    ///
    /// # Errors
    /// It is an error of Redis, or no array.
    pub(in crate::queue::redis) fn of(value: Value) -> Result<Replies, QueueError> {
        match value {
            Value::Array(values) | Value::Set(values) => Ok(Replies::new(values)),
            Value::ServerError(error) => {
                Err(QueueError::Unavailable { detail: Refusal::of_reply(&error).detail })
            }
            _ => Err(unexpected()),
        }
    }

    /// The next value, if there is one and it is not nil.
    pub(in crate::queue::redis) fn next(&mut self) -> Option<Value> {
        self.0.next().filter(|value| *value != Value::Nil)
    }

    /// A list.
    pub(in crate::queue::redis) fn list(&mut self) -> Result<Replies, QueueError> {
        Replies::of(self.next().ok_or_else(unexpected)?)
    }

    /// The lists that are the values.
    pub(in crate::queue::redis) fn lists(self) -> impl Iterator<Item = Result<Replies, QueueError>> {
        self.0.map(Replies::of)
    }

    /// A number.
    pub(in crate::queue::redis) fn number(&mut self) -> Result<u64, QueueError> {
        self.optional_number()?.ok_or_else(unexpected)
    }

    /// A number, or nil.
    pub(in crate::queue::redis) fn optional_number(&mut self) -> Result<Option<u64>, QueueError> {
        match self.next() {
            None => Ok(None),
            Some(Value::Int(number)) => u64::try_from(number).map(Some).map_err(|_| unexpected()),
            Some(Value::ServerError(error)) => {
                Err(QueueError::Unavailable { detail: Refusal::of_reply(&error).detail })
            }
            Some(value) => Ok(Some(text(value)?.parse().map_err(|_| unexpected())?)),
        }
    }

    /// A text.
    pub(in crate::queue::redis) fn text(&mut self) -> Result<String, QueueError> {
        text(self.next().ok_or_else(unexpected)?)
    }

    /// A text, or nil.
    pub(in crate::queue::redis) fn optional_text(&mut self) -> Result<Option<String>, QueueError> {
        self.next().map(text).transpose()
    }

    /// Bytes, or nil.
    pub(in crate::queue::redis) fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>, QueueError> {
        self.next().map(bytes).transpose()
    }

    /// The values, all bytes.
    pub(in crate::queue::redis) fn all_bytes(self) -> Result<Vec<Vec<u8>>, QueueError> {
        self.0.map(bytes).collect()
    }

    /// The time of Redis: seconds and microseconds since the epoch.
    pub(in crate::queue::redis) fn time(&mut self) -> Result<Duration, QueueError> {
        let (seconds, micros) = (self.number()?, self.number()?);
        Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
    }
}

/// A reply that this version of Redis should not give.
pub(in crate::queue::redis) fn unexpected() -> QueueError {
    QueueError::Unavailable {
        detail: "Redis answers what it should not (is it version 7 or later?)".to_owned(),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, QueueError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(unexpected()),
    }
}

fn text(value: Value) -> Result<String, QueueError> {
    String::from_utf8(bytes(value)?).map_err(|_| unexpected())
}

//! Where a dead letter stands in the order of all: by the time it died, then by its id.

use std::fmt;

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;

/// A place in the order of dead letters, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub died_at: Timestamp,
    pub id: JobId,
}

impl Place {
    /// The place that the `next` of a page stands for, if the text can be one.
    pub(super) fn parse(mark: &str) -> Option<Place> {
        let (died_at, id) = mark.split_once('.')?;
        let died_at = Timestamp::from_millis(u64::from_str_radix(died_at, 16).ok()?);
        let place = Place { died_at, id: id.parse().ok()? };
        (place.to_string() == mark).then_some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.died_at.millis(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_of_a_page_is_a_place() {
        let id: JobId = "018bcfe5-6800-7b2f-8c1d-000000000001".parse().unwrap();
        let place = Place { died_at: Timestamp::from_millis(1_700_000_000_123), id };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for wrong in [
            "",
            "7",
            "x.y",
            "07.018bcfe5-6800-7b2f-8c1d-000000000001",
            "+7.018bcfe5-6800-7b2f-8c1d-000000000001",
            "ffffffffffffffff.018bcfe5-6800-7b2f-8c1d-000000000001",
            "7.018BCFE5-6800-7B2F-8C1D-000000000001",
        ] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}

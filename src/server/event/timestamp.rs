//! Whether a text is a time as RFC 3339 writes it; the instant itself is the worker's business.

/// Whether this is an RFC 3339 `date-time`: `2026-01-31T12:00:00Z`, with any fraction and any offset.
pub fn is_rfc3339(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    is_date(date) && is_time_with_offset(time)
}

fn is_date(text: &str) -> bool {
    let [year, month, day] = numbers(text, '-', [4, 2, 2]).unwrap_or_default();
    (1..=days(year, month)).contains(&day)
}

/// Days of a month; none of a month that is not.
const fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

fn is_time_with_offset(text: &str) -> bool {
    let (time, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(time) => (time, None),
        None => match text.rsplit_once(['+', '-']) {
            Some((time, offset)) => (time, Some(offset)),
            None => return false,
        },
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    // A minute may have a leap second.
    let on_the_clock = numbers(clock, ':', [2, 2, 2])
        .is_some_and(|[hour, minute, second]| hour < 24 && minute < 60 && second <= 60);
    let near = |offset| numbers(offset, ':', [2, 2]).is_some_and(|[hour, minute]| hour < 24 && minute < 60);
    on_the_clock && are_digits(fraction) && offset.is_none_or(near)
}

/// Exactly these numbers of exactly so many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && are_digits(part))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_standard_are_times() {
        for time in [
            "1985-04-12T23:20:50.52Z",
            "1996-12-19T16:39:57-08:00",
            "1990-12-31T23:59:60Z",
            "1937-01-01T12:00:27.87+00:20",
            "0000-01-01t00:00:00z",
            "9999-12-31T23:59:59.999999999999-00:00",
            "2024-02-29T00:00:00Z",
            "2000-02-29T00:00:00Z",
        ] {
            assert!(is_rfc3339(time), "{time}");
        }
    }

    #[test]
    fn what_only_looks_like_a_time_is_none() {
        for text in [
            "",
            "T",
            "now",
            "1700000000",
            "2026-01-31",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-1-31T12:00:00Z",
            "26-01-31T12:00:00Z",
            "+2026-01-31T12:00:00Z",
            "2026-00-31T12:00:00Z",
            "2026-13-31T12:00:00Z",
            "2026-04-31T12:00:00Z",
            "2026-01-00T12:00:00Z",
            "2023-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:61Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T12:00:00.5.5Z",
            "2026-01-31T12:00:00+2:00",
            "2026-01-31T12:00:00+02",
            "2026-01-31T12:00:00+0200",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+02:60",
            "2026-01-31T12:00:00+02:00Z",
            "2026-01-31T12:00:00Z ",
            "2026-01-31T12:00:00ZZ",
            "２026-01-31T12:00:00Z",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}

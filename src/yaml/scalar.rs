//! Single values with their units: whole numbers, numbers, durations, sizes, rates.

use std::time::Duration;

use crate::domain::units::Rate;

/// A whole number without sign: `10000`.
pub fn integer(text: &str) -> Option<u64> {
    digits(text).then(|| text.parse().ok()).flatten()
}

/// A finite number: `1.05`, `-3`, `1e6`.
pub fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    plain.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

/// A duration: a number and one of `ms s min h d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (amount, unit) = amount_and_unit(text)?;
    let millis = match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    // To whole microseconds: 0.1 s is exactly 100 ms.
    let micros = (amount * millis * 1e3).round();
    (micros <= MAX_DURATION.as_micros() as f64).then(|| Duration::from_micros(micros as u64))
}

/// A duration as a document writes it, in the largest unit of which it is a whole number; the other way round than
/// [`duration`].
pub fn written(duration: Duration) -> String {
    let micros = duration.as_micros();
    for (unit, size) in UNITS {
        if micros >= size && micros.is_multiple_of(size) {
            return format!("{}{unit}", micros / size);
        }
    }
    format!("{}ms", micros as f64 / 1e3)
}

/// A number of bytes: bare, or with one of `B KB MB GB TB` (thousands) or `KiB MiB GiB TiB` (1024).
pub fn size(text: &str) -> Option<u64> {
    if digits(text) {
        return text.parse().ok();
    }
    let (amount, unit) = amount_and_unit(text)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let total = amount * bytes as f64;
    (total.fract() == 0.0 && total <= MAX_EXACT).then_some(total as u64)
}

/// A rate: a number and one of `/s /min /h`.
pub fn rate(text: &str) -> Option<Rate> {
    let (amount, unit) = amount_and_unit(text)?;
    let seconds = match unit {
        "/s" => 1.0,
        "/min" => 60.0,
        "/h" => 3_600.0,
        _ => return None,
    };
    Rate::per_second(amount / seconds)
}

/// A decimal number without sign and what follows it, one space allowed between.
fn amount_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at_checked(end)?;
    if !amount.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let amount: f64 = amount.parse().ok()?;
    amount.is_finite().then_some((amount, unit.strip_prefix(' ').unwrap_or(unit)))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Units of time in microseconds, the largest first.
const UNITS: [(&str, u128); 5] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

/// Ten years: longer is a slip of the pen, and sums with it could overflow a clock.
pub const MAX_DURATION: Duration = Duration::from_secs(3_653 * 86_400);

/// The largest whole number up to which `f64` knows every one: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(duration("5s"), Some(Duration::from_secs(5)));
        assert_eq!(duration("30min"), Some(Duration::from_secs(1_800)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7_200)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        assert_eq!(duration("0.1s"), Some(Duration::from_millis(100)));
        for wrong in ["", "5", "s", "-5s", "5m", "5 seconds", "1.2.3s", ".5s", "99999999d", "1h30min", "infs"]
        {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sizes_count_in_thousands_or_in_1024() {
        assert_eq!(size("1048576"), Some(1_048_576));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1MB"), Some(1_000_000));
        assert_eq!(size("20GiB"), Some(20 << 30));
        assert_eq!(size("1.5 MB"), Some(1_500_000));
        for wrong in ["", "1mb", "MB", "-1MB", "1XB", "0.5B", "99999999999999999999", "1e3"] {
            assert_eq!(size(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn rates_are_per_second_minute_or_hour() {
        assert_eq!(rate("500/s"), Rate::per_second(500.0));
        assert_eq!(rate("30/min"), Rate::per_second(0.5));
        assert_eq!(rate("3600/h"), Rate::per_second(1.0));
        for wrong in ["500", "/s", "-1/s", "1/d", "1 per s"] {
            assert_eq!(rate(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!(number("1.05"), Some(1.05));
        assert_eq!(integer("10000"), Some(10_000));
        for wrong in ["", "inf", "NaN", "1e999", "0x10", "1_000", "+-1"] {
            assert_eq!(number(wrong), None, "{wrong:?}");
            assert_eq!(integer(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_of_a_duration_is_read_as_it(micros in 0u64..=1_000_000_000_000, unit in 0usize..5) {
            let size = UNITS[unit].1 as u64;
            for value in [micros, micros / size * size] {
                let duration_meant = Duration::from_micros(value);
                prop_assert_eq!(duration(&written(duration_meant)), Some(duration_meant));
            }
        }

        #[test]
        fn no_text_makes_a_value_panic(text in "[0-9]{0,30}[.]?[0-9]{0,5} ?[a-zA-Z/]{0,4}") {
            let _ = (integer(&text), number(&text), duration(&text), size(&text), rate(&text));
        }
    }
}

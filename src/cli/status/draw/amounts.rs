//! Amounts that tables have beside those of the sentences: short times, parts, times of day.

use crate::telemetry::diagnosis::amount::seconds;
use crate::telemetry::latency::Quantiles;

/// A time span that may be very short: 0.3 ms, 12 ms, 1.4 s, 3 min.
pub(super) fn span(of_seconds: f64) -> String {
    let millis = of_seconds * 1e3;
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else if of_seconds < 9.95 {
        format!("{of_seconds:.1} s")
    } else {
        seconds(of_seconds)
    }
}

/// A part as a percentage; neither all nor nothing by rounding.
pub(super) fn percent(part: f64) -> String {
    let percent = 100.0 * part;
    let shown = if percent > 0.0 && percent < 1.0 {
        1.0
    } else if percent > 99.0 && percent < 100.0 {
        99.0
    } else {
        percent
    };
    format!("{shown:.0} %")
}

/// The median and the longest, or one where they are alike.
pub(super) fn range(quantiles: &Quantiles) -> String {
    if quantiles.count == 0 {
        return NOTHING.to_owned();
    }
    let (usual, longest) = (seconds(quantiles.p50), seconds(quantiles.max));
    if usual == longest { usual } else { format!("{usual}..{longest}") }
}

/// A time of day, from RFC 3339; with its date where that is another than today's.
pub(super) fn time_of(time: &str, now: &str) -> String {
    let (Some(date), Some(clock)) = (time.get(..10), time.get(11..19)) else { return time.to_owned() };
    if now.get(..10) == Some(date) { format!("{clock}Z") } else { format!("{date} {clock}Z") }
}

/// There is nothing to say.
pub(super) const NOTHING: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_parts_and_times_are_told_shortly() {
        let spans = [0.0003, 0.0124, 0.4, 1.44, 12.0, 200.0].map(span);
        assert_eq!(spans, ["0.3 ms", "12 ms", "400 ms", "1.4 s", "12 s", "3 min"]);
        assert_eq!([0.0, 0.001, 0.5, 0.999, 1.0].map(percent), ["0 %", "1 %", "50 %", "99 %", "100 %"]);
        let (day, next) = ("2026-11-21T23:59:58.123Z", "2026-11-22T00:00:01.000Z");
        assert_eq!(
            (time_of(day, day).as_str(), time_of(day, next).as_str()),
            ("23:59:58Z", "2026-11-21 23:59:58Z")
        );
        assert_eq!(time_of("soon", day), "soon");
    }

    #[test]
    fn a_range_of_one_value_is_that_value() {
        let of = |p50, max| range(&Quantiles { count: 3, p50, max, ..Quantiles::default() });
        assert_eq!((of(12.0, 38.0).as_str(), of(12.0, 12.2).as_str()), ("12 s..38 s", "12 s"));
        assert_eq!(range(&Quantiles::default()), "-");
    }
}

//! Amounts as people read them: 512,300 jobs; 3,200/s; 3 min.

/// Jobs, with commas between thousands.
pub fn jobs(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Jobs per second; one decimal below ten.
pub fn rate(per_second: f64) -> String {
    let tenths = (per_second * 10.0).round();
    if per_second < 10.0 && tenths % 10.0 != 0.0 {
        format!("{:.1}/s", tenths / 10.0)
    } else {
        // Saturates: nobody reads more digits.
        format!("{}/s", jobs(per_second.round() as u64))
    }
}

/// A time span: 0.4 s, 45 s, 3 min, 2 h 5 min, 4 d.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = ((seconds / 60.0).round() as u64, whole / 3_600, whole / 86_400);
    if seconds > 0.0 && seconds < 0.95 {
        format!("{:.1} s", seconds.max(0.1))
    } else if whole < 120 {
        format!("{whole} s")
    } else if minutes < 120 {
        format!("{minutes} min")
    } else if days < 2 {
        let rest = (whole - hours * 3_600) / 60;
        if rest == 0 { format!("{hours} h") } else { format!("{hours} h {rest} min") }
    } else {
        format!("{days} d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_read_them() {
        let counts = [0, 7, 999, 1_000, 512_300, 1_000_000].map(jobs);
        assert_eq!(counts, ["0", "7", "999", "1,000", "512,300", "1,000,000"]);
        let rates = [0.0, 0.04, 0.4, 8.0, 9.96, 12.4, 3_200.0].map(rate);
        assert_eq!(rates, ["0/s", "0/s", "0.4/s", "8/s", "10/s", "12/s", "3,200/s"]);
        let spans =
            [0.0, 0.01, 0.44, 1.0, 45.4, 119.0, 180.0, 7_100.0, 7_200.0, 7_500.0, 400_000.0].map(seconds);
        let expected =
            ["0 s", "0.1 s", "0.4 s", "1 s", "45 s", "119 s", "3 min", "118 min", "2 h", "2 h 5 min", "4 d"];
        assert_eq!(spans, expected);
    }
}

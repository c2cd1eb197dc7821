//! Writes SVG: shapes with a class, escaped text, coordinates in tenths of a pixel.

use std::fmt::Write;

/// A point in pixels: from the left, from the top.
pub type Spot = (f64, f64);

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Frame {
    /// The right edge.
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    /// The lower edge.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// Where a text stands to its spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A drawing that is being written. Classes are the writer's own words; text may be anybody's.
#[derive(Clone, Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// An empty drawing that screen readers call `title` and describe as `described`.
    pub fn new((width, height): Spot, title: &str, described: &str, style: &str) -> Svg {
        let mut svg = Svg { text: String::new() };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tidegate-plot\" role=\"img\" \
             width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">\n<title>{2}</title>\n<desc>{3}</desc>\n",
            Pixels(width),
            Pixels(height),
            escaped(title),
            escaped(described)
        ));
        svg.put(format_args!("<style>{style}</style>\n"));
        svg
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, class: &str, frame: Frame) {
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
            Pixels(frame.left),
            Pixels(frame.top),
            Pixels(frame.width.max(0.0)),
            Pixels(frame.height.max(0.0))
        ));
    }

    /// A line through these spots. Without spots there is none.
    pub fn line(&mut self, class: &str, spots: &[Spot]) {
        self.path(class, spots, "");
    }

    /// A filled shape with these corners.
    pub fn shape(&mut self, class: &str, corners: &[Spot]) {
        self.path(class, corners, "Z");
    }

    /// A line of text, its baseline at the spot.
    pub fn text(&mut self, class: &str, anchor: Anchor, (x, y): Spot, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\"{anchor}>{}</text>\n",
            Pixels(x),
            Pixels(y),
            escaped(text)
        ));
    }

    /// The finished document.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn path(&mut self, class: &str, spots: &[Spot], end: &str) {
        let spots = without_idle(spots);
        let Some(((x, y), rest)) = spots.split_first() else { return };
        self.put(format_args!("<path class=\"{class}\" d=\"M{} {}", Tenths(*x), Tenths(*y)));
        for (step, (x, y)) in rest.iter().enumerate() {
            let command = if step == 0 { "L" } else { " " };
            self.put(format_args!("{command}{} {}", Tenths(*x), Tenths(*y)));
        }
        self.put(format_args!("{end}\"/>\n"));
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.text.write_fmt(arguments);
    }
}

/// The spots in tenths of a pixel, less those in the middle of a level or upright stretch.
fn without_idle(spots: &[Spot]) -> Vec<(i64, i64)> {
    let mut kept: Vec<(i64, i64)> = Vec::with_capacity(spots.len());
    for spot in spots.iter().map(|(x, y)| (tenths(*x), tenths(*y))) {
        if let [.., before, last] = kept.as_slice() {
            let level = before.1 == last.1 && last.1 == spot.1 && between(before.0, last.0, spot.0);
            let upright = before.0 == last.0 && last.0 == spot.0 && between(before.1, last.1, spot.1);
            if level || upright {
                kept.pop();
            }
        }
        kept.push(spot);
    }
    kept
}

fn between(one: i64, middle: i64, other: i64) -> bool {
    (one <= middle && middle <= other) || (one >= middle && middle >= other)
}

/// A coordinate that is no number is zero, an enormous one stays near the page.
fn tenths(pixels: f64) -> i64 {
    if pixels.is_nan() { 0 } else { (pixels.clamp(-FAR, FAR) * 10.0).round() as i64 }
}

struct Tenths(i64);

impl std::fmt::Display for Tenths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 10, self.0.unsigned_abs() % 10);
        if part == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{part}") }
    }
}

struct Pixels(f64);

impl std::fmt::Display for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Tenths(tenths(self.0)).fmt(f)
    }
}

/// Text that XML can carry: its five signs escaped, controls and what turns the direction of writing left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            sign if is_printed(sign) => escaped.push(sign),
            _ => {}
        }
    }
    escaped
}

/// Whether a sign is written as it is; others are no part of a label.
pub fn is_printed(sign: char) -> bool {
    let turns = matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let no_sign = matches!(sign, '\u{fffe}' | '\u{ffff}');
    !(sign.is_control() || turns || no_sign)
}

/// How wide a text is at most likely to be, in pixels: which font draws it is the viewer's choice.
pub fn width_of(text: &str, size: f64) -> f64 {
    text.chars().map(width_of_sign).sum::<f64>() * size
}

/// In parts of the size; measured on a wide font, so that labels keep apart in narrower ones too.
const fn width_of_sign(sign: char) -> f64 {
    match sign {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | 'I' | ' ' | '.' | ',' | ':' | ';' | '(' | ')' | '|' | '\'' => {
            0.37
        }
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '×' | '—' => 0.95,
        'A'..='Z' => 0.70,
        '0'..='9' | 'a'..='z' => 0.62,
        sign if (sign as u32) < 0x1100 => 0.66,
        _ => 1.05,
    }
}

/// No coordinate is further out, in pixels.
const FAR: f64 = 100_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinate_that_is_no_number_or_enormous_stays_a_coordinate() {
        let written = |value: f64| Pixels(value).to_string();
        assert_eq!(written(f64::NAN), "0");
        assert_eq!(written(f64::INFINITY), "100000");
        assert_eq!(written(-0.04), "0");
        assert_eq!(written(-0.25), "-0.3");
        assert_eq!(written(12.34), "12.3");
    }

    #[test]
    fn spots_on_a_level_stretch_are_left_out_and_corners_kept() {
        let spots = [(0.0, 5.0), (1.0, 5.0), (2.0, 5.0), (2.0, 7.0), (2.0, 9.0), (3.0, 0.0)];
        assert_eq!(without_idle(&spots), [(0, 50), (20, 50), (20, 90), (30, 0)]);
        assert_eq!(without_idle(&[(0.0, 5.0), (9.0, 5.0), (4.0, 5.0)]), [(0, 50), (90, 50), (40, 50)]);
    }

    #[test]
    fn text_is_escaped_and_signs_that_xml_cannot_carry_are_left_out() {
        assert_eq!(
            escaped("<a href=\"x\">'&'\u{0}\u{7}\u{202e}\u{ffff}ä"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;ä"
        );
    }
}

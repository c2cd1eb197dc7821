//! A strict reader of the Prometheus text format: a line that it does not understand is a fault.

use std::collections::{BTreeMap, BTreeSet};

/// One scrape, family by family.
#[derive(Debug)]
pub struct Scrape {
    families: BTreeMap<String, Family>,
}

/// The samples under one `# TYPE` line.
#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub samples: Vec<Sample>,
}

/// One line with a number.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Scrape {
    /// Reads a whole scrape; the error names the line.
    pub fn parse(text: &str) -> Result<Scrape, String> {
        let mut scrape = Scrape { families: BTreeMap::new() };
        let mut current = None;
        for (index, line) in text.lines().enumerate() {
            scrape.line(line, &mut current).map_err(|why| format!("line {}: {why}: {line}", index + 1))?;
        }
        for (name, family) in &scrape.families {
            family.check(name).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(scrape)
    }

    /// Whether the family was announced, with or without samples.
    pub fn has(&self, family: &str) -> bool {
        self.families.contains_key(family)
    }

    /// The kind the family was announced as.
    pub fn kind(&self, family: &str) -> &str {
        &self.family(family).kind
    }

    /// The sum of the family's samples that carry all these labels; zero if none does.
    pub fn sum(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.family(family)
            .samples
            .iter()
            .filter(|sample| sample.name == family && sample.carries(labels))
            .fold(0.0, |sum, sample| sum + sample.value)
    }

    /// As [`Scrape::sum`], of a counter or gauge of whole numbers.
    pub fn count(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(family, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{family}{labels:?} is no whole number: {sum}");
        sum as u64
    }

    /// Observations of a histogram with all these labels.
    pub fn observations(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let name = format!("{family}_count");
        let samples = self.family(family).samples.iter();
        samples
            .filter(|sample| sample.name == name && sample.carries(labels))
            .fold(0.0, |sum, s| sum + s.value)
    }

    /// Every value that this label takes anywhere.
    pub fn label_values(&self, label: &str) -> BTreeSet<&str> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        samples.filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }

    fn family(&self, name: &str) -> &Family {
        self.families.get(name).unwrap_or_else(|| panic!("no metric family {name}"))
    }

    fn line(&mut self, line: &str, current: &mut Option<String>) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no kind")?;
            if !["counter", "gauge", "histogram", "summary"].contains(&kind) {
                return Err("unknown kind".into());
            }
            let family = Family { kind: kind.into(), samples: Vec::new() };
            if self.families.insert(name.into(), family).is_some() {
                return Err("second TYPE line of this family".into());
            }
            *current = Some(name.into());
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            return rest
                .split_once(' ')
                .filter(|(_, help)| !help.is_empty())
                .map(drop)
                .ok_or("no help".into());
        }
        if line.starts_with('#') {
            return Err("neither HELP nor TYPE".into());
        }
        let sample = Sample::parse(line)?;
        let name = current.as_deref().ok_or("sample before any TYPE line")?;
        let family = self.families.get_mut(name).ok_or("sample before its TYPE line")?;
        if !family.owns(name, &sample.name) {
            return Err(format!("sample under the TYPE line of {name}"));
        }
        if family.samples.iter().any(|other| other.name == sample.name && other.labels == sample.labels) {
            return Err("second sample of this series".into());
        }
        family.samples.push(sample);
        Ok(())
    }
}

impl Family {
    fn owns(&self, name: &str, sample: &str) -> bool {
        match self.kind.as_str() {
            "histogram" => {
                sample.strip_prefix(name).is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest))
            }
            _ => sample == name,
        }
    }

    /// What must hold beyond single lines: counters never negative, buckets cumulative and complete.
    fn check(&self, name: &str) -> Result<(), String> {
        for sample in &self.samples {
            let bad = sample.value.is_nan() || (self.kind != "gauge" && sample.value < 0.0);
            if bad {
                return Err(format!("{:?} is {}", sample.labels, sample.value));
            }
        }
        if self.kind == "histogram" { self.check_buckets(name) } else { Ok(()) }
    }

    fn check_buckets(&self, name: &str) -> Result<(), String> {
        let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let mut labels = sample.labels.clone();
            let le = labels.remove("le").ok_or("bucket without le")?;
            let le = le.parse::<f64>().map_err(|_| format!("le is {le}"))?;
            buckets.entry(labels).or_default().push((le, sample.value));
        }
        for sample in self.samples.iter().filter(|sample| sample.name == format!("{name}_count")) {
            let series = buckets.get(&sample.labels).ok_or("count without buckets")?;
            if !series.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
                return Err(format!("buckets are not cumulative: {series:?}"));
            }
            if series.last() != Some(&(f64::INFINITY, sample.value)) {
                return Err(format!("the +Inf bucket is not the count {}: {series:?}", sample.value));
            }
        }
        Ok(())
    }
}

impl Sample {
    fn carries(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }

    fn parse(line: &str) -> Result<Sample, String> {
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let value = value.parse().map_err(|_| "the value is no number")?;
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, parse_labels(rest.strip_suffix('}').ok_or("labels do not end")?)?),
            None => (series, BTreeMap::new()),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if name.is_empty() || !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("not a metric name".into());
        }
        Ok(Sample { name: name.into(), labels, value })
    }
}

fn parse_labels(mut rest: &str) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or("label without value")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("not a label name: {name}"));
        }
        let (value, after) = unescape(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("label {name} twice"));
        }
        rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => after,
            _ => return Err("labels are not separated by commas".into()),
        };
    }
    Ok(labels)
}

/// The text up to the closing quote, and what follows it.
fn unescape(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                _ => return Err("unknown escape".into()),
            },
            c => value.push(c),
        }
    }
    Err("label value does not end".into())
}

#[test]
fn a_scrape_reads_back() {
    let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\",y=\"a\\\"b\"} 2\na_total{x=\"2\"} 3\n\
                # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 4\nh_sum 9.5\nh_count 4\n";
    let scrape = Scrape::parse(text).unwrap();
    assert_eq!(scrape.count("a_total", &[]), 5);
    assert_eq!(scrape.count("a_total", &[("y", "a\"b")]), 2);
    assert_eq!(scrape.observations("h", &[]), 4.0);
}

#[test]
fn a_line_that_does_not_parse_is_a_fault() {
    let faults = [
        "a_total 1\n",
        "# TYPE a counter\na 1\na 1\n",
        "# TYPE a counter\na -1\n",
        "# TYPE a counter\na NaN\n",
        "# TYPE a counter\nb 1\n",
        "# TYPE a counter\na one\n",
        "# TYPE a counter\na{x=1} 1\n",
        "# TYPE a counter\na{x=\"1\"\n",
        "# TYPE a number\n",
        "# TYPE a counter\n# TYPE a counter\n",
        "# hello\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 0\nh_count 1\n",
    ];
    for fault in faults {
        assert!(Scrape::parse(fault).is_err(), "took {fault:?}");
    }
}

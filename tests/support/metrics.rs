//! Prometheus' text format (version 0.0.4), read as strictly as one can: what is odd is a panic.

use std::collections::{BTreeMap, HashSet};

/// One sample: its name, its labels, its value.
pub type Samples = BTreeMap<(String, Vec<(String, String)>), f64>;

pub struct Metrics {
    pub samples: Samples,
    /// The names of those that only grow.
    pub counters: HashSet<String>,
}

impl Metrics {
    /// # Panics
    ///
    /// When the text is not in the format, or not in its spirit.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n') && !text.contains('\r'), "each line ends in a line feed");
        let (mut samples, mut counters, mut seen) = (Samples::new(), HashSet::new(), HashSet::new());
        let mut family = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a name and a help");
                assert!(is_name(name) && !help.is_empty() && seen.insert(name.to_owned()), "{line}");
                let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
                match kind {
                    Some("counter") => assert!(name.ends_with("_total") && counters.insert(name.to_owned())),
                    Some("gauge") => assert!(!name.ends_with("_total"), "{line}"),
                    other => panic!("{other:?} behind {line}"),
                }
                family = name.to_owned();
                continue;
            }
            let (name, labels, value) = sample(line);
            assert_eq!(name, family, "{line}: of another family than the lines above it");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
        }
        Self { samples, counters }
    }

    /// # Panics
    ///
    /// When there is no such sample.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let value = self.samples.get(&(name.to_owned(), labels));
        *value.unwrap_or_else(|| panic!("no {name}: {:?}", self.samples))
    }
}

/// Name, labels and value of a line.
fn sample(line: &str) -> (String, Vec<(String, String)>, &str) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, behind) = unescaped(value);
            labels.push((label.to_owned(), value));
            match behind.split_at(1) {
                (",", behind) => rest = behind,
                ("}", behind) => {
                    rest = behind;
                    break;
                }
                _ => panic!("no end of labels: {line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    (name.to_owned(), labels, value)
}

/// A label's value up to its quote, and what stands behind that.
#[track_caller]
fn unescaped(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, other @ ('\\' | '"'))) => other,
                other => panic!("an escape that there is not: {other:?}"),
            }),
            other => value.push(other),
        }
    }
    panic!("no end of a label: {text}")
}

fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    text.starts_with(|c: char| is_part(c) && !c.is_ascii_digit()) && text.chars().all(is_part)
}

//! Figures, their medians over the runs, and the table.

use std::io;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::options::{Options, Subject};
use crate::process::Usage;
use crate::viewers::Seen;

/// What one run gave: figures in the order of [`COLUMNS`].
pub struct Figures([f64; COLUMNS.len()]);

/// Name, unit and digits of each figure.
const COLUMNS: [(&str, &str, usize); 12] = [
    ("playing", "viewers", 0),
    ("lost", "viewers", 0),
    ("missing", "frames", 0),
    ("cpu", "us/viewer/s", 1),
    ("p50", "ms", 2),
    ("p99", "ms", 2),
    ("max", "ms", 2),
    ("first_p50", "ms", 1),
    ("first_max", "ms", 1),
    ("memory", "KB/viewer", 2),
    ("threads", "", 0),
    ("megabytes", "MB resident", 1),
];

/// The columns that are given as ratios to the floor's.
const RATIOS: [&str; 1] = ["cpu"];

impl Figures {
    pub fn new(seen: &Seen, viewers: usize, time: Duration, idle: Usage, begin: Usage, end: Usage) -> Self {
        let mut latencies = seen.latencies.clone();
        let mut first = seen.first_keyframes.clone();
        latencies.sort_unstable();
        first.sort_unstable();
        let millis = |sorted: &[u32], quantile: f64| {
            let index = (sorted.len().saturating_sub(1) as f64 * quantile).round() as usize;
            sorted.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
        };
        // Stalled viewers have been joined, too, and cost what they cost.
        let per_viewer = |amount: f64| amount / (viewers - seen.lost).max(1) as f64;
        let memory = end.resident_bytes.saturating_sub(idle.resident_bytes) as f64;
        Self([
            seen.playing as f64,
            seen.lost as f64,
            seen.missing as f64,
            per_viewer((end.cpu_seconds - begin.cpu_seconds) / time.as_secs_f64() * 1e6),
            millis(&latencies, 0.5),
            millis(&latencies, 0.99),
            millis(&latencies, 1.0),
            millis(&first, 0.5),
            millis(&first, 1.0),
            per_viewer(memory / 1024.0),
            end.threads as f64,
            end.resident_bytes as f64 / 1e6,
        ])
    }
}

/// All runs of all subjects.
pub struct Report<'a> {
    options: &'a Options,
    runs: Vec<(Subject, Vec<Figures>)>,
}

impl<'a> Report<'a> {
    pub fn new(options: &'a Options) -> Self {
        Self { options, runs: options.subjects.iter().map(|subject| (subject.clone(), Vec::new())).collect() }
    }

    pub fn add(&mut self, subject: &Subject, figures: Figures) {
        if let Some((_, runs)) = self.runs.iter_mut().find(|(known, _)| known == subject) {
            runs.push(figures);
        }
    }

    pub fn print(&self) -> io::Result<()> {
        let rows: Vec<_> =
            self.runs.iter().map(|(subject, runs)| (subject.to_string(), medians(runs))).collect();
        let floor =
            self.runs.iter().position(|(subject, _)| *subject == Subject::Floor).map(|index| rows[index].1);
        if !self.options.json {
            self.print_table(&rows, floor);
        }
        println!("{}", serde_json::to_string(&self.as_json(&rows, floor)).map_err(io::Error::other)?);
        Ok(())
    }

    fn print_table(&self, rows: &[(String, [f64; COLUMNS.len()])], floor: Option<[f64; COLUMNS.len()]>) {
        let shape = self.options.shape;
        println!(
            "{} viewers, {} stream(s) of {} bit/s with {} frames/s, {} s, medians of {} run(s)\n",
            self.options.crowd.viewers,
            self.options.streams,
            shape.bits_per_second,
            shape.frames_per_second,
            self.options.seconds,
            self.options.runs
        );
        let names: Vec<_> = COLUMNS.iter().map(|(name, _, _)| *name).collect();
        let units: Vec<_> = COLUMNS.iter().map(|(_, unit, _)| *unit).collect();
        println!("| who | {} | cpu/floor |\n|---|{}---|", names.join(" | "), "---|".repeat(COLUMNS.len()));
        println!("| | {} | |", units.join(" | "));
        for (subject, figures) in rows {
            let cells: Vec<_> = figures
                .iter()
                .zip(COLUMNS)
                .map(|(figure, (_, _, digits))| format!("{figure:.digits$}"))
                .collect();
            let ratio = floor.map_or_else(String::new, |floor| format!("{:.2}", figures[CPU] / floor[CPU]));
            println!("| {subject} | {} | {ratio} |", cells.join(" | "));
        }
        println!();
    }

    fn as_json(&self, rows: &[(String, [f64; COLUMNS.len()])], floor: Option<[f64; COLUMNS.len()]>) -> Value {
        let subjects: Map<String, Value> = rows
            .iter()
            .map(|(subject, figures)| {
                let mut object: Map<String, Value> = COLUMNS
                    .iter()
                    .zip(figures)
                    .map(|((name, _, _), figure)| ((*name).to_owned(), json!(figure)))
                    .collect();
                for name in RATIOS {
                    if let (Some(floor), Some(at)) = (floor, COLUMNS.iter().position(|column| column.0 == name))
                    {
                        object.insert(format!("{name}_ratio"), json!(figures[at] / floor[at]));
                    }
                }
                (subject.clone(), Value::Object(object))
            })
            .collect();
        let options = self.options;
        json!({
            "viewers": options.crowd.viewers, "streams": options.streams, "seconds": options.seconds,
            "runs": options.runs, "bitrate": options.shape.bits_per_second, "subjects": subjects,
        })
    }
}

const CPU: usize = 3;

fn medians(runs: &[Figures]) -> [f64; COLUMNS.len()] {
    std::array::from_fn(|column| {
        let mut values: Vec<_> = runs.iter().map(|run| run.0[column]).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    })
}

//! The figures of the fan-out benchmark.

use std::io;
use std::time::Duration;

use serde_json::json;

use crate::crowd::{Misbehaving, Seen};
use crate::load::process::Usage;
use crate::load::table::{self, Column, Row, quantile_millis};
use crate::options::{Options, Server, Subject};

const COLUMNS: [Column; 24] = [
    Column("playing", "viewers", 0),
    Column("lost", "viewers", 0),
    Column("missing", "frames", 0),
    Column("cpu", "us/viewer/s", 1),
    Column("p50", "ms", 2),
    Column("p99", "ms", 2),
    Column("max", "ms", 2),
    Column("first_p50", "ms", 1),
    Column("first_max", "ms", 1),
    Column("memory", "KB/viewer", 2),
    Column("threads", "", 0),
    Column("megabytes", "MB resident", 1),
    Column("peak", "MB resident", 1),
    Column("corrupt", "viewers", 0),
    Column("torn", "gaps", 0),
    Column("given_up", "stalled, slow", 0),
    Column("gaps", "stalled, slow", 0),
    Column("generator_cpu", "cores", 2),
    Column("generator_busy", "of 1", 2),
    Column("cpu_ratio", "to floor", 2),
    Column("cpu_to_plain", "to none stalled", 2),
    Column("p50_to_plain", "to none stalled", 2),
    Column("p99_to_plain", "to none stalled", 2),
    Column("cpu_to_http", "of WebSocket", 2),
];

/// How busy the thread of the viewers may be before its own speed is what is measured.
const BUSY: f64 = 0.9;

const CPU: usize = 3;
const P50: usize = 4;
const P99: usize = 5;
const TORN: usize = 14;
const GIVEN_UP: usize = 15;
const GAPS: usize = 16;
const BUSY_COLUMN: usize = 18;

/// What had been used at one moment.
pub struct Mark {
    pub server: Usage,
    pub generator: Usage,
    pub viewers_thread: Usage,
}

/// The figures of one run in the order of the columns, but for the ratios.
pub fn figures(
    seen: &Seen,
    viewers: usize,
    time: Duration,
    idle: Usage,
    (begin, end): (&Mark, &Mark),
) -> Vec<f64> {
    let mut latencies = seen.latencies.clone();
    let mut first = seen.first_keyframes.clone();
    latencies.sort_unstable();
    first.sort_unstable();
    let cores = |begin: Usage, end: Usage| (end.cpu_seconds - begin.cpu_seconds) / time.as_secs_f64();
    let well_behaved = (viewers - seen.misbehaving - seen.lost).max(1) as f64;
    let served = (viewers - seen.lost).max(1) as f64;
    let memory = end.server.resident_bytes.saturating_sub(idle.resident_bytes) as f64;
    vec![
        seen.playing as f64,
        seen.lost as f64,
        seen.keen.missing as f64,
        cores(begin.server, end.server) * 1e6 / well_behaved,
        quantile_millis(&latencies, 0.5),
        quantile_millis(&latencies, 0.99),
        quantile_millis(&latencies, 1.0),
        quantile_millis(&first, 0.5),
        quantile_millis(&first, 1.0),
        memory / 1024.0 / served,
        end.server.threads as f64,
        end.server.resident_bytes as f64 / 1e6,
        end.server.peak_bytes as f64 / 1e6,
        seen.corrupt as f64,
        (seen.keen.torn + seen.others.torn) as f64,
        seen.given_up as f64,
        seen.others.gaps as f64,
        cores(begin.generator, end.generator),
        cores(begin.viewers_thread, end.viewers_thread),
    ]
}

/// All runs of all subjects.
pub struct Report<'a> {
    options: &'a Options,
    runs: Vec<Vec<Vec<f64>>>,
}

impl<'a> Report<'a> {
    pub fn new(options: &'a Options) -> Self {
        Self { options, runs: vec![Vec::new(); options.subjects.len()] }
    }

    /// Adds a run of the subject with this index.
    pub fn add(&mut self, subject: usize, figures: Vec<f64>) {
        self.runs[subject].push(figures);
    }

    pub fn print(&self) -> io::Result<()> {
        let rows = self.rows();
        let options = self.options;
        if !options.json {
            println!(
                "{} viewers, {} stream(s) of {} bit/s with {} frames/s, {} s, medians of {} run(s)\n",
                options.viewers,
                options.streams,
                options.shape.bits_per_second,
                options.shape.frames_per_second,
                options.seconds,
                options.runs
            );
            table::print(&COLUMNS, &rows);
        }
        for row in rows.iter().filter(|row| row.figures[BUSY_COLUMN] > BUSY) {
            eprintln!("{}: the thread that plays the viewers had no time to spare; use fewer viewers", row.who);
        }
        let json = json!({
            "viewers": options.viewers, "streams": options.streams, "seconds": options.seconds,
            "runs": options.runs, "bitrate": options.shape.bits_per_second,
            "subjects": table::as_json(&COLUMNS, &rows),
        });
        println!("{}", serde_json::to_string(&json).map_err(io::Error::other)?);
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let subjects = &self.options.subjects;
        let medians = subjects.iter().zip(&self.runs);
        let mut rows: Vec<_> =
            medians.map(|(subject, runs)| Row::of_medians(subject.to_string(), runs)).collect();
        let floor = subjects.iter().position(|subject| subject.server == Server::Floor);
        let ratios: Vec<_> = subjects
            .iter()
            .enumerate()
            .map(|(index, subject)| {
                let to = |base: Option<usize>, column: usize| {
                    base.map_or(f64::NAN, |base| rows[index].figures[column] / rows[base].figures[column])
                };
                let plain = self.plain(subject);
                let http = self.over_http(subject);
                [to(floor, CPU), to(plain, CPU), to(plain, P50), to(plain, P99), to(http, CPU)]
            })
            .collect();
        for ((row, ratios), subject) in rows.iter_mut().zip(ratios).zip(subjects) {
            row.figures.extend(ratios);
            if subject.server == Server::Floor {
                // It sends whatever comes next, which is seldom a keyframe.
                row.figures[TORN] = f64::NAN;
            }
            if subject.misbehaving == Misbehaving::default() {
                row.figures[GIVEN_UP] = f64::NAN;
                row.figures[GAPS] = f64::NAN;
            }
        }
        rows
    }

    /// The same server with nobody misbehaving, if that is not what it is itself.
    fn plain(&self, subject: &Subject) -> Option<usize> {
        self.find_other(subject, Subject { misbehaving: Misbehaving::default(), ..subject.clone() })
    }

    /// The same server with viewers over HTTP, if that is not what it is itself.
    fn over_http(&self, subject: &Subject) -> Option<usize> {
        self.find_other(subject, Subject { websocket: false, ..subject.clone() })
    }

    fn find_other(&self, subject: &Subject, wanted: Subject) -> Option<usize> {
        let is_itself = *subject == wanted;
        self.options.subjects.iter().position(|other| !is_itself && *other == wanted)
    }
}

//! What it costs to take streams in: the chunk parser alone, and rtmpd with many publishers; see `--help`.
#![allow(unreachable_pub)] // The modules are this program's own.

mod fleet;
mod load;
mod parsing;

use std::io;
use std::process::ExitCode;

use lexopt::prelude::*;
use serde_json::json;

use load::frames::Shape;
use load::table::{self, Row};

struct Options {
    publishers: usize,
    shape: Shape,
    chunk_size: u32,
    seconds: u64,
    runs: usize,
    json: bool,
}

const HELP: &str = "\
Measures the chunk parser alone, and then rtmpd with many publishers: cargo bench --bench ingest -- [OPTIONS]

  --publishers N  how many publishers, each with a stream of its own; 0 leaves them out [500]
  --bitrate BITS  bits per second of a stream, audio included [1000000]
  --fps N         video frames per second [25]
  --chunk BYTES   the publishers' chunk size [4096]
  --seconds N     measured time of each run [20]
  --runs N        runs; figures are medians [1]
  --json          prints JSON alone

late_p99 says how far behind its schedule the benchmark itself sent, generator_cpu how many cores it used: a publisher
that is late by more than a frame's time is not the load that was asked for.
";

fn main() -> ExitCode {
    load::run(Options::parse(), measure)
}

fn measure(options: &Options) -> io::Result<ExitCode> {
    load::raise_descriptor_limit();
    let parsing = parsing::measure(options.runs)?;
    let mut publishing = Vec::new();
    if options.publishers > 0 {
        let mut runs = Vec::new();
        for run in 1..=options.runs {
            eprintln!("run {run} of {}: {} publishers", options.runs, options.publishers);
            runs.push(fleet::measure(options)?);
        }
        publishing.push(Row::of_medians(format!("{} publishers", options.publishers), &runs));
    }
    if !options.json {
        println!("The chunk parser on one core, medians of {} run(s)\n", options.runs);
        table::print(&parsing::COLUMNS, &parsing);
        println!(
            "rtmpd, streams of {} bit/s in chunks of {}\n",
            options.shape.bits_per_second, options.chunk_size
        );
        table::print(&fleet::COLUMNS, &publishing);
    }
    let json = json!({
        "publishers": options.publishers, "bitrate": options.shape.bits_per_second, "chunk": options.chunk_size,
        "seconds": options.seconds, "runs": options.runs,
        "parser": table::as_json(&parsing::COLUMNS, &parsing),
        "rtmpd": table::as_json(&fleet::COLUMNS, &publishing),
    });
    println!("{}", serde_json::to_string(&json).map_err(io::Error::other)?);
    Ok(ExitCode::SUCCESS)
}

impl Options {
    /// Reads the command line; `None` if only help was asked for.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self {
            publishers: 500,
            shape: Shape::default(),
            chunk_size: 4096,
            seconds: 20,
            runs: 1,
            json: false,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("publishers") => options.publishers = arguments.value()?.parse()?,
                Long("bitrate") => options.shape.bits_per_second = arguments.value()?.parse()?,
                Long("fps") => options.shape.frames_per_second = arguments.value()?.parse::<u32>()?.max(1),
                Long("chunk") => options.chunk_size = arguments.value()?.parse::<u32>()?.max(1),
                Long("seconds") => options.seconds = arguments.value()?.parse::<u64>()?.max(1),
                Long("runs") => options.runs = arguments.value()?.parse::<usize>()?.max(1),
                Long("json") => options.json = true,
                // What `cargo bench` adds.
                Long("bench") => {}
                Long("help") | Short('h') => {
                    print!("{HELP}");
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

//! rtmpd for a long time, with viewers that come and go and a publisher that reconnects; see `--help`.
#![allow(unreachable_pub)] // The modules are this program's own.

mod load;
mod plot;
mod turnover;
mod verdict;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use serde_json::{Map, Value, json};

use load::frames::{Epoch, Shape};
use load::process::Measured;
use load::publisher::Publisher;
use load::rtmp::Rtmp;
use load::table::Column;
use turnover::{Tally, Turnover};
use verdict::{Change, SERIES, Sample};

const STREAM: &str = "soak";
const PATH: &str = "/live/soak.flv";

/// How long the publisher stays away before it comes back.
const AWAY: Duration = Duration::from_millis(500);

/// There must be something in each quarter of the time.
const LEAST_SECONDS: u64 = 12;

struct Options {
    seconds: u64,
    viewers: usize,
    reconnect: u64,
    seed: u64,
    svg: Option<PathBuf>,
}

const HELP: &str = "\
Runs rtmpd with viewers that come and go and a publisher that reconnects, and fails if a tag is corrupt or if memory,
threads or descriptors grow: cargo bench --bench soak -- [OPTIONS]

  --seconds N    how long, at least 12 [30]
  --viewers N    how many at a time; each stays for 1 to 15 s, and then another one comes [200]
  --reconnect N  seconds from one connection of the publisher to the next; every other time it goes without a word
                 [30, or a third of the time if that is less]
  --seed N       what the viewers' stays are drawn from [1]
  --svg FILE     writes a plot of what was sampled each second
";

fn main() -> ExitCode {
    load::run(Options::parse(), soak)
}

fn soak(options: &Options) -> io::Result<ExitCode> {
    load::raise_descriptor_limit();
    let (process, rtmp, http) = Measured::start(&mut Measured::rtmpd_command(&[]))?;
    let (stop, stopped) = channel();
    let every = Duration::from_secs(options.reconnect);
    let publisher = thread::spawn(move || publish_again_and_again(rtmp, every, &stopped));
    let turnover = Turnover::begin(http, PATH, options.viewers, options.seed)?;
    let (samples, tally) = sample(options, &process, turnover)?;
    drop(stop);
    let sessions = publisher.join().unwrap_or_else(|_| Err(io::Error::other("the publisher panicked")))?;
    let changes = verdict::changes(&samples);
    report(options, sessions, &changes, &tally)?;
    if let Some(file) = &options.svg {
        fs::create_dir_all(file.parent().unwrap_or(file))?;
        fs::write(file, plot::svg(&title(options), &samples))?;
        eprintln!("plot: {}", file.display());
    }
    let complaints = verdict::complaints(&changes, &tally);
    complaints.iter().for_each(|complaint| eprintln!("soak: {complaint}"));
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gives the number of sessions.
fn publish_again_and_again(server: SocketAddr, every: Duration, stopped: &Receiver<()>) -> io::Result<u64> {
    let epoch = Epoch::start();
    for session in 0.. {
        let outlet = Rtmp::publish(server, "live", STREAM, 4096)?;
        let publisher = Publisher::start(outlet, Shape::default(), epoch, session);
        let is_over = stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout);
        // Encoders that are stopped say goodbye; those that crash, or lose their network, do not.
        if session % 2 == 0 { publisher.stop() } else { publisher.cut() }?;
        if is_over {
            return Ok(session + 1);
        }
        thread::sleep(AWAY);
    }
    Ok(0)
}

/// Plays, and looks at the server each second.
fn sample(options: &Options, process: &Measured, mut turnover: Turnover) -> io::Result<(Vec<Sample>, Tally)> {
    let begin = Instant::now();
    let mut samples = Vec::new();
    let mut last = process.usage()?;
    for second in 1..=options.seconds {
        turnover.play_until(begin + Duration::from_secs(second))?;
        let usage = process.usage()?;
        let values = [
            usage.resident_bytes as f64 / 1e6,
            usage.threads as f64,
            process.descriptors()? as f64,
            turnover.playing() as f64,
            usage.cpu_seconds - last.cpu_seconds,
        ];
        last = usage;
        samples.push(Sample { seconds: second as f64, values });
    }
    Ok((samples, turnover.finish()))
}

fn report(options: &Options, sessions: u64, changes: &[Change], tally: &Tally) -> io::Result<()> {
    let counts = &tally.counts;
    println!("{}: {sessions} sessions of the publisher", title(options));
    println!(
        "{} joins, {} left, {} responses ended with the stream, {} frames checked\n",
        tally.joined, tally.left, tally.ended, counts.frames
    );
    println!("| median | second quarter | last quarter | more allowed |\n|---|---|---|---|");
    let mut flat = Map::new();
    for Change { series, before, after, allowed } in changes {
        let Column(name, unit, digits) = SERIES[*series];
        println!("| {name} {unit} | {before:.digits$} | {after:.digits$} | {allowed:.digits$} |");
        flat.insert(name.into(), json!({ "before": before, "after": after, "allowed": allowed }));
    }
    let failed: Map<String, Value> =
        tally.failed.iter().map(|(what, times)| (what.clone(), json!(times))).collect();
    let json = json!({
        "seconds": options.seconds, "viewers": options.viewers, "sessions": sessions, "joined": tally.joined,
        "left": tally.left, "ended": tally.ended, "failed": failed, "frames": counts.frames,
        "missing": counts.missing, "torn": counts.torn, "disordered": counts.disordered,
        "backward": counts.backward, "flat": flat,
    });
    println!("\n{}", serde_json::to_string(&json).map_err(io::Error::other)?);
    Ok(())
}

fn title(options: &Options) -> String {
    let Options { seconds, viewers, reconnect, .. } = options;
    format!(
        "{viewers} viewers that come and go for {seconds} s, a publisher that reconnects every {reconnect} s"
    )
}

impl Options {
    /// Reads the command line; `None` if only help was asked for.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { seconds: 30, viewers: 200, reconnect: 0, seed: 1, svg: None };
        let mut reconnect = None;
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("seconds") => options.seconds = arguments.value()?.parse::<u64>()?.max(LEAST_SECONDS),
                Long("viewers") => options.viewers = arguments.value()?.parse::<usize>()?.max(1),
                Long("reconnect") => reconnect = Some(arguments.value()?.parse::<u64>()?.max(1)),
                Long("seed") => options.seed = arguments.value()?.parse()?,
                Long("svg") => options.svg = Some(arguments.value()?.into()),
                // What `cargo bench` adds.
                Long("bench") => {}
                Long("help") | Short('h') => {
                    print!("{HELP}");
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        options.reconnect = reconnect.unwrap_or((options.seconds / 3).min(30));
        Ok(Some(options))
    }
}

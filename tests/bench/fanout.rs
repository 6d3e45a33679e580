//! How rtmpd delivers to many viewers, against the floor in the same run: see `--help`.
#![allow(unreachable_pub)] // The modules are this program's own.

mod floor;
mod options;
mod process;
mod report;
mod viewers;
mod wire;

use std::io;
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;

use options::{Options, Subject};
use process::{Measured, Usage};
use report::Figures;
use viewers::{Seen, Target};
use wire::{Epoch, Publisher, Rtmp, Tags};

/// From the last join to the begin of the measured time.
const WARM_UP: Duration = Duration::from_secs(2);

/// From the last join to the count of threads: what a storm of joins needed must be gone by then.
const SETTLED: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == floor::ARGUMENT) {
        return exit(floor::run());
    }
    match Options::parse() {
        Ok(Some(options)) => exit(measure(&options)),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::from(2)
        }
    }
}

fn exit(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each subject in turn, as often as asked, so that a machine whose speed drifts treats all alike.
fn measure(options: &Options) -> io::Result<()> {
    raise_descriptor_limit();
    let mut report = report::Report::new(options);
    for run in 1..=options.runs {
        for subject in &options.subjects {
            eprintln!("run {run} of {}: {subject}", options.runs);
            report.add(subject, figures(subject, options)?);
        }
    }
    report.print()
}

fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("fanout: cannot raise the limit on open descriptors: {error}");
    }
}

fn figures(subject: &Subject, options: &Options) -> io::Result<Figures> {
    let epoch = Epoch::start();
    let path = |stream: usize| format!("stream{stream}");
    let (process, publishers, target) = match subject {
        Subject::Floor => {
            let (process, publish, play) =
                Measured::start(Command::new(std::env::current_exe()?).arg(floor::ARGUMENT))?;
            let tags = Tags(TcpStream::connect(publish)?);
            let publishers = vec![Publisher::start(tags, options.shape, epoch)];
            (process, publishers, Target { address: play, paths: None })
        }
        Subject::Rtmpd { flags } => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpd"));
            command
                .args(["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"])
                .args(flags)
                .env("RUST_LOG", "warn");
            let (process, publish, play) = Measured::start(&mut command)?;
            let (publishers, paths) = publish_all(options, publish, epoch, path)?;
            (process, publishers, Target { address: play, paths: Some(paths) })
        }
        Subject::Other { http, rtmp, pid } => {
            let (publishers, paths) = publish_all(options, *rtmp, epoch, path)?;
            (Measured::running(*pid), publishers, Target { address: *http, paths: Some(paths) })
        }
    };
    // A stream is joined in its middle, with a GOP cache to be sent.
    std::thread::sleep(Duration::from_millis(1500));
    let figures = watch(&process, &target, options, epoch);
    for publisher in publishers {
        publisher.stop()?;
    }
    figures
}

fn publish_all(
    options: &Options,
    server: std::net::SocketAddr,
    epoch: Epoch,
    path: impl Fn(usize) -> String,
) -> io::Result<(Vec<Publisher>, Vec<String>)> {
    let names: Vec<_> = (0..options.streams).map(path).collect();
    let publishers: io::Result<Vec<_>> = names
        .iter()
        .map(|name| Ok(Publisher::start(Rtmp::publish(server, "live", name, 4096)?, options.shape, epoch)))
        .collect();
    Ok((publishers?, names.iter().map(|name| format!("/live/{name}.flv")).collect()))
}

fn watch(process: &Measured, target: &Target, options: &Options, epoch: Epoch) -> io::Result<Figures> {
    let idle = process.usage()?;
    let time = Duration::from_secs(options.seconds).max(SETTLED.saturating_sub(WARM_UP));
    let (mut begin, mut end): (Option<Usage>, Option<Usage>) = (None, None);
    let mut failed = None;
    let mut take = |slot: &mut Option<Usage>| match process.usage() {
        Ok(usage) => *slot = Some(usage),
        Err(error) => failed = Some(error),
    };
    let seen: Seen = {
        let take = std::cell::RefCell::new(&mut take);
        viewers::run(
            target,
            options.crowd,
            epoch,
            time,
            WARM_UP,
            || (take.borrow_mut())(&mut begin),
            || (take.borrow_mut())(&mut end),
        )?
    };
    match (begin, end, failed) {
        (Some(begin), Some(end), None) => {
            Ok(Figures::new(&seen, options.crowd.viewers, time, idle, begin, end))
        }
        (_, _, error) => Err(error.unwrap_or_else(|| io::Error::other("the measured process is gone"))),
    }
}

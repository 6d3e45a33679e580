//! How rtmpd delivers to many viewers, against the floor in the same run: see `--help`.
#![allow(unreachable_pub)] // The modules are this program's own.

mod crowd;
mod floor;
mod load;
mod options;
mod report;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crowd::{Target, Times};
use load::frames::Epoch;
use load::process::{Measured, Usage};
use load::publisher::{Publisher, Tags};
use load::rtmp::Rtmp;
use options::{Options, PlayUrl, Server, Subject};
use report::Mark;

/// From the last join to the begin of the measured time.
const WARM_UP: Duration = Duration::from_secs(2);

/// From the last join to the count of threads: what a storm of joins needed must be gone by then.
const SETTLED: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == floor::ARGUMENT) {
        return load::run(Ok(Some(())), |()| floor::run().map(|()| ExitCode::SUCCESS));
    }
    load::run(Options::parse(), measure)
}

/// Each subject in turn, as often as asked, so that a machine whose speed drifts treats all alike.
fn measure(options: &Options) -> io::Result<ExitCode> {
    load::raise_descriptor_limit();
    let mut report = report::Report::new(options);
    for run in 1..=options.runs {
        for (index, subject) in options.subjects.iter().enumerate() {
            eprintln!("run {run} of {}: {subject}", options.runs);
            // No two runs share a name: what a server keeps of an old stream is not for the next one's viewers.
            let names: Vec<_> =
                (0..options.streams).map(|stream| format!("run{run}-{index}-{stream}")).collect();
            report.add(index, Scene::set(subject, options, &names)?.play(subject, options)?);
        }
    }
    report.print()?;
    Ok(ExitCode::SUCCESS)
}

/// A server with publishers, ready for viewers.
struct Scene {
    process: Measured,
    publishers: Publishers,
    target: Target,
    epoch: Epoch,
}

enum Publishers {
    Floor(Publisher<Tags>),
    Rtmp(Vec<Publisher<Rtmp>>),
}

impl Scene {
    fn set(subject: &Subject, options: &Options, names: &[String]) -> io::Result<Self> {
        let epoch = Epoch::start();
        let (process, rtmp, http) = match &subject.server {
            Server::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                let (process, publish, play) = Measured::start(command.arg(floor::ARGUMENT))?;
                let tags = Tags(TcpStream::connect(publish)?);
                let publishers = Publishers::Floor(Publisher::start(tags, options.shape, epoch, 0));
                return Ok(Self {
                    process,
                    publishers,
                    target: Target { address: play, paths: None, websocket: false },
                    epoch,
                });
            }
            Server::Rtmpd { flags } => {
                let (process, rtmp, http) = Measured::rtmpd(flags)?;
                (process, rtmp, PlayUrl::at(http))
            }
            Server::Other { http, rtmp, pid } => (Measured::running(*pid), *rtmp, http.clone()),
        };
        let publishers = Publishers::Rtmp(publish(options, rtmp, names, epoch)?);
        let paths = names.iter().map(|name| http.path_of(name)).collect();
        let target = Target { address: http.address, paths: Some(paths), websocket: subject.websocket };
        Ok(Self { process, publishers, target, epoch })
    }

    fn play(self, subject: &Subject, options: &Options) -> io::Result<Vec<f64>> {
        // A stream is joined in its middle, with a GOP cache to be sent.
        std::thread::sleep(Duration::from_millis(1500));
        let idle = self.process.usage()?;
        let measured = Duration::from_secs(options.seconds).max(SETTLED.saturating_sub(WARM_UP));
        let times = Times { warm_up: WARM_UP, measured };
        let mark = || -> io::Result<Mark> {
            let (generator, viewers_thread) = (Usage::of_this_process()?, Usage::of_this_thread()?);
            Ok(Mark { server: self.process.usage()?, generator, viewers_thread })
        };
        let crowd = options.crowd(subject);
        let (seen, begin, end) = crowd::run(&self.target, crowd, self.epoch, times, mark)?;
        match self.publishers {
            Publishers::Floor(publisher) => publisher.stop()?,
            Publishers::Rtmp(publishers) => {
                publishers.into_iter().try_for_each(Publisher::stop)?;
            }
        }
        Ok(report::figures(&seen, options.viewers, measured, idle, (&begin, &end)))
    }
}

fn publish(
    options: &Options,
    server: SocketAddr,
    names: &[String],
    epoch: Epoch,
) -> io::Result<Vec<Publisher<Rtmp>>> {
    let publishers = names
        .iter()
        .map(|name| Ok(Publisher::start(Rtmp::publish(server, "live", name, 4096)?, options.shape, epoch, 0)));
    publishers.collect()
}

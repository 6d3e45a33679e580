//! What is to be measured.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};

use lexopt::prelude::*;

use crate::viewers::Crowd;
use crate::wire::Shape;

pub struct Options {
    pub subjects: Vec<Subject>,
    pub shape: Shape,
    pub crowd: Crowd,
    pub streams: usize,
    pub seconds: u64,
    pub runs: usize,
    pub json: bool,
}

/// Who is measured.
#[derive(Clone, PartialEq)]
pub enum Subject {
    Floor,
    Rtmpd {
        flags: Vec<String>,
    },
    /// Any other server that is running already.
    Other {
        http: SocketAddr,
        rtmp: SocketAddr,
        pid: u32,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor => f.write_str("floor"),
            Self::Rtmpd { flags } if flags.is_empty() => f.write_str("rtmpd"),
            Self::Rtmpd { flags } => write!(f, "rtmpd {}", flags.join(" ")),
            Self::Other { http, .. } => write!(f, "http://{http}"),
        }
    }
}

const HELP: &str = "\
Delivers a paced stream to many viewers and measures the server: cargo bench --bench fanout -- [OPTIONS]

  --viewers N        how many viewers [500]
  --seconds N        measured time of each run, at least 8 [20]
  --runs N           runs of each subject, in turn; figures are medians [1]
  --bitrate BITS     bits per second of a stream, audio included [1000000]
  --fps N            video frames per second [25]
  --gop N            frames from keyframe to keyframe [50]
  --streams N        streams that the viewers are shared out to (the floor has one) [1]
  --joins N          joins per second; 0 means all at once [0]
  --stall PERCENT    how many viewers stop reading after their first keyframe [0]
  --merge MS         measures rtmpd with this merge window, too; may be repeated
  --no-floor         leaves the floor out
  --server HOST:PORT measures this HTTP server in place of rtmpd; needs --rtmp HOST:PORT and --pid PID
  --json             prints JSON alone
";

impl Options {
    /// Reads the command line; `None` if only help was asked for.
    pub fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self {
            subjects: vec![Subject::Floor, Subject::Rtmpd { flags: Vec::new() }],
            shape: Shape { bits_per_second: 1_000_000, frames_per_second: 25, gop: 50 },
            crowd: Crowd { viewers: 500, joins_per_second: f64::INFINITY, stalled_percent: 0 },
            streams: 1,
            seconds: 20,
            runs: 1,
            json: false,
        };
        let (mut server, mut rtmp, mut pid, mut floor) = (None, None, None, true);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("viewers") => options.crowd.viewers = arguments.value()?.parse()?,
                Long("seconds") => options.seconds = arguments.value()?.parse()?,
                Long("runs") => options.runs = arguments.value()?.parse()?,
                Long("bitrate") => options.shape.bits_per_second = arguments.value()?.parse()?,
                Long("fps") => options.shape.frames_per_second = arguments.value()?.parse::<u32>()?.max(1),
                Long("gop") => options.shape.gop = arguments.value()?.parse::<u32>()?.max(1),
                Long("streams") => options.streams = arguments.value()?.parse::<usize>()?.max(1),
                Long("joins") => {
                    let joins: f64 = arguments.value()?.parse()?;
                    options.crowd.joins_per_second = if joins > 0.0 { joins } else { f64::INFINITY };
                }
                Long("stall") => options.crowd.stalled_percent = arguments.value()?.parse()?,
                Long("merge") => {
                    let window = arguments.value()?.string()?;
                    options.subjects.push(Subject::Rtmpd { flags: vec!["--merge".into(), window] });
                }
                Long("no-floor") => floor = false,
                Long("server") => server = Some(address(&arguments.value()?.string()?)?),
                Long("rtmp") => rtmp = Some(address(&arguments.value()?.string()?)?),
                Long("pid") => pid = Some(arguments.value()?.parse()?),
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
        options.subjects.retain(|subject| floor || *subject != Subject::Floor);
        match (server, rtmp, pid) {
            (None, None, None) => {}
            (Some(http), Some(rtmp), Some(pid)) => {
                options.subjects.retain(|subject| *subject == Subject::Floor);
                options.subjects.push(Subject::Other { http, rtmp, pid });
            }
            _ => return Err("--server, --rtmp and --pid go together".into()),
        }
        Ok(Some(options))
    }
}

fn address(text: &str) -> Result<SocketAddr, lexopt::Error> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("not an address: {text}").into())
}

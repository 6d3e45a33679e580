//! What the fan-out benchmark is to measure.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};

use lexopt::prelude::*;

use crate::crowd::{Crowd, Misbehaving};
use crate::load::frames::Shape;

pub struct Options {
    pub subjects: Vec<Subject>,
    pub shape: Shape,
    pub viewers: usize,
    /// Infinite if all come at once.
    pub joins_per_second: f64,
    pub streams: usize,
    pub seconds: u64,
    pub runs: usize,
    pub json: bool,
}

/// Who is measured, with which viewers.
#[derive(Clone, PartialEq)]
pub struct Subject {
    pub server: Server,
    /// Whether the viewers come over WebSocket.
    pub websocket: bool,
    pub misbehaving: Misbehaving,
}

#[derive(Clone, PartialEq)]
pub enum Server {
    Floor,
    Rtmpd {
        flags: Vec<String>,
    },
    /// Any other server that is running already.
    Other {
        http: PlayUrl,
        rtmp: SocketAddr,
        pid: u32,
    },
}

/// Where another server's streams are played: `{stream}` in the path stands for a stream's name.
#[derive(Clone, PartialEq)]
pub struct PlayUrl {
    pub address: SocketAddr,
    pub path: String,
}

/// The path of rtmpd's streams, and of many servers'.
const PATH: &str = "/live/{stream}.flv";

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Server::Floor => f.write_str("floor")?,
            Server::Rtmpd { flags } if flags.is_empty() => f.write_str("rtmpd")?,
            Server::Rtmpd { flags } => write!(f, "rtmpd {}", flags.join(" "))?,
            Server::Other { http, .. } => write!(f, "http://{}", http.address)?,
        }
        if self.websocket {
            f.write_str(", WebSocket")?;
        }
        let Misbehaving { stalled_percent, slow_percent } = self.misbehaving;
        if stalled_percent > 0 {
            write!(f, ", {stalled_percent} % stalled")?;
        }
        if slow_percent > 0 {
            write!(f, ", {slow_percent} % slow")?;
        }
        Ok(())
    }
}

const HELP: &str = "\
Delivers a paced stream to many viewers and measures the server: cargo bench --bench fanout -- [OPTIONS]

  --viewers N      how many viewers, the stalled and slow ones among them [500]
  --seconds N      measured time of each run, at least 8 [20]
  --runs N         runs of each subject, in turn; figures are medians [1]
  --bitrate BITS   bits per second of a stream, audio included [1000000]
  --fps N          video frames per second [25]
  --gop N          frames from keyframe to keyframe [50]
  --streams N      streams that the viewers are shared out to (the floor has one) [1]
  --joins N        joins per second; 0 means all at once, which servers refuse that bound the requests in progress (rtmpd
                   at 512) [0 for up to 500 viewers, 500 for more]
  --stall PERCENT  measures each server also while so many viewers read nothing after their first keyframe; rtmpd
                   gives them up after 15 s, which --seconds 25 is long enough to see [0]
  --slow PERCENT   likewise, with viewers that read at half the stream's bit rate [0]
  --merge MS       measures rtmpd with this merge window, too; may be repeated
  --websocket      measures rtmpd with viewers over WebSocket, too
  --no-floor       leaves the floor out
  --server URL     measures this HTTP server in place of rtmpd; needs --rtmp HOST:PORT and --pid PID. {stream} in the
                   URL stands for the stream's name, for example in http://127.0.0.1:8080/live?app=live&stream={stream};
                   a URL without a path means /live/{stream}.flv. Streams are published to the app live.
  --json           prints JSON alone

CPU is the server's for each well-behaved viewer; latencies, frames and first keyframes are those viewers', too. gaps are
the places where the others were left out of something; torn are gaps, of any viewer, that no keyframe followed.
generator_cpu and generator_busy are the benchmark's own: its cores in use, and the share of its time that the thread
that plays all viewers was running. Near 1, that thread is what has been measured.
";

/// How many viewers join at once, and if there are more, how many in a second.
const AT_ONCE: usize = 500;

/// What is given on the command line, before it is put together.
struct Given {
    options: Options,
    joins_per_second: Option<f64>,
    misbehaving: Misbehaving,
    floor: bool,
    websocket: bool,
    merges: Vec<String>,
    server: Option<PlayUrl>,
    rtmp: Option<SocketAddr>,
    pid: Option<u32>,
}

impl Options {
    /// Reads the command line; `None` if only help was asked for.
    pub fn parse() -> Result<Option<Self>, lexopt::Error> {
        let mut given = Given::default();
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                // What `cargo bench` adds.
                Long("bench") => {}
                Long("help") | Short('h') => {
                    print!("{HELP}");
                    return Ok(None);
                }
                Long(name) => {
                    let name = name.to_owned();
                    given.take(&name, &mut arguments)?;
                }
                other => return Err(other.unexpected()),
            }
        }
        given.options().map(Some)
    }

    pub fn crowd(&self, subject: &Subject) -> Crowd {
        Crowd {
            viewers: self.viewers,
            joins_per_second: self.joins_per_second,
            misbehaving: subject.misbehaving,
            slow_bytes_per_second: self.shape.bits_per_second as usize / 8 / 2,
        }
    }
}

impl Default for Given {
    fn default() -> Self {
        let options = Options {
            subjects: Vec::new(),
            shape: Shape::default(),
            viewers: 500,
            joins_per_second: f64::INFINITY,
            streams: 1,
            seconds: 20,
            runs: 1,
            json: false,
        };
        let misbehaving = Misbehaving::default();
        Self {
            options,
            joins_per_second: None,
            misbehaving,
            floor: true,
            websocket: false,
            merges: Vec::new(),
            server: None,
            rtmp: None,
            pid: None,
        }
    }
}

impl Given {
    fn take(&mut self, name: &str, arguments: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        let options = &mut self.options;
        match name {
            "viewers" => options.viewers = arguments.value()?.parse::<usize>()?.max(1),
            "seconds" => options.seconds = arguments.value()?.parse()?,
            "runs" => options.runs = arguments.value()?.parse()?,
            "bitrate" => options.shape.bits_per_second = arguments.value()?.parse()?,
            "fps" => options.shape.frames_per_second = arguments.value()?.parse::<u32>()?.max(1),
            "gop" => options.shape.gop = arguments.value()?.parse::<u32>()?.max(1),
            "streams" => options.streams = arguments.value()?.parse::<usize>()?.max(1),
            "joins" => self.joins_per_second = Some(arguments.value()?.parse()?),
            "stall" => self.misbehaving.stalled_percent = arguments.value()?.parse()?,
            "slow" => self.misbehaving.slow_percent = arguments.value()?.parse()?,
            "merge" => self.merges.push(arguments.value()?.string()?),
            "websocket" => self.websocket = true,
            "no-floor" => self.floor = false,
            "server" => self.server = Some(play_url(&arguments.value()?.string()?)?),
            "rtmp" => self.rtmp = Some(address(&arguments.value()?.string()?)?),
            "pid" => self.pid = Some(arguments.value()?.parse()?),
            "json" => options.json = true,
            _ => return Err(Long(name).unexpected()),
        }
        Ok(())
    }

    fn options(self) -> Result<Options, lexopt::Error> {
        if self.misbehaving.stalled_percent + self.misbehaving.slow_percent >= 100 {
            return Err("--stall and --slow leave no well-behaved viewers".into());
        }
        let servers = match (self.server, self.rtmp, self.pid) {
            (None, None, None) => rtmpd(self.merges),
            (Some(http), Some(rtmp), Some(pid)) => vec![Server::Other { http, rtmp, pid }],
            _ => return Err("--server, --rtmp and --pid go together".into()),
        };
        let floor = self.floor.then_some(Server::Floor);
        let behaving = floor.into_iter().chain(servers.iter().cloned());
        let over_http = |server| Subject { server, websocket: false, misbehaving: Misbehaving::default() };
        let mut subjects: Vec<_> = behaving.map(over_http).collect();
        if self.websocket {
            let over_websocket = |server| Subject { websocket: true, ..over_http(server) };
            subjects.extend(servers.iter().cloned().map(over_websocket));
        }
        if self.misbehaving != Misbehaving::default() {
            let misbehaving = self.misbehaving;
            let subject = |server| Subject { misbehaving, ..over_http(server) };
            subjects.extend(servers.into_iter().map(subject));
        }
        let joins_per_second = match self.joins_per_second {
            Some(joins) if joins > 0.0 => joins,
            None if self.options.viewers > AT_ONCE => AT_ONCE as f64,
            _ => f64::INFINITY,
        };
        Ok(Options { subjects, joins_per_second, ..self.options })
    }
}

fn rtmpd(merges: Vec<String>) -> Vec<Server> {
    let merged = merges.into_iter().map(|window| vec!["--merge".into(), window]);
    std::iter::once(Vec::new()).chain(merged).map(|flags| Server::Rtmpd { flags }).collect()
}

impl PlayUrl {
    /// Of one of rtmpd's streams, or of a server that has the same paths.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, path: PATH.into() }
    }

    pub fn path_of(&self, stream: &str) -> String {
        self.path.replace("{stream}", stream)
    }
}

fn play_url(text: &str) -> Result<PlayUrl, lexopt::Error> {
    let rest = text.strip_prefix("http://").ok_or("--server takes a URL that begins with http://")?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let address =
        if authority.contains(':') { address(authority)? } else { address(&format!("{authority}:80"))? };
    match path {
        "" | "/" => Ok(PlayUrl::at(address)),
        path => Ok(PlayUrl { address, path: path.into() }),
    }
}

fn address(text: &str) -> Result<SocketAddr, lexopt::Error> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("not an address: {text}").into())
}

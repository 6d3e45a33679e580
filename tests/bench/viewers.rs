//! Many viewers in one event loop. Each checks every tag: its length, its number, and how long it was under way.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::wire::{AUDIO_HEAD, Epoch, STAMP_LENGTH, VIDEO_HEAD};

/// A viewer's connection: what is asked for, and what precedes the tags.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// One for each stream; `None` talks to the floor, which needs no request.
    pub paths: Option<Vec<String>>,
}

/// How the viewers behave.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub viewers: usize,
    pub joins_per_second: f64,
    /// Of a hundred viewers, how many stop reading after their first keyframe.
    pub stalled_percent: usize,
}

/// What the viewers saw.
#[derive(Default, Clone)]
pub struct Seen {
    /// Viewers that read to the end and got a keyframe.
    pub playing: usize,
    /// Those that stop reading on purpose.
    pub stalled: usize,
    /// Viewers whose connection ended before the end.
    pub lost: usize,
    /// Frames received after the first keyframe, and frames missing between the first and the last.
    pub frames: u64,
    pub missing: u64,
    /// Under way, in µs, of video frames in the measured time.
    pub latencies: Vec<u32>,
    /// From connect to the end of the first keyframe, in µs.
    pub first_keyframes: Vec<u32>,
}

struct Viewer {
    socket: TcpStream,
    request: Vec<u8>,
    connected: Instant,
    parser: Parser,
    stalls: bool,
    state: State,
}

#[derive(PartialEq, Clone, Copy)]
enum State {
    Playing,
    /// Has stopped reading, on purpose.
    Stalled,
    Lost,
}

/// Runs a crowd for `time` after the last join. `measure_from` of it is warm-up: no latencies are taken. `at_start` and
/// `at_end` are called when the measured time begins and ends.
pub fn run(
    target: &Target,
    crowd: Crowd,
    epoch: Epoch,
    time: Duration,
    warm_up: Duration,
    mut at_start: impl FnMut(),
    mut at_end: impl FnMut(),
) -> io::Result<Seen> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4096);
    let mut viewers: Vec<Viewer> = Vec::with_capacity(crowd.viewers);
    let mut seen = Seen::default();
    let mut buffer = vec![0; 256 << 10];
    let begin = Instant::now();
    let (mut start, mut end): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let now = Instant::now();
        let due = (((now - begin).as_secs_f64() * crowd.joins_per_second) as usize).saturating_add(1);
        while viewers.len() < due.min(crowd.viewers) {
            viewers.push(join(target, crowd, viewers.len(), &poll)?);
            if viewers.len() == crowd.viewers {
                start = Some(Instant::now() + warm_up);
                end = Some(Instant::now() + warm_up + time);
            }
        }
        if start.is_some_and(|start| now >= start) {
            start = None;
            seen.latencies.clear();
            at_start();
        }
        if end.is_some_and(|end| now >= end) {
            break;
        }
        poll.poll(&mut events, Some(Duration::from_millis(2)))?;
        for event in &events {
            let viewer = &mut viewers[event.token().0];
            if event.is_writable() && !viewer.request.is_empty() {
                viewer.ask()?;
            }
            viewer.read(&mut buffer, epoch, &mut seen);
        }
    }
    at_end();
    for viewer in &viewers {
        match viewer.state {
            State::Lost => seen.lost += 1,
            State::Stalled => seen.stalled += 1,
            State::Playing if viewer.parser.last_number.is_some() => seen.playing += 1,
            State::Playing => {}
        }
    }
    Ok(seen)
}

fn join(target: &Target, crowd: Crowd, index: usize, poll: &Poll) -> io::Result<Viewer> {
    let mut socket = TcpStream::connect(target.address)?;
    poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
    let request = target.paths.as_ref().map(|paths| {
        let path = &paths[index % paths.len()];
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: fanout\r\n\r\n", target.address).into_bytes()
    });
    let expect = if request.is_some() { Expect::Head } else { Expect::TagHeader };
    Ok(Viewer {
        socket,
        request: request.unwrap_or_default(),
        connected: Instant::now(),
        parser: Parser::new(expect),
        stalls: index % 100 < crowd.stalled_percent,
        state: State::Playing,
    })
}

impl Viewer {
    fn ask(&mut self) -> io::Result<()> {
        match self.socket.write(&self.request) {
            Ok(count) => {
                self.request.drain(..count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, buffer: &mut [u8], epoch: Epoch, seen: &mut Seen) {
        while self.state == State::Playing {
            match self.socket.read(buffer) {
                Ok(0) => self.state = State::Lost,
                Ok(count) => {
                    let had_keyframe = self.parser.last_number.is_some();
                    self.parser.take(&buffer[..count], epoch, seen);
                    if self.parser.broken {
                        self.state = State::Lost;
                    }
                    if !had_keyframe && self.parser.last_number.is_some() {
                        seen.first_keyframes.push(self.connected.elapsed().as_micros() as u32);
                        if self.stalls {
                            self.state = State::Stalled;
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.state = State::Lost,
            }
        }
    }
}

/// Takes a response apart as it comes: head, chunks, file header, tags. Keeps only what it needs of each.
struct Parser {
    expect: Expect,
    /// The start of what is expected, as far as it has come.
    part: Vec<u8>,
    chunked: bool,
    /// Bytes left of the current chunk.
    chunk: usize,
    chunk_head: Vec<u8>,
    /// Bytes left of the current tag's body and PreviousTagSize behind the stamp.
    skip: usize,
    stamp: Option<(u64, u64)>,
    last_number: Option<u64>,
    broken: bool,
}

#[derive(Clone, Copy)]
enum Expect {
    Head,
    FileHeader,
    TagHeader,
    Stamp { video: bool, keyframe: Option<bool>, body: usize },
    Rest { video: bool, keyframe: bool },
}

impl Parser {
    fn new(expect: Expect) -> Self {
        Self {
            expect,
            part: Vec::new(),
            chunked: false,
            chunk: 0,
            chunk_head: Vec::new(),
            skip: 0,
            stamp: None,
            last_number: None,
            broken: false,
        }
    }

    fn take(&mut self, mut input: &[u8], epoch: Epoch, seen: &mut Seen) {
        if matches!(self.expect, Expect::Head) {
            self.part.extend_from_slice(input);
            let Some(end) = self.part.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return };
            let head = String::from_utf8_lossy(&self.part[..end]).to_ascii_lowercase();
            self.broken = !head.starts_with("http/1.1 200");
            self.chunked = head.contains("transfer-encoding: chunked");
            let rest = self.part.split_off(end + 4);
            self.part.clear();
            self.expect = Expect::FileHeader;
            return self.take(&rest, epoch, seen);
        }
        while !input.is_empty() && !self.broken {
            if self.chunked && self.chunk == 0 {
                let (byte, rest) = (input[0], &input[1..]);
                input = rest;
                self.chunk_head.push(byte);
                if byte == b'\n' && self.chunk_head.len() > 2 {
                    let text = String::from_utf8_lossy(&self.chunk_head).trim().to_owned();
                    self.chunk_head.clear();
                    match usize::from_str_radix(&text, 16) {
                        Ok(length @ 1..) => self.chunk = length,
                        _ => self.broken = true,
                    }
                }
                continue;
            }
            let available = if self.chunked { self.chunk.min(input.len()) } else { input.len() };
            let used = self.content(&input[..available], epoch, seen);
            input = &input[used..];
            if self.chunked {
                self.chunk -= used;
            }
        }
    }

    /// Takes what it can of `input` in one step.
    fn content(&mut self, input: &[u8], epoch: Epoch, seen: &mut Seen) -> usize {
        if let Expect::Rest { video, keyframe } = self.expect {
            let used = self.skip.min(input.len());
            self.skip -= used;
            if self.skip == 0 {
                self.finish_tag(video, keyframe, epoch, seen);
                self.expect = Expect::TagHeader;
            }
            return used;
        }
        let wanted = match self.expect {
            Expect::FileHeader => 13,
            Expect::TagHeader => 11,
            Expect::Stamp { video, body, .. } => {
                (if video { VIDEO_HEAD } else { AUDIO_HEAD } + STAMP_LENGTH).min(body)
            }
            Expect::Head | Expect::Rest { .. } => 0,
        };
        let used = (wanted - self.part.len()).min(input.len());
        self.part.extend_from_slice(&input[..used]);
        if self.part.len() == wanted {
            self.part_is_whole();
            self.part.clear();
        }
        used
    }

    fn part_is_whole(&mut self) {
        let part = &self.part;
        match self.expect {
            Expect::FileHeader => {
                self.broken = &part[..3] != b"FLV";
                self.expect = Expect::TagHeader;
            }
            Expect::TagHeader => {
                let body = u32::from_be_bytes([0, part[1], part[2], part[3]]) as usize;
                self.broken = !matches!(part[0], 8 | 9 | 18) || part[8..11] != [0; 3];
                let keyframe = (part[0] == 18).then_some(false);
                self.expect = Expect::Stamp { video: part[0] == 9, keyframe, body };
            }
            Expect::Stamp { video, keyframe, body } => {
                let head = if video { VIDEO_HEAD } else { AUDIO_HEAD };
                // Frames have 1 behind the first byte, sequence headers 0; metadata has no stamp at all.
                let is_frame = keyframe.is_none() && part.len() == head + STAMP_LENGTH && part[1] == 1;
                let number = |at: usize| u64::from_be_bytes(part[at..at + 8].try_into().unwrap_or_default());
                self.stamp = is_frame.then(|| (number(head), number(head + 8)));
                self.skip = body - part.len() + 4;
                self.expect = Expect::Rest { video, keyframe: video && part[0] == 0x17 };
            }
            Expect::Head | Expect::Rest { .. } => {}
        }
    }

    fn finish_tag(&mut self, video: bool, keyframe: bool, epoch: Epoch, seen: &mut Seen) {
        let Some((number, sent)) = self.stamp.take() else { return };
        match self.last_number {
            None if !keyframe => return,
            None => {}
            Some(last) if number > last => seen.missing += number - last - 1,
            Some(_) => self.broken = true,
        }
        self.last_number = Some(number);
        seen.frames += 1;
        if video {
            seen.latencies.push((epoch.now().saturating_sub(sent) / 1000) as u32);
        }
    }
}

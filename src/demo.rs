//! A stream that needs no encoder: a clip that the server publishes to itself over RTMP, again and again.

mod clip;

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::clip::ClipTag;
pub(crate) use self::clip::{CLIP, Clip};
use crate::media::{Packet, StreamName, Timestamp};
use crate::rtmp::client::{Client, PROGRAM, Target};
use crate::rtmp::handshake::RANDOM_LENGTH;
use crate::stream::registry::Registry;
use crate::threads::Threads;

/// From a lost connection to the next try.
const RETRY: Duration = Duration::from_secs(1);

/// How long the server may take for an answer, or for what it is sent. One that shuts down closes the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for the close of the connection after the goodbye.
const GOODBYE: Duration = Duration::from_millis(250);

/// Who is later than this (because the machine has slept, say) goes on from now, and makes up for nothing.
const TOO_LATE: Duration = Duration::from_secs(1);

const READ_BUFFER: usize = 4 << 10;

/// What need not be escaped in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// The thread that publishes.
#[derive(Debug)]
pub(crate) struct Demo {
    /// Nothing is ever sent; the demo ends when it is gone.
    stop: Sender<Infallible>,
    threads: Threads,
}

/// What is published where.
pub(crate) struct Program {
    pub(crate) clip: &'static Clip,
    pub(crate) name: StreamName,
    /// Gets it past those who ask for keys.
    pub(crate) key: String,
    /// Where the server listens for RTMP.
    pub(crate) server: SocketAddr,
    pub(crate) registry: Arc<Registry>,
}

impl Demo {
    /// Begins to publish. A connection that is lost is made anew.
    pub(crate) fn start(program: Program) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let threads = Threads::new();
        threads.spawn("demo", move || program.run(&stopped))?;
        Ok(Self { stop, threads })
    }

    /// Has the demo say goodbye. Gives what is to be waited for.
    pub(crate) fn stop(self) -> Threads {
        drop(self.stop);
        self.threads
    }
}

/// The address of the page that plays a stream of a server that listens for HTTP there, on this machine.
pub(crate) fn page(http: SocketAddr, name: &StreamName) -> String {
    let (app, stream) = split(name);
    let escape = |text| utf8_percent_encode(text, PLAIN);
    let query = match (app, stream) {
        ("", "") => String::new(),
        ("", stream) => format!("?stream={}", escape(stream)),
        (app, stream) => format!("?app={}&stream={}", escape(app), escape(stream)),
    };
    format!("http://{}/resource/httpflv{query}", reachable(http))
}

impl Program {
    fn run(&self, stopped: &Receiver<Infallible>) {
        let mut complained = false;
        loop {
            // Who else publishes this stream may have it, or is waited for.
            if !self.registry.is_taken(&self.name, PROGRAM)
                && let Err(error) = self.publish(stopped, &mut complained)
                && !is_over(stopped, Instant::now())
                && !std::mem::replace(&mut complained, true)
            {
                log::warn!("the demo is interrupted, and goes on when it can: {error}");
            }
            if is_over(stopped, Instant::now() + RETRY) {
                return;
            }
        }
    }

    /// Publishes until it is stopped. `complained` is reset when that has begun.
    fn publish(&self, stopped: &Receiver<Infallible>, complained: &mut bool) -> io::Result<()> {
        let mut connection = Connection::open(self)?;
        *complained = false;
        self.clip.headers().try_for_each(|tag| connection.send(tag))?;
        let mut pace = Pace { start: Instant::now() };
        for tag in self.clip.rounds() {
            if let Some(due) = pace.due(tag.time, Instant::now()) {
                connection.flush()?;
                connection.drain()?;
                if is_over(stopped, due) {
                    break;
                }
            }
            connection.send(tag)?;
        }
        connection.finish()
    }

    fn target(&self) -> Target {
        let (app, stream) = split(&self.name);
        Target {
            host: reachable(self.server).to_string(),
            app: app.to_owned(),
            name: format!("{stream}?key={}", self.key),
        }
    }
}

/// When tags are due, all by the same clock, so that nothing adds up.
struct Pace {
    start: Instant,
}

impl Pace {
    /// When the tag of this time is due; `None` if that is now, or was already.
    fn due(&mut self, time: u64, now: Instant) -> Option<Instant> {
        let due = self.start + Duration::from_millis(time);
        let late = now.saturating_duration_since(due);
        if late > TOO_LATE {
            self.start += late;
        }
        (due > now).then_some(due)
    }
}

/// A socket and what is spoken on it.
struct Connection {
    socket: TcpStream,
    client: Client,
}

impl Connection {
    /// Connects, and waits until the server agrees.
    fn open(program: &Program) -> io::Result<Self> {
        let mut random = [0; RANDOM_LENGTH];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let socket = TcpStream::connect_timeout(&reachable(program.server), PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { socket, client: Client::new(program.target(), &random) };
        while !connection.client.is_publishing() {
            connection.flush()?;
            connection.receive()?;
        }
        Ok(connection)
    }

    fn send(&mut self, tag: ClipTag) -> io::Result<()> {
        let timestamp = Timestamp(tag.time as u32); // Wraps, as that of any encoder.
        let packet = Packet { kind: tag.kind, timestamp, payload: tag.body.to_vec() };
        self.client.send(packet).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        let output = self.client.take_output();
        self.socket.write_all(&output)
    }

    /// Handles what the server says next.
    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_BUFFER];
        match self.socket.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => self.client.handle_input(&buffer[..count]).map_err(io::Error::other),
        }
    }

    /// Handles what the server has said, without waiting for more.
    fn drain(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        let drained = loop {
            match self.receive() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.socket.set_nonblocking(false)?;
        drained
    }

    /// Says goodbye. To close before the server does could reset the connection, and overtake that.
    fn finish(mut self) -> io::Result<()> {
        self.client.finish();
        self.flush()?;
        self.socket.shutdown(std::net::Shutdown::Write)?;
        self.socket.set_read_timeout(Some(GOODBYE))?;
        let _closed_or_not = self.socket.read_to_end(&mut Vec::new());
        Ok(())
    }
}

/// Waits until then, or until the demo is stopped; returns whether it is.
fn is_over(stopped: &Receiver<Infallible>, until: Instant) -> bool {
    !matches!(stopped.recv_deadline(until), Err(RecvTimeoutError::Timeout))
}

/// Where a listening socket can be reached on its own machine. `[::]` takes IPv4, too.
fn reachable(mut listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        listening.set_ip(IpAddr::from(Ipv4Addr::LOCALHOST));
    }
    listening
}

/// App and name.
fn split(stream: &StreamName) -> (&str, &str) {
    stream.as_str().rsplit_once('/').unwrap_or(("", stream.as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_an_address_that_can_be_opened() {
        for (http, name, page_url) in [
            ("[::]:8090", "live/demo", "http://127.0.0.1:8090/resource/httpflv?app=live&stream=demo"),
            ("0.0.0.0:80", "demo", "http://127.0.0.1:80/resource/httpflv?stream=demo"),
            ("192.0.2.1:8090", "", "http://192.0.2.1:8090/resource/httpflv"),
            ("[::1]:8090", "a/b&c/ü", "http://[::1]:8090/resource/httpflv?app=a/b%26c&stream=%C3%BC"),
        ] {
            let name = StreamName::new(name, "").unwrap();
            assert_eq!(page(http.parse().unwrap(), &name), page_url);
        }
    }

    #[test]
    fn tags_are_due_by_one_clock_and_those_that_are_far_too_late_move_it() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace { start };
        assert_eq!(pace.due(0, start), None);
        assert_eq!(pace.due(40, after(3)), Some(after(40)));
        // Late by no more than that: the next ones come faster, and in the end nothing is late.
        assert_eq!(pace.due(80, after(1080)), None);
        assert_eq!(pace.due(1100, after(1080)), Some(after(1100)));
        // Late by more: from now on.
        assert_eq!(pace.due(1120, after(5000)), None);
        assert_eq!(pace.due(1160, after(5000)), Some(after(5040)));
    }
}

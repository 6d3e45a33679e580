use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::end::End;
use super::feed::Feed;
use super::transport::{Transport, is_timeout};
use super::unfinished::Holding;
use super::{Shared, TICK};
use crate::admission::Permit;
use crate::deadline::after;
use crate::media::StreamName;
use crate::peer::Peer;
use crate::rtmp::chunk::ChunkLimits;
use crate::rtmp::handshake::RANDOM_LENGTH;
use crate::rtmp::session::{Event, Session};
use crate::tls::Certificate;

/// How often a publisher that is held back is looked at.
const HOLD_TICK: Duration = Duration::from_millis(50);

/// How long a stream that nobody watches is left alone between two reads. A thread that is woken for each of its 70
/// messages a second costs four times as much as one that takes them by the handful.
const NAP: Duration = Duration::from_millis(50);

/// No naps for this long after a read that has filled the buffer: what comes that fast would have to wait for room in
/// the socket.
const AWAKE: Duration = Duration::from_secs(1);

/// How long a peer may take for what we answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to read on after our last word: closing with unread input would reset the connection, and the
/// reset would overtake that word.
const DRAIN: Duration = Duration::from_secs(1);

/// The same while the server shuts down and has no time to lose.
const LAST_DRAIN: Duration = Duration::from_millis(250);

const READ_BUFFER: usize = 64 << 10;

/// One publisher's connection.
pub(super) struct Connection {
    transport: Transport,
    peer: Peer,
    /// Counts the connection while it lives.
    _permit: Permit,
    holding: Holding,
    shared: Arc<Shared>,
    started: Instant,
    feed: Feed,
    /// From when on naps may be taken.
    awake_until: Instant,
}

/// Serves a connection to its end.
pub(super) fn serve(
    socket: TcpStream,
    peer: Peer,
    mut permit: Permit,
    shared: Arc<Shared>,
    certificate: Option<&Certificate>,
) {
    match begin(socket, peer, &mut permit, &shared, certificate) {
        Ok((transport, peer, session)) => Connection::new(transport, peer, permit, shared).run(session),
        Err(end @ (End::Closed | End::Lost(_))) => log::debug!("RTMP connection from {peer} ended: {end}"),
        Err(end) => {
            shared.refusals.say(|more| log::warn!("RTMP connection from {peer} refused: {end}{more}"));
        }
    }
}

/// Finds out who the peer is. With a `certificate`, what follows is TLS.
fn begin(
    socket: TcpStream,
    mut peer: Peer,
    permit: &mut Permit,
    shared: &Shared,
    certificate: Option<&Certificate>,
) -> Result<(Transport, Peer, Session), End> {
    let mut random = Box::new([0; RANDOM_LENGTH]);
    getrandom::fill(&mut random[..]).map_err(|error| End::Lost(io::Error::other(error)))?;
    let mut transport = Transport::new(socket).map_err(End::Lost)?;
    if shared.proxies.trusts(peer.ip()) {
        let deadline = after(Instant::now(), shared.timeouts.publish);
        if let Some(client) = transport.take_preface(deadline, &shared.stopper)? {
            peer = peer.speaks_for(client);
            permit.move_to(peer.ip(), shared.proxies.trusts(peer.ip()))?;
        }
    }
    if let Some(certificate) = certificate {
        transport.begin_tls(certificate.config(Instant::now())).map_err(End::Lost)?;
    }
    Ok((transport, peer, Session::new(ChunkLimits::default(), random)))
}

impl Connection {
    fn new(transport: Transport, peer: Peer, permit: Permit, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let holding = Holding::new(&shared.unfinished, permit.address());
        let feed = Feed::new(Arc::clone(&shared), peer, now);
        Self { transport, peer, _permit: permit, holding, shared, started: now, feed, awake_until: now }
    }

    fn run(mut self, mut session: Session) {
        let mut buffer = vec![0; READ_BUFFER];
        let end = loop {
            if let Err(end) = self.turn(&mut session, &mut buffer) {
                break end;
            }
        };
        drop(buffer);
        self.finish(session, &end);
    }

    /// One round of the loop of [`crate::rtmp`]: read, handle, drain events, write.
    fn turn(&mut self, session: &mut Session, buffer: &mut [u8]) -> Result<(), End> {
        if self.feed.is_held() {
            std::thread::sleep(HOLD_TICK);
            self.take_what_has_come(session, buffer)?;
            self.feed.try_held_again(session)?;
        } else {
            self.receive(session, buffer)?;
        }
        while !self.feed.is_held()
            && let Some(event) = session.poll_event()
        {
            self.handle(event, session)?;
        }
        self.send_output(session)?;
        self.tick(session)
    }

    fn receive(&mut self, session: &mut Session, buffer: &mut [u8]) -> Result<(), End> {
        if self.feed.can_wait() && Instant::now() >= self.awake_until {
            std::thread::sleep(NAP);
        }
        let received = self.transport.received();
        let read = self.transport.read(buffer);
        if self.transport.received() != received {
            self.feed.note_bytes();
        }
        match read {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                if count == buffer.len() || self.transport.is_behind() {
                    self.awake_until = Instant::now() + AWAKE;
                }
                session.handle_input(&buffer[..count]).map_err(End::Protocol)
            }
            Err(error) if is_timeout(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has come while a publish is held back, for later: who has left meanwhile is not to replace anybody. What is
    /// beyond the session's bound waits in the socket.
    fn take_what_has_come(&mut self, session: &mut Session, buffer: &mut [u8]) -> Result<(), End> {
        while session.room_for_unanswered() > 0 {
            let room = session.room_for_unanswered().min(buffer.len());
            match self.transport.read_at_once(&mut buffer[..room]) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => session.handle_input(&buffer[..count]).map_err(End::Protocol)?,
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event, session: &mut Session) -> Result<(), End> {
        match event {
            Event::Packet(packet) => {
                self.feed.push(packet);
                Ok(())
            }
            Event::PublishRequested(request) => self.feed.publish(request, session),
            Event::PublishFinished => {
                self.feed.finish();
                Ok(())
            }
            Event::PlayRequested { app, name } => {
                let path =
                    StreamName::new(&app, &name).map(|name| name.as_str().to_owned()).unwrap_or_default();
                let port = self.shared.http_port;
                let cure = format!("This server plays over HTTP-FLV, not RTMP: port {port}, path /{path}.flv");
                session.reject("NetStream.Play.Failed", &cure);
                Err(End::Refused(format!("wants to play {path:?} over RTMP, which is for publishing here")))
            }
        }
    }

    /// Sends what there is to say. Who does not listen has his time for that, and whatever else is due is due all the
    /// same.
    fn send_output(&mut self, session: &mut Session) -> Result<(), End> {
        let output = session.take_output();
        let (mut rest, deadline) = (&output[..], Instant::now() + WRITE_TIMEOUT);
        while !rest.is_empty() || self.transport.has_unsent() {
            rest = &rest[self.write_some(rest).map_err(End::Lost)?..];
            if !rest.is_empty() || self.transport.has_unsent() {
                self.tick(session)?;
                if Instant::now() >= deadline {
                    return Err(End::Lost(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        Ok(())
    }

    /// Writes what the peer takes within a tick.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.transport.write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if is_timeout(&error) => Ok(0),
            other => other,
        }
    }

    /// Does what is due by time.
    fn tick(&mut self, session: &mut Session) -> Result<(), End> {
        if self.shared.stopper.is_stopped() {
            session.close("The server is shutting down.");
            return Err(End::Shutdown);
        }
        if !self.holding.set(session.unfinished_bytes()) {
            session.close("Memory is short, and this connection holds most in unfinished messages.");
            return Err(End::OutOfMemory(session.unfinished_bytes()));
        }
        self.feed.tick(session).map_err(|end| match end {
            End::TooLate(_) if self.transport.is_shaking_hands() => End::TooLate("no TLS handshake"),
            other => other,
        })
    }

    /// Says the last words, in the log and to the peer.
    fn finish(mut self, mut session: Session, end: &End) {
        if !self.feed.close(end) {
            self.log_without_stream(&session, end);
        }
        // Who has listened so far takes this at once.
        let last_words = session.take_output();
        // What it holds is not to wait for the peer.
        drop(session);
        self.holding.set(0);
        let said =
            last_words.is_empty() || self.write_some(&last_words).is_ok_and(|count| count == last_words.len());
        if !said || self.transport.finish().is_err() {
            return;
        }
        match end {
            End::Closed | End::Lost(_) => {}
            End::Shutdown => self.drain(LAST_DRAIN),
            _ => self.drain(DRAIN),
        }
    }

    fn log_without_stream(&self, session: &Session, end: &End) {
        let (peer, seconds) = (self.peer, self.started.elapsed().as_secs_f64());
        let refusals = &self.shared.refusals;
        match end {
            // Health checks and port scanners come and go; those who published have been logged, as has a shutdown.
            End::Closed | End::Lost(_) | End::Denied(_) | End::Shutdown => {
                log::debug!("RTMP connection from {peer} ended: {end}");
            }
            End::TooLate(_) if !session.has_input() && !self.transport.has_tls_input() => {
                refusals.say(|more| log::info!("RTMP connection from {peer} sent nothing{more}"));
            }
            _ => refusals.say(|more| {
                log::warn!("RTMP connection from {peer} refused after {seconds:.1} s: {end}{more}");
            }),
        }
    }

    fn drain(&mut self, time: Duration) {
        debug_assert!(time > TICK, "a read may wait for a tick");
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            match self.transport.discard() {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
            }
        }
    }
}

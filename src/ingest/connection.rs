use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::end::End;
use super::unfinished::Holding;
use crate::admission::Permit;
use crate::config::Takeover;
use crate::media::{StreamName, StreamNameError};
use crate::peer::Peer;
use crate::proxy::{Preface, preface};
use crate::rtmp::chunk::ChunkLimits;
use crate::rtmp::handshake::RANDOM_LENGTH;
use crate::rtmp::session::{Event, PublishRequest, Session};
use crate::stream::EndReason;
use crate::stream::live::LiveStream;
use crate::stream::publication::Publication;
use crate::stream::registry::PublishError;

/// How long a read waits, so that what is due by time is done while nothing comes.
const TICK: Duration = Duration::from_millis(100);

/// How often a publisher that is held back is looked at.
const HOLD_TICK: Duration = Duration::from_millis(50);

/// How long a peer may take for what we answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to read on after our last word: closing with unread input would reset the connection, and the
/// reset would overtake that word.
const DRAIN: Duration = Duration::from_secs(1);

/// The same while the server shuts down and has no time to lose.
const LAST_DRAIN: Duration = Duration::from_millis(250);

const READ_BUFFER: usize = 64 << 10;

/// How many publications a connection may begin at once; each second allows one more.
const MAX_FLAPS: u64 = 10;

/// One publisher's connection.
pub(super) struct Connection {
    socket: TcpStream,
    peer: Peer,
    permit: Permit,
    /// What has come while a PROXY header may still be there.
    preface: Option<Vec<u8>>,
    holding: Holding,
    shared: Arc<Shared>,
    started: Instant,
    publications: u64,
    activity: Activity,
}

/// What the connection is doing for whom.
enum Activity {
    /// No stream has been asked for, or the last one was finished then.
    None { since: Instant },
    /// A publish waits for another publisher to prove that it is alive.
    Held { name: StreamName, client: String, since: Instant, first: Arc<LiveStream> },
    /// A stream is fed.
    Publishing(Publication),
}

impl Connection {
    pub(super) fn new(socket: TcpStream, peer: Peer, permit: Permit, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let preface = shared.proxies.trusts(peer.ip()).then(Vec::new);
        let activity = Activity::None { since: now };
        let holding = Holding::new(&shared.unfinished, permit.address());
        Self { socket, peer, permit, preface, holding, shared, started: now, publications: 0, activity }
    }

    /// Serves the connection to its end.
    pub(super) fn run(mut self) {
        let mut random = Box::new([0; RANDOM_LENGTH]);
        let prepared = getrandom::fill(&mut random[..])
            .map_err(io::Error::other)
            .and_then(|()| self.socket.set_nodelay(true))
            .and_then(|()| self.socket.set_read_timeout(Some(TICK)))
            .and_then(|()| self.socket.set_write_timeout(Some(TICK)));
        let mut session = Session::new(ChunkLimits::default(), random);
        let end = match prepared {
            Ok(()) => self.serve(&mut session),
            Err(error) => End::Lost(error),
        };
        self.finish(session, &end);
    }

    /// The loop of [`crate::rtmp`]: read, handle, drain events, write.
    fn serve(&mut self, session: &mut Session) -> End {
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            match self.receive(session, &mut buffer) {
                Ok(()) => {}
                Err(end) => return end,
            }
            // Whatever follows a publish that is held back waits with it.
            while !self.is_held()
                && let Some(event) = session.poll_event()
            {
                if let Err(end) = self.handle(event, session) {
                    return end;
                }
            }
            if let Err(end) = self.send_output(session).and_then(|()| self.tick(session)) {
                return end;
            }
        }
    }

    fn receive(&mut self, session: &mut Session, buffer: &mut [u8]) -> Result<(), End> {
        if self.is_held() {
            // Not reading holds the publisher back; what it has sent already waits in the socket.
            std::thread::sleep(HOLD_TICK);
            return self.try_held_again(session);
        }
        match self.socket.read(buffer) {
            Ok(0) => Err(End::Closed),
            Ok(count) if self.preface.is_some() => self.receive_preface(session, &buffer[..count]),
            Ok(count) => session.handle_input(&buffer[..count]).map_err(End::Protocol),
            Err(error) if is_timeout(&error) => Ok(()),
            Err(error) => Err(End::Lost(error)),
        }
    }

    /// Sends what there is to say. Who does not listen has his time for that, and whatever else is due is due all the
    /// same.
    fn send_output(&mut self, session: &mut Session) -> Result<(), End> {
        let output = session.take_output();
        let (mut rest, deadline) = (&output[..], Instant::now() + WRITE_TIMEOUT);
        while !rest.is_empty() {
            rest = &rest[self.write_some(rest).map_err(End::Lost)?..];
            if !rest.is_empty() {
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
        match self.socket.write(bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if is_timeout(&error) => Ok(0),
            other => other,
        }
    }

    /// What a proxy says in front of the handshake.
    fn receive_preface(&mut self, session: &mut Session, bytes: &[u8]) -> Result<(), End> {
        let received = [&self.preface.take().unwrap_or_default(), bytes].concat();
        let rest = match preface(&received)? {
            Preface::Incomplete => {
                self.preface = Some(received);
                return Ok(());
            }
            Preface::Absent => &received[..],
            Preface::Header { client, length } => {
                if let Some(client) = client {
                    self.peer = self.peer.speaks_for(client);
                    self.permit.move_to(self.peer.ip(), self.shared.proxies.trusts(self.peer.ip()))?;
                    self.holding = Holding::new(&self.shared.unfinished, self.permit.address());
                }
                &received[length..]
            }
        };
        session.handle_input(rest).map_err(End::Protocol)
    }

    fn handle(&mut self, event: Event, session: &mut Session) -> Result<(), End> {
        match event {
            Event::Packet(packet) => {
                if let Activity::Publishing(publication) = &mut self.activity {
                    publication.push(packet, Instant::now());
                }
                Ok(())
            }
            Event::PublishRequested(request) => self.publish(request, session),
            Event::PublishFinished => {
                self.end_publication(EndReason::Unpublished, &"finished by the publisher");
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

    fn publish(&mut self, request: PublishRequest, session: &mut Session) -> Result<(), End> {
        self.publications += 1;
        if self.publications > MAX_FLAPS + self.started.elapsed().as_secs() {
            session.reject("NetStream.Publish.Denied", "This connection begins and ends streams too often.");
            return Err(End::Refused("begins and ends streams too often".into()));
        }
        match StreamName::new(&request.app, &request.name) {
            Ok(name) => self.try_publish(name, request.client, session, None),
            Err(error) => Err(refuse_name(error, session)),
        }
    }

    /// Begins to feed `name`, or is held back by the one who does. `held` says by whom and since when already.
    fn try_publish(
        &mut self,
        name: StreamName,
        client: String,
        session: &mut Session,
        held: Option<(Instant, Arc<LiveStream>)>,
    ) -> Result<(), End> {
        let now = Instant::now();
        let first = match self.shared.registry.publish(&name, &describe(self.peer, &client), now) {
            Ok(publication) => {
                log::info!("publisher {} publishes {name}", describe(self.peer, &client));
                session.accept_publish();
                self.activity = Activity::Publishing(publication);
                return Ok(());
            }
            Err(PublishError::Closed) => return Err(End::Shutdown),
            Err(PublishError::Busy(first)) => first,
        };
        let since = match held {
            // The one who was there when this began: another one that came since is as good a reason to wait.
            Some((since, known)) if Arc::ptr_eq(&known, &first) => since,
            _ => now,
        };
        let waited = now.saturating_duration_since(since);
        let decision = match self.shared.takeover {
            Takeover::Reject => Decision::Refuse,
            Takeover::Takeover => Decision::Replace,
            Takeover::IfSilent => match first.silence(now) {
                silence if silence < waited => Decision::Refuse,
                silence if silence >= self.shared.timeouts.silence => Decision::Replace,
                _ => Decision::Hold,
            },
        };
        match decision {
            Decision::Refuse => {
                session
                    .reject("NetStream.Publish.BadName", &format!("Stream {name} is being published already."));
                Err(End::Refused(format!("{name} is being published already by {}", first.publisher)))
            }
            Decision::Replace => {
                log::warn!("publisher {} takes {name} over from {}", self.peer, first.publisher);
                self.shared.registry.end(&first, EndReason::Replaced);
                self.try_publish(name, client, session, None)
            }
            Decision::Hold => {
                if waited.is_zero() {
                    log::info!("publisher {} waits for {name}, which {} publishes", self.peer, first.publisher);
                }
                self.activity = Activity::Held { name, client, since, first };
                Ok(())
            }
        }
    }

    /// Does what is due by time.
    fn tick(&mut self, session: &mut Session) -> Result<(), End> {
        let now = Instant::now();
        if self.shared.stopper.is_stopped() {
            session.close("The server is shutting down.");
            return Err(End::Shutdown);
        }
        if !self.holding.set(session.unfinished_bytes()) {
            session.close("Memory is short, and this connection holds most in unfinished messages.");
            return Err(End::OutOfMemory(session.unfinished_bytes()));
        }
        let timeouts = &self.shared.timeouts;
        match &mut self.activity {
            Activity::None { since } => {
                if now.saturating_duration_since(*since) >= timeouts.publish {
                    return Err(End::TooLate(if session.is_connected() {
                        "no publish command"
                    } else {
                        "no connect command"
                    }));
                }
            }
            Activity::Held { .. } => {}
            Activity::Publishing(publication) => {
                publication.tick(now);
                if let Some(reason) = publication.live().ended() {
                    session.close(&format!("The stream was ended: {reason}."));
                    return Err(if reason == EndReason::Shutdown { End::Shutdown } else { End::Replaced });
                }
                if publication.live().silence(now) >= timeouts.idle_publisher {
                    session.close("Nothing was received for too long.");
                    return Err(End::Idle(timeouts.idle_publisher));
                }
            }
        }
        Ok(())
    }

    fn try_held_again(&mut self, session: &mut Session) -> Result<(), End> {
        let nothing = Activity::None { since: Instant::now() };
        if let Activity::Held { name, client, since, first } = std::mem::replace(&mut self.activity, nothing) {
            self.try_publish(name, client, session, Some((since, first)))?;
        }
        Ok(())
    }

    fn is_held(&self) -> bool {
        matches!(self.activity, Activity::Held { .. })
    }

    fn end_publication(&mut self, reason: EndReason, why: &dyn fmt::Display) {
        let nothing = Activity::None { since: Instant::now() };
        if let Activity::Publishing(publication) = std::mem::replace(&mut self.activity, nothing) {
            let live = Arc::clone(publication.live());
            publication.finish(reason);
            let seconds = live.uptime(Instant::now()).as_secs_f64();
            log::info!(
                "publisher {} left {}: {why}; {} bytes in {seconds:.1} s",
                self.peer,
                live.name,
                live.bytes()
            );
        }
    }

    /// Says the last words, in the log and to the peer.
    fn finish(mut self, mut session: Session, end: &End) {
        if matches!(self.activity, Activity::Publishing(_)) {
            let reason = match end {
                End::Replaced => EndReason::Replaced,
                End::Shutdown => EndReason::Shutdown,
                _ => EndReason::PublisherLost,
            };
            self.end_publication(reason, end);
        } else {
            self.log_without_stream(&session, end);
        }
        // Who has listened so far takes this at once.
        let last_words = session.take_output();
        // What it holds is not to wait for the peer.
        drop(session);
        self.holding.set(0);
        let said =
            last_words.is_empty() || self.write_some(&last_words).is_ok_and(|count| count == last_words.len());
        if !said || self.socket.shutdown(Shutdown::Write).is_err() {
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
        match end {
            // Health checks and port scanners come and go; those who published have been logged.
            End::Closed | End::Lost(_) => log::debug!("RTMP connection from {peer} ended: {end}"),
            End::TooLate(_) if !session.has_input() => log::info!("RTMP connection from {peer} sent nothing"),
            _ => log::warn!("RTMP connection from {peer} refused after {seconds:.1} s: {end}"),
        }
    }

    fn drain(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut waste = [0; 4096];
        while Instant::now() < deadline {
            match self.socket.read(&mut waste) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
            }
        }
    }
}

enum Decision {
    Refuse,
    Hold,
    Replace,
}

fn refuse_name(error: StreamNameError, session: &mut Session) -> End {
    session.reject("NetStream.Publish.BadName", &format!("Not a stream name: {error}."));
    End::Refused(error.to_string())
}

fn describe(peer: Peer, client: &str) -> String {
    if client.is_empty() { peer.to_string() } else { format!("{peer} ({client})") }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

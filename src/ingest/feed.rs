use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::end::End;
use crate::access::Attempt;
use crate::config::Takeover;
use crate::media::{Packet, StreamName, StreamNameError};
use crate::peer::Peer;
use crate::rtmp::session::{PublishRequest, Session};
use crate::stream::EndReason;
use crate::stream::live::LiveStream;
use crate::stream::publication::{Publication, PublicationId};
use crate::stream::registry::PublishError;

/// How many publications a connection may begin at once; each second allows one more.
const MAX_FLAPS: u64 = 10;

/// What a connection feeds: one stream after the other, asked for by its client.
pub(super) struct Feed {
    shared: Arc<Shared>,
    peer: Peer,
    started: Instant,
    publications: u64,
    activity: Activity,
}

/// What the connection is doing for whom.
enum Activity {
    /// No stream has been asked for, or the last one was finished then.
    None { since: Instant },
    /// A publish waits for another publisher to prove that it is alive.
    Held(Held),
    /// A stream is fed.
    Publishing(Box<Publication>),
}

/// A publish that is held back by the one who feeds the stream.
struct Held {
    name: StreamName,
    client: String,
    since: Instant,
    first: PublicationId,
}

enum Decision {
    Refuse,
    Hold,
    Replace,
}

impl Feed {
    pub(super) fn new(shared: Arc<Shared>, peer: Peer, now: Instant) -> Self {
        Self { shared, peer, started: now, publications: 0, activity: Activity::None { since: now } }
    }

    /// Begins to feed the stream that is asked for, or is held back, or refuses.
    pub(super) fn publish(&mut self, request: PublishRequest, session: &mut Session) -> Result<(), End> {
        self.publications += 1;
        if self.publications > MAX_FLAPS + self.started.elapsed().as_secs() {
            session.reject("NetStream.Publish.Denied", "This connection begins and ends streams too often.");
            return Err(End::Refused("begins and ends streams too often".into()));
        }
        let PublishRequest { app, name, client } = request;
        let stream = StreamName::new(&app, &name).map_err(|error| refuse_name(error, session))?;
        let attempt = Attempt::to_publish(stream.clone(), self.peer, &client, &app, &name);
        if let Err(denial) = self.shared.access.may_publish(&attempt) {
            session.reject("NetStream.Publish.Denied", &denial.to_string());
            return Err(End::Denied(denial));
        }
        self.try_publish(stream, client, session, None)
    }

    /// Gives the stream its next packet.
    pub(super) fn push(&mut self, packet: Packet) {
        if let Activity::Publishing(publication) = &mut self.activity {
            publication.push(packet, Instant::now());
        }
    }

    /// Notes that bytes came, be it but a part of a message.
    pub(super) fn note_bytes(&self) {
        if let Activity::Publishing(publication) = &self.activity {
            publication.live().publisher.note_bytes(Instant::now());
        }
    }

    /// Does what is due by time.
    pub(super) fn tick(&mut self, session: &mut Session) -> Result<(), End> {
        let (now, timeouts) = (Instant::now(), &self.shared.timeouts);
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
            Activity::Held(_) => {}
            Activity::Publishing(publication) => {
                publication.tick(now);
                if publication.is_displaced() {
                    session.close("Another publisher has taken over.");
                    return Err(End::Replaced);
                }
                if let Some(reason) = publication.live().ended() {
                    session.close(&format!("The stream was ended: {reason}."));
                    return Err(match reason {
                        EndReason::Shutdown => End::Shutdown,
                        EndReason::Kicked => End::Kicked,
                        _ => End::Replaced,
                    });
                }
                if publication.live().silence(now) >= timeouts.idle_publisher {
                    session.close("Nothing was received for too long.");
                    return Err(End::Idle(timeouts.idle_publisher));
                }
            }
        }
        Ok(())
    }

    /// Whether a publish is held back. Whatever follows it waits with it.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.activity, Activity::Held(_))
    }

    /// Whether nobody would notice if the stream were a moment late.
    pub(super) fn can_wait(&self) -> bool {
        matches!(&self.activity, Activity::Publishing(publication) if !publication.is_awaited(Instant::now()))
    }

    /// Asks again for what is held back.
    pub(super) fn try_held_again(&mut self, session: &mut Session) -> Result<(), End> {
        match self.replace(Activity::None { since: Instant::now() }) {
            Activity::Held(Held { name, client, since, first }) => {
                self.try_publish(name, client, session, Some((since, first)))
            }
            other => {
                self.activity = other;
                Ok(())
            }
        }
    }

    /// The client has ended its stream and may begin another.
    pub(super) fn finish(&mut self) {
        self.end(EndReason::Unpublished, &"finished by the publisher");
    }

    /// The connection ends. Returns whether there was a stream, whose end has been logged.
    pub(super) fn close(&mut self, end: &End) -> bool {
        let reason = match end {
            End::Replaced => EndReason::Replaced,
            End::Shutdown => EndReason::Shutdown,
            End::Kicked => EndReason::Kicked,
            End::Idle(_) => EndReason::PublisherSilent,
            _ => EndReason::PublisherLost,
        };
        self.end(reason, end)
    }

    /// `held` says by whom and since when the publish is held back already.
    fn try_publish(
        &mut self,
        name: StreamName,
        client: String,
        session: &mut Session,
        held: Option<(Instant, PublicationId)>,
    ) -> Result<(), End> {
        let now = Instant::now();
        let who = describe(self.peer, &client);
        let (live, first) = match self.shared.registry.publish(&name, &who, now) {
            Ok(publication) => {
                return self.begin(publication, &who, session);
            }
            Err(PublishError::Closed) => return Err(End::Shutdown),
            Err(PublishError::Busy(live, first)) => (live, first),
        };
        let since = match held {
            // The one who was there when this began: another one that came since is as good a reason to wait.
            Some((since, known)) if known == first => since,
            _ => now,
        };
        let waited = now.saturating_duration_since(since);
        let other = live.publisher.who();
        match self.decide(&live, first, waited, now) {
            // Nobody is replaced by one who has said goodbye while he waited.
            Decision::Replace if !session.is_taken_back() => {
                // It notices within a tick, and lets go of the stream, with all viewers, for the next one.
                live.publisher.displace(first);
                self.shared.refusals.say(|more| {
                    log::warn!("publisher {} takes {name} over from {other}{more}", self.peer);
                });
            }
            Decision::Refuse | Decision::Replace => {
                session
                    .reject("NetStream.Publish.BadName", &format!("Stream {name} is being published already."));
                return Err(End::Refused(format!("{name} is being published already by {other}")));
            }
            Decision::Hold if waited.is_zero() => {
                self.shared.refusals.say(|more| {
                    log::info!("publisher {} waits for {name}, which {other} publishes{more}", self.peer);
                });
            }
            Decision::Hold => {}
        }
        self.activity = Activity::Held(Held { name, client, since, first });
        Ok(())
    }

    fn begin(&mut self, publication: Publication, who: &str, session: &mut Session) -> Result<(), End> {
        let name = &publication.live().name;
        self.shared.flaps.begins(Instant::now(), |more| match publication.resumed_after() {
            Some(gap) => {
                let seconds = gap.as_secs_f64();
                log::info!("publisher {who} goes on with {name} after {seconds:.1} s without one{more}");
            }
            None => log::info!("publisher {who} publishes {name}{more}"),
        });
        self.activity = Activity::Publishing(Box::new(publication));
        session.accept_publish().map_err(End::Protocol)
    }

    /// What becomes of a publish that has waited so long for the one who feeds the stream.
    fn decide(&self, live: &LiveStream, first: PublicationId, waited: Duration, now: Instant) -> Decision {
        let silence = live.publisher.stillness(now);
        match self.shared.takeover {
            // It is about to let go, whatever it has sent since.
            _ if live.publisher.is_displaced(first) => Decision::Hold,
            Takeover::Reject => Decision::Refuse,
            Takeover::Takeover => Decision::Replace,
            Takeover::IfSilent if silence < waited => Decision::Refuse,
            Takeover::IfSilent if silence >= self.shared.timeouts.silence => Decision::Replace,
            Takeover::IfSilent => Decision::Hold,
        }
    }

    fn end(&mut self, reason: EndReason, why: &dyn fmt::Display) -> bool {
        let Activity::Publishing(publication) = self.replace(Activity::None { since: Instant::now() }) else {
            return false;
        };
        let (now, name) = (Instant::now(), publication.live().name.clone());
        let (bytes, time) = publication.share(now);
        let held = publication
            .finish(reason, now)
            .map(|time| format!("; its viewers are held for {} s", time.as_secs()));
        let (seconds, held) = (time.as_secs_f64(), held.unwrap_or_default());
        self.shared.flaps.ends(time, now, |more| {
            let peer = self.peer;
            log::info!("publisher {peer} left {name}: {why}; {bytes} bytes in {seconds:.1} s{held}{more}");
        });
        true
    }

    fn replace(&mut self, activity: Activity) -> Activity {
        std::mem::replace(&mut self.activity, activity)
    }
}

fn refuse_name(error: StreamNameError, session: &mut Session) -> End {
    session.reject("NetStream.Publish.BadName", &format!("Not a stream name: {error}."));
    End::Refused(error.to_string())
}

fn describe(peer: Peer, client: &str) -> String {
    if client.is_empty() { peer.to_string() } else { format!("{peer} ({client})") }
}

mod patience;
mod pieces;

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::client::{Client, Presence};
use super::leave::LeaveReason;
use super::pace::Pace;
use super::unsent::{Source, Unsent};
use super::websocket;
use super::worker::LoadShare;
use crate::flv::variant::Variant;
use crate::stream::EndReason;
use crate::stream::burst::{Burst, Framing};
use crate::stream::cursor::{Ahead, Cursor, Start};
use crate::stream::live::LiveStream;
use crate::stream::watching::Watching;

/// Most bursts in one write: a GOP cache goes out in a few.
const MAX_PIECES: usize = 64;

/// How often what a WebSocket viewer has sent is read and answered before it is the next one's turn.
const MAX_ANSWERS: usize = 16;

/// How long a viewer must not have blocked before it goes back to a worker.
const STEADY: Duration = Duration::from_secs(2);

/// What one write costs, in nanoseconds, and how many bytes of it cost one more: nearly all of it is the kernel's.
const BURST_COST: u64 = 8_000;
const BYTES_PER_NANOSECOND: u64 = 2;

/// Who watches a live stream, and how far it is.
pub(crate) struct Viewer {
    client: Client,
    live: Watching,
    cursor: Cursor,
    unsent: Option<Unsent>,
    joined: Instant,
    sent: u64,
    /// How many of these bytes have been counted for its stream and for all.
    counted: u64,
    pace: Pace,
    /// Whether the socket took no more when it was last written to.
    blocked: bool,
    /// When the socket last took something, or began to take nothing.
    last_progress: Instant,
    last_blocked: Option<Instant>,
    /// Since when skips are counted, and how many there had been by then.
    skips_since: (Instant, u32),
    /// Since when it is known that somebody has ended this.
    kicked: Option<Instant>,
    /// Set when the last bytes are on their way.
    ending: Option<LeaveReason>,
    /// What it adds to the load of the worker that has it.
    load_share: Option<LoadShare>,
    /// Why it is over, once it is.
    left: Option<LeaveReason>,
}

/// Room for the bursts of one write, reused.
#[derive(Default)]
pub(super) struct Scratch {
    bursts: Vec<Arc<Burst>>,
}

/// How far a viewer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Everything there is has been sent.
    CaughtUp,
    /// The socket takes no more for now.
    Blocked,
    /// There is more, but it is the next one's turn.
    More,
    /// It is over.
    Gone(LeaveReason),
}

impl Viewer {
    /// A client that joins a stream which can be joined; `None` if it is refused, because the stream does not have
    /// what it asks for.
    pub(super) fn join(client: Client, live: Arc<LiveStream>, start: Start) -> Option<Box<Self>> {
        match live.variant(client.wanted) {
            Ok(variant) => Some(Box::new(Self::new(client, live, start, variant))),
            Err(why) => {
                client.refuse_variant(why);
                None
            }
        }
    }

    fn new(mut client: Client, live: Arc<LiveStream>, start: Start, variant: Variant) -> Self {
        let now = Instant::now();
        log::info!("viewer {} joins {} over {}", client.peer(), live.name, client.protocol);
        client.counters.joined();
        client.listing.note_join(start, now);
        let head = match client.upgraded.take() {
            Some(head) => Source::Own(head),
            None => Source::Head(Arc::clone(&client.answers)),
        };
        Self {
            unsent: Some(Unsent::new(head)),
            live: Watching::new(live, client.protocol),
            client,
            cursor: Cursor::new(start, variant),
            joined: now,
            sent: 0,
            counted: 0,
            pace: Pace::new(now),
            blocked: false,
            last_progress: now,
            last_blocked: None,
            skips_since: (now, 0),
            kicked: None,
            ending: None,
            load_share: None,
            left: None,
        }
    }

    pub(super) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.client.socket
    }

    /// Whether its last write ended with the end of a burst.
    #[cfg(test)]
    pub(super) fn is_between_bursts(&self) -> bool {
        self.unsent.is_none()
    }

    /// See [`Client::presence`].
    pub(super) fn presence(&mut self) -> Presence {
        self.client.presence()
    }

    /// Whether what it sends may want an answer.
    pub(super) fn speaks(&self) -> bool {
        self.client.framing == Framing::WebSocket
    }

    /// Looks at what its peer has sent, and sends the answers to that and what else there is.
    pub(super) fn attend(&mut self, scratch: &mut Scratch) -> Pumped {
        for _ in 0..MAX_ANSWERS {
            if self.presence() != Presence::Here {
                return Pumped::Gone(LeaveReason::Left);
            }
            let has_more_to_say = self.client.is_owed_an_answer();
            let pumped = self.pump(scratch, super::QUANTUM);
            if pumped != Pumped::CaughtUp || !has_more_to_say {
                return pumped;
            }
        }
        Pumped::CaughtUp
    }

    /// How many nanoseconds of each second a worker will need for it, roughly.
    pub(super) fn cost(&self) -> u64 {
        let (bytes, bursts) = self.live.rates(Instant::now());
        // A viewer of a silent stream costs something, too.
        1 + bursts * BURST_COST + bytes / BYTES_PER_NANOSECOND
    }

    /// Notes what it adds to the load of the worker that gets it.
    pub(super) fn set_load(&mut self, load: LoadShare) {
        self.load_share = Some(load);
    }

    /// Notes that it is sent each burst as it comes from now on.
    pub(super) fn keeps_up(&mut self) {
        self.live.set_keeps_up(true);
        self.client.listing.note_slow(false);
    }

    /// Notes, counts and logs that it did not take a burst whole, and is not with a worker any more.
    pub(super) fn leaves_worker(&mut self) {
        self.live.set_keeps_up(false);
        self.client.listing.note_slow(true);
        self.load_share = None;
        self.client.counters.turned_slow();
        log::debug!("viewer {self} turns slow");
    }

    /// Whether it has kept up long enough to go to a worker.
    pub(super) fn is_steady(&self, now: Instant) -> bool {
        self.last_blocked.is_none_or(|blocked| now.saturating_duration_since(blocked) >= STEADY)
    }

    /// Sends bursts that have just come, one behind the other. This is the hot path: one write, and nothing else, for a
    /// viewer that has had all bursts before them.
    pub(super) fn send(&mut self, bursts: &[Arc<Burst>], scratch: &mut Scratch) -> Pumped {
        if bursts.last().is_some_and(|last| self.cursor.is_past(last.sequence)) {
            return Pumped::CaughtUp;
        }
        let first = bursts.iter().position(|burst| self.cursor.is_at(burst.sequence));
        match first.map(|first| &bursts[first..]).filter(|_| self.unsent.is_none()) {
            Some([burst]) => self.send_one(burst),
            Some(bursts) if bursts.len() <= MAX_PIECES => self.send_some(bursts),
            _ => self.pump(scratch, super::QUANTUM),
        }
    }

    fn send_one(&mut self, burst: &Arc<Burst>) -> Pumped {
        let framed = burst.framed(&self.cursor.variant, self.client.framing);
        if framed.is_empty() {
            self.cursor.advance();
            return Pumped::CaughtUp;
        }
        let done = match framed.in_one_piece() {
            Some(bytes) => self.client.socket.write(bytes),
            None => self.client.socket.write_vectored(&framed.pieces()),
        };
        let written = match done {
            Ok(written) => written,
            Err(error) if is_would_block(&error) => 0,
            Err(_) => return Pumped::Gone(LeaveReason::Left),
        };
        self.note_sent(written);
        self.cursor.advance();
        if written == framed.len() {
            return Pumped::CaughtUp;
        }
        self.unsent = Some(Unsent { what: Source::Burst(Arc::clone(burst)), offset: written });
        self.note_write(written, true, Instant::now());
        Pumped::Blocked
    }

    fn send_some(&mut self, bursts: &[Arc<Burst>]) -> Pumped {
        let (written, whole) = match self.write_pieces(bursts) {
            Ok(done) => done,
            Err(error) if is_would_block(&error) => (0, false),
            Err(_) => return Pumped::Gone(LeaveReason::Left),
        };
        if whole {
            return Pumped::CaughtUp;
        }
        self.note_write(written, true, Instant::now());
        Pumped::Blocked
    }

    /// Sends what there is, up to `quantum` bytes.
    pub(super) fn pump(&mut self, scratch: &mut Scratch, quantum: usize) -> Pumped {
        let mut total = 0;
        loop {
            let now = Instant::now();
            if self.unsent.is_none() {
                self.answer();
            }
            let ahead = self.look_ahead(scratch, now);
            if self.unsent.is_none() && scratch.bursts.is_empty() {
                match (self.ending, ahead) {
                    (Some(reason), _) => return Pumped::Gone(reason),
                    (None, Ahead::End(reason)) => self.end(reason),
                    (None, _) => {
                        self.blocked = false;
                        return Pumped::CaughtUp;
                    }
                }
            }
            match self.write_pieces(&scratch.bursts) {
                Ok((written, whole)) => {
                    total += written;
                    self.note_write(written, !whole, now);
                    match whole {
                        false => return Pumped::Blocked,
                        true if total >= quantum => return Pumped::More,
                        true => {}
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_would_block(&error) => {
                    self.note_write(0, true, now);
                    return Pumped::Blocked;
                }
                Err(_) => return Pumped::Gone(LeaveReason::Left),
            }
        }
    }

    /// Takes from the window what to send next; nothing behind the last bytes.
    fn look_ahead(&mut self, scratch: &mut Scratch, now: Instant) -> Ahead {
        scratch.bursts.clear();
        if self.ending.is_some() {
            return Ahead::Nothing;
        }
        if self.is_kicked() {
            return Ahead::End(EndReason::Kicked);
        }
        let skips = self.cursor.skips;
        let ahead = self.live.peek(&mut self.cursor, &mut scratch.bursts, MAX_PIECES, now);
        self.client.counters.skipped(self.cursor.skips - skips);
        ahead
    }

    /// Has the last bytes sent. What has no end of its own ends by closing.
    fn end(&mut self, reason: EndReason) {
        self.ending = Some(if self.is_kicked() { LeaveReason::Kicked } else { LeaveReason::Ended(reason) });
        self.unsent = match self.client.framing {
            Framing::Chunked => Some(Unsent::new(Source::LastChunk)),
            Framing::WebSocket => Some(Unsent::new(Source::Own(websocket::farewell(reason)))),
            Framing::Plain => None,
        };
    }

    /// Between two bursts, has that sent which a WebSocket viewer is owed for what it has sent.
    fn answer(&mut self) {
        if self.ending.is_none()
            && let Some((answer, ending)) = self.client.take_answer()
        {
            self.unsent = Some(Unsent::new(Source::Own(answer)));
            self.ending = ending;
        }
    }

    /// Notes how well it does, for those who ask, and whether it is to end; to be called every second or so.
    pub(super) fn observe(&mut self, now: Instant) {
        self.count_sent();
        if self.kicked.is_none() && self.client.listing.is_kicked() {
            self.kicked = Some(now);
        }
        let behind = match self.unsent.as_ref().and_then(Unsent::burst) {
            Some(cut) => now.saturating_duration_since(cut.arrived),
            None => self.live.age_of_next(&self.cursor, now),
        };
        let bits = 8 * self.pace.per_second(self.sent, now);
        self.client.listing.note_progress(bits, behind, self.cursor.skips);
    }

    /// Whether somebody has ended this: nothing new is sent any more.
    pub(super) fn is_kicked(&self) -> bool {
        self.kicked.is_some()
    }

    /// Adds what it has been sent since the last time to what others have been.
    fn count_sent(&mut self) {
        let more = self.sent - std::mem::replace(&mut self.counted, self.sent);
        self.live.note_sent(more);
        self.client.counters.sent(more);
    }

    /// Closes the connection and says so in the log.
    pub(super) fn leave(mut self: Box<Self>, reason: LeaveReason) {
        self.left = Some(reason);
        self.client.close();
        let seconds = self.joined.elapsed().as_secs_f64();
        log::info!(
            "viewer {} left {}: {reason}; {} bytes in {seconds:.1} s, {} skips",
            self.client.peer(),
            self.live.name,
            self.sent,
            self.cursor.skips
        );
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.count_sent();
        self.client.counters.gone(self.left.unwrap_or(LeaveReason::Failure));
    }
}

impl fmt::Display for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.client.peer(), self.live.name)
    }
}

fn is_would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

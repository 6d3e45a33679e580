use std::fmt;
use std::io::{self, IoSlice, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::client::{Client, Presence};
use super::leave::LeaveReason;
use super::worker::LoadShare;
use super::{Answers, Patience};
use crate::flv::variant::Variant;
use crate::stream::EndReason;
use crate::stream::burst::{Burst, Framing};
use crate::stream::cursor::{Ahead, Cursor, Start};
use crate::stream::live::LiveStream;
use crate::stream::watching::Watching;

/// Most bursts in one write: a GOP cache goes out in a few.
const MAX_PIECES: usize = 64;

/// Ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How long a viewer must not have blocked before it goes back to a worker.
const STEADY: Duration = Duration::from_secs(2);

/// How long a viewer may take nothing while memory is short and it holds what nobody else needs.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// What one write costs, in nanoseconds, and how many bytes of it cost one more: nearly all of it is the kernel's.
const BURST_COST: u64 = 8_000;
const BYTES_PER_NANOSECOND: u64 = 2;

const SKIP_WINDOW: Duration = Duration::from_secs(60);

/// Who watches a live stream, and how far it is.
pub(crate) struct Viewer {
    client: Client,
    live: Watching,
    cursor: Cursor,
    unsent: Option<Unsent>,
    joined: Instant,
    sent: u64,
    /// Whether the socket took no more when it was last written to.
    blocked: bool,
    /// When the socket last took something, or began to take nothing.
    last_progress: Instant,
    last_blocked: Option<Instant>,
    /// Since when skips are counted, and how many there had been by then.
    skips_since: (Instant, u32),
    /// Set when the last bytes are on their way.
    ending: Option<EndReason>,
    /// What it adds to the load of the worker that has it.
    load_share: Option<LoadShare>,
    /// Why it is over, once it is.
    left: Option<LeaveReason>,
}

/// What the socket has not taken yet of something that has begun.
struct Unsent {
    what: Source,
    offset: usize,
}

enum Source {
    Head(Arc<Answers>),
    Burst(Arc<Burst>),
    LastChunk,
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

    fn new(client: Client, live: Arc<LiveStream>, start: Start, variant: Variant) -> Self {
        let now = Instant::now();
        log::info!("viewer {} joins {}", client.peer(), live.name);
        client.counters.joined();
        Self {
            unsent: Some(Unsent { what: Source::Head(Arc::clone(&client.answers)), offset: 0 }),
            client,
            live: Watching::new(live),
            cursor: Cursor::new(start, variant),
            joined: now,
            sent: 0,
            blocked: false,
            last_progress: now,
            last_blocked: None,
            skips_since: (now, 0),
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
    pub(super) fn presence(&self) -> Presence {
        self.client.presence()
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
    }

    /// Notes, counts and logs that it did not take a burst whole, and is not with a worker any more.
    pub(super) fn leaves_worker(&mut self) {
        self.live.set_keeps_up(false);
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
        let bytes = burst.framed(&self.cursor.variant, self.client.framing);
        if bytes.is_empty() {
            self.cursor.advance();
            return Pumped::CaughtUp;
        }
        let written = match self.client.socket.write(bytes) {
            Ok(written) => written,
            Err(error) if is_would_block(&error) => 0,
            Err(_) => return Pumped::Gone(LeaveReason::Left),
        };
        self.sent += written as u64;
        self.cursor.advance();
        if written == bytes.len() {
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
            scratch.bursts.clear();
            let now = Instant::now();
            let skips = self.cursor.skips;
            let ahead = self.live.peek(&mut self.cursor, &mut scratch.bursts, MAX_PIECES, now);
            self.client.counters.skipped(self.cursor.skips - skips);
            if self.unsent.is_none() && scratch.bursts.is_empty() {
                match (ahead, self.ending) {
                    (Ahead::End(reason), None) if self.client.framing == Framing::Chunked => {
                        self.ending = Some(reason);
                        self.unsent = Some(Unsent { what: Source::LastChunk, offset: 0 });
                    }
                    (Ahead::End(reason), _) => return Pumped::Gone(LeaveReason::Ended(reason)),
                    _ => {
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

    /// Whether it must be given up: it takes nothing, or it skips too often.
    pub(super) fn exhausts(
        &mut self,
        patience: &Patience,
        short_of_memory: bool,
        now: Instant,
    ) -> Option<LeaveReason> {
        let stall = now.saturating_duration_since(self.last_progress);
        if self.blocked && stall >= patience.stall {
            return Some(LeaveReason::Stalled);
        }
        let pins_what_is_gone =
            || self.unsent.as_ref().is_some_and(|unsent| unsent.pins_what_is_gone(&self.live));
        if self.blocked && short_of_memory && stall >= SHORT_PATIENCE && pins_what_is_gone() {
            return Some(LeaveReason::OutOfMemory);
        }
        let (since, before) = self.skips_since;
        if self.cursor.skips - before >= patience.skips {
            return Some(LeaveReason::TooSlow);
        }
        if now.saturating_duration_since(since) >= SKIP_WINDOW {
            self.skips_since = (now, self.cursor.skips);
        }
        None
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

    /// One write of what is unsent and then `bursts`; how many bytes it took, and whether that was everything.
    fn write_pieces(&mut self, bursts: &[Arc<Burst>]) -> io::Result<(usize, bool)> {
        let (framing, variant) = (self.client.framing, self.cursor.variant);
        let mut slices = [IoSlice::new(&[]); MAX_PIECES + 1];
        let mut count = 0;
        if let Some(unsent) = &self.unsent {
            slices[0] = IoSlice::new(unsent.rest(&variant, framing));
            count = 1;
        }
        for (slot, burst) in slices[count..].iter_mut().zip(bursts) {
            *slot = IoSlice::new(burst.framed(&variant, framing));
            count += 1;
        }
        let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        // A variant may have nothing of some bursts, or of all.
        let written = if offered == 0 { 0 } else { self.client.socket.write_vectored(&slices[..count])? };
        if written == 0 && offered > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sent += written as u64;
        self.account_for(written, bursts);
        Ok((written, written == offered))
    }

    /// Moves past what has been written, and remembers what of it was cut.
    fn account_for(&mut self, mut written: usize, bursts: &[Arc<Burst>]) {
        let (framing, variant) = (self.client.framing, self.cursor.variant);
        if let Some(unsent) = &mut self.unsent {
            let taken = written.min(unsent.rest(&variant, framing).len());
            unsent.offset += taken;
            written -= taken;
            if !unsent.rest(&variant, framing).is_empty() {
                return;
            }
            self.unsent = None;
        }
        for burst in bursts {
            let length = burst.framed(&variant, framing).len();
            if written == 0 && length > 0 {
                return;
            }
            self.cursor.advance();
            if written < length {
                self.unsent = Some(Unsent { what: Source::Burst(Arc::clone(burst)), offset: written });
                return;
            }
            written -= length;
        }
    }

    fn note_write(&mut self, written: usize, blocked: bool, now: Instant) {
        // The time that counts for a stall begins when the socket does, not when there was last something to send.
        if written > 0 || (blocked && !self.blocked) {
            self.last_progress = now;
        }
        if blocked {
            self.last_blocked = Some(now);
        }
        self.blocked = blocked;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.client.counters.gone(self.left.unwrap_or(LeaveReason::Failure));
    }
}

impl fmt::Display for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.client.peer(), self.live.name)
    }
}

impl Unsent {
    /// Whether this keeps a burst in memory that has left its stream's window.
    fn pins_what_is_gone(&self, live: &LiveStream) -> bool {
        matches!(&self.what, Source::Burst(burst) if live.has_let_go_of(burst.sequence))
    }

    fn rest(&self, variant: &Variant, framing: Framing) -> &[u8] {
        let whole = match &self.what {
            Source::Head(answers) => &answers.live,
            Source::Burst(burst) => burst.framed(variant, framing),
            Source::LastChunk => LAST_CHUNK,
        };
        &whole[self.offset..]
    }
}

fn is_would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

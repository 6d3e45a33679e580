//! A stream that is being published.

mod status;
mod still;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use self::status::StreamStatus;
use super::StreamSettings;
use super::budget::Budget;
use super::burst::{Burst, Opening};
use super::cursor::{Ahead, Cursor, make_prefix};
use super::event::{EndReason, Outlet, StreamEvent};
use super::headers::{Change, Codec, HeaderCache, NotThere, Role, Wanted};
use super::publisher::Publisher;
use super::vitals::Shown;
use super::watching::Audience;
use super::window::Window;
use crate::flv::metadata::Metadata;
use crate::flv::tag::Tracks;
use crate::flv::variant::Variant;
use crate::media::{Packet, PacketKind, StreamName};

/// Tells streams of the same name apart.
pub(crate) type StreamId = u64;

/// How old a stream is before its window keeps only the GOP cache while it has no viewers: those who waited
/// for it are about to join, and are to miss nothing.
const JOIN_GRACE: Duration = Duration::from_secs(2);

/// How much of it the window keeps for viewers that keep up: a worker that has much to do may be this late.
const WORKER_GRACE: Duration = Duration::from_secs(2);

/// A stream from its publisher's first packet to its end.
#[derive(Debug)]
pub(crate) struct LiveStream {
    pub(crate) id: StreamId,
    pub(crate) name: StreamName,
    pub(crate) publisher: Publisher,
    started: Instant,
    bytes: AtomicU64,
    pub(super) audience: Audience,
    /// What the publication finds, for status.
    pub(super) vitals: Shown,
    settings: Arc<StreamSettings>,
    budget: Arc<Budget>,
    shared: RwLock<Shared>,
    /// Replaced as a whole, so that the publisher notifies without holding the lock.
    outlets: RwLock<Arc<[Arc<dyn Outlet>]>>,
    /// The last prefix made: those who join at the same place share it.
    prefix: Mutex<Option<SharedPrefix>>,
}

/// What joins read and the publisher writes: the header cache, and the window with the GOP cache.
#[derive(Debug)]
struct Shared {
    headers: HeaderCache,
    window: Window,
    /// Known once the stream can be joined.
    tracks: Option<Tracks>,
    ended: Option<EndReason>,
}

/// A prefix with what it was made for.
#[derive(Debug)]
struct SharedPrefix {
    generation: u32,
    variant: Variant,
    burst: Arc<Burst>,
}

impl LiveStream {
    pub(super) fn new(
        id: StreamId,
        name: StreamName,
        publisher: Publisher,
        settings: Arc<StreamSettings>,
        budget: Arc<Budget>,
        now: Instant,
    ) -> Self {
        let window = Window::new(Arc::clone(&settings), Arc::clone(&budget));
        Self {
            id,
            name,
            publisher,
            started: now,
            bytes: AtomicU64::new(0),
            audience: Audience::default(),
            vitals: Shown::default(),
            settings,
            budget,
            shared: RwLock::new(Shared { headers: HeaderCache::default(), window, tracks: None, ended: None }),
            outlets: RwLock::new(Arc::new([])),
            prefix: Mutex::new(None),
        }
    }

    /// Gives `out` the bursts in front of `cursor`, at most `count`, without moving it past them. A viewer that
    /// joins or is too far behind is moved to where it goes on first.
    pub(crate) fn peek(
        &self,
        cursor: &mut Cursor,
        out: &mut Vec<Arc<Burst>>,
        count: usize,
        now: Instant,
    ) -> Ahead {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        if shared.tracks.is_none() {
            return shared.ended.map_or(Ahead::Nothing, Ahead::End);
        }
        let (variant, skips) = (cursor.variant, cursor.skips);
        let video = shared.headers.first_video(&variant);
        cursor.settle(&shared.window, video, shared.headers.generation, now, |first, fresh| {
            self.shared_prefix(first, fresh, &shared.headers, variant)
        });
        self.audience.note_skips(cursor.skips - skips);
        let given = out.len();
        if cursor.is_running() {
            out.extend(cursor.owed().cloned());
            let room = count.saturating_sub(out.len() - given);
            out.extend(shared.window.from(cursor.next()).take(room).cloned());
        }
        match shared.ended {
            _ if out.len() > given => Ahead::Bursts,
            Some(reason) => Ahead::End(reason),
            None => Ahead::Nothing,
        }
    }

    /// How long ago the burst came that a cursor stands at; zero where there is none yet.
    pub(crate) fn age_of_next(&self, cursor: &Cursor, now: Instant) -> Duration {
        self.read(|shared| shared.window.age(cursor, now))
    }

    /// Adds an outlet that wants every burst from here on.
    pub(crate) fn attach(&self, outlet: &Arc<dyn Outlet>) {
        let mut outlets = self.outlets.write().unwrap_or_else(PoisonError::into_inner);
        if !outlets.iter().any(|known| Arc::ptr_eq(known, outlet)) {
            *outlets = outlets.iter().chain([outlet]).cloned().collect();
        }
    }

    /// Removes an outlet.
    pub(crate) fn detach(&self, outlet: &Arc<dyn Outlet>) {
        let mut outlets = self.outlets.write().unwrap_or_else(PoisonError::into_inner);
        *outlets = outlets.iter().filter(|known| !Arc::ptr_eq(known, outlet)).cloned().collect();
    }

    /// Whether viewers can join.
    pub(crate) fn is_ready(&self) -> bool {
        self.read(|shared| shared.tracks.is_some())
    }

    /// What of it one gets who asks for `wanted`.
    pub(crate) fn variant(&self, wanted: Wanted) -> Result<Variant, NotThere> {
        self.read(|shared| shared.headers.variant(wanted))
    }

    /// Why it ended, if it has.
    pub(crate) fn ended(&self) -> Option<EndReason> {
        self.read(|shared| shared.ended)
    }

    /// How long the publisher has sent nothing.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        self.publisher.silence(now)
    }

    /// How long it has been live.
    pub(crate) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// Whether somebody takes its bursts.
    pub(super) fn is_watched(&self) -> bool {
        !self.audience.is_empty()
    }

    /// Whether somebody takes its bursts, or it is so young that some may have waited for it.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        self.is_watched() || self.uptime(now) < JOIN_GRACE
    }

    /// Bytes of payload received.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes that viewers have been sent so many bytes more.
    pub(crate) fn note_sent(&self, bytes: u64) {
        self.audience.note_sent(bytes);
    }

    /// Average bytes and bursts per second, for sharing viewers out to workers.
    pub(crate) fn rates(&self, now: Instant) -> (u64, u64) {
        let (seconds, bursts) = (self.uptime(now).as_secs().max(1), self.read(|shared| shared.window.next()));
        (self.bytes() / seconds, bursts / seconds)
    }

    /// Notes that a packet came.
    pub(super) fn touch(&self, bytes: usize, now: Instant) {
        self.publisher.note_packet(now);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Makes the stream joinable.
    pub(super) fn set_tracks(&self, tracks: Tracks) {
        self.write(|shared| shared.tracks = Some(tracks));
    }

    pub(super) fn store_header(&self, kind: PacketKind, track: u8, role: Role, payload: &[u8]) -> Change {
        self.write(|shared| shared.headers.store(kind, track, role, payload))
    }

    /// Keeps a header for when its track, or its codec, is taken.
    pub(super) fn put_header_aside(&self, codec: Codec, track: u8, role: Role, payload: &[u8]) {
        self.write(|shared| shared.headers.put_aside(codec, track, role, payload));
    }

    /// Notes the codec of a track, before its first packet.
    pub(super) fn note_codec(&self, track: u8, codec: Codec) {
        self.write(|shared| shared.headers.note_codec(track, codec));
    }

    /// What is to be said of the first tracks that do not go out in the form that is wanted.
    pub(super) fn left_out(&self, wanted: Wanted) -> Vec<String> {
        self.read(|shared| shared.headers.left_out(wanted.form))
    }

    /// Whether browsers can play a track behind this sequence header, if that changes.
    pub(super) fn turned_by(&self, kind: PacketKind, track: u8, header: &[u8]) -> Option<bool> {
        self.read(|shared| shared.headers.turned_by(kind, track, header))
    }

    pub(super) fn store_metadata(&self, metadata: Metadata) -> bool {
        self.write(|shared| shared.headers.store_metadata(metadata))
    }

    pub(super) fn metadata_tag(&self, tracks: Tracks) -> Vec<u8> {
        self.read(|shared| shared.headers.metadata_tag(tracks))
    }

    pub(super) fn drop_gop(&self, kind: PacketKind, track: u8) {
        self.write(|shared| shared.window.drop_gop(kind, track));
    }

    /// Forgets the codecs of all tracks but these, and puts their headers aside.
    pub(super) fn keep_tracks(&self, tracks: &[(PacketKind, u8)]) {
        self.write(|shared| shared.headers.keep(tracks));
    }

    /// The header cache of a stream that goes on with another set of tracks.
    pub(super) fn take_headers_from(&self, other: &Self) {
        let headers = other.read(|shared| shared.headers.clone());
        self.write(|shared| shared.headers = headers);
    }

    /// What its window holds, in bytes.
    pub(super) fn held(&self) -> usize {
        self.read(|shared| shared.window.held())
    }

    /// Lets go of the older half of its window.
    pub(super) fn shed(&self) {
        let _gone = self.write(|shared| shared.window.shed());
    }

    /// Whether the window has let go of the burst with this sequence number, or would have but for its viewers.
    pub(crate) fn has_let_go_of(&self, sequence: u64) -> bool {
        self.read(|shared| sequence < shared.window.first() || shared.ended.is_some())
    }

    /// Lays out the next burst, appends it to the window and tells all outlets.
    pub(super) fn push(&self, opening: Opening, arrived: Instant, packets: &[Packet]) {
        let (sequence, start) = self.read(|shared| (shared.window.next(), shared.window.stream_end()));
        let burst = Arc::new(Burst::new(sequence, opening, arrived, start, packets, &self.budget));
        let keep = self.keep_time(arrived);
        let _gone = self.write(|shared| shared.window.push(Arc::clone(&burst), keep));
        for outlet in self.outlets().iter() {
            outlet.notify(StreamEvent::Burst(self.id, Arc::clone(&burst)));
        }
    }

    /// How much of the stream somebody may still need who reads it already, or is about to.
    fn keep_time(&self, now: Instant) -> Option<Duration> {
        if self.audience.is_behind() || self.uptime(now) < JOIN_GRACE {
            Some(self.settings.lag_time)
        } else if !self.audience.is_empty() {
            Some(self.settings.lag_time.min(WORKER_GRACE))
        } else {
            None
        }
    }

    /// Ends the stream, once; the first reason counts.
    pub(super) fn end(&self, reason: EndReason) -> bool {
        let first = self.close(reason);
        if first {
            self.tell_of_its_end();
        }
        first
    }

    /// The first half of that, for those who hold a lock: who ends it first [tells](Self::tell_of_its_end) of it then.
    pub(super) fn close(&self, reason: EndReason) -> bool {
        self.write(|shared| {
            let first = shared.ended.is_none();
            shared.ended.get_or_insert(reason);
            shared.window.retire();
            first
        })
    }

    pub(super) fn tell_of_its_end(&self) {
        self.outlets().iter().for_each(|outlet| outlet.notify(StreamEvent::Ended(self.id)));
    }

    fn outlets(&self) -> Arc<[Arc<dyn Outlet>]> {
        Arc::clone(&self.outlets.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn shared_prefix(&self, first: &Burst, fresh: bool, headers: &HeaderCache, variant: Variant) -> Arc<Burst> {
        if !fresh {
            return make_prefix(first, fresh, headers, &variant, &self.budget);
        }
        let generation = headers.generation;
        let mut cached = self.prefix.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |cached: &&SharedPrefix| {
            (cached.generation, cached.variant, cached.burst.sequence) == (generation, variant, first.sequence)
        };
        if let Some(SharedPrefix { burst, .. }) = cached.as_ref().filter(fits) {
            return Arc::clone(burst);
        }
        let burst = make_prefix(first, fresh, headers, &variant, &self.budget);
        *cached = Some(SharedPrefix { generation, variant, burst: Arc::clone(&burst) });
        burst
    }

    // No code panics while it holds these locks; should one ever, the data is still whole.
    fn read<T>(&self, look: impl FnOnce(&Shared) -> T) -> T {
        look(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        change(&mut self.shared.write().unwrap_or_else(PoisonError::into_inner))
    }
}

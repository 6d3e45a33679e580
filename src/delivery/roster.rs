//! Who is there: viewers, and those who wait to be some.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::ViewerRequest;
use crate::media::StreamName;
use crate::peer::Peer;
use crate::stream::Start;
use crate::stream::headers::Wanted;
use crate::stream::watching::Protocol;

/// A viewer as it is now. What changes all the time is up to a second old; `bytes` are not.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ViewerStatus {
    /// Its number. No other viewer of this server ever has the same.
    pub id: u64,
    /// The stream that it watches or waits for.
    pub stream: StreamName,
    /// Its address, as the log has it; behind a trusted proxy its own one, and the proxy's.
    pub peer: String,
    /// How it gets its stream.
    pub protocol: Protocol,
    /// Whether it watches, and how well.
    pub state: ViewerState,
    /// How long it has been watching, or waiting for its stream.
    pub elapsed: Duration,
    /// Where in the stream it began.
    pub start: Start,
    /// What of the stream it asked for, in the words of its request: `track=1 only=audio`. Empty for what all get.
    pub wanted: String,
    /// Bytes that its socket has taken, with the response's head and what HTTP puts around the tags.
    pub bytes: u64,
    /// Bits of these each second, over the last 10 s or so.
    pub bitrate: u64,
    /// How often it was too far behind and moved on to a keyframe.
    pub skips: u32,
    /// How long ago the first of those frames came that its socket has not taken; zero for one that has all. What lies
    /// in the buffers of the kernel and on the line is not known.
    pub behind: Duration,
}

/// What a viewer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewerState {
    /// It waits for a stream that is not live.
    Waiting {
        /// How much longer.
        left: Duration,
    },
    /// It gets everything as it comes.
    Watching,
    /// It has something unsent, or had it a moment ago, as everybody has who has just joined: it is in the slow lane.
    Slow,
}

/// Everybody who is there, by number.
#[derive(Debug, Default)]
pub(super) struct Roster {
    last_id: AtomicU64,
    /// Locked only to put an entry in or take it out, or to copy the list.
    entries: Mutex<HashMap<u64, Arc<Entry>>>,
}

/// What is known of one viewer. Aligned, so that what is written for one is in nobody else's cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Entry {
    sent: AtomicU64,
    bits_per_second: AtomicU64,
    skips: AtomicU32,
    millis_behind: AtomicU32,
    slow: AtomicBool,
    kicked: AtomicBool,
    id: u64,
    peer: Peer,
    name: StreamName,
    protocol: Protocol,
    wanted: Wanted,
    came: Instant,
    waits_until: Instant,
    joined: OnceLock<Joined>,
}

#[derive(Debug)]
struct Joined {
    at: Instant,
    start: Start,
}

/// A viewer's place in the roster, for as long as this lives.
#[derive(Debug)]
pub(super) struct Listing {
    roster: Arc<Roster>,
    entry: Arc<Entry>,
}

impl Roster {
    /// Enters one who has come at `now`, and may wait until then for its stream.
    pub(super) fn enter(self: &Arc<Self>, request: &ViewerRequest, now: Instant, until: Instant) -> Listing {
        let entry = Arc::new(Entry {
            sent: AtomicU64::new(0),
            bits_per_second: AtomicU64::new(0),
            skips: AtomicU32::new(0),
            millis_behind: AtomicU32::new(0),
            slow: AtomicBool::new(true),
            kicked: AtomicBool::new(false),
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer: request.peer,
            name: request.name.clone(),
            protocol: request.protocol,
            wanted: request.wanted,
            came: now,
            waits_until: until,
            joined: OnceLock::new(),
        });
        self.lock().insert(entry.id, Arc::clone(&entry));
        Listing { roster: Arc::clone(self), entry }
    }

    /// Everybody, in the order in which they came.
    pub(super) fn viewers(&self, now: Instant) -> Vec<ViewerStatus> {
        let mut entries: Vec<_> = self.lock().values().cloned().collect();
        entries.sort_unstable_by_key(|entry| entry.id);
        entries.iter().map(|entry| entry.status(now)).collect()
    }

    /// Has a viewer's response ended by whoever serves it; returns whom that is about, if there is one.
    pub(super) fn kick(&self, id: u64) -> Option<Peer> {
        let entry = self.lock().get(&id).cloned()?;
        entry.kicked.store(true, Ordering::Relaxed);
        Some(entry.peer)
    }

    /// Bits that the viewers of each stream are sent each second, together.
    pub(super) fn bitrates(&self) -> HashMap<StreamName, u64> {
        let entries: Vec<_> = self.lock().values().cloned().collect();
        let mut bitrates = HashMap::new();
        for entry in entries {
            let bits = entry.bits_per_second.load(Ordering::Relaxed);
            match bitrates.get_mut(&entry.name) {
                Some(sum) => *sum += bits,
                None => drop(bitrates.insert(entry.name.clone(), bits)),
            }
        }
        bitrates
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    /// Until when it waits for its stream.
    pub(super) fn waits_until(&self) -> Instant {
        self.entry.waits_until
    }

    /// Notes that it waits no longer.
    pub(super) fn note_join(&self, start: Start, now: Instant) {
        let _only_once = self.entry.joined.set(Joined { at: now, start });
    }

    /// Notes how many bytes it has been sent. Called for every write: a store, in a cache line of the viewer's own.
    pub(super) fn note_sent(&self, bytes: u64) {
        self.entry.sent.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn note_slow(&self, slow: bool) {
        self.entry.slow.store(slow, Ordering::Relaxed);
    }

    /// Whether its response is to end, because somebody who may do so has said it.
    pub(super) fn is_kicked(&self) -> bool {
        self.entry.kicked.load(Ordering::Relaxed)
    }

    /// Notes what is looked at now and then.
    pub(super) fn note_progress(&self, bits_per_second: u64, behind: Duration, skips: u32) {
        let millis = u32::try_from(behind.as_millis()).unwrap_or(u32::MAX);
        self.entry.bits_per_second.store(bits_per_second, Ordering::Relaxed);
        self.entry.millis_behind.store(millis, Ordering::Relaxed);
        self.entry.skips.store(skips, Ordering::Relaxed);
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let _known_to_be_there = self.roster.lock().remove(&self.entry.id);
    }
}

impl Entry {
    fn status(&self, now: Instant) -> ViewerStatus {
        let (state, since, start) = match self.joined.get() {
            None => {
                let left = self.waits_until.saturating_duration_since(now);
                // Whatever it asked for.
                (ViewerState::Waiting { left }, self.came, Start::First)
            }
            Some(joined) if self.slow.load(Ordering::Relaxed) => (ViewerState::Slow, joined.at, joined.start),
            Some(joined) => (ViewerState::Watching, joined.at, joined.start),
        };
        ViewerStatus {
            id: self.id,
            stream: self.name.clone(),
            peer: self.peer.to_string(),
            protocol: self.protocol,
            state,
            elapsed: now.saturating_duration_since(since),
            start,
            wanted: self.wanted.to_string(),
            bytes: self.sent.load(Ordering::Relaxed),
            bitrate: self.bits_per_second.load(Ordering::Relaxed),
            skips: self.skips.load(Ordering::Relaxed),
            behind: Duration::from_millis(self.millis_behind.load(Ordering::Relaxed).into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::delivery::tests::request;
    use crate::flv::variant::Form;
    use crate::media::PacketKind;
    use crate::stream::burst::Framing;

    #[test]
    fn everybody_is_listed_by_a_number_of_their_own_from_coming_to_going() {
        let roster = Arc::<Roster>::default();
        let (now, wait) = (Instant::now(), Duration::from_secs(30));
        let (request, _peer) = request(StreamName::new("live", "s").unwrap(), Framing::Plain, Box::new(()));
        let peer = request.peer.speaks_for("203.0.113.9:4711".parse().unwrap());
        let wanted = Wanted { form: Form::Raw, track: 2, only: Some(PacketKind::Audio) };
        let request = ViewerRequest { peer, wanted, start: Start::Key, ..request };
        let enter = || roster.enter(&request, now, now + wait);
        let ids = |roster: &Roster| roster.viewers(now).iter().map(|viewer| viewer.id).collect::<Vec<_>>();

        let (first, second) = (enter(), enter());
        let status = &roster.viewers(now + Duration::from_secs(10))[0];
        assert_eq!((status.id, status.stream.as_str(), status.protocol), (1, "live/s", Protocol::HttpFlv));
        assert!(status.peer.starts_with("203.0.113.9:4711 via 127.0.0.1:"), "{}", status.peer);
        assert_eq!(status.wanted, "track=2 only=audio enhanced=raw");
        assert_eq!(status.state, ViewerState::Waiting { left: Duration::from_secs(20) });
        assert_eq!((status.elapsed, status.start), (Duration::from_secs(10), Start::First));

        first.note_join(Start::Key, now + Duration::from_secs(12));
        first.note_sent(5_000_000_000);
        first.note_progress(4000, Duration::from_millis(70), 3);
        let status = &roster.viewers(now + Duration::from_secs(13))[0];
        assert_eq!((status.state, status.start), (ViewerState::Slow, Start::Key));
        assert_eq!((status.elapsed, status.behind), (Duration::from_secs(1), Duration::from_millis(70)));
        assert_eq!((status.bytes, status.bitrate, status.skips), (5_000_000_000, 4000, 3));
        assert!(!first.is_kicked() && roster.kick(99).is_none());
        assert_eq!(roster.kick(1), Some(peer));
        assert!(first.is_kicked() && !second.is_kicked());
        assert_eq!(roster.bitrates().into_values().collect::<Vec<_>>(), [4000]);
        first.note_slow(false);
        assert_eq!(roster.viewers(now)[0].state, ViewerState::Watching);

        assert_eq!(ids(&roster), [1, 2]);
        drop(second);
        let third = enter();
        assert_eq!(ids(&roster), [1, 3], "no number comes twice");
        drop((first, third));
        assert!(roster.viewers(now).is_empty());
    }

    #[test]
    fn what_is_written_for_one_viewer_is_in_no_other_ones_cache_line() {
        assert_eq!((align_of::<Entry>(), size_of::<Entry>() % 64), (64, 0));
    }
}

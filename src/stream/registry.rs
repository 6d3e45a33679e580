//! All live streams, by name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::StreamSettings;
use super::budget::Budget;
use super::event::{EndReason, Outlet, StreamEvent};
use super::live::{LiveStream, StreamStatus};
use super::publication::{Progress, Publication, PublicationId};
use super::publisher::Publisher;
use crate::media::StreamName;
use crate::occasional::Occasional;

/// Who publishes what. One per server.
#[derive(Debug)]
pub(crate) struct Registry {
    settings: Arc<StreamSettings>,
    budget: Arc<Budget>,
    next_id: AtomicU64,
    streams: RwLock<Streams>,
    watchers: RwLock<Vec<Arc<dyn Outlet>>>,
    warnings: Mutex<Occasional>,
    publications: AtomicU64,
    received: AtomicU64,
}

#[derive(Debug, Default)]
struct Streams {
    live: HashMap<StreamName, Entry>,
    closed: bool,
}

/// A live stream, and who feeds it.
#[derive(Debug)]
struct Entry {
    live: Arc<LiveStream>,
    feeding: Feeding,
}

#[derive(Debug)]
enum Feeding {
    By(PublicationId),
    /// Its publisher was lost, and its viewers are held for the next one.
    Held(Box<Held>),
}

/// A stream without a publisher.
#[derive(Debug)]
pub(super) struct Held {
    /// From where the next publisher goes on.
    pub(super) progress: Progress,
    /// How long it is waited for.
    pub(super) until: Instant,
}

impl Streams {
    /// Takes one out if more than `most` are held: one without viewers, and of those the one whose time is over first. What
    /// is held has no connection that would count against another limit.
    fn evict(&mut self, most: usize) -> Option<Arc<LiveStream>> {
        let held = || self.live.values().filter_map(Entry::held);
        if held().count() <= most {
            return None;
        }
        let (live, _) = held().min_by_key(|(live, held)| (live.is_watched(), held.until))?;
        let name = live.name.clone();
        self.live.remove(&name).map(|entry| entry.live)
    }
}

impl Entry {
    fn held(&self) -> Option<(&Arc<LiveStream>, &Held)> {
        match &self.feeding {
            Feeding::Held(held) => Some((&self.live, held)),
            Feeding::By(_) => None,
        }
    }

    /// Whether this publication feeds the stream, or was the last that did.
    fn is_of(&self, publication: PublicationId) -> bool {
        match self.feeding {
            Feeding::By(id) => id == publication,
            Feeding::Held(_) => self.live.publisher.last() == publication,
        }
    }

    /// Lets a publication feed the stream, or says which one does.
    fn take_over(&mut self, publication: PublicationId) -> Result<Held, PublicationId> {
        match std::mem::replace(&mut self.feeding, Feeding::By(publication)) {
            Feeding::Held(held) => Ok(*held),
            Feeding::By(other) => {
                self.feeding = Feeding::By(other);
                Err(other)
            }
        }
    }
}

/// What publishers have done since the server's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherTotals {
    /// How often one has begun to publish, or has come back.
    pub publications: u64,
    /// Bytes of payload received.
    pub bytes: u64,
}

/// Why a name cannot be published.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// It is being published already, by this publication of this stream.
    Busy(Arc<LiveStream>, PublicationId),
    /// The server is shutting down.
    Closed,
}

impl Registry {
    pub(crate) fn new(settings: StreamSettings) -> Arc<Self> {
        let budget = Budget::new(settings.total_bytes);
        Arc::new(Self {
            settings: Arc::new(settings),
            budget,
            // Of streams and of publications; 0 is none.
            next_id: AtomicU64::new(1),
            streams: RwLock::default(),
            watchers: RwLock::default(),
            warnings: Mutex::default(),
            publications: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }

    /// Begins a stream, or goes on with one whose publisher was lost. `publisher` says who feeds it.
    pub(crate) fn publish(
        self: &Arc<Self>,
        name: &StreamName,
        publisher: &str,
        now: Instant,
    ) -> Result<Publication, PublishError> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.closed {
            return Err(PublishError::Closed);
        }
        let id = self.new_id();
        if let Some(entry) = streams.live.get_mut(name) {
            let live = Arc::clone(&entry.live);
            return match entry.take_over(id) {
                Ok(held) => {
                    self.publications.fetch_add(1, Ordering::Relaxed);
                    Ok(Publication::resume(id, Arc::clone(self), live, held, publisher, now))
                }
                Err(busy) => Err(PublishError::Busy(live, busy)),
            };
        }
        self.publications.fetch_add(1, Ordering::Relaxed);
        let live = self.new_stream(name, Publisher::new(publisher, id, now), now);
        streams.live.insert(name.clone(), Entry { live: Arc::clone(&live), feeding: Feeding::By(id) });
        Ok(Publication::new(id, Arc::clone(self), live, now))
    }

    /// Keeps a stream for its next publisher; returns whether this publication had it still, and there was room.
    pub(super) fn hold(&self, live: &LiveStream, publication: PublicationId, held: Held, now: Instant) -> bool {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let entry = streams.live.get_mut(&live.name);
        let mine = entry.filter(|entry| matches!(entry.feeding, Feeding::By(id) if id == publication));
        let Some(entry) = mine else { return false };
        entry.feeding = Feeding::Held(Box::new(held));
        live.publisher.lose(now);
        let evicted = streams.evict(self.settings.held);
        drop(streams);
        match evicted {
            Some(evicted) if evicted.id == live.id => return false,
            Some(evicted) => {
                self.warn(|more| {
                    let name = &evicted.name;
                    log::warn!("stream {name} ends: too many streams wait for their publishers{more}");
                });
                evicted.end(EndReason::PublisherLost);
            }
            None => {}
        }
        true
    }

    /// Ends the streams that have been held for long enough. To be called several times a second.
    pub(crate) fn end_overdue(&self, now: Instant) {
        let is_overdue = |entry: &Entry| matches!(&entry.feeding, Feeding::Held(held) if held.until <= now);
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let any = streams.live.values().any(is_overdue);
        drop(streams);
        if !any {
            return;
        }
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<_> = streams.live.extract_if(|_, entry| is_overdue(entry)).collect();
        drop(streams);
        for (name, Entry { live, .. }) in ended {
            log::info!("stream {name} ends: its publisher has not come back");
            live.end(EndReason::PublisherLost);
        }
    }

    /// The stream of a name, if viewers can join it.
    pub(crate) fn joinable(&self, name: &StreamName) -> Option<Arc<LiveStream>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let live = streams.live.get(name).map(|entry| &entry.live);
        live.filter(|live| live.is_ready()).cloned()
    }

    /// Whether somebody feeds the stream of a name, or is waited for to do so: somebody else than who calls itself
    /// `program`.
    pub(crate) fn is_taken(&self, name: &StreamName, program: &str) -> bool {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.live.get(name).is_some_and(|entry| match entry.feeding {
            Feeding::By(_) => true,
            Feeding::Held(_) => !entry.live.publisher.who().contains(program),
        })
    }

    /// Ends a stream and frees its name. Whoever feeds it notices.
    pub(crate) fn end(&self, live: &Arc<LiveStream>, reason: EndReason) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.live.get(&live.name).is_some_and(|entry| Arc::ptr_eq(&entry.live, live)) {
            streams.live.remove(&live.name);
        }
        drop(streams);
        live.end(reason);
    }

    /// Ends the stream that this publication feeds, or fed last, and frees its name: whoever feeds it notices, and nobody is
    /// waited for. Gives the stream, if there is one.
    pub(crate) fn kick(&self, publication: PublicationId) -> Option<Arc<LiveStream>> {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let (_, Entry { live, .. }) = streams.live.extract_if(|_, entry| entry.is_of(publication)).next()?;
        // Before the lock is let go of: a stream that is just beginning anew takes its reason from here.
        let is_first = live.close(EndReason::Kicked);
        drop(streams);
        if is_first {
            live.tell_of_its_end();
        }
        Some(live)
    }

    /// Ends all streams, and lets no new one begin.
    pub(crate) fn close(&self) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.closed = true;
        let ended: Vec<_> = streams.live.drain().map(|(_, entry)| entry.live).collect();
        drop(streams);
        ended.iter().for_each(|live| {
            live.end(EndReason::Shutdown);
        });
    }

    /// Tells `watcher` of every stream that becomes joinable.
    pub(crate) fn watch(&self, watcher: Arc<dyn Outlet>) {
        self.watchers.write().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    /// All live streams, by name.
    pub(crate) fn status(&self) -> Vec<StreamStatus> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let live: Vec<_> = streams.live.values().map(|entry| Arc::clone(&entry.live)).collect();
        drop(streams);
        let now = Instant::now();
        let mut status: Vec<_> = live.iter().map(|live| live.status(now)).collect();
        status.sort_by(|a, b| a.name.cmp(&b.name));
        status
    }

    /// What has come in since the start.
    pub(crate) fn totals(&self) -> PublisherTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PublisherTotals { publications: get(&self.publications), bytes: get(&self.received) }
    }

    pub(super) fn note_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn settings(&self) -> &StreamSettings {
        &self.settings
    }

    /// Makes the streams that hold most let go of their oldest bursts, until all together keep to the budget.
    pub(super) fn keep_to_budget(&self) {
        while self.budget.is_exceeded_by_windows() {
            let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
            let live: Vec<_> = streams.live.values().map(|entry| Arc::clone(&entry.live)).collect();
            drop(streams);
            match live.into_iter().max_by_key(|live| live.held()).filter(|live| live.held() > 0) {
                Some(largest) => {
                    self.warn(|more| {
                        log::warn!("memory is short: stream {} keeps less for its viewers{more}", largest.name);
                    });
                    largest.shed();
                }
                None => return,
            }
        }
    }

    /// Whether viewers hold too much that the windows have let go of.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.budget.is_exceeded()
    }

    /// Tells the watchers that a stream can be joined.
    pub(super) fn announce(&self, live: &Arc<LiveStream>) {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner).clone();
        watchers.iter().for_each(|watcher| watcher.notify(StreamEvent::Ready(Arc::clone(live))));
    }

    /// Replaces a stream by a new one of the same name, publisher and headers. It is no sign of life of that publisher.
    pub(super) fn restart(&self, old: &Arc<LiveStream>, reason: EndReason, now: Instant) -> Arc<LiveStream> {
        let live = self.new_stream(&old.name, old.publisher.of_new_stream(), now);
        live.take_headers_from(old);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = streams.live.get_mut(&old.name).filter(|entry| Arc::ptr_eq(&entry.live, old)) {
            entry.live = Arc::clone(&live);
        } else {
            // Ended from outside in the meantime: so is what would have followed.
            live.end(old.ended().unwrap_or(EndReason::Shutdown));
        }
        drop(streams);
        old.end(reason);
        live
    }

    fn warn(&self, say: impl FnOnce(&str)) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).say(say);
    }

    fn new_stream(&self, name: &StreamName, publisher: Publisher, now: Instant) -> Arc<LiveStream> {
        let id = self.new_id();
        let (settings, budget) = (Arc::clone(&self.settings), Arc::clone(&self.budget));
        Arc::new(LiveStream::new(id, name.clone(), publisher, settings, budget, now))
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

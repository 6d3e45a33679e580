//! All live streams, by name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::StreamSettings;
use super::budget::Budget;
use super::live::{EndReason, LiveStream, Outlet, StreamEvent, StreamStatus};
use super::publication::Publication;
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
}

#[derive(Debug, Default)]
struct Streams {
    live: HashMap<StreamName, Arc<LiveStream>>,
    closed: bool,
}

/// Why a name cannot be published.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// It is live already; here is the stream.
    Busy(Arc<LiveStream>),
    /// The server is shutting down.
    Closed,
}

impl Registry {
    pub(crate) fn new(settings: StreamSettings) -> Arc<Self> {
        let budget = Budget::new(settings.total_bytes);
        Arc::new(Self {
            settings: Arc::new(settings),
            budget,
            next_id: AtomicU64::new(1),
            streams: RwLock::default(),
            watchers: RwLock::default(),
            warnings: Mutex::default(),
        })
    }

    /// Begins a stream. `publisher` says who feeds it.
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
        match streams.live.entry(name.clone()) {
            Entry::Occupied(entry) => Err(PublishError::Busy(Arc::clone(entry.get()))),
            Entry::Vacant(entry) => {
                let live = self.new_stream(name, publisher, now);
                entry.insert(Arc::clone(&live));
                Ok(Publication::new(Arc::clone(self), live))
            }
        }
    }

    /// The stream of a name, if viewers can join it.
    pub(crate) fn joinable(&self, name: &StreamName) -> Option<Arc<LiveStream>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.live.get(name).filter(|live| live.is_ready()).cloned()
    }

    /// Ends a stream and frees its name. Whoever feeds it notices.
    pub(crate) fn end(&self, live: &Arc<LiveStream>, reason: EndReason) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.live.get(&live.name).is_some_and(|current| Arc::ptr_eq(current, live)) {
            streams.live.remove(&live.name);
        }
        drop(streams);
        live.end(reason);
    }

    /// Ends all streams, and lets no new one begin.
    pub(crate) fn close(&self) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.closed = true;
        let ended: Vec<_> = streams.live.drain().map(|(_, live)| live).collect();
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
        let live: Vec<_> = streams.live.values().cloned().collect();
        drop(streams);
        let now = Instant::now();
        let mut status: Vec<_> = live.iter().map(|live| live.status(now)).collect();
        status.sort_by(|a, b| a.name.cmp(&b.name));
        status
    }

    pub(super) fn settings(&self) -> &StreamSettings {
        &self.settings
    }

    /// Makes the streams that hold most let go of their oldest bursts, until all together keep to the budget.
    pub(super) fn keep_to_budget(&self) {
        while self.budget.is_exceeded_by_windows() {
            let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
            let live: Vec<_> = streams.live.values().cloned().collect();
            drop(streams);
            match live.into_iter().max_by_key(|live| live.held()).filter(|live| live.held() > 0) {
                Some(largest) => {
                    self.warnings.lock().unwrap_or_else(PoisonError::into_inner).say(|more| {
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

    /// Replaces a stream by a new one of the same name, publisher and headers.
    pub(super) fn restart(&self, old: &Arc<LiveStream>, reason: EndReason, now: Instant) -> Arc<LiveStream> {
        let live = self.new_stream(&old.name, &old.publisher, now);
        live.take_headers_from(old);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = streams.live.get_mut(&old.name).filter(|current| Arc::ptr_eq(current, old)) {
            *current = Arc::clone(&live);
        } else {
            // Ended from outside in the meantime: so is what would have followed.
            live.end(old.ended().unwrap_or(EndReason::Shutdown));
        }
        drop(streams);
        old.end(reason);
        live
    }

    fn new_stream(&self, name: &StreamName, publisher: &str, now: Instant) -> Arc<LiveStream> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (settings, budget) = (Arc::clone(&self.settings), Arc::clone(&self.budget));
        Arc::new(LiveStream::new(id, name.clone(), publisher.to_owned(), settings, budget, now))
    }
}

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::publication::PublicationId;
use super::stamp::Stamp;

/// Who feeds a stream.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The publication that another one waits for, or 0.
    displaced: AtomicU64,
    /// When its last packet was whole.
    packet: Stamp,
    /// When its last byte came, of whatever.
    byte: Stamp,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    who: Arc<str>,
    publication: PublicationId,
    /// Since when it feeds the stream, or fed it.
    since: Instant,
    /// Since when it has been lost.
    lost: Option<Instant>,
    /// How often one has gone on with what another had begun.
    resumes: u32,
}

impl Publisher {
    pub(super) fn new(who: &str, publication: PublicationId, now: Instant) -> Self {
        let state = State { who: who.into(), publication, since: now, lost: None, resumes: 0 };
        let (packet, byte) = (Stamp::new(now), Stamp::new(now));
        Self { displaced: AtomicU64::new(0), packet, byte, state: Mutex::new(state) }
    }

    /// The same one, for a stream that begins anew: that it does says nothing of when the publisher was last heard, and
    /// who waits for it waits on.
    pub(super) fn of_new_stream(&self) -> Self {
        let state = self.lock();
        let new = Self::new(&state.who, state.publication, state.since);
        new.displace(self.displaced.load(Ordering::Relaxed));
        Self { packet: self.packet.clone(), byte: self.byte.clone(), ..new }
    }

    /// How long it has sent no whole packet.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        self.packet.age(now)
    }

    /// How long not even a part of one has come: who sends a large frame over a thin line is alive.
    pub(crate) fn stillness(&self, now: Instant) -> Duration {
        self.byte.age(now).min(self.silence(now))
    }

    /// Notes that a packet came.
    pub(super) fn note_packet(&self, now: Instant) {
        self.packet.renew(now);
    }

    /// Notes that bytes came.
    pub(crate) fn note_bytes(&self, now: Instant) {
        self.byte.renew(now);
    }

    /// Which publication feeds the stream, and for how long it has done so; `None` while it is lost.
    pub(super) fn feeding(&self, now: Instant) -> Option<(PublicationId, Duration)> {
        let state = self.lock();
        let feeding = (state.publication, now.saturating_duration_since(state.since));
        state.lost.is_none().then_some(feeding)
    }

    /// The publication that feeds the stream, or fed it last.
    pub(super) fn last(&self) -> PublicationId {
        self.lock().publication
    }

    /// Its address and program, for logs and status; the last one's, if that is lost.
    pub(crate) fn who(&self) -> Arc<str> {
        Arc::clone(&self.lock().who)
    }

    /// How long there has been none.
    pub(super) fn lost_for(&self, now: Instant) -> Option<Duration> {
        self.lock().lost.map(|lost| now.saturating_duration_since(lost))
    }

    pub(super) fn resumes(&self) -> u32 {
        self.lock().resumes
    }

    /// Notes that it was lost.
    pub(super) fn lose(&self, now: Instant) {
        self.lock().lost = Some(now);
    }

    /// Notes that `who` goes on; returns for how long there was nobody.
    pub(super) fn resume(&self, who: &str, publication: PublicationId, now: Instant) -> Duration {
        self.note_packet(now);
        let mut state = self.lock();
        (state.who, state.publication, state.since) = (who.into(), publication, now);
        state.resumes += 1;
        state.lost.take().map(|lost| now.saturating_duration_since(lost)).unwrap_or_default()
    }

    /// Asks the one behind a publication to let go of the stream.
    pub(crate) fn displace(&self, publication: PublicationId) {
        self.displaced.store(publication, Ordering::Relaxed);
    }

    /// Whether it has been asked to.
    pub(crate) fn is_displaced(&self, publication: PublicationId) -> bool {
        self.displaced.load(Ordering::Relaxed) == publication
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

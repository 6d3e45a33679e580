//! A publication's meter and health, and what its stream shows of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::health::{Change, Health, HealthWarning};
use super::history::History;
use super::meter::{Frame, Meter};
use super::timeline::Place;
use crate::flv::tag::Tracks;
use crate::media::{Packet, StreamName};

/// What a publication counts and finds. It belongs to the publisher's thread alone.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    meter: Meter,
    health: Health,
    /// What the metadata announces.
    announced: Option<Tracks>,
    /// The second in which this was looked at last.
    looked_at: Option<u64>,
}

/// What a stream shows to those who ask, at most a second old. Who reads it later sees rates fall by themselves.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<Snapshot>);

#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) meter: Meter,
    /// What is wrong.
    pub(super) health: Vec<HealthWarning>,
    pub(super) history: History,
}

impl Vitals {
    /// Counts a packet of so many bytes.
    pub(super) fn note_packet(&mut self, bytes: usize, now: Instant) {
        self.meter.note_packet(bytes, now);
    }

    /// Counts a coded frame, which has no place if it was dropped.
    pub(super) fn note_frame(
        &mut self,
        packet: &Packet,
        track: u8,
        is_keyframe: bool,
        place: Option<Place>,
        now: Instant,
    ) {
        let (placed, is_jump) =
            (place.map(|place| place.timestamp), place.is_some_and(|place| place.jump.is_some()));
        let frame = Frame { kind: packet.kind, track, is_keyframe, sent: packet.timestamp, placed, is_jump };
        self.meter.note_frame(&frame, now);
    }

    /// Takes what the metadata announces.
    pub(super) fn announce(&mut self, tracks: Option<Tracks>) {
        self.announced = tracks;
    }

    /// Another publisher goes on: what there has been counts, but says nothing about this one.
    pub(super) fn change_publisher(&mut self) {
        self.meter.forget_all_but_totals();
        self.health.change_publisher();
        (self.announced, self.looked_at) = (None, None);
    }

    /// Once a second, looks for what is wrong, logs what has changed, and shows it.
    pub(super) fn look(&mut self, name: &StreamName, shown: &Shown, now: Instant) {
        let second = self.meter.second(now);
        if second == self.looked_at {
            return;
        }
        self.looked_at = second;
        for change in self.health.check(&self.meter, self.announced, now) {
            match change {
                Change::Begun(warning) => log::warn!("stream {name}: {warning}"),
                Change::Over(warning) => log::info!("stream {name} is well again: {}", warning.summary()),
            }
        }
        self.show(shown);
        shown.lock().history.note(self.meter.totals().bytes, now);
    }

    /// The stream begins anew under the same name: its totals do, what is known of the publisher goes on.
    pub(super) fn begin_anew(&mut self, shown: &Shown) {
        self.meter.forget_totals();
        self.show(shown);
    }

    /// Shows what has been counted and found so far.
    pub(super) fn show(&self, shown: &Shown) {
        let mut shown = shown.lock();
        shown.meter.clone_from(&self.meter);
        shown.health = self.health.warnings();
    }
}

impl Shown {
    pub(super) fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

use std::time::{Duration, Instant};

use crate::media::Packet;
use crate::stream::burst::Opening;
use crate::stream::headers::MAX_HEADER;

/// Most packets that wait for the first frame. There are no more than one or two from real encoders.
const MAX_EARLY: usize = 16;

/// The burst in the making.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) packets: Vec<Packet>,
    pub(super) bytes: usize,
    pub(super) opening: Opening,
    /// Whether a video frame was added since the last tick.
    pub(super) has_new_video: bool,
    first_arrived: Option<Instant>,
}

/// What came before the first frame, and goes out with it.
#[derive(Debug, Default)]
pub(super) struct Early(Vec<Packet>);

impl Default for Pending {
    fn default() -> Self {
        Self {
            packets: Vec::new(),
            bytes: 0,
            opening: Opening::Other,
            has_new_video: false,
            first_arrived: None,
        }
    }
}

impl Pending {
    pub(super) fn add(&mut self, packet: Packet, now: Instant) {
        self.first_arrived.get_or_insert(now);
        self.bytes += packet.payload.len();
        self.packets.push(packet);
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.first_arrived.map_or(Duration::ZERO, |first| now.saturating_duration_since(first))
    }
}

impl Early {
    /// Keeps a packet, if there is room for it: no more bytes than one header may have.
    pub(super) fn put(&mut self, packet: Packet) {
        let held: usize = self.0.iter().map(|packet| packet.payload.len()).sum();
        if self.0.len() < MAX_EARLY && held + packet.payload.len() <= MAX_HEADER {
            self.0.push(packet);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.0)
    }
}

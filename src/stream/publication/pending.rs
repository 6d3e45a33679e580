use std::time::{Duration, Instant};

use crate::media::Packet;
use crate::stream::burst::Opening;

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

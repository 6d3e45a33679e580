use crate::flv::metadata::Metadata;
use crate::flv::tag::Tracks;
use crate::media::{Packet, PacketKind, Timestamp};

/// The header cache: what a player must have before the first frame. Lives behind the stream's `RwLock`.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderCache {
    metadata: Metadata,
    audio: Option<Vec<u8>>,
    video: Option<Vec<u8>>,
    /// Counts the changes of sequence headers, so that a viewer who skips over one gets them again.
    pub(super) generation: u32,
}

/// What storing a header did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was there already.
    Same,
    /// There was none before.
    First,
    /// It replaces a different one: earlier frames cannot be decoded with it.
    Replaced,
}

impl HeaderCache {
    /// Stores a sequence header.
    pub(super) fn store(&mut self, kind: PacketKind, payload: &[u8]) -> Change {
        let slot = if kind == PacketKind::Audio { &mut self.audio } else { &mut self.video };
        let change = match slot {
            Some(old) if old == payload => return Change::Same,
            Some(_) => Change::Replaced,
            None => Change::First,
        };
        *slot = Some(payload.to_vec());
        self.generation += 1;
        change
    }

    /// Stores the publisher's metadata; returns whether it differs from what was there.
    pub(super) fn store_metadata(&mut self, metadata: Metadata) -> bool {
        let differs = self.metadata != metadata;
        self.metadata = metadata;
        differs
    }

    /// The body of the metadata tag.
    pub(super) fn metadata_tag(&self, tracks: Tracks) -> Vec<u8> {
        self.metadata.script_tag(tracks)
    }

    /// The sequence header of a track.
    pub(super) fn sequence_header(&self, kind: PacketKind) -> Option<&[u8]> {
        if kind == PacketKind::Audio { self.audio.as_deref() } else { self.video.as_deref() }
    }

    /// Metadata and sequence headers in the order in which players want them, all with the time of the frame
    /// that follows: earlier ones would make players begin at a time when there is nothing to show.
    pub(super) fn packets(&self, tracks: Tracks, timestamp: Timestamp) -> Vec<Packet> {
        let packet = |kind, payload| Packet { kind, timestamp, payload };
        let header = |kind, wanted: bool| {
            self.sequence_header(kind).filter(|_| wanted).map(|payload| packet(kind, payload.to_vec()))
        };
        let metadata = packet(PacketKind::Data, self.metadata_tag(tracks));
        let video = header(PacketKind::Video, tracks.video);
        let audio = header(PacketKind::Audio, tracks.audio);
        [Some(metadata), video, audio].into_iter().flatten().collect()
    }
}

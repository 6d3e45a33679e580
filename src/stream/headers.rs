mod aside;
mod playable;

use std::fmt;

use self::aside::Aside;
use crate::flv::audio::AudioCodec;
use crate::flv::metadata::Metadata;
use crate::flv::tag::Tracks;
use crate::flv::variant::{Form, Shaped, Variant};
use crate::flv::video::VideoCodec;
use crate::flv::{picture_size, sound_format};
use crate::media::{Packet, PacketKind, Timestamp};

/// Most tracks of a stream; packets of further ones are dropped. OBS sends up to 12.
pub(super) const MAX_TRACKS: usize = 32;

/// Most headers that are kept: configuration and one more of each track.
const MAX_HEADERS: usize = 2 * MAX_TRACKS;

/// Longest sequence header or metadata message in bytes. They go to each viewer, and real ones take a few hundred.
pub(super) const MAX_HEADER: usize = 64 << 10;

/// Most bytes of headers that are kept together.
pub(super) const MAX_HEADER_BYTES: usize = 256 << 10;

/// The header cache: what a player must have before the first frame. Lives behind the stream's `RwLock`.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderCache {
    metadata: Metadata,
    /// Video in front of audio, as players want them.
    headers: Vec<Header>,
    codecs: Vec<TrackCodec>,
    aside: Aside,
    /// Counts the changes of sequence headers, so that a viewer who skips over one gets them again.
    pub(super) generation: u32,
}

#[derive(Debug, Clone)]
struct Header {
    kind: PacketKind,
    track: u8,
    role: Role,
    payload: Vec<u8>,
}

/// What a header is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It configures the decoder.
    Sequence,
    /// It says more: colours, a channel layout.
    Description,
}

/// A track's number and codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrackCodec {
    pub(super) track: u8,
    pub(super) codec: Codec,
}

/// A codec under its canonical name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Audio(AudioCodec),
    Video(VideoCodec),
}

/// What storing a header did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was there already, or there is no room for it.
    Same,
    /// There was none before.
    First,
    /// It replaces a different one: earlier frames cannot be decoded with it.
    Replaced,
}

/// What a viewer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    /// The number of the track; of a kind that does not have it, track 0.
    pub(crate) track: u8,
    /// One kind alone.
    pub(crate) only: Option<PacketKind>,
}

/// Why a viewer cannot have what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotThere {
    /// The stream has no such track.
    Track,
    /// The stream's codecs do not go out in this form.
    Form,
}

/// The words by which a request asks for it; none for what all get.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let track = (self.track != 0).then(|| format!("track={}", self.track));
        let only = match self.only {
            Some(PacketKind::Audio) => Some("only=audio"),
            Some(PacketKind::Video) => Some("only=video"),
            _ => None,
        };
        let form = match self.form {
            Form::Browser => None,
            Form::LegacyHevc => Some("hevc=legacy"),
            Form::Raw => Some("enhanced=raw"),
        };
        let words: Vec<_> = track.as_deref().into_iter().chain(only).chain(form).collect();
        f.write_str(&words.join(" "))
    }
}

impl Codec {
    pub(super) fn kind(self) -> PacketKind {
        match self {
            Self::Audio(_) => PacketKind::Audio,
            Self::Video(_) => PacketKind::Video,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Audio(codec) => codec.name(),
            Self::Video(codec) => codec.name(),
        }
    }
}

impl Header {
    fn is_of(&self, track: u8, kind: PacketKind) -> bool {
        (self.track, self.kind) == (track, kind)
    }

    fn is_for_the_same_as(&self, other: &Self) -> bool {
        self.is_of(other.track, other.kind) && self.role == other.role
    }
}

impl HeaderCache {
    /// Stores a header.
    pub(super) fn store(&mut self, kind: PacketKind, track: u8, role: Role, payload: &[u8]) -> Change {
        let header = Header { kind, track, role, payload: payload.to_vec() };
        let is_it = |old: &&mut Header| old.is_for_the_same_as(&header);
        let held: usize = self.headers.iter().map(|header| header.payload.len()).sum();
        let is_full = self.headers.len() >= MAX_HEADERS;
        let change = match self.headers.iter_mut().find(is_it) {
            Some(old) if old.payload == payload => return Change::Same,
            Some(old) if held - old.payload.len() + payload.len() <= MAX_HEADER_BYTES => {
                old.payload = header.payload;
                Change::Replaced
            }
            None if !is_full && held + payload.len() <= MAX_HEADER_BYTES => {
                self.add(header);
                Change::First
            }
            _ => return Change::Same,
        };
        self.generation += 1;
        change
    }

    fn add(&mut self, header: Header) {
        self.headers.push(header);
        self.headers.sort_by_key(|header| (header.kind == PacketKind::Audio, header.track));
    }

    /// Keeps a header of a track that the stream does not have with this codec, or not yet, for when it does.
    pub(super) fn put_aside(&mut self, codec: Codec, track: u8, role: Role, payload: &[u8]) {
        let header = Header { kind: codec.kind(), track, role, payload: payload.to_vec() };
        self.aside.put(codec, header);
    }

    /// Notes the codec of a track. The headers of another one are put aside, those that have been put aside for this one
    /// count.
    pub(super) fn note_codec(&mut self, track: u8, codec: Codec) {
        let kind = codec.kind();
        let is_it = |known: &&mut TrackCodec| known.track == track && known.codec.kind() == kind;
        match self.codecs.iter_mut().find(is_it) {
            Some(known) if known.codec == codec => {}
            Some(known) => {
                let other = std::mem::replace(&mut known.codec, codec);
                let of_track = self.headers.extract_if(.., |header| header.is_of(track, kind));
                of_track.for_each(|header| self.aside.put(other, header));
            }
            None => self.codecs.push(TrackCodec { track, codec }),
        }
        for header in self.aside.take(kind, track, codec) {
            self.store(kind, track, header.role, &header.payload);
        }
    }

    /// Forgets all tracks but these. Their headers are put aside.
    pub(super) fn keep(&mut self, tracks: &[(PacketKind, u8)]) {
        let is_gone = |header: &mut Header| !tracks.contains(&(header.kind, header.track));
        for header in self.headers.extract_if(.., is_gone) {
            if let Some(known) = self.codecs.iter().find(|known| header.is_of(known.track, known.codec.kind()))
            {
                self.aside.put(known.codec, header);
            }
        }
        self.codecs.retain(|known| tracks.contains(&(known.codec.kind(), known.track)));
    }

    /// The tracks with their codecs, the lowest numbers first.
    pub(super) fn codecs(&self, kind: PacketKind) -> Vec<TrackCodec> {
        let mut codecs: Vec<_> =
            self.codecs.iter().filter(|known| known.codec.kind() == kind).copied().collect();
        codecs.sort_by_key(|known| known.track);
        codecs
    }

    /// Width and height of the first video track, by its sequence header, else by the metadata.
    pub(super) fn picture_size(&self) -> Option<(u32, u32)> {
        let (track, header) = self.first_header(PacketKind::Video)?;
        let announced = || Some((self.metadata.whole_number("width")?, self.metadata.whole_number("height")?));
        header.and_then(|payload| picture_size(payload, track)).or_else(announced)
    }

    /// Sample rate and channels of the first audio track, likewise.
    pub(super) fn sound(&self) -> (Option<u32>, Option<u8>) {
        let Some((track, header)) = self.first_header(PacketKind::Audio) else { return (None, None) };
        if let Some(format) = header.and_then(|payload| sound_format(payload, track)) {
            return (Some(format.sample_rate), Some(format.channels));
        }
        (self.metadata.whole_number("audiosamplerate"), self.metadata.channels())
    }

    /// The number of the first track of a kind, and its sequence header, if it has one.
    fn first_header(&self, kind: PacketKind) -> Option<(u8, Option<&[u8]>)> {
        let track = self.codecs(kind).first()?.track;
        Some((track, self.sequence_header(kind, track)))
    }

    fn sequence_header(&self, kind: PacketKind, track: u8) -> Option<&[u8]> {
        let is_it = |header: &&Header| header.is_of(track, kind) && header.role == Role::Sequence;
        self.headers.iter().find(is_it).map(|header| &header.payload[..])
    }

    /// What one who asks for `wanted` gets.
    pub(super) fn variant(&self, wanted: Wanted) -> Result<Variant, NotThere> {
        let of =
            |kind| if wanted.only.is_none_or(|only| only == kind) { self.codecs(kind) } else { Vec::new() };
        let (video, audio) = (of(PacketKind::Video), of(PacketKind::Audio));
        let mut all = video.iter().chain(&audio);
        if all.clone().next().is_none() || (wanted.track != 0 && all.all(|known| known.track != wanted.track)) {
            return Err(NotThere::Track);
        }
        let is_all = wanted.form == Form::Raw && wanted.track == 0;
        let pick = |tracks: &[TrackCodec]| {
            if is_all {
                return tracks.first().map(|_| 0);
            }
            let found = tracks.iter().find(|known| known.track == wanted.track).or(tracks.first());
            found.filter(|known| self.goes_out(known, wanted.form)).map(|known| known.track)
        };
        let variant = Variant { form: wanted.form, video: pick(&video), audio: pick(&audio) };
        if variant.tracks() == Tracks::default() { Err(NotThere::Form) } else { Ok(variant) }
    }

    /// The video track with whose keyframes a viewer begins, if it gets video: of all as they came in, the lowest.
    pub(super) fn first_video(&self, variant: &Variant) -> Option<u8> {
        let is_all = variant.form == Form::Raw && variant.video == Some(0);
        let videos = self.codecs.iter().filter(|known| is_all && known.codec.kind() == PacketKind::Video);
        videos.map(|known| known.track).min().or(variant.video)
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

    /// Metadata and headers in the order in which players want them, all with the time of the frame that follows:
    /// earlier ones would make players begin at a time when there is nothing to show.
    pub(super) fn packets(&self, variant: &Variant, timestamp: Timestamp) -> Vec<Packet> {
        let packet = |kind, payload| Packet { kind, timestamp, payload };
        let metadata = packet(PacketKind::Data, self.metadata_tag(variant.tracks()));
        let headers = self.headers.iter().filter_map(|header| {
            let shaped: Shaped = variant.shape(header.kind, &header.payload);
            shaped.payload(&header.payload).map(|payload| packet(header.kind, payload))
        });
        std::iter::once(metadata).chain(headers).collect()
    }
}

#[cfg(test)]
mod tests;

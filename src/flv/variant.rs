//! Variants of a stream: which of its tracks go out, and in which form.
//!
//! Browser players end with an error at the first packet that they do not know, so what goes out by default is what
//! mpegts.js takes: one video and one audio track, in the plainest form that there is for their codecs.

mod audio;
mod header;
mod video;

use super::audio::AudioCodec;
use super::metadata::with_flags;
use super::tag::Tracks;
use super::video::VideoCodec;
use crate::media::PacketKind;

/// In which form tracks go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// What browser players take: legacy H.264, AAC, MP3 and PCM; Enhanced HEVC, AV1, Opus and FLAC; no modifiers, no
    /// several tracks in one, no metadata packets. ffmpeg takes all of it, too.
    #[default]
    Browser,
    /// The same, with HEVC under the codec id 12, for players that do not know Enhanced RTMP.
    LegacyHevc,
    /// As it came in.
    Raw,
}

/// What of a stream goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// In which form.
    pub form: Form,
    /// The number of the video track, if there is to be one.
    pub video: Option<u8>,
    /// The number of the audio track, if there is to be one.
    pub audio: Option<u8>,
}

/// A packet's payload in another form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shaped {
    /// It stays as it is.
    Same,
    /// It becomes this.
    Changed(Vec<u8>),
    /// It is left out.
    Nothing,
}

impl Shaped {
    /// What goes out of a packet whose payload was `body`.
    pub fn payload(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Same => Some(body.to_vec()),
            Self::Changed(payload) => Some(payload),
            Self::Nothing => None,
        }
    }
}

impl Form {
    /// Whether video of this codec can go out.
    pub fn carries_video(self, codec: VideoCodec) -> bool {
        self == Self::Raw || video::is_known(codec)
    }

    /// Whether audio of this codec can go out.
    pub fn carries_audio(self, codec: AudioCodec) -> bool {
        self == Self::Raw || audio::is_known(codec)
    }

    /// Whether video of this codec can go out behind this payload with the sequence header of its track, or without one.
    pub fn carries_video_behind(self, codec: VideoCodec, track: u8, header: Option<&[u8]>) -> bool {
        self == Self::Raw || (video::is_known(codec) && header::is_video_taken(codec, track, header))
    }

    /// The same for audio.
    pub fn carries_audio_behind(self, codec: AudioCodec, track: u8, header: Option<&[u8]>) -> bool {
        self == Self::Raw || (audio::is_known(codec) && header::is_audio_taken(codec, track, header))
    }
}

impl Variant {
    /// Everything as it came in.
    pub const RAW: Self = Self { form: Form::Raw, video: Some(0), audio: Some(0) };

    /// The tracks that it has.
    pub fn tracks(&self) -> Tracks {
        Tracks { audio: self.audio.is_some(), video: self.video.is_some() }
    }

    /// Gives a packet's payload the form of this variant.
    pub fn shape(&self, kind: PacketKind, payload: &[u8]) -> Shaped {
        match (kind, self.video, self.audio) {
            (PacketKind::Video, Some(track), _) => video::shape(self.form, track, payload),
            (PacketKind::Audio, _, Some(track)) => audio::shape(self.form, track, payload),
            (PacketKind::Video | PacketKind::Audio, ..) => Shaped::Nothing,
            (PacketKind::Data, ..) => with_flags(payload, self.tracks()).map_or(Shaped::Same, Shaped::Changed),
        }
    }
}

#[cfg(test)]
mod tests;

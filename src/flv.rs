//! FLV: the file header, tags, and what the first bytes of audio and video payloads say
//! (Adobe Flash Video File Format Specification 10.1, annex E; Enhanced RTMP v2).

pub mod audio;
mod bits;
mod enhanced;
pub mod metadata;
mod size;
mod sound;
mod split;
pub mod tag;
pub mod variant;
pub mod video;

pub use size::picture_size;
pub use sound::{SoundFormat, sound_format};
pub use split::split_tracks;

use std::fmt;

/// Four characters that name a codec in Enhanced RTMP.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

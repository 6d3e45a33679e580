use std::fmt;

use crate::flv::tag::{FILE_HEADER_LENGTH, split_tag};
use crate::media::PacketKind;

/// The clip that comes with rtmpd; README.md has the command that made it.
pub(crate) static CLIP: Clip = Clip { file: include_bytes!("../../static/demo.flv"), length: 8_000 };

/// An FLV file that can be repeated without a seam.
pub(crate) struct Clip {
    file: &'static [u8],
    /// From the first frame to that of the next round, in ms: whole frames of video and of audio.
    length: u32,
}

/// A tag of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClipTag {
    pub(super) kind: PacketKind,
    /// Milliseconds since the beginning of the first round.
    pub(super) time: u64,
    pub(super) body: &'static [u8],
}

impl Clip {
    /// What precedes the frames: metadata and sequence headers.
    pub(super) fn headers(&self) -> impl Iterator<Item = ClipTag> {
        self.tags().filter(ClipTag::is_header)
    }

    /// The frames of one round after the other, without end.
    pub(super) fn rounds(&self) -> impl Iterator<Item = ClipTag> {
        let length = u64::from(self.length);
        (0..).flat_map(move |round| {
            let frames = self.tags().filter(|tag| !tag.is_header());
            frames.map(move |tag| ClipTag { time: round * length + tag.time, ..tag })
        })
    }

    /// All tags of the file.
    fn tags(&self) -> impl Iterator<Item = ClipTag> {
        let mut rest = self.file.get(FILE_HEADER_LENGTH..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (kind, timestamp, body, behind) = split_tag(rest)?;
            rest = behind;
            Some(ClipTag { kind, time: u64::from(timestamp.0), body })
        })
    }
}

impl ClipTag {
    /// Of the codecs of the clip, AVC and AAC.
    fn is_header(&self) -> bool {
        self.kind == PacketKind::Data || self.body.get(1) == Some(&0)
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clip").field("bytes", &self.file.len()).field("length", &self.length).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 frames a second; 1024 samples at 48 kHz.
    const VIDEO_FRAME: f64 = 40.0;
    const AUDIO_FRAME: f64 = 1024.0 / 48.0;

    fn rounds(kind: PacketKind, count: usize) -> Vec<ClipTag> {
        CLIP.rounds().filter(|tag| tag.kind == kind).take(count).collect()
    }

    #[test]
    fn the_clip_is_small_and_whole() {
        assert!(CLIP.file.len() < 300 << 10, "{} bytes", CLIP.file.len());
        let kinds: Vec<_> = CLIP.headers().map(|tag| (tag.kind, tag.time)).collect();
        assert_eq!(kinds, [(PacketKind::Data, 0), (PacketKind::Video, 0), (PacketKind::Audio, 0)]);
        let laid_out: usize = CLIP.tags().map(|tag| crate::flv::tag::tag_length(tag.body.len())).sum();
        assert_eq!(FILE_HEADER_LENGTH + laid_out, CLIP.file.len());
    }

    #[test]
    fn three_rounds_have_frames_at_even_distances_over_the_seams_too() {
        for (kind, frames, distance, tolerance) in
            [(PacketKind::Video, 200, VIDEO_FRAME, 1.0), (PacketKind::Audio, 375, AUDIO_FRAME, 2.0)]
        {
            let tags = rounds(kind, 3 * frames);
            assert_eq!(tags[0].time, 0);
            for pair in tags.windows(2) {
                assert!(pair[1].time > pair[0].time, "{pair:?}");
                let off = (pair[1].time - pair[0].time) as f64 - distance;
                assert!(off.abs() <= tolerance, "{kind}: {off} ms off at {} ms", pair[1].time);
            }
            for round in 1..3 {
                let first = &tags[round * frames];
                assert_eq!((first.time, first.body), (8_000 * round as u64, tags[0].body), "{kind}");
            }
        }
    }

    #[test]
    fn both_tracks_come_in_the_order_of_their_times() {
        let tags: Vec<_> = CLIP.rounds().take(3 * 575).collect();
        assert!(tags.windows(2).all(|pair| pair[0].time <= pair[1].time));
        assert_eq!(tags[2 * 575].time, 16_000, "each round is whole");
    }

    #[test]
    fn a_keyframe_comes_each_second_and_every_frame_is_shown_when_it_is_decoded() {
        for (index, tag) in rounds(PacketKind::Video, 400).iter().enumerate() {
            assert_eq!(tag.body[..2], [if index % 25 == 0 { 0x17 } else { 0x27 }, 1], "frame {index}");
            assert_eq!(tag.body[2..5], [0; 3], "frame {index} is no B-frame and waits for none");
        }
    }
}

//! The comparison of what a viewer got with what was published, packet by packet.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::flv::{Kind, Tag};

/// One coded frame, its times in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub dts: i64,
    pub pts: i64,
    pub size: usize,
    pub digest: String,
}

/// The frames of a file or of a viewer, in order.
#[derive(Clone, Default, Debug)]
pub struct Packets {
    pub video: Vec<Packet>,
    pub audio: Vec<Packet>,
}

/// The part of a source that a viewer got, as ranges of packet numbers.
#[derive(Debug)]
pub struct Run {
    pub video: Range<usize>,
    pub audio: Range<usize>,
    source_video: usize,
    source_audio: usize,
}

impl Packets {
    pub fn from_tags(tags: &[Tag]) -> Self {
        let of_kind =
            |kind| tags.iter().filter(|tag| tag.kind == kind && tag.is_frame()).map(Packet::from_tag).collect();
        Self { video: of_kind(Kind::Video), audio: of_kind(Kind::Audio) }
    }

    /// Parses the output of ffmpeg's `framemd5` muxer, whose times must be in milliseconds (as FLV's are).
    #[track_caller]
    pub fn from_framemd5(lines: &[String]) -> Self {
        let mut packets = Self::default();
        let mut kinds = Vec::new();
        for line in lines {
            if let Some(kind) = line.strip_prefix("#media_type ") {
                kinds.push(kind.split_once(": ").expect("NUMBER: KIND").1.to_owned());
            } else if let Some(base) = line.strip_prefix("#tb ") {
                assert!(base.ends_with(": 1/1000"), "time base {base}");
            } else if !line.starts_with('#') {
                let fields: Vec<&str> = line.split(',').map(str::trim).collect();
                let [stream, dts, pts, _duration, size, digest, ..] = fields[..] else {
                    panic!("not a framemd5 line: {line:?}");
                };
                let packet = Packet {
                    dts: dts.parse().unwrap(),
                    pts: pts.parse().unwrap(),
                    size: size.parse().unwrap(),
                    digest: digest.to_owned(),
                };
                match kinds[stream.parse::<usize>().unwrap()].as_str() {
                    "video" => packets.video.push(packet),
                    "audio" => packets.audio.push(packet),
                    other => panic!("a stream of kind {other}"),
                }
            }
        }
        packets
    }

    /// Finds the run of `self`, the source, that `got` is: the same packets without a gap, from one of its
    /// `keyframes` on where there is video, with the same distances in time.
    ///
    /// # Panics
    ///
    /// When `got` is no such run, naming the first packet that differs.
    #[track_caller]
    pub fn find_run(&self, keyframes: &[usize], got: &Self) -> Run {
        assert_eq!(got.video.is_empty(), self.video.is_empty(), "is there no video?");
        assert_eq!(got.audio.is_empty(), self.audio.is_empty(), "is there no audio?");
        let (video, shift) = if self.video.is_empty() {
            (0..0, None)
        } else {
            let first = self.find_keyframe(keyframes, &got.video[0]);
            let shift = got.video[0].dts - self.video[first].dts;
            (check_run("video", &self.video, first, &got.video, shift, 0), Some(shift))
        };
        let audio = if self.audio.is_empty() {
            0..0
        } else {
            let first = self.find_audio(&got.audio, shift);
            let shift = shift.unwrap_or(got.audio[0].dts - self.audio[first].dts);
            check_run("audio", &self.audio, first, &got.audio, shift, AUDIO_ROUNDING)
        };
        if let (Some(frame), Some(sound)) = (got.video.first(), got.audio.first()) {
            let apart = sound.dts - frame.dts;
            assert!(apart.abs() <= TRACKS_APART, "audio begins {apart} ms behind the first keyframe");
        }
        Run { video, audio, source_video: self.video.len(), source_audio: self.audio.len() }
    }

    #[track_caller]
    fn find_keyframe(&self, keyframes: &[usize], wanted: &Packet) -> usize {
        let same: Vec<usize> = positions(&self.video, wanted).collect();
        let keyframe = same.iter().find(|at| keyframes.contains(at));
        *keyframe.unwrap_or_else(|| {
            panic!("the first video packet is no keyframe of the source, but its packet {same:?}: {wanted:?}")
        })
    }

    /// Where in the source the audio begins. Equal packets are told apart by their time, or by what follows.
    #[track_caller]
    fn find_audio(&self, got: &[Packet], shift: Option<i64>) -> usize {
        let fits = |at: &usize| match shift {
            Some(shift) => (got[0].dts - shift - self.audio[*at].dts).abs() <= AUDIO_ROUNDING,
            None => got.iter().zip(&self.audio[*at..]).all(|(a, b)| a.digest == b.digest),
        };
        let same: Vec<usize> = positions(&self.audio, &got[0]).collect();
        let first = same.iter().copied().find(fits);
        first.unwrap_or_else(|| {
            let times: Vec<i64> = same.iter().map(|at| self.audio[*at].dts).collect();
            panic!(
                "the audio is no run of the source's: its first packet, {:?}, is packet {same:?} of the source, \
                 at {times:?} ms, moved by {shift:?} ms",
                got[0]
            )
        })
    }
}

impl Run {
    /// Whether it begins with the first keyframe of the source (or with its first sound).
    #[track_caller]
    pub fn assert_from_start(&self) {
        assert_eq!(self.video.start, 0, "the run begins late: {self:?}");
        let most = if self.source_video == 0 { 0 } else { FIRST_SOUND };
        assert!(self.audio.start <= most, "the audio begins late: {self:?}");
    }

    /// Whether it goes on to the last packet of the source.
    #[track_caller]
    pub fn assert_to_end(&self) {
        assert_eq!(self.video.end, self.source_video, "video packets are missing at the end: {self:?}");
        assert_eq!(self.audio.end, self.source_audio, "audio packets are missing at the end: {self:?}");
    }
}

impl Packet {
    fn from_tag(tag: &Tag) -> Self {
        let mut hasher = DefaultHasher::new();
        tag.payload().hash(&mut hasher);
        let dts = i64::from(tag.timestamp);
        Self {
            dts,
            pts: dts + i64::from(tag.composition_time()),
            size: tag.payload().len(),
            digest: format!("{:016x}", hasher.finish()),
        }
    }
}

#[track_caller]
fn check_run(
    track: &str,
    source: &[Packet],
    first: usize,
    got: &[Packet],
    shift: i64,
    rounding: i64,
) -> Range<usize> {
    for (number, packet) in got.iter().enumerate() {
        let Some(expected) = source.get(first + number) else {
            panic!("{track}: {} packets more than the source has left", got.len() - number);
        };
        let moved = |time: i64| time + shift;
        let is_same = packet.digest == expected.digest
            && packet.size == expected.size
            && (packet.dts - moved(expected.dts)).abs() <= rounding
            && (packet.pts - moved(expected.pts)).abs() <= rounding;
        if !is_same {
            let elsewhere: Vec<usize> = positions(source, packet).collect();
            panic!(
                "{track}: packet {number} differs; expected the source's packet {} {expected:?} moved by {shift} ms, \
                 got {packet:?}, which is the source's packet {elsewhere:?}",
                first + number
            );
        }
    }
    first..first + got.len()
}

fn positions<'a>(packets: &'a [Packet], wanted: &'a Packet) -> impl Iterator<Item = usize> + 'a {
    let is_same = |packet: &Packet| packet.digest == wanted.digest && packet.size == wanted.size;
    packets.iter().enumerate().filter(move |(_, packet)| is_same(packet)).map(|(at, _)| at)
}

/// ffmpeg computes the times of copied audio anew from its sample count, in every hop.
const AUDIO_ROUNDING: i64 = 2;
/// Most milliseconds between the first keyframe and the first sound of a viewer.
const TRACKS_APART: i64 = 100;
/// Most audio packets of a source that lie before or beside its first keyframe.
const FIRST_SOUND: usize = 4;

//! Streams of numbered, timed frames.

use std::time::Instant;

use rtmpd::media::PacketKind;

/// Behind the codec header of every frame: its number, and when it was sent, in ns after `Epoch`.
pub const STAMP_LENGTH: usize = 16;

/// Frames are numbered from 0 in their publisher's first session, from this in its next one, and so on.
pub const SESSION: u64 = 1 << 32;

/// The bytes in front of the stamp.
pub const VIDEO_HEAD: usize = 5;
/// The bytes in front of the stamp.
pub const AUDIO_HEAD: usize = 2;

/// What follows the stamp, to the frame's end.
pub const FILLING: u8 = 0x55;

/// How much larger than the others a keyframe is.
const KEYFRAME_FACTOR: u32 = 8;

/// Audio frames a second, as AAC at 44.1 kHz has them, and their length.
const AUDIO_RATE: f64 = 44_100.0 / 1024.0;
const AUDIO_LENGTH: usize = 270;

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub bits_per_second: u32,
    pub frames_per_second: u32,
    /// Frames from keyframe to keyframe.
    pub gop: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { bits_per_second: 1_000_000, frames_per_second: 25, gop: 50 }
    }
}

/// The zero of all times in this process.
#[derive(Clone, Copy)]
pub struct Epoch(Instant);

impl Epoch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// One frame of the paced stream.
pub struct Frame {
    pub kind: PacketKind,
    pub timestamp: u32,
    /// With room for the stamp, which is put in when it is sent.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Numbers and times a frame; called when it is sent.
    pub fn stamp(&mut self, number: u64, now: u64) {
        let head = if self.kind == PacketKind::Video { VIDEO_HEAD } else { AUDIO_HEAD };
        self.payload[head..head + 8].copy_from_slice(&number.to_be_bytes());
        self.payload[head + 8..head + 16].copy_from_slice(&now.to_be_bytes());
    }
}

/// An endless stream: video and audio in the order of their times.
pub struct Frames {
    shape: Shape,
    videos: u32,
    audios: u32,
}

impl Frames {
    pub fn new(shape: Shape) -> Self {
        Self { shape, videos: 0, audios: 0 }
    }

    /// The next one: there always is one.
    pub fn following(&mut self) -> Frame {
        let video_time = u64::from(self.videos) * 1000 / u64::from(self.shape.frames_per_second);
        let audio_time = (f64::from(self.audios) * 1000.0 / AUDIO_RATE) as u64;
        if audio_time < video_time {
            self.audios += 1;
            let payload = filled(&[0xAF, 1], AUDIO_LENGTH);
            return Frame { kind: PacketKind::Audio, timestamp: audio_time as u32, payload };
        }
        let keyframe = self.videos.is_multiple_of(self.shape.gop);
        self.videos += 1;
        let head = [if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let payload = filled(&head, self.video_length(keyframe));
        Frame { kind: PacketKind::Video, timestamp: video_time as u32, payload }
    }

    fn video_length(&self, keyframe: bool) -> usize {
        let audio = (AUDIO_RATE * AUDIO_LENGTH as f64) as u32;
        let video = (self.shape.bits_per_second / 8).saturating_sub(audio);
        let (gop, rate) = (self.shape.gop, self.shape.frames_per_second);
        let inter = u64::from(video) * u64::from(gop) / u64::from(rate) / u64::from(gop - 1 + KEYFRAME_FACTOR);
        (if keyframe { inter * u64::from(KEYFRAME_FACTOR) } else { inter }).max(64) as usize
    }
}

impl Iterator for Frames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        Some(self.following())
    }
}

fn filled(head: &[u8], length: usize) -> Vec<u8> {
    let mut payload = head.to_vec();
    payload.resize(length.max(head.len() + STAMP_LENGTH), FILLING);
    payload
}

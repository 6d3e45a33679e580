use std::fmt;
use std::time::Duration;

use crate::media::PacketKind;

/// Something in what a publisher sends that makes viewers suffer. As text it says what that means and where the cure
/// is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthWarning {
    /// Keyframes are more than 5 s apart.
    KeyframeInterval {
        /// The longest of the last eight intervals, in media time.
        longest: Duration,
    },
    /// Video goes on without a keyframe for 10 s or more.
    NoKeyframe {
        /// For how much of it.
        time: Duration,
    },
    /// The publisher's timestamps jumped, or went back again and again, within the last minute.
    Timestamps {
        /// How often they jumped.
        jumps: u32,
        /// How often they went back by up to a second.
        steps_back: u32,
    },
    /// Audio and video of the same time arrive more than 500 ms apart.
    Drift {
        /// The kind that arrives later.
        behind: PacketKind,
        /// By how much.
        by: Duration,
    },
    /// The bitrate has fallen below a quarter, and frames are missing or late.
    BitrateCollapse {
        /// Of the last 5 s, in bits a second.
        now: u64,
        /// Of the minute before, in bits a second.
        before: u64,
    },
    /// A kind of track that the metadata announces has never come.
    NeverCame {
        /// Which.
        kind: PacketKind,
    },
    /// A kind of track has sent nothing for 5 s or more while the other one goes on.
    FellSilent {
        /// Which.
        kind: PacketKind,
        /// For how long.
        time: Duration,
    },
}

impl HealthWarning {
    /// What is wrong, in a few words: the same whatever the numbers are.
    pub fn summary(&self) -> &'static str {
        match self {
            Self::KeyframeInterval { .. } => "long keyframe interval",
            Self::NoKeyframe { .. } => "no keyframe",
            Self::Timestamps { .. } => "unsteady timestamps",
            Self::Drift { .. } => "audio and video apart",
            Self::BitrateCollapse { .. } => "collapsed bitrate",
            Self::NeverCame { kind: PacketKind::Video } => "video that never came",
            Self::NeverCame { .. } => "audio that never came",
            Self::FellSilent { kind: PacketKind::Video, .. } => "silent video",
            Self::FellSilent { .. } => "silent audio",
        }
    }
}

impl fmt::Display for HealthWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::KeyframeInterval { longest } => write!(
                f,
                "keyframes are up to {:.1} s apart, so that viewers begin that late and skip that much; set a keyframe \
                 interval of 1 to 2 s in the encoder",
                longest.as_secs_f64()
            ),
            Self::NoKeyframe { time } => write!(
                f,
                "no keyframe for {:.0} s, and new viewers need one to begin; set a keyframe interval of 1 to 2 s in the \
                 encoder",
                time.as_secs_f64()
            ),
            Self::Timestamps { jumps, steps_back } => write!(
                f,
                "timestamps are unsteady (jumps: {jumps}, steps back: {steps_back} within a minute), so that players \
                 stutter; look at the encoder and what feeds it"
            ),
            Self::Drift { behind, by } => write!(
                f,
                "{} arrives {} ms after {} of the same time, so that players wait or lose lip sync; look at the \
                 encoder's audio offset and capture devices",
                behind,
                by.as_millis(),
                other(behind)
            ),
            Self::BitrateCollapse { now, before } => write!(
                f,
                "the bitrate fell from {} to {} kbit/s and frames are missing: the publisher's line is too thin or its \
                 machine too slow (or a still picture); lower the encoder's bitrate",
                before / 1000,
                now / 1000
            ),
            Self::NeverCame { kind } => write!(
                f,
                "the metadata announces {kind}, and none has come; look at the encoder's {kind} source"
            ),
            Self::FellSilent { kind, time } => write!(
                f,
                "no {0} for {1:.0} s while {2} goes on, so that players stall; look at the encoder's {0} source",
                kind,
                time.as_secs_f64(),
                other(kind)
            ),
        }
    }
}

/// The kind that is compared with this one.
pub(super) fn other(kind: PacketKind) -> PacketKind {
    if kind == PacketKind::Video { PacketKind::Audio } else { PacketKind::Video }
}

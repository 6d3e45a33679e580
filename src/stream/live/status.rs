use std::time::{Duration, Instant};

use super::LiveStream;
use crate::flv::tag::Tracks;
use crate::media::{PacketKind, StreamName};
use crate::stream::health::HealthWarning;
use crate::stream::vitals::Snapshot;
use crate::stream::watching::ViewerCounts;

/// A live stream as it is now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Its number. No other stream of this server ever has the same; one that begins anew under its name, as it does when
    /// its tracks change, has another.
    pub id: u64,
    /// The name; empty for the default stream.
    pub name: StreamName,
    /// Address and name of the publisher's program; of the last one's, if that is lost.
    pub publisher: String,
    /// The number of what its publisher does now, from its publish command to the stream's end: see
    /// [`ServerHandle::end_publisher`](crate::ServerHandle::end_publisher). `None` while the publisher is lost.
    pub publication: Option<u64>,
    /// For how long that has gone on.
    pub publishing_for: Option<Duration>,
    /// How long the publisher has been lost, while its viewers are held for its return.
    pub lost_for: Option<Duration>,
    /// How often a publisher has come back, or another one has gone on.
    pub resumes: u32,
    /// How long it has been live.
    pub uptime: Duration,
    /// Which tracks it has; none before the first packets have shown them.
    pub tracks: Tracks,
    /// The usual name of the video codec, once there is video; of several tracks, the first one's.
    pub video_codec: Option<String>,
    /// The usual name of the audio codec, likewise.
    pub audio_codec: Option<String>,
    /// Width and height of the picture in pixels, if its sequence header or the metadata says so; of several tracks,
    /// the first one's.
    pub size: Option<(u32, u32)>,
    /// Audio samples a second of each channel, if the sequence header or the metadata says so.
    pub sample_rate: Option<u32>,
    /// How many audio channels there are, likewise.
    pub channels: Option<u8>,
    /// Bytes of payload received.
    pub bytes: u64,
    /// Bytes that its viewers have been sent, as [`ViewerStatus::bytes`](crate::ViewerStatus::bytes) counts them; up to a
    /// second old.
    pub sent: u64,
    /// Video frames received, of all tracks. This and what follows is up to a second old.
    pub video_frames: u64,
    /// Audio frames received, of all tracks.
    pub audio_frames: u64,
    /// Bits of payload a second, over the last ten whole seconds or those since the start.
    pub bitrate: u64,
    /// The same of each five seconds in the last five minutes, the oldest first, without those that are going on.
    pub bitrate_history: Vec<u64>,
    /// Video frames a second, over the same time as [`bitrate`](Self::bitrate); of several tracks, the first one's.
    pub frame_rate: f64,
    /// The time between the last two keyframes, once there have been two.
    pub keyframe_interval: Option<Duration>,
    /// The longest of the last eight such times.
    pub longest_keyframe_interval: Option<Duration>,
    /// What makes viewers suffer and lies with the publisher; empty if all is well.
    pub health: Vec<HealthWarning>,
    /// How many viewers it has.
    pub viewers: ViewerCounts,
    /// How often one of them was too far behind and moved on to a keyframe.
    pub skips: u64,
}

impl LiveStream {
    pub(crate) fn status(&self, now: Instant) -> StreamStatus {
        let (tracks, video_codec, audio_codec, size, sound) = self.read(|shared| {
            let headers = &shared.headers;
            let name = |kind| headers.codecs(kind).first().map(|known| known.codec.name());
            let (video, audio) = (name(PacketKind::Video), name(PacketKind::Audio));
            (shared.tracks.unwrap_or_default(), video, audio, headers.picture_size(), headers.sound())
        });
        let feeding = self.publisher.feeding(now);
        let shown = self.vitals.lock();
        let Snapshot { meter, health, history } = &*shown;
        StreamStatus {
            id: self.id,
            name: self.name.clone(),
            publisher: self.publisher.who().to_string(),
            publication: feeding.map(|(publication, _)| publication),
            publishing_for: feeding.map(|(_, time)| time),
            lost_for: self.publisher.lost_for(now),
            resumes: self.publisher.resumes(),
            uptime: self.uptime(now),
            tracks,
            video_codec,
            audio_codec,
            size,
            sample_rate: sound.0,
            channels: sound.1,
            bytes: self.bytes(),
            sent: self.audience.sent(),
            video_frames: meter.totals().video,
            audio_frames: meter.totals().audio,
            bitrate: meter.bitrate(now),
            bitrate_history: history.bitrates(now),
            frame_rate: meter.frame_rate(now),
            keyframe_interval: meter.keyframe_interval(),
            longest_keyframe_interval: meter.longest_keyframe_interval(),
            health: health.clone(),
            viewers: self.audience.counts(),
            skips: self.audience.skips(),
        }
    }
}

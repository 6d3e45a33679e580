//! What real publishers have sent means the same however it is cut into reads, and it means the right thing.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Write as _};
use std::hash::{Hash as _, Hasher as _};

use rtmpd::media::{Packet, PacketKind};
use rtmpd::rtmp::chunk::ChunkLimits;
use rtmpd::rtmp::handshake::RANDOM_LENGTH;
use rtmpd::rtmp::session::{Event, PublishRequest, Session};
use support::recordings;

/// One test for each recording, so that they run side by side.
macro_rules! recordings {
    ($($test:ident: $recording:literal is $expected:literal;)*) => {
        $(
            #[test]
            fn $test() {
                check($recording, $expected);
            }
        )*

        const TESTED: &[&str] = &[$($recording),*];
    };
}

recordings! {
    ffmpeg5_publishes_avc_and_aac: "ffmpeg5-avc-aac" is
        "[live] [cam1] by [FMLE/3.0 (compatible; Lavf59.27.100)]: \
         1 data, 1 video 7/0, 1 audio 10/0, 23 audio 10/1, 13 video 7/1, 1 video 7/2, 0 to 503 ms, finished 1";
    ffmpeg5_publishes_the_default_stream: "ffmpeg5-default" is
        "[] [] by [FMLE/3.0 (compatible; Lavf59.27.100)]: \
         1 data, 1 video 7/0, 13 video 7/1, 1 video 7/2, 0 to 480 ms, finished 1";
    ffmpeg5_publishes_timestamps_beyond_24_bits: "ffmpeg5-late" is
        "[live] [cam1?token=abc] by [FMLE/3.0 (compatible; Lavf59.27.100)]: \
         1 data, 1 video 7/0, 1 audio 10/0, 23 audio 10/1, 13 video 7/1, 1 video 7/2, \
         0 to 16777380 ms, finished 1";
    ffmpeg5_publishes_mp3: "ffmpeg5-mp3" is
        "[live] [radio] by [FMLE/3.0 (compatible; Lavf59.27.100)]: \
         1 data, 21 audio 2, 0 to 522 ms, finished 1";
    ffmpeg9_publishes_av1_and_opus: "ffmpeg9-av1-opus" is
        "[live] [cam1] by [FMLE/3.0 (compatible; Lavf63.1.102)]: \
         1 data, 2 av01/0, 1 Opus/0, 1 Opus/4, 26 Opus/1, 1 av01/4, 13 av01/1, 0 to 501 ms, finished 1";
    ffmpeg9_publishes_avc_and_aac: "ffmpeg9-avc-aac" is
        "[live] [cam1] by [FMLE/3.0 (compatible; Lavf63.1.102)]: \
         1 data, 1 video 7/0, 1 audio 10/0, 23 audio 10/1, 13 video 7/1, 1 video 7/2, 0 to 503 ms, finished 1";
    ffmpeg9_publishes_hevc_and_aac: "ffmpeg9-hevc-aac" is
        "[live] [cam1] by [FMLE/3.0 (compatible; Lavf63.1.102)]: \
         1 data, 1 hvc1/0, 1 audio 10/0, 23 audio 10/1, 1 hvc1/4, 13 hvc1/3, 0 to 511 ms, finished 1";
    ffmpeg9_publishes_several_tracks: "ffmpeg9-multitrack" is
        "[live] [cam1] by [FMLE/3.0 (compatible; Lavf63.1.102)]: \
         1 data, 1 video 7/0, 1 track 1 avc1/0, 1 audio 10/0, 1 track 1 mp4a/0, 1 track 1 mp4a/4, \
         23 audio 10/1, 23 track 1 mp4a/1, 13 video 7/1, 13 track 1 avc1/3, 2 video 7/2, 0 to 503 ms, finished 1";
    ffmpeg9_publishes_vp9_and_ac3: "ffmpeg9-vp9-ac3" is
        "[live] [cam1] by [FMLE/3.0 (compatible; Lavf63.1.102)]: \
         1 data, 1 vp09/0, 1 ac-3/0, 1 ac-3/4, 15 ac-3/1, 1 vp09/4, 13 vp09/1, 0 to 488 ms, finished 1";
    rtmp2sink_publishes_avc_and_aac: "gst-rtmp2sink" is
        "[live] [cam1] by [LNX 10,0,32,18]: \
         3 data, 1 video 7/0, 1 audio 10/0, 22 audio 10/1, 13 video 7/1, 1 video 7/2, 0 to 488 ms, finished 1";
    librtmp_publishes_avc_and_aac: "gst-rtmpsink" is
        "[live] [cam1] by []: \
         3 data, 1 video 7/0, 1 audio 10/0, 22 audio 10/1, 13 video 7/1, 1 video 7/2, 0 to 487 ms, finished 1";
    nginx_relays_avc_and_aac: "nginx-relay" is
        "[live] [cam1] by [LNX.11,1,102,55]: \
         1 data, 1 audio 10/0, 23 audio 10/1, 1 video 7/0, 13 video 7/1, 1 video 7/2, 0 to 503 ms, finished 0";
}

#[test]
fn every_recording_has_its_test() {
    assert_eq!(recordings::names(), TESTED);
}

/// The events of a session, in order.
#[derive(Default)]
struct Events {
    hasher: DefaultHasher,
    requests: Vec<PublishRequest>,
    finished: usize,
    /// What came how often, in the order of first appearance.
    packets: Vec<(String, usize)>,
    first_and_last: Option<(u32, u32)>,
}

fn check(name: &str, expected: &str) {
    let bytes = recordings::read(name);
    let whole = events([&bytes[..]]);
    assert_eq!(whole.to_string(), expected, "{name}");
    let expected = whole.hasher.finish();
    assert_eq!(events(bytes.chunks(1)).hasher.finish(), expected, "{name} in reads of one byte");
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(events([first, second]).hasher.finish(), expected, "{name} split at {at}");
    }
}

/// What a server sees that gets these reads and accepts every publish.
fn events<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Events {
    let mut session = Session::new(ChunkLimits::default(), Box::new([7; RANDOM_LENGTH]));
    let mut events = Events::default();
    for read in reads {
        session.handle_input(read).unwrap();
        while let Some(event) = session.poll_event() {
            if matches!(event, Event::PublishRequested(_)) {
                session.accept_publish().unwrap();
            }
            events.take(event);
        }
        session.take_output();
    }
    assert_eq!(session.unfinished_bytes(), 0, "the recording ends within a message");
    events
}

impl Events {
    fn take(&mut self, event: Event) {
        match event {
            Event::PublishRequested(request) => {
                (0, &request.app, &request.name, &request.client).hash(&mut self.hasher);
                self.requests.push(request);
            }
            Event::Packet(packet) => self.take_packet(&packet),
            Event::PublishFinished => {
                1.hash(&mut self.hasher);
                self.finished += 1;
            }
            other => panic!("a publisher does not cause {other:?}"),
        }
    }

    fn take_packet(&mut self, packet: &Packet) {
        let Packet { kind, timestamp, payload } = packet;
        (2, kind, timestamp, payload).hash(&mut self.hasher);
        let (first, _) = self.first_and_last.unwrap_or((timestamp.0, 0));
        self.first_and_last = Some((first, timestamp.0));
        let label = label(packet);
        match self.packets.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => self.packets.push((label, 1)),
        }
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for PublishRequest { app, name, client } in &self.requests {
            write!(f, "[{app}] [{name}] by [{client}]: ")?;
        }
        for (label, count) in &self.packets {
            write!(f, "{count} {label}, ")?;
        }
        let (first, last) = self.first_and_last.unwrap_or_default();
        write!(f, "{first} to {last} ms, finished {}", self.finished)
    }
}

/// The first bytes of a payload in words, read here once more, without the server's own code.
fn label(packet: &Packet) -> String {
    let body = &packet.payload;
    let mut label = String::new();
    match (packet.kind, body[0]) {
        (PacketKind::Data, _) => label.push_str("data"),
        (PacketKind::Video, first @ 0x80..) => enhanced(&mut label, VIDEO_MULTITRACK, first & 0x0F, &body[1..]),
        (PacketKind::Video, first) => write!(label, "video {}/{}", first & 0x0F, body[1]).unwrap(),
        (PacketKind::Audio, first @ 0x90..0xA0) => {
            enhanced(&mut label, AUDIO_MULTITRACK, first & 0x0F, &body[1..]);
        }
        (PacketKind::Audio, first @ 0xA0..0xB0) => write!(label, "audio {}/{}", first >> 4, body[1]).unwrap(),
        (PacketKind::Audio, first) => write!(label, "audio {}", first >> 4).unwrap(),
    }
    label
}

/// FourCC and packet type, and the number of the track if there are several.
fn enhanced(label: &mut String, multitrack: u8, packet_type: u8, body: &[u8]) {
    if packet_type == multitrack {
        // One track (type 0): packet type, FourCC, number.
        let fourcc = String::from_utf8_lossy(&body[1..5]);
        write!(label, "track {} {fourcc}/{}", body[5], body[0]).unwrap();
    } else {
        write!(label, "{}/{packet_type}", String::from_utf8_lossy(&body[..4])).unwrap();
    }
}

/// Packet types that say that a track's number follows (Enhanced RTMP v2).
const VIDEO_MULTITRACK: u8 = 6;
const AUDIO_MULTITRACK: u8 = 5;

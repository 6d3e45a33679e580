use super::*;
use crate::stream::{HealthWarning, StreamStatus};

impl Encoder {
    fn status(&self, after: u64) -> StreamStatus {
        self.live().status(self.now() + Duration::from_secs(after))
    }

    /// So many seconds of both tracks, with a keyframe each second.
    fn run(&mut self, seconds: u32) {
        for _ in 0..25 * seconds {
            let is_keyframe = self.time.is_multiple_of(1000);
            self.audio();
            self.video(is_keyframe, 495);
            self.time += 40;
        }
    }
}

#[test]
fn a_streams_status_shows_what_flows_and_that_it_has_stopped() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.run(20);
    encoder.publication.tick(encoder.now());
    let status = encoder.status(0);
    assert_eq!((status.video_frames, status.audio_frames), (500, 500));
    // 25 times 500 and 4 bytes a second.
    assert!((100_700..=101_300).contains(&status.bitrate), "{}", status.bitrate);
    assert!((24.9..25.1).contains(&status.frame_rate), "{}", status.frame_rate);
    let second = Some(Duration::from_secs(1));
    assert_eq!((status.keyframe_interval, status.longest_keyframe_interval), (second, second));
    assert_eq!(status.health, []);
    let later = encoder.status(10);
    assert_eq!((later.bitrate, later.frame_rate), (0, 0.0), "nobody has ticked");
}

#[test]
fn what_is_wrong_is_still_known_when_the_stream_begins_anew() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.run(1);
    // No keyframe any more.
    while encoder.time < 15_000 {
        encoder.audio();
        encoder.video(false, 495);
        encoder.time += 40;
    }
    let warned = |status: &StreamStatus| matches!(status.health[..], [HealthWarning::NoKeyframe { .. }]);
    assert!(warned(&encoder.status(0)), "{:?}", encoder.status(0).health);
    let old = encoder.live();
    encoder.send(Video, b"\x90hvc1hvcC");
    assert!(!Arc::ptr_eq(&old, &encoder.live()), "another codec");
    let status = encoder.status(0);
    assert!(warned(&status), "{:?}", status.health);
    assert_eq!((status.video_frames, status.audio_frames), (0, 0), "as its bytes and uptime");
    assert_eq!(status.video_codec.as_deref(), Some("HEVC"));
}

use super::*;

/// A meter with a clock for arrivals.
struct Bench {
    meter: Meter,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { meter: Meter::default(), start: now, now }
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(millis);
        self
    }

    fn bitrate_at(&mut self, millis: u64) -> u64 {
        self.at(millis);
        self.meter.bitrate(self.now)
    }

    fn packet(&mut self, bytes: usize) {
        self.meter.note_packet(bytes, self.now);
    }

    fn frame(&mut self, kind: PacketKind, track: u8, is_keyframe: bool, time: u32) {
        let time = Timestamp(time);
        let frame = Frame { kind, track, is_keyframe, sent: time, placed: Some(time), is_jump: false };
        self.meter.note_frame(&frame, self.now);
    }

    fn video(&mut self, is_keyframe: bool, time: u32) {
        self.frame(PacketKind::Video, 0, is_keyframe, time);
    }

    /// What has come since the start.
    fn all(&self) -> Tally {
        self.meter.over(0..self.meter.second(self.now).unwrap() + 1)
    }
}

#[test]
fn rates_are_those_of_the_time_that_has_passed_and_then_of_ten_seconds() {
    let mut bench = Bench::new();
    assert_eq!((bench.meter.bitrate(bench.now), bench.meter.second(bench.now)), (0, None));
    for millis in (0..60_000).step_by(40) {
        bench.at(millis).packet(5000);
        bench.video(false, millis as u32);
        let (bitrate, rate) = (bench.meter.bitrate(bench.now), bench.meter.frame_rate(bench.now));
        if millis >= 1000 {
            assert_eq!((bitrate, rate), (1_000_000, 25.0), "after {millis} ms");
        } else {
            assert_eq!(bitrate, (millis / 40 + 1) * 40_000, "within the first second as if that had passed");
        }
    }
    assert_eq!(bench.meter.totals(), Totals { bytes: 1500 * 5000, video: 1500, audio: 0 });
    bench.meter.forget_totals();
    assert_eq!(bench.meter.totals(), Totals::default());
    assert_eq!(bench.meter.bitrate(bench.now), 1_000_000);
}

#[test]
fn silence_lets_the_rates_fall_to_0_by_themselves() {
    let mut bench = Bench::new();
    for millis in (0..20_000).step_by(100) {
        bench.at(millis).packet(1250);
        bench.video(false, millis as u32);
    }
    let mut last = u64::MAX;
    for millis in (19_900..30_000).step_by(100) {
        let bitrate = bench.bitrate_at(millis);
        assert!(bitrate <= last, "{bitrate} after {last}");
        last = bitrate;
    }
    assert_eq!(bench.bitrate_at(29_999), 10_000, "the last second of it alone");
    let nothing = (bench.bitrate_at(30_000), bench.meter.frame_rate(bench.now));
    assert_eq!(nothing, (0, 0.0));
    assert_eq!(bench.bitrate_at(86_000_000), 0, "a slot that is used again");
    bench.packet(1250);
    assert_eq!(bench.bitrate_at(86_001_000), 1000);
}

#[test]
fn of_several_tracks_the_lowest_counts_beside_the_totals() {
    let mut bench = Bench::new();
    bench.packet(1);
    bench.frame(PacketKind::Video, 2, true, 0);
    bench.frame(PacketKind::Video, 1, true, 0);
    bench.frame(PacketKind::Video, 2, true, 9000);
    bench.frame(PacketKind::Video, 1, true, 1000);
    bench.frame(PacketKind::Audio, 0, false, 0);
    assert_eq!((bench.meter.totals().video, bench.meter.totals().audio), (4, 1));
    assert_eq!((bench.all().video, bench.all().audio), (3, 1));
    assert_eq!(bench.meter.keyframe_interval(), Some(Duration::from_secs(1)));
}

#[test]
fn the_last_keyframe_interval_and_the_longest_of_eight_are_known() {
    let mut bench = Bench::new();
    assert_eq!(bench.meter.keyframe_interval(), None);
    let mut time = 0;
    bench.video(true, time);
    assert_eq!((bench.meter.keyframe_interval(), bench.meter.longest_keyframe_interval()), (None, None));
    for interval in [7000, 1000, 2000, 2000, 2000, 2000, 2000, 2000] {
        time += interval;
        bench.video(true, time);
        assert_eq!(bench.meter.keyframe_interval(), Some(Duration::from_millis(interval.into())));
        assert_eq!(bench.meter.longest_keyframe_interval(), Some(Duration::from_secs(7)));
    }
    bench.video(true, time + 2000);
    assert_eq!(bench.meter.longest_keyframe_interval(), Some(Duration::from_secs(2)));
    bench.video(true, 40);
    assert_eq!(bench.meter.keyframe_interval(), Some(Duration::from_secs(2)), "the timeline has started again");
}

#[test]
fn the_time_without_a_keyframe_is_media_time_or_how_long_frames_are_dropped() {
    let mut bench = Bench::new();
    let drop_frame = |bench: &mut Bench, millis| {
        let (kind, sent) = (PacketKind::Video, Timestamp(0));
        let frame = Frame { kind, track: 0, is_keyframe: false, sent, placed: None, is_jump: false };
        bench.at(millis);
        bench.meter.note_frame(&frame, bench.now);
        bench.meter.without_keyframe().as_millis()
    };
    assert_eq!(drop_frame(&mut bench, 0), 0);
    assert_eq!(drop_frame(&mut bench, 4000), 4000);
    bench.at(5000).video(true, 5000);
    assert_eq!(bench.meter.without_keyframe(), Duration::ZERO);
    bench.at(6000).video(false, 9000);
    bench.at(20_000);
    assert_eq!(bench.meter.without_keyframe().as_millis(), 4000, "a burst of media; and silence is no video");
    assert_eq!(drop_frame(&mut bench, 30_000), 0, "the stream began anew");
    assert_eq!(drop_frame(&mut bench, 31_000), 1000);
    assert_eq!(bench.all().video, 6, "dropped ones are counted");
}

#[test]
fn small_steps_back_are_counted_per_track_and_wraps_are_none() {
    let mut bench = Bench::new();
    for time in [1000, 1040, 1020, 1060, 1060, 60, 59, 5000, 3999, 0xFF_FFF0, 4, u32::MAX, 9] {
        bench.video(false, time);
    }
    assert_eq!(bench.all().steps_back, 4, "1020 after 1040, 60 after 1060, 59 after 60, the 4 before 0");
    bench.frame(PacketKind::Audio, 0, false, 0);
    assert_eq!(bench.all().steps_back, 4, "behind the other track");
    let sent = Timestamp(8);
    let frame =
        Frame { kind: PacketKind::Video, track: 0, is_keyframe: false, sent, placed: None, is_jump: true };
    bench.meter.note_frame(&frame, bench.now);
    assert_eq!((bench.all().steps_back, bench.all().jumps), (4, 1), "a jump is no step");
}

#[test]
fn lag_and_distance_are_kept_as_extremes() {
    let mut bench = Bench::new();
    bench.at(0).packet(1);
    bench.video(true, 500);
    assert_eq!((bench.all().least_lag, bench.all().video_ahead), (Some(-500), None));
    bench.at(100).frame(PacketKind::Audio, 0, false, 300);
    bench.at(200).frame(PacketKind::Audio, 0, false, 900);
    assert_eq!((bench.all().least_lag, bench.all().video_ahead), (Some(-700), Some((-400, 200))));
    bench.at(1200).video(false, 1000);
    assert_eq!(bench.meter.over(1..2).least_lag, Some(200));
    assert_eq!(bench.meter.over(1..2).video_ahead, Some((100, 100)));
    assert_eq!(bench.meter.over(2..60), Tally::default());
}

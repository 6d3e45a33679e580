use super::*;

/// A timeline with a clock for arrivals.
struct Bench {
    timeline: Timeline,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { timeline: Timeline::default(), now: Instant::now() }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn place(&mut self, kind: PacketKind, sent: u32) -> Place {
        self.timeline.place(kind, 0, Timestamp(sent), self.now)
    }

    fn video(&mut self, sent: u32) -> u32 {
        self.place(PacketKind::Video, sent).timestamp.0
    }

    fn audio(&mut self, sent: u32) -> u32 {
        self.place(PacketKind::Audio, sent).timestamp.0
    }
}

#[test]
fn a_sound_clock_is_kept_as_it_is() {
    let mut bench = Bench::new();
    for time in [20_000_000, 20_000_040, 20_000_040, 20_000_120] {
        assert_eq!(bench.video(time), time);
        assert_eq!(bench.audio(time - 15), time - 15, "behind the other track, and equal to itself");
        bench.pass(40);
    }
    bench.pass(20_000);
    assert_eq!(bench.video(20_020_160), 20_020_160, "a real pause");
}

#[test]
fn a_stream_that_is_sent_faster_than_it_plays_keeps_its_times() {
    let mut bench = Bench::new();
    for frame in 0..1000 {
        assert_eq!(bench.video(frame * 4000), frame * 4000, "one frame in four seconds, all at once");
    }
}

#[test]
fn clocks_wrap_at_32_and_at_31_and_at_24_bits() {
    for (first, wrap) in [(u32::MAX - 99, 0), (0x7FFF_FF9C, 1 << 31), (0x00FF_FF9C, 1 << 24)] {
        let mut bench = Bench::new();
        let start = bench.video(first);
        assert_eq!(start, if wrap == 1 << 24 { first } else { 0 }, "a clock that starts late starts from 0");
        for step in 1..20 {
            bench.pass(40);
            let sent = first.wrapping_add(step * 40);
            // A sender cuts off what is above its bits.
            let sent = if wrap == 0 { sent } else { sent % wrap };
            assert_eq!(bench.video(sent), start + step * 40);
            let late = first.wrapping_add(step * 40 - 30);
            let late = if wrap == 0 { late } else { late % wrap };
            assert_eq!(bench.audio(late), start + step * 40 - 30, "the other track, still before the wrap");
        }
    }
}

#[test]
fn a_clock_that_starts_again_goes_on_for_both_tracks_together() {
    let mut bench = Bench::new();
    assert_eq!((bench.video(1_000_000), bench.audio(1_000_010)), (1_000_000, 1_000_010));
    bench.pass(200);
    let jumped = bench.place(PacketKind::Audio, 0);
    assert_eq!(jumped, Place { timestamp: Timestamp(1_000_210), jump: Some(-1_000_010) });
    assert_eq!(bench.video(1_000_040), 1_000_040, "still under way from before");
    bench.pass(20);
    let followed = bench.place(PacketKind::Video, 40);
    assert_eq!(followed, Place { timestamp: Timestamp(1_000_250), jump: None }, "40 ms behind the audio");
    assert_eq!(bench.audio(23), 1_000_233);
    bench.pass(3000);
    let ahead = bench.place(PacketKind::Video, 9_000_000);
    assert_eq!(ahead.timestamp, Timestamp(1_003_233), "an hour ahead is as wrong");
    assert_eq!(ahead.jump, Some(8_999_960));
    assert_eq!(bench.audio(9_000_010), 1_003_243);
}

#[test]
fn another_publisher_goes_on_after_the_time_that_has_passed() {
    for first in [0, 1_000_000, 1_005_000, u32::MAX - 10] {
        let mut bench = Bench::new();
        assert_eq!((bench.video(1_000_120), bench.audio(1_000_010)), (1_000_120, 1_000_010));
        bench.pass(5000);
        bench.timeline.change_clock();
        let video = bench.place(PacketKind::Video, first);
        assert_eq!(video, Place { timestamp: Timestamp(1_005_120), jump: None }, "{first}");
        assert_eq!(bench.audio(first.wrapping_sub(20)), 1_005_100, "20 ms before the video");
        bench.pass(40);
        assert_eq!(bench.video(first.wrapping_add(40)), 1_005_160);
        assert_eq!(bench.audio(first.wrapping_add(23)), 1_005_143);
    }
}

#[test]
fn publishers_that_follow_each_other_at_once_still_take_time() {
    let mut bench = Bench::new();
    let mut last = bench.video(77);
    for _ in 0..1000 {
        bench.timeline.change_clock();
        let next = bench.video(0);
        assert_eq!(next, last + 1);
        last = next;
    }
    bench.timeline.change_clock();
    assert_eq!(bench.audio(5), last + 1, "a kind that was not there before");
}

#[test]
fn steps_are_jumps_past_their_bounds() {
    for (sent, expected) in
        [(10_000 - 1000, 10_001), (10_000 - 1001, 10_100), (15_100, 15_100), (15_101, 10_100)]
    {
        let mut bench = Bench::new();
        bench.video(10_000);
        bench.pass(100);
        assert_eq!(bench.video(sent), expected, "{sent}");
    }
}

#[test]
fn small_steps_back_are_taken_out_and_cost_nothing_later() {
    let mut bench = Bench::new();
    let given: Vec<_> = [100, 140, 90, 130, 170].map(|sent| bench.video(sent)).into();
    assert_eq!(given, [100, 140, 141, 142, 170]);
    assert_eq!(bench.audio(80), 80, "each track by itself");
}

#[test]
fn nothing_comes_before_0_and_a_track_far_off_is_put_to_the_others() {
    let mut bench = Bench::new();
    assert_eq!(bench.audio(0), 0);
    assert_eq!(bench.video(u32::MAX - 19), 0, "20 ms before the audio, which began with 0");
    assert_eq!(bench.video(20), 20);
    let mut bench = Bench::new();
    assert_eq!(bench.audio(0), 0);
    assert_eq!(bench.video(3_000_000), 0);
    bench.pass(40);
    assert_eq!(
        (bench.audio(40), bench.video(3_000_040)),
        (40, 40),
        "two clocks that agree in nothing but pace"
    );
}

#[test]
fn a_stream_runs_for_sixty_days() {
    let mut bench = Bench::new();
    let (mut sent, mut last, mut starts) = (0_u32, -1_i64, 0);
    for _ in 0..60 * 24 * 3600 {
        sent = sent.wrapping_add(1000);
        bench.pass(1000);
        if bench.timeline.is_full(true) {
            bench.timeline.start_again();
            starts += 1;
            last = -1;
        }
        for kind in [PacketKind::Video, PacketKind::Audio] {
            let place = bench.place(kind, sent);
            assert_eq!(place.jump, None);
            let given = i64::from(place.timestamp.0.cast_signed());
            assert!(given >= last, "{given} after {last}");
            last = given;
        }
    }
    assert_eq!(starts, 2);
}

#[test]
fn a_thousand_tracks_are_no_more_than_some() {
    let mut bench = Bench::new();
    for round in 0..4 {
        for track in 0..=255 {
            let place = bench.timeline.place(PacketKind::Video, track, Timestamp(round * 40), bench.now);
            assert_eq!(place.timestamp.0, round * 40);
        }
        bench.pass(40);
    }
    assert_eq!(bench.timeline.clocks.len(), MAX_CLOCKS);
}

#[test]
fn a_track_that_has_fallen_silent_does_not_draw_another_back_to_it() {
    let mut bench = Bench::new();
    assert_eq!((bench.audio(0), bench.video(0)), (0, 0));
    for frame in 1..=1000 {
        bench.pass(40);
        bench.video(frame * 40);
    }
    bench.pass(40);
    let jumped = bench.place(PacketKind::Video, 0);
    assert_eq!(jumped, Place { timestamp: Timestamp(40_040), jump: Some(-40_000) });
    bench.pass(40);
    assert_eq!(bench.video(40), 40_080, "it goes on at its pace");
    assert_eq!(bench.timeline.place(PacketKind::Audio, 1, Timestamp(45), bench.now).timestamp.0, 40_085);
}

#[test]
fn a_track_whose_clock_stands_still_holds_no_other_back() {
    let mut bench = Bench::new();
    for frame in 0..1000 {
        bench.video(frame * 40);
        bench.audio(0);
        bench.pass(40);
    }
    assert_eq!(bench.video(0), 39_960, "no earlier than it was");
    bench.pass(40);
    assert_eq!(bench.video(40), 40_000);
    assert_eq!(bench.audio(0), 0, "as its encoder has it");
}

#[test]
fn a_timeline_that_starts_again_leaves_tracks_that_have_ended_behind() {
    let mut bench = Bench::new();
    assert_eq!(bench.audio(0), 0);
    let mut sent = 0;
    while !bench.timeline.is_full(true) {
        sent += 5000;
        bench.video(sent);
    }
    bench.timeline.start_again();
    assert_eq!(bench.video(sent + 40), 40);
    assert!(!bench.timeline.is_full(true), "not at each keyframe from now on");
    assert_eq!(bench.audio(sent + 40), 40);
}

#[test]
fn a_track_more_than_there_is_room_for_takes_the_place_of_the_oldest() {
    let mut bench = Bench::new();
    for track in 0..MAX_CLOCKS as u8 {
        bench.timeline.place(PacketKind::Audio, track, Timestamp(0), bench.now);
    }
    let times = [1000, 1040, 500, 540].map(|sent| bench.video(sent));
    assert_eq!(times, [1000, 1040, 1041, 1042]);
    assert_eq!(bench.timeline.clocks.len(), MAX_CLOCKS);
}

#[test]
fn a_kind_that_begins_far_ahead_of_the_other_or_behind_it_stays_with_it() {
    for ahead in [1500, 5000, -5000_i32] {
        let mut bench = Bench::new();
        let (audio, video) = (10_000 + ahead.max(0) as u32, 10_000 + (-ahead).max(0) as u32);
        for step in 0..5 {
            let (audio, video) = (bench.audio(audio + step * 40), bench.video(video + step * 40));
            assert_eq!(audio.wrapping_sub(video).cast_signed(), ahead);
            bench.pass(40);
        }
    }
    let mut bench = Bench::new();
    bench.audio(20_000);
    assert_eq!(bench.video(14_999), 20_000, "further behind it is another clock");
}

#[test]
fn a_track_that_has_begun_does_not_go_that_far_back() {
    let mut bench = Bench::new();
    bench.audio(20_000);
    bench.video(20_000);
    bench.pass(40);
    assert_eq!((bench.audio(20_040), bench.video(18_000)), (20_040, 20_040));
}

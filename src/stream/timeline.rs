//! One timeline for all tracks of a stream, from the clocks that encoders really have.
//!
//! Clocks wrap at 32 bits, or at 31 or 24 where a sender cuts them off; they start anywhere, jump when an encoder starts
//! again, and take small steps back. Viewers get a time that goes on from frame to frame, the same for audio and
//! video. It is the encoder's own where that makes sense, so that it can be compared with other streams'.

use std::time::{Duration, Instant};

use crate::media::{PacketKind, Timestamp};

/// A clock that starts beyond this starts from 0 here: at 2³¹ players see times before the beginning.
const LATEST_START: i64 = 1 << 30;

/// Past this the timeline must start again (21 days), at a keyframe.
const FULL: i64 = 0x7000_0000;
/// And past this at any frame.
const OVERFULL: i64 = 0x7F00_0000;

/// A step back of more than this is a jump, a smaller one an encoder's inaccuracy.
const MAX_STEP_BACK: i64 = 1000;
/// A step ahead of more than this and the time that has really passed is a jump.
const MAX_STEP_AHEAD: i64 = 5000;

/// How far a clock steps back that its sender cuts off: at 24 bits, after 4 h 39 min, or at 31, as ffmpeg and OBS do,
/// after 24 days.
const SHORT_WRAPS: [i64; 2] = [1 << 24, 1 << 31];

/// Most tracks whose clocks are followed. Further ones are put where the others are.
const MAX_CLOCKS: usize = 32;

/// Puts the frames of one stream in their place.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    clocks: Vec<Clock>,
    /// What has been given out last, of any track.
    latest: i64,
}

/// What is known of one track's clock.
#[derive(Debug, Clone, Copy)]
struct Clock {
    kind: PacketKind,
    track: u8,
    /// The last frame's time as it was sent.
    sent: Timestamp,
    /// Its place, before small steps back were taken out.
    time: i64,
    /// What was given out for it.
    given: i64,
    arrived: Instant,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) timestamp: Timestamp,
    /// How far the encoder's clock has jumped, in ms, if it has: the frame goes on where the last one was.
    pub(super) jump: Option<i64>,
}

impl Timeline {
    /// Finds the place of the next frame of a track. Its first frames, too, are put in order by the other tracks.
    pub(super) fn place(&mut self, kind: PacketKind, track: u8, sent: Timestamp, now: Instant) -> Place {
        let own = self.clocks.iter().position(|clock| clock.kind == kind && clock.track == track);
        let (time, jump) = self.time_of(own.map(|index| self.clocks[index]), sent, now);
        let mut given = time.max(0);
        if let Some(last) = own.map(|index| self.clocks[index].given).filter(|last| given < *last) {
            given = last + 1;
        }
        let clock = Clock { kind, track, sent, time, given, arrived: now };
        match own {
            Some(index) => self.clocks[index] = clock,
            None if self.clocks.len() < MAX_CLOCKS => self.clocks.push(clock),
            None => {}
        }
        self.latest = given;
        Place { timestamp: Timestamp(given as u32), jump }
    }

    /// Whether it must [start again](Self::start_again) before the next frame.
    pub(super) fn is_full(&self, at_keyframe: bool) -> bool {
        self.latest >= if at_keyframe { FULL } else { OVERFULL }
    }

    /// Goes on from 0. Who sees both sides of this sees time go back.
    pub(super) fn start_again(&mut self) {
        let start = self.clocks.iter().map(|clock| clock.time).min().unwrap_or(0);
        for clock in &mut self.clocks {
            clock.time -= start;
            clock.given -= start;
        }
        self.latest = 0;
    }

    /// The place by a track's own clock if that goes on, else by another track's, which may have jumped before; else
    /// where the last frame was, plus the time that has passed since.
    fn time_of(&self, own: Option<Clock>, sent: Timestamp, now: Instant) -> (i64, Option<i64>) {
        let Some(last) = self.clocks.iter().max_by_key(|clock| clock.arrived) else {
            let start = i64::from(sent.0);
            return (if start > LATEST_START { 0 } else { start }, None);
        };
        let others = self.clocks.iter().filter(|clock| !own.is_some_and(|own| own.is_of(clock)));
        let followed = own.iter().chain(others).find_map(|clock| clock.follow(sent, now));
        match followed {
            Some(time) => (time, None),
            None => {
                let jump = i64::from(sent.since(own.unwrap_or(*last).sent));
                (last.time + millis(last.passed(now)), Some(jump))
            }
        }
    }
}

impl Clock {
    fn is_of(&self, other: &Self) -> bool {
        (self.kind, self.track) == (other.kind, other.track)
    }

    fn passed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.arrived)
    }

    /// The place of a frame that was sent with this time, if this clock can have gone there.
    fn follow(&self, sent: Timestamp, now: Instant) -> Option<i64> {
        let step = i64::from(sent.since(self.sent));
        let most = MAX_STEP_AHEAD + millis(self.passed(now));
        let wrapped = SHORT_WRAPS.into_iter().flat_map(|wrap| [step + wrap, step - wrap]);
        std::iter::once(step)
            .chain(wrapped)
            .find(|step| (-MAX_STEP_BACK..=most).contains(step))
            .map(|step| self.time + step)
    }
}

fn millis(duration: Duration) -> i64 {
    duration.as_millis() as i64
}

#[cfg(test)]
mod tests {
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
            assert_eq!(
                start,
                if wrap == 1 << 24 { first } else { 0 },
                "a clock that starts late starts from 0"
            );
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
}

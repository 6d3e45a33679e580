//! Sound streams of an hour: nothing may be found wrong with them.

use super::*;

const HOUR: u64 = 3_600_000;

/// Numbers that look random and are the same each time.
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn a_camera_with_two_second_gops() {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(HOUR, 50);
    assert_eq!(publisher.changes, []);
}

#[test]
fn audio_alone_and_video_alone() {
    for announced in [None, Some(Tracks { audio: true, video: false })] {
        let mut publisher = Publisher::new(announced);
        publisher.steady_audio(HOUR);
        assert_eq!(publisher.changes, []);
    }
    let mut publisher = Publisher::new(None);
    publisher.steady_video(HOUR);
    assert_eq!(publisher.changes, []);
}

/// A screen: 60 frames a second while something moves, down to one while nothing does; each frame as large as another.
#[test]
fn a_variable_frame_rate_with_and_without_audio() {
    for has_audio in [true, false] {
        let mut publisher = Publisher::new(None);
        let (mut state, mut time, mut last_keyframe) = (1, 0, None);
        while time < HOUR {
            let wave = (time / 20_000) % 4;
            time += match wave {
                0 => 17,
                1 => 1000,
                2 => 17 + noise(&mut state) % 984,
                _ => 33,
            };
            // Frames come up to 50 ms late: that is how often streams without viewers are read.
            publisher.pass_to(time.next_multiple_of(50));
            if has_audio {
                publisher.audio_to(time);
            }
            let is_keyframe = last_keyframe.is_none_or(|last| time - last >= 2000);
            if is_keyframe {
                last_keyframe = Some(time);
            }
            publisher.video(time, is_keyframe, 20_000);
        }
        assert_eq!(publisher.changes, [], "with audio: {has_audio}");
    }
}

/// Three frames at a time, and audio in batches of half a second; decoding times are in order.
#[test]
fn b_frames_and_audio_in_batches_over_a_line_that_hiccups() {
    let (mut publisher, mut state) = (Publisher::new(BOTH), 7);
    let mut late = 0;
    for time in (0..HOUR).step_by(120) {
        // One frame in some hundreds comes up to 900 ms late, and what follows it waits behind it.
        late = if noise(&mut state).is_multiple_of(300) { noise(&mut state) % 900 } else { late * 3 / 4 };
        publisher.pass_to(time + 120 + late);
        if time % 480 == 0 {
            publisher.audio_to(time);
        }
        for frame in time / 40..time / 40 + 3 {
            publisher.video(
                frame * 40,
                frame.is_multiple_of(50),
                if frame.is_multiple_of(50) { 90_000 } else { 4000 },
            );
        }
    }
    assert_eq!(publisher.changes, []);
}

#[test]
fn a_relay_that_sends_audio_first_and_then_all_it_has_kept() {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady_audio(2900);
    // Its cache: a keyframe 4 s ago, and what followed.
    for frame in 0..73 {
        publisher.video(frame * 40, frame == 0, 10_000);
    }
    publisher.steady(HOUR, 50);
    let mut burst = Publisher::new(BOTH);
    for frame in 0..250 {
        burst.audio_to(frame * 40);
        burst.video(frame * 40, frame.is_multiple_of(50), 10_000);
    }
    for time in (10_000..HOUR).step_by(40) {
        burst.pass_to(time - 10_000);
        burst.audio_to(time);
        burst.video(time, (time / 40).is_multiple_of(50), 10_000);
    }
    assert_eq!((publisher.changes, burst.changes), (vec![], vec![]));
}

//! Publishers as they are, sound and not, in simulated time.

mod collapsing;
mod sound;

use super::*;
use crate::media::Timestamp;
use crate::stream::meter::Frame;

const BOTH: Option<Tracks> = Some(Tracks { audio: true, video: true });

/// How far apart the frames of AAC at 48 kHz are, in units of a third of a millisecond.
const AAC_THIRDS: u64 = 64;

/// A publisher whose frames are counted, and looked at each second.
struct Publisher {
    meter: Meter,
    health: Health,
    announced: Option<Tracks>,
    start: Instant,
    /// Milliseconds since the start, now and when it was looked at last.
    now: u64,
    checked: u64,
    /// What has begun and what is over, by the second.
    changes: Vec<(u64, Change)>,
    /// When audio comes next, in thirds of a millisecond.
    next_audio: u64,
}

impl Publisher {
    fn new(announced: Option<Tracks>) -> Self {
        let (meter, health, start) = (Meter::default(), Health::default(), Instant::now());
        Self { meter, health, announced, start, now: 0, checked: 0, changes: Vec::new(), next_audio: 0 }
    }

    /// Time goes on. The checks come a moment late, as those of a real one.
    fn pass_to(&mut self, millis: u64) {
        while self.checked + 1000 + 7 <= millis {
            self.checked += 1000;
            let now = self.start + Duration::from_millis(self.checked + 7);
            let second = self.checked / 1000;
            let changes = self.health.check(&self.meter, self.announced, now);
            self.changes.extend(changes.into_iter().map(|change| (second, change)));
        }
        self.now = self.now.max(millis);
    }

    fn frame(&mut self, kind: PacketKind, time: u64, is_keyframe: bool, bytes: usize) {
        let time = Timestamp(time as u32);
        let frame = Frame { kind, track: 0, is_keyframe, sent: time, placed: Some(time), is_jump: false };
        self.note(&frame, bytes);
    }

    fn note(&mut self, frame: &Frame, bytes: usize) {
        let now = self.start + Duration::from_millis(self.now);
        self.meter.note_packet(bytes, now);
        self.meter.note_frame(frame, now);
    }

    fn video(&mut self, time: u64, is_keyframe: bool, bytes: usize) {
        self.frame(PacketKind::Video, time, is_keyframe, bytes);
    }

    fn audio(&mut self, time: u64) {
        self.frame(PacketKind::Audio, time, false, 340);
    }

    /// All the audio from where it stopped up to `millis`, now.
    fn audio_to(&mut self, millis: u64) {
        while self.next_audio / 3 <= millis {
            self.audio(self.next_audio / 3);
            self.next_audio += AAC_THIRDS;
        }
    }

    /// 25 frames a second and audio, with a keyframe every so many frames, up to `end`.
    fn steady(&mut self, end: u64, gop: u64) {
        for time in (self.now.next_multiple_of(40)..end).step_by(40) {
            self.pass_to(time);
            self.audio_to(time);
            self.video(time, (time / 40).is_multiple_of(gop), 10_000);
        }
        self.pass_to(end);
    }

    /// The same without audio.
    fn steady_video(&mut self, end: u64) {
        for time in (self.now.next_multiple_of(40)..end).step_by(40) {
            self.pass_to(time);
            self.video(time, (time / 40).is_multiple_of(50), 10_000);
        }
        self.pass_to(end);
    }

    /// Audio alone, each frame in its time.
    fn steady_audio(&mut self, end: u64) {
        self.next_audio = self.next_audio.max(self.now * 3);
        while self.next_audio / 3 < end {
            let time = self.next_audio / 3;
            self.pass_to(time);
            self.audio_to(time);
        }
        self.pass_to(end);
    }

    fn seconds(&self) -> Vec<(u64, bool, &'static str)> {
        let word = |change: &Change| match change {
            Change::Begun(warning) => (true, warning.summary()),
            Change::Over(warning) => (false, warning.summary()),
        };
        self.changes.iter().map(|(second, change)| (*second, word(change).0, word(change).1)).collect()
    }
}

#[test]
fn keyframes_may_be_five_seconds_apart_and_no_more() {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(60_000, 125);
    assert_eq!(publisher.changes, []);
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(60_000, 126);
    let longest = Duration::from_millis(5040);
    assert_eq!(publisher.changes, [(6, Change::Begun(HealthWarning::KeyframeInterval { longest }))]);
    assert_eq!(publisher.health.warnings(), [HealthWarning::KeyframeInterval { longest }]);
    // Eight shorter ones from the keyframe at 60 s on; calm for 10 s after that.
    publisher.steady(100_000, 50);
    assert_eq!(publisher.seconds()[1..], [(84, false, "long keyframe interval")]);
    assert_eq!(publisher.health.warnings(), []);
}

#[test]
fn intervals_of_varying_length_are_one_warning() {
    let mut publisher = Publisher::new(BOTH);
    for round in 0..40 {
        let end = publisher.now + if round % 3 == 0 { 8000 } else { 3000 };
        let begin = publisher.now;
        for time in (begin..end).step_by(40) {
            publisher.pass_to(time);
            publisher.audio_to(time);
            publisher.video(time, time == begin, 10_000);
        }
        publisher.pass_to(end);
    }
    assert_eq!(publisher.seconds(), [(8, true, "long keyframe interval")]);
}

#[test]
fn video_without_a_keyframe_is_noticed_after_ten_seconds() {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(60_000, 10_000);
    assert_eq!(publisher.seconds(), [(10, true, "no keyframe")], "intra refresh: one keyframe, and no other");
    let time = Duration::from_secs(59);
    assert_eq!(publisher.health.warnings(), [HealthWarning::NoKeyframe { time }]);

    let mut regular = Publisher::new(BOTH);
    regular.steady(200_000, 12 * 25);
    let warnings =
        [(10, true, "no keyframe"), (12, true, "long keyframe interval"), (22, false, "no keyframe")];
    assert_eq!(regular.seconds(), warnings, "a long interval that is known is one warning, not two");
}

#[test]
fn video_that_is_dropped_for_want_of_a_first_keyframe_is_noticed() {
    let mut publisher = Publisher::new(BOTH);
    for time in (0..30_000).step_by(40) {
        publisher.pass_to(time);
        publisher.audio_to(time);
        let sent = Timestamp(time as u32);
        let (kind, track) = (PacketKind::Video, 0);
        publisher.note(&Frame { kind, track, is_keyframe: false, sent, placed: None, is_jump: false }, 1000);
    }
    assert_eq!(publisher.seconds(), [(10, true, "no keyframe")]);
}

#[test]
fn a_jump_is_shown_for_a_minute_and_steps_back_from_the_third_on() {
    let odd = |sent: u32, is_jump| Frame {
        kind: PacketKind::Video,
        track: 0,
        is_keyframe: false,
        sent: Timestamp(sent),
        placed: Some(Timestamp(10_000)),
        is_jump,
    };
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(10_000, 50);
    publisher.note(&odd(5_000_000, true), 1);
    publisher.steady(100_000, 50);
    assert_eq!(publisher.seconds(), [(11, true, "unsteady timestamps"), (81, false, "unsteady timestamps")]);
    assert_eq!(publisher.changes[0].1, Change::Begun(HealthWarning::Timestamps { jumps: 1, steps_back: 0 }));

    for (steps, warnings) in [(2, vec![]), (3, vec![(11, true, "unsteady timestamps")])] {
        let mut publisher = Publisher::new(BOTH);
        publisher.steady(10_000, 50);
        (0..steps).for_each(|step| publisher.note(&odd(9_900 - step, false), 1));
        publisher.steady(50_000, 50);
        assert_eq!(publisher.seconds(), warnings, "{steps} steps");
    }
}

/// 25 frames a second whose audio is ahead by so many milliseconds.
fn apart(publisher: &mut Publisher, end: u64, ahead: i64) {
    for time in (publisher.now.next_multiple_of(40)..end).step_by(40) {
        publisher.pass_to(time);
        publisher.video(time, (time / 40).is_multiple_of(50), 10_000);
        publisher.audio_to(time.saturating_add_signed(ahead));
    }
    publisher.pass_to(end);
}

#[test]
fn audio_and_video_may_be_half_a_second_apart() {
    // The nearest is where a frame of video has come and audio not yet: up to 40 ms less.
    let mut publisher = Publisher::new(BOTH);
    apart(&mut publisher, 60_000, 500);
    assert_eq!(publisher.changes, []);
    let mut publisher = Publisher::new(BOTH);
    apart(&mut publisher, 60_000, 600);
    assert_eq!(publisher.seconds(), [(6, true, "audio and video apart")]);
    let Some(HealthWarning::Drift { behind: PacketKind::Video, by }) =
        publisher.health.warnings().first().copied()
    else {
        unreachable!("{:?}", publisher.health.warnings());
    };
    assert!((540..=600).contains(&by.as_millis()), "{by:?}");
    // Neither wrong nor well; then well, for five seconds and then for ten.
    apart(&mut publisher, 120_000, 420);
    assert_eq!(publisher.changes.len(), 1);
    apart(&mut publisher, 150_000, 0);
    assert_eq!(publisher.seconds()[1..], [(131, false, "audio and video apart")]);

    let mut publisher = Publisher::new(BOTH);
    apart(&mut publisher, 30_000, -600);
    let warnings = publisher.health.warnings();
    assert!(matches!(warnings[..], [HealthWarning::Drift { behind: PacketKind::Audio, .. }]), "{warnings:?}");
}

#[test]
fn audio_that_drifts_away_slowly_is_noticed_when_it_is_far() {
    let mut publisher = Publisher::new(BOTH);
    for time in (0..1_200_000).step_by(40) {
        publisher.pass_to(time);
        publisher.video(time, (time / 40).is_multiple_of(50), 10_000);
        // One millisecond a second.
        publisher.audio_to(time - time / 1000);
    }
    let [(second, true, "audio and video apart")] = publisher.seconds()[..] else {
        unreachable!("{:?}", publisher.seconds());
    };
    assert!((495..=510).contains(&second), "{second}");
}

#[test]
fn a_track_that_is_announced_and_never_comes_is_missed_after_five_seconds() {
    let mut video = Publisher::new(BOTH);
    video.steady_video(60_000);
    let never = |kind| Change::Begun(HealthWarning::NeverCame { kind });
    assert_eq!(video.changes, [(5, never(PacketKind::Audio))]);
    let mut audio = Publisher::new(BOTH);
    audio.steady_audio(20_000);
    assert_eq!(audio.changes, [(5, never(PacketKind::Video))]);
    audio.steady(60_000, 50);
    assert_eq!(audio.seconds()[1..], [(30, false, "video that never came")]);
    for announced in [None, Some(Tracks { audio: false, video: true })] {
        let mut video = Publisher::new(announced);
        video.steady_video(60_000);
        assert_eq!(video.changes, [], "{announced:?}");
    }
}

#[test]
fn a_track_that_falls_silent_is_missed_after_five_seconds() {
    for (pause, expected) in
        [(4900, &[][..]), (6100, &[(25, true, "silent audio"), (37, false, "silent audio")])]
    {
        let mut publisher = Publisher::new(None);
        publisher.steady(20_000, 50);
        publisher.steady_video(20_000 + pause);
        publisher.next_audio = publisher.now * 3;
        publisher.steady(60_000, 50);
        assert_eq!(publisher.seconds(), expected, "{pause} ms");
    }
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(20_000, 50);
    publisher.steady_audio(40_000);
    let begun = publisher.seconds();
    assert!(begun.contains(&(25, true, "silent video")), "{begun:?}");
}

#[test]
fn a_publisher_that_stands_still_as_a_whole_has_no_silent_track() {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(10_000, 50);
    // Its line stands still, and then all comes at once.
    publisher.pass_to(17_500);
    for time in (10_000..17_500).step_by(40) {
        publisher.audio_to(time);
        publisher.video(time, (time / 40).is_multiple_of(50), 10_000);
    }
    publisher.steady(60_000, 50);
    assert_eq!(publisher.changes, []);
}

#[test]
fn warnings_say_what_it_means_and_what_to_do() {
    let longest = Duration::from_millis(8340);
    let text = HealthWarning::KeyframeInterval { longest }.to_string();
    assert!(text.contains("8.3 s apart") && text.contains("interval of 1 to 2 s"), "{text}");
    let text = HealthWarning::BitrateCollapse { now: 300_999, before: 2_500_000 }.to_string();
    assert!(text.contains("from 2500 to 300 kbit/s") && text.contains("or a still picture"), "{text}");
    let (kind, time) = (PacketKind::Video, Duration::from_secs(7));
    let text = HealthWarning::FellSilent { kind, time }.to_string();
    assert!(text.starts_with("no video for 7 s while audio goes on"), "{text}");
}

#[test]
fn what_comes_and_goes_is_said_once_in_ten_minutes() {
    let mut publisher = Publisher::new(BOTH);
    // A talker who pauses, for eleven minutes.
    for _ in 0..30 {
        publisher.steady(publisher.now + 16_000, 50);
        publisher.steady_video(publisher.now + 6_000);
        publisher.next_audio = publisher.now * 3;
    }
    let said = publisher.seconds();
    let begun: Vec<_> =
        said.iter().filter(|(_, has_begun, _)| *has_begun).map(|(second, ..)| *second).collect();
    assert!(begun.len() == 2 && begun[1] - begun[0] >= 600, "{said:?}");
    assert!(said.len() <= 2 * begun.len(), "what was not said to have begun is not said to be over: {said:?}");
}

#[test]
fn the_next_publisher_is_not_blamed_and_the_same_is_not_said_of_it_at_once() {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(20_000, 175);
    let said = publisher.seconds();
    assert_eq!(said.len(), 1, "keyframes are 7 s apart: {said:?}");
    for end in [40_000, 60_000, 80_000] {
        publisher.meter.forget_all_but_totals();
        publisher.health.change_publisher();
        assert_eq!(publisher.health.warnings(), []);
        publisher.steady(end, 175);
        assert_eq!(publisher.health.warnings().len(), 1, "it is shown all the same");
    }
    assert_eq!(publisher.seconds(), said);
    // One fault says nothing about another.
    publisher.health.change_publisher();
    publisher.steady_video(100_000);
    assert_eq!(publisher.seconds().len(), 2, "{:?}", publisher.seconds());
}

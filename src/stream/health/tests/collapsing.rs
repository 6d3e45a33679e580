//! A bitrate that collapses, and others that fall.

use super::*;

/// 2 Mbit/s of video and audio for a minute and a half.
fn running() -> Publisher {
    let mut publisher = Publisher::new(BOTH);
    publisher.steady(90_000, 50);
    publisher
}

/// Goes on at 25 frames a second, of which `keeps` says by their number which are sent, in so many bytes and milliseconds
/// late.
fn go_on(publisher: &mut Publisher, end: u64, late: u64, bytes: usize, keeps: impl Fn(u64) -> bool) {
    let begin = publisher.next_audio / 3;
    for time in (begin.next_multiple_of(40)..end).step_by(40) {
        publisher.pass_to(time + late);
        publisher.audio_to(time);
        if keeps(time / 40) {
            publisher.video(time, (time / 40).is_multiple_of(50), bytes);
        }
    }
    publisher.pass_to(end);
}

fn collapses(publisher: &Publisher) -> Vec<(u64, bool)> {
    let of_bitrate = |(.., what): &(u64, bool, &str)| *what == "collapsed bitrate";
    publisher.seconds().into_iter().filter(of_bitrate).map(|(second, begun, _)| (second, begun)).collect()
}

#[test]
fn an_encoder_that_drops_frames_on_a_thin_line_has_collapsed_until_it_is_back() {
    let mut publisher = running();
    // As OBS does: what is sent waits for 800 ms, and most video is thrown away.
    go_on(&mut publisher, 120_000, 800, 10_000, |frame| frame.is_multiple_of(10));
    let [(begun, true)] = collapses(&publisher)[..] else { unreachable!("{:?}", publisher.seconds()) };
    assert!((94..=97).contains(&begun), "{begun}");
    let Some(Change::Begun(HealthWarning::BitrateCollapse { now, before })) =
        publisher.changes.first().map(|(_, change)| *change)
    else {
        unreachable!();
    };
    assert!(before > 1_900_000 && now < before / 4, "{now} of {before}");
    go_on(&mut publisher, 160_000, 0, 10_000, |_| true);
    let [_, (over, false)] = collapses(&publisher)[..] else { unreachable!("{:?}", publisher.seconds()) };
    assert!((131..=136).contains(&over), "{over}");
}

#[test]
fn a_line_that_lets_a_fifth_through_delays_everything() {
    let mut publisher = running();
    // A sender that drops nothing: time passes five times as fast as media.
    for time in (90_000..96_000).step_by(40) {
        publisher.pass_to(90_000 + (time - 90_000) * 5);
        publisher.audio_to(time);
        publisher.video(time, (time / 40).is_multiple_of(50), 10_000);
    }
    assert_eq!(collapses(&publisher).len(), 1, "{:?}", publisher.seconds());
}

#[test]
fn a_publisher_from_whom_nothing_comes_has_collapsed_after_five_seconds() {
    let mut publisher = running();
    publisher.pass_to(110_500);
    assert_eq!(collapses(&publisher), [(94, true)], "four of the last five seconds are empty");
}

#[test]
fn a_still_picture_has_as_many_frames_as_before() {
    let mut publisher = running();
    go_on(&mut publisher, 200_000, 0, 100, |_| true);
    assert_eq!(publisher.changes, []);
}

#[test]
fn a_still_picture_of_an_encoder_that_leaves_frames_out_comes_in_time() {
    let mut publisher = running();
    go_on(&mut publisher, 200_000, 0, 10_000, |frame| frame.is_multiple_of(25));
    assert_eq!(collapses(&publisher), []);
}

#[test]
fn frames_that_are_dropped_together_with_audio_are_missed_even_if_they_come_in_time() {
    let mut publisher = running();
    for time in (90_000..120_000).step_by(1000) {
        publisher.pass_to(time);
        publisher.audio(time);
        publisher.video(time, time.is_multiple_of(2000), 10_000);
    }
    assert_eq!(collapses(&publisher).len(), 1);
}

#[test]
fn thin_and_young_streams_may_vary() {
    // 100 kbit/s, and then nothing.
    let thin = |bytes| {
        let mut publisher = Publisher::new(None);
        for time in (0..90_000).step_by(40) {
            publisher.pass_to(time);
            publisher.video(time, (time / 40).is_multiple_of(50), bytes);
        }
        publisher.pass_to(110_000);
        collapses(&publisher)
    };
    assert_eq!(thin(500), [], "100 kbit/s");
    assert_eq!(thin(505).len(), 1);
    for (age, count) in [(13_000, 0), (30_000, 1)] {
        let mut publisher = Publisher::new(None);
        publisher.steady(age, 50);
        publisher.pass_to(age + 5500);
        assert_eq!(collapses(&publisher).len(), count, "{age} ms old");
    }
}

#[test]
fn a_quarter_is_the_edge_and_half_is_the_way_back() {
    let after = |bytes: usize| {
        let mut publisher = running();
        go_on(&mut publisher, 100_000, 800, 10_000, |_| true);
        assert_eq!(collapses(&publisher), [], "late, and all there");
        go_on(&mut publisher, 130_000, 800, bytes, |frame| frame.is_multiple_of(3));
        publisher
    };
    // 250 kB of video and 16 kB of audio a second: a quarter is 66 kB. 8.3 frames are left of 25.
    assert_eq!(collapses(&after(6300)), [], "68 kB");
    let mut collapsed = after(5800);
    assert_eq!(collapses(&collapsed).len(), 1, "64 kB");
    go_on(&mut collapsed, 170_000, 800, 13_500, |frame| frame.is_multiple_of(3));
    assert_eq!(collapses(&collapsed).len(), 1, "128 kB is not half of it");
    go_on(&mut collapsed, 210_000, 800, 15_000, |frame| frame.is_multiple_of(3));
    assert_eq!(collapses(&collapsed).len(), 2, "141 kB is");
}

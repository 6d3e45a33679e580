//! Clocks as encoders really have them: what ffmpeg sends with them is on one timeline for ffprobe and Chromium.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::compare::Packets;
use support::ffmpeg::{Program, Publisher, Reader};
use support::flv::{Kind, Tag};
use support::http;
use support::media::{self, Source};
use support::page;
use support::rtmp::RtmpClient;
use support::rtmpd::Rtmpd;
use support::turns::alone;
use support::webdriver::Browser;

/// Where 24 bits end, and 31, and 32, in seconds: each within the first seconds of the source. ffmpeg cuts off at 31.
const PAST_24_BITS: &str = "16776.0";
const PAST_31_BITS: &str = "2147482.0";
const PAST_32_BITS: &str = "4294966.0";

#[test]
fn times_past_24_and_31_and_32_bits_and_b_frames_come_out_as_one_timeline() {
    for offset in [PAST_24_BITS, PAST_31_BITS, PAST_32_BITS] {
        let (rtmpd, source) = (Rtmpd::start(), media::b_frames());
        let reader = Reader::start(&rtmpd.play_url("/live/cam1.flv"));
        let flags = ["-output_ts_offset", offset];
        let url = rtmpd.publish_url("/live/cam1");
        let publisher = Publisher::start_file(Program::Debians, &[], &source.path, &flags, &url);
        let got = reader.finish();
        assert_monotonic(&got);
        source.run_of_packets(&got).assert_to_end();
        publisher.finish();
    }
}

#[test]
fn a_variable_frame_rate_keeps_its_times() {
    let (rtmpd, source) = (Rtmpd::start(), media::variable_rate());
    let reader = Reader::start(&rtmpd.play_url("/live/cam1.flv"));
    let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
    let got = reader.finish();
    assert_monotonic(&got);
    source.run_of_packets(&got).assert_to_end();
    publisher.finish();
}

#[test]
fn a_clock_cut_off_at_24_bits_and_one_that_starts_again_go_on() {
    let (rtmpd, source) = (Rtmpd::start(), media::plain());
    let mut publisher = RtmpClient::connect(rtmpd.rtmp());
    let stream = publisher.publish("live", "cam1").unwrap();
    let mut viewer = None;
    let times: [fn(u32) -> u32; 3] =
        [|time| (time + 16_775_000) % (1 << 24), |time| (time + 6_000 + 16_775_000) % (1 << 24), |time| time];
    for time in times {
        for tag in &source.tags {
            publisher.send_tag(stream, &Tag { timestamp: time(tag.timestamp), ..tag.clone() });
        }
        viewer.get_or_insert_with(|| http::play(rtmpd.http(), "/live/cam1.flv"));
    }
    publisher.unpublish(stream);
    let tags = viewer.unwrap().rest();
    for kind in [Kind::Audio, Kind::Video] {
        let times: Vec<u32> = tags.iter().filter(|tag| tag.kind == kind).map(|tag| tag.timestamp).collect();
        assert!(times.is_sorted(), "{kind:?}: {times:?}");
        assert!(times[times.len() - 1] - times[0] < 20_000, "no jump is passed on: {kind:?} {times:?}");
    }
    rtmpd.log().wait_for("the clock's jump", 0, |line| line.contains("clock jumped"));
}

#[test]
fn chromium_plays_through_a_wrap_and_a_new_resolution() {
    let _turn = alone();
    let (mut rtmpd, small, large) = (Rtmpd::start(), media::plain(), media::other_size());
    let mut publisher = RtmpClient::connect(rtmpd.rtmp());
    let stream = publisher.publish("live", "cam1").unwrap();
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv?app=live&stream=cam1"));
    page::click_play(&browser);
    // The clock wraps within the second round, and the picture is another from the third on.
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let start = std::time::Instant::now();
            let rounds = [&small, &small, &large, &large, &large];
            for (source, round) in rounds.iter().zip(0_u32..) {
                send_in_real_time(&mut publisher, stream, source, round * 6_000, start);
            }
        });
        page::assert_plays(&browser, [320, 180]);
        browser.wait_for("the new size", support::deadline::seconds(30), page::PROGRESS, |now| {
            now["width"] == 480
        });
        page::assert_plays(&browser, [480, 270]);
        sender.join().unwrap();
    });
    page::assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

/// Headers at time 0, as encoders send them.
fn send_in_real_time(
    publisher: &mut RtmpClient,
    stream: u32,
    source: &Source,
    offset: u32,
    start: std::time::Instant,
) {
    for tag in &source.tags {
        let due = std::time::Duration::from_millis(u64::from(offset + tag.timestamp));
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let time = (offset + tag.timestamp).wrapping_sub(9_000);
        let timestamp = if tag.is_frame() { time } else { 0 };
        publisher.send_tag(stream, &Tag { timestamp, ..tag.clone() });
    }
}

#[track_caller]
fn assert_monotonic(packets: &Packets) {
    for track in [&packets.video, &packets.audio] {
        assert!(track.is_sorted_by_key(|packet| packet.dts), "time goes back");
    }
}

//! `--demo`: a stream without an encoder, from the first frame to the goodbye.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use rtmpd::access::Denied;
use rtmpd::{Server, StreamName};

use support::camera;
use support::deadline::{seconds, wait_until};
use support::ffmpeg::{Decoder, Publisher};
use support::flv::{FlvReader, Kind, Tag};
use support::http;
use support::media;
use support::page::{STATE, assert_no_complaints, assert_plays};
use support::rtmp::RtmpClient;
use support::rtmpd::Rtmpd;
use support::webdriver::Browser;

const STREAM: &str = "/live/demo.flv";
const PAGE: &str = "/resource/httpflv?app=live&stream=demo";

/// Video frames in a round of 8 s.
const FRAMES: usize = 200;

#[test]
fn two_rounds_play_at_the_right_pace_and_decode_and_the_end_is_in_good_order() {
    let mut rtmpd = Rtmpd::start_with(&["--demo"]);
    let url = rtmpd.play_url(PAGE);
    rtmpd.log().wait_for("where the demo plays", 0, |line| line.ends_with(&format!("open {url}")));
    let decoder = Decoder::start(&rtmpd.play_url(STREAM));
    rtmpd.log().wait_for("the decoder", 0, |line| line.contains("joins live/demo"));
    let mut reader = http::play(rtmpd.http(), STREAM);
    reader.find_tag("a keyframe", Tag::is_keyframe);
    let start = Instant::now();
    let tags = take_frames(&mut reader, 2 * FRAMES + 25);
    let took = start.elapsed();

    let video = of_kind(&tags, Kind::Video);
    for (early, late) in video.iter().zip(&video[FRAMES..]) {
        assert_eq!(late.timestamp - early.timestamp, 8000, "a round later");
        assert!(early.body == late.body, "another frame at {} ms", late.timestamp);
    }
    assert_even(&video, 40.0, 1.0);
    assert_even(&of_kind(&tags, Kind::Audio), 1024.0 / 48.0, 2.0);
    let played = Duration::from_millis(u64::from(video[video.len() - 1].timestamp - video[0].timestamp));
    assert!(took.abs_diff(played) < Duration::from_millis(700), "{played:?} took {took:?}");

    assert!(rtmpd.terminate(seconds(2)).success());
    assert!(reader.rest().len() < 100 && reader.input().is_complete(), "the last chunk");
    let complaint =
        rtmpd.log().all().into_iter().find(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert_eq!(complaint, None);
    let decoded = decoder.finish();
    assert!(decoded >= video.len(), "{decoded} frames");
}

#[test]
fn no_key_and_no_network_keeps_the_demo_out_and_nobody_gets_in_with_it() {
    let keys = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{}-keys", std::process::id()));
    fs::write(&keys, "live/demo a-key-of-its-own\n").unwrap();
    let mut command = Rtmpd::command();
    command.env("RUST_LOG", "trace");
    let flags = ["--demo", "--publish-keys", keys.to_str().unwrap(), "--publish-deny", "0.0.0.0/0,::/0"];
    let any_address = ["--rtmp", "[::]:0", "--http", "[::]:0", "--takeover", "takeover"];
    let mut rtmpd = Rtmpd::start_as(command, &[&flags[..], &any_address].concat());
    fs::remove_file(keys).unwrap();
    let mut reader = http::play(rtmpd.http(), STREAM);
    reader.find_tag("a keyframe", Tag::is_keyframe);
    for name in ["demo", "demo?key=a-key-of-its-own", "demo?key="] {
        let refused = RtmpClient::connect(rtmpd.rtmp()).publish("live", name);
        assert_eq!(refused.map(|_| ()), Err("NetStream.Publish.Denied".into()), "{name}");
    }
    take_frames(&mut reader, 25);
    assert!(rtmpd.terminate(seconds(2)).success());
    let log = rtmpd.log().all().join("\n");
    assert!(log.contains("finished by the publisher") || log.contains("server shutdown"), "{log}");
    assert!(!log.contains("key="), "{log}");
}

#[test]
fn who_takes_the_demos_place_keeps_it_and_leaves_it_to_the_demo_in_the_end() {
    let mut rtmpd = Rtmpd::start_with(&["--demo", "--takeover", "takeover"]);
    let published = |line: &str| line.contains("rtmpd/") && line.contains("publishes live/demo");
    rtmpd.log().wait_for("the demo", 0, published);
    // It plays for 6 s, in which the demo would have come back several times.
    Publisher::start(&media::plain(), &rtmpd.publish_url("/live/demo")).finish();
    wait_until("the demo again", seconds(20), || {
        (rtmpd.log().all().iter().filter(|line| published(line)).count() == 2).then_some(())
    });
    let log = rtmpd.log().all();
    let said = log.iter().filter(|line| line.contains("the demo is interrupted")).collect::<Vec<_>>();
    assert!(matches!(said[..], [line] if line.contains("Another publisher has taken over")), "{said:?}");
    http::play(rtmpd.http(), STREAM).find_tag("a keyframe", Tag::is_keyframe);
    rtmpd.assert_sound();
}

#[test]
fn a_name_that_is_held_for_another_is_not_for_the_demo() {
    let mut rtmpd = Rtmpd::start_with(&["--demo", "--takeover", "takeover", "--resume", "3"]);
    rtmpd.log().wait_for("the demo", 0, |line| line.contains("publishes live/demo"));
    let mut other = RtmpClient::connect(rtmpd.rtmp());
    assert_eq!(other.publish("live", "demo"), Ok(1));
    camera::send_headers(&mut other);
    camera::send(&mut other, 0..25);
    rtmpd.log().wait_for("the demo to give way", 0, |line| line.contains("the demo is interrupted"));
    let from = rtmpd.log().count();
    drop(other);
    let next = rtmpd.log().wait_for("the next publisher", from, |line| {
        line.contains("with live/demo") || line.contains("publishes live/demo")
    });
    assert!(
        next.contains("rtmpd/") && next.contains("publishes"),
        "a stream of its own, after the other's time: {next}"
    );
    rtmpd.assert_sound();
}

#[test]
fn the_page_plays_the_demo_at_once_and_the_entry_page_leads_there() {
    let mut rtmpd = Rtmpd::start_with(&["--demo"]);
    http::play(rtmpd.http(), STREAM).find_tag("a keyframe", Tag::is_keyframe);
    let browser = Browser::start();
    browser.open(&rtmpd.play_url(&format!("{PAGE}&autoplay=1")));
    let after = browser.wait_for("the page to play", seconds(20), PLAYING_AFTER, |after| !after.is_null());
    println!("playing {after} ms after the page was opened");
    assert!(after.as_f64() < Some(2000.0), "{after} ms after it was opened");
    assert_plays(&browser, [1280, 720]);
    browser.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo.png"));

    browser.open(&rtmpd.play_url("/"));
    browser.wait_for("the demo's card", seconds(20), CARD_IS_SHOWN, |name| name == "live/demo");
    browser.click("[data-name]");
    browser.wait_for("the player", seconds(20), STATE, |state| state == "idle");
    assert_eq!(browser.run("return location.pathname + location.search;"), PAGE);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

#[test]
fn a_program_has_a_live_stream_for_its_tests() {
    let localhost = (Ipv4Addr::LOCALHOST, 0);
    let name = StreamName::new("any/name", "at all").unwrap();
    let server = Server::builder()
        .rtmp(localhost)
        .http(localhost)
        .demo(name.clone())
        .on_publish(|_| Err(Denied::new("Nobody else.")))
        .start()
        .unwrap();
    let tags = wait_until("the demo", seconds(10), || server.subscribe(&name));
    let second: Vec<_> = tags.take(3 + 25 + 47).collect();
    assert_eq!(second.len(), 75);
    let streams = server.streams();
    assert_eq!(streams.len(), 1);
    assert_eq!((streams[0].size, streams[0].sample_rate), (Some((1280, 720)), Some(48_000)));
    assert_eq!(streams[0].health, []);
    let start = Instant::now();
    server.shutdown(seconds(5)).unwrap();
    assert!(start.elapsed() < seconds(2), "{:?}", start.elapsed());
}

/// Tags up to so many video frames.
#[track_caller]
fn take_frames(reader: &mut FlvReader<impl Read>, count: usize) -> Vec<Tag> {
    let (mut tags, mut frames) = (Vec::new(), 0);
    while frames < count {
        let tag = reader.find_tag("enough frames", Tag::is_frame);
        frames += usize::from(tag.kind == Kind::Video);
        tags.push(tag);
    }
    tags
}

fn of_kind(tags: &[Tag], kind: Kind) -> Vec<&Tag> {
    tags.iter().filter(|tag| tag.kind == kind).collect()
}

/// That the times of these tags are so many ms apart.
#[track_caller]
fn assert_even(tags: &[&Tag], distance: f64, tolerance: f64) {
    for pair in tags.windows(2) {
        let off = f64::from(pair[1].timestamp) - f64::from(pair[0].timestamp) - distance;
        assert!(off.abs() <= tolerance, "{off} ms off: {pair:?}");
    }
}

/// When it is seen to play, in ms since it was asked for.
const PLAYING_AFTER: &str = "return window.rtmpdPlayer?.state === 'playing' ? performance.now() : null;";
const CARD_IS_SHOWN: &str = "return document.querySelector('[data-name]')?.textContent;";

//! Encoders that drop and come back: viewers stay, and see one stream that goes on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use support::deadline::{seconds, wait_until};
use support::ffmpeg::{Program, Publisher};
use support::flv::{FlvReader, Kind, Tag};
use support::http;
use support::media::{self, Source};
use support::noise::Noise;
use support::page::{self, PROGRESS, STATE};
use support::rtmp::{CLOSED, RtmpClient};
use support::rtmpd::Rtmpd;
use support::usage::Usage;
use support::webdriver::Browser;

const PATH: &str = "/live/cam1";
const PLAY: &str = "/live/cam1.flv";

#[test]
fn a_page_plays_on_when_the_encoder_is_killed_and_comes_back_with_a_clock_that_starts_at_0() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url(PATH));
    let recording = Recording::start(rtmpd.http(), "killed");
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv?app=live&stream=cam1"));
    page::play(&browser);
    page::assert_plays(&browser, [320, 180]);
    browser.run("window.neverReloaded = true;");

    let from = rtmpd.log().count();
    publisher.kill();
    thread::sleep(seconds(5));
    let before = browser.run(PROGRESS);
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url(PATH));
    browser.wait_for("the page to play again", seconds(10), STATE, |state| state == "playing");
    browser.wait_for("the picture to go on", seconds(10), PROGRESS, |now| {
        page::number(now, "time") > page::number(&before, "time") + 5.0
    });
    page::assert_plays(&browser, [320, 180]);
    assert_eq!(browser.run("return window.neverReloaded;"), true);
    assert_eq!(browser.run("return window.rtmpdPlayer.attempts;"), 0, "the page did not have to ask again");
    page::assert_no_complaints(&browser);
    let lines: Vec<String> = rtmpd.log().all().split_off(from);
    assert!(!lines.iter().any(|line| line.contains("] viewer ")), "a viewer has left or come: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("goes on with live/cam1 after ")), "{lines:#?}");

    publisher.stop();
    let tags = recording.finish();
    assert_monotonic(&tags);
    let gap = widest_gap(&tags);
    assert!((4_500..7_500).contains(&gap), "the real gap of five seconds, not {gap} ms");
    rtmpd.assert_sound();
}

#[test]
fn encoders_that_come_and_go_leave_every_viewer_where_it_is() {
    let rounds = std::env::var("RTMPD_RESUMES").map_or(5, |count| count.parse().unwrap());
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("{rounds} rounds; seed {seed}");
    let mut noise = Noise(seed);
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let mut publisher = Publisher::start_looped(&source, &rtmpd.publish_url(PATH));
    let viewers: Vec<Viewer> = (0..20).map(|_| Viewer::start(rtmpd.http())).collect();
    for round in 0..rounds {
        let seen: Vec<u64> = viewers.iter().map(Viewer::frames).collect();
        for (viewer, seen) in viewers.iter().zip(seen) {
            viewer.wait_for_frames(&format!("round {round}"), seen + 25);
        }
        publisher.kill();
        let gap = Duration::from_millis(noise.below(9_000) as u64);
        println!("round {round}: away for {gap:?}");
        thread::sleep(gap);
        // Each time with another clock.
        let offset = noise.below(5_000_000).to_string();
        let flags = ["-output_ts_offset", &offset];
        let looped = ["-stream_loop", "-1"];
        let url = rtmpd.publish_url(PATH);
        publisher = Publisher::start_file(Program::Debians, &looped, &source.path, &flags, &url);
    }
    let seen: Vec<u64> = viewers.iter().map(Viewer::frames).collect();
    viewers.iter().zip(seen).for_each(|(viewer, seen)| viewer.wait_for_frames("the end", seen + 25));
    publisher.stop();
    let frames: Vec<u64> = viewers.into_iter().map(Viewer::finish).collect();
    assert!(frames.iter().all(|count| *count == frames[0]), "each saw the same: {frames:?}");
    rtmpd.assert_sound();
}

#[test]
fn viewers_are_let_go_when_the_encoder_does_not_come_back() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url(PATH));
    let mut viewer = http::play(rtmpd.http(), PLAY);
    viewer.find_tag("a keyframe", Tag::is_keyframe);
    publisher.kill();
    let start = Instant::now();
    let lost = rtmpd.log().wait_for("the loss", 0, |line| line.contains("its viewers are held for 10 s"));
    assert!(lost.contains("left live/cam1"), "{lost}");
    // One who comes meanwhile gets what there is, and the same end.
    let mut late = http::play(rtmpd.http(), PLAY);
    late.find_tag("a keyframe", Tag::is_keyframe);
    viewer.rest();
    late.rest();
    assert!(viewer.input().is_complete() && late.input().is_complete(), "no last chunk");
    let took = start.elapsed();
    assert!((Duration::from_millis(9_500)..seconds(11)).contains(&took), "let go after {took:?}");
    assert_eq!(http::get(rtmpd.http(), &format!("{PLAY}?wait=0")).status, 404);
    rtmpd.log().wait_for("a line about it", 0, |line| line.contains("its publisher has not come back"));
    rtmpd.assert_sound();
}

#[test]
fn nobody_is_held_for_an_encoder_that_says_goodbye_or_where_that_is_off() {
    for (flags, goodbye) in [(&[][..], true), (&["--resume", "0"], false)] {
        let (mut rtmpd, source) = (Rtmpd::start_with(flags), media::long());
        let publisher = Publisher::start_looped(&source, &rtmpd.publish_url(PATH));
        let mut viewer = http::play(rtmpd.http(), PLAY);
        viewer.find_tag("a keyframe", Tag::is_keyframe);
        let stopped = Instant::now();
        if goodbye {
            publisher.stop();
        } else {
            publisher.kill();
        }
        viewer.rest();
        assert!(viewer.input().is_complete() && stopped.elapsed() < seconds(3), "{:?}", stopped.elapsed());
        rtmpd.assert_sound();
    }
}

#[test]
fn an_encoder_on_a_dead_line_is_replaced_by_itself_on_another() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let (mut first, stream) = publisher(&rtmpd);
    send(&mut first, stream, &source, 0..100);
    let viewer = Viewer::start(rtmpd.http());
    viewer.wait_for_frames("the first encoder's", 5);
    // The line is dead, and the server has not been told. It comes back on a new address.
    let (start, seen) = (Instant::now(), viewer.frames());
    let (mut second, stream) = publisher(&rtmpd);
    let took = start.elapsed();
    assert!((seconds(2)..seconds(5)).contains(&took), "silent for 3 s, but replaced after {took:?}");
    send(&mut second, stream, &source, 0..100);
    viewer.wait_for_frames("the second's", seen + 20);
    let told = first.read_until_closed(seconds(5));
    assert!(!told.is_empty(), "the first one is told");
    second.say_goodbye(stream);
    viewer.finish();
    rtmpd.assert_sound();
}

#[test]
fn two_encoders_that_fight_for_a_name_leave_its_viewers_in_peace() {
    let (mut rtmpd, source) = (Rtmpd::start_with(&["--takeover", "takeover"]), media::long());
    let (mut current, mut stream) = publisher(&rtmpd);
    send(&mut current, stream, &source, 0..100);
    let viewer = Viewer::start(rtmpd.http());
    for round in 0..20 {
        let seen = viewer.frames();
        let (next, next_stream) = publisher(&rtmpd);
        let told = std::mem::replace(&mut current, next).read_until_closed(seconds(5));
        assert!(!told.is_empty(), "round {round}: it is told");
        stream = next_stream;
        send(&mut current, stream, &source, 0..100);
        viewer.wait_for_frames(&format!("round {round}"), seen + 20);
    }
    current.say_goodbye(stream);
    viewer.finish();
    rtmpd.assert_sound();
}

#[test]
fn many_who_wait_for_one_name_do_not_fill_the_log() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let (mut first, stream) = publisher(&rtmpd);
    send(&mut first, stream, &source, 0..50);
    let address = rtmpd.rtmp();
    let asking: Vec<_> = (0..100)
        .map(|_| thread::spawn(move || RtmpClient::connect(address).publish("live", "cam1").map_err(drop)))
        .collect();
    let is_one = |line: &String| line.contains("waits for live/cam1");
    rtmpd.log().wait_for("the first that waits", 0, |line| line.contains("waits for live/cam1"));
    let start = Instant::now();
    while asking.iter().any(|client| !client.is_finished()) {
        send(&mut first, stream, &source, 40..50);
        thread::yield_now();
    }
    let (said, took) = (rtmpd.log().all().iter().filter(|line| is_one(line)).count(), start.elapsed());
    assert!(asking.into_iter().all(|client| client.join().unwrap().is_err()), "the first one is alive");
    assert!(said < 20 * (took.as_secs() as usize + 3), "{said} lines in {took:?}");
    drop(first);
    rtmpd.assert_sound();
}

#[test]
fn publishers_that_come_and_go_at_once_do_not_fill_the_log() {
    let mut rtmpd = Rtmpd::start();
    let (server, start) = (rtmpd.rtmp(), Instant::now());
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                for _ in 0..100 {
                    let mut client = RtmpClient::connect(server);
                    client.publish("live", &number.to_string()).unwrap();
                }
            });
        }
    });
    let said = rtmpd.log().all().iter().filter(|line| line.contains("] publisher ")).count();
    let took = start.elapsed();
    assert!((20..20 * (took.as_secs() as usize + 3)).contains(&said), "{said} lines in {took:?}");
    // Who stays is named all the same.
    thread::sleep(seconds(1));
    let (client, _) = publisher(&rtmpd);
    rtmpd.log().wait_for("its line", 0, |line| line.contains("publishes live/cam1"));
    drop(client);
    rtmpd.assert_sound();
}

#[test]
fn an_encoder_that_flaps_ten_times_a_second_is_one_stream_for_its_viewers() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let (mut client, stream) = publisher(&rtmpd);
    send(&mut client, stream, &source, 0..50);
    let viewer = Viewer::start(rtmpd.http());
    let mut used = Vec::new();
    for flap in 0..60 {
        used.push(Usage::of(&rtmpd));
        drop(client);
        thread::sleep(Duration::from_millis(100));
        let answer;
        (client, answer) = connect(&rtmpd);
        let stream = answer.unwrap_or_else(|code| panic!("flap {flap}: {code}"));
        send(&mut client, stream, &source, 0..50);
    }
    let before = used[9];
    wait_until(&format!("no more threads and descriptors than {before:?}"), seconds(15), || {
        let now = Usage::of(&rtmpd);
        (now.threads <= before.threads && now.descriptors <= before.descriptors).then_some(())
    });
    let after = Usage::of(&rtmpd);
    println!("after 10 flaps {before:?}, after 60 {after:?}");
    assert!(after.memory < before.memory + (4 << 20), "from {before:?} to {after:?}");
    client.say_goodbye(1);
    assert!(viewer.finish() > 600);
    rtmpd.assert_sound();
}

#[test]
fn an_encoder_with_another_codec_asks_viewers_to_reconnect_and_plays() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let hevc = media::enhanced(media::Enhanced::HevcAac);
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url(PATH));
    let mut viewer = http::play(rtmpd.http(), PLAY);
    viewer.find_tag("a keyframe", Tag::is_keyframe);
    publisher.kill();
    let publisher = Publisher::start_file(Program::Current, &[], &hevc, &[], &rtmpd.publish_url(PATH));
    let tags = viewer.rest();
    assert!(viewer.input().is_complete(), "a clean end");
    assert!(tags.iter().all(|tag| tag.kind != Kind::Video || tag.body[0] & 0x80 == 0), "none of the new codec");
    let mut viewer = http::play(rtmpd.http(), PLAY);
    let first = viewer.find_tag("video", |tag| tag.kind == Kind::Video);
    assert_eq!(&first.body[1..5], b"hvc1");
    publisher.finish();
    rtmpd.assert_sound();
}

/// One who publishes, and its message stream.
#[track_caller]
fn publisher(rtmpd: &Rtmpd) -> (RtmpClient, u32) {
    let (client, answer) = connect(rtmpd);
    (client, answer.unwrap())
}

fn connect(rtmpd: &Rtmpd) -> (RtmpClient, Result<u32, String>) {
    let mut client = RtmpClient::connect(rtmpd.rtmp());
    let answer = client.publish("live", "cam1");
    assert_ne!(answer, Err(CLOSED.to_owned()), "closed without a word");
    (client, answer)
}

fn send(client: &mut RtmpClient, stream: u32, source: &Source, tags: std::ops::Range<usize>) {
    source.tags[tags].iter().for_each(|tag| client.send_tag(stream, tag));
}

/// Reads a stream to its end, and looks whether time goes on.
struct Viewer {
    frames: Arc<AtomicU64>,
    reader: JoinHandle<()>,
}

impl Viewer {
    fn start(server: SocketAddr) -> Self {
        let frames = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&frames);
        let reader = thread::spawn(move || {
            let mut input = http::play(server, PLAY);
            let mut clock = Clock::default();
            while let Some(tag) = input.next_tag() {
                clock.look_at(&tag);
                counter.fetch_add(u64::from(tag.kind == Kind::Video && tag.is_frame()), Ordering::Relaxed);
            }
            assert!(input.input().is_complete(), "no last chunk");
        });
        Self { frames, reader }
    }

    fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    #[track_caller]
    fn wait_for_frames(&self, what: &str, count: u64) {
        wait_until(&format!("frames: {what}"), seconds(20), || {
            assert!(!self.reader.is_finished(), "{what}: the viewer was let go");
            (self.frames() >= count).then_some(())
        });
    }

    /// The number of video frames to the end.
    fn finish(self) -> u64 {
        self.reader.join().unwrap();
        self.frames.load(Ordering::Relaxed)
    }
}

/// What came over HTTP, in a file, byte by byte.
struct Recording {
    reader: JoinHandle<()>,
    path: String,
}

impl Recording {
    fn start(server: SocketAddr, name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recording-{name}.flv"));
        let mut file = fs::File::create(&path).unwrap();
        let reader = thread::spawn(move || {
            let mut reply = http::get(server, PLAY);
            assert_eq!(reply.status, 200);
            std::io::copy(&mut reply.body, &mut file).unwrap();
        });
        Self { reader, path: path.to_str().unwrap().to_owned() }
    }

    /// Its tags, once it has ended. ffmpeg decodes it without a word.
    #[track_caller]
    fn finish(self) -> Vec<Tag> {
        self.reader.join().unwrap();
        let decode = ["-v", "error", "-nostdin", "-i", &self.path, "-f", "null", "-"];
        let output = Command::new("ffmpeg").args(decode).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "what ffmpeg says of {}", self.path);
        assert!(output.status.success());
        FlvReader::open(&fs::read(&self.path).unwrap()[..]).rest()
    }
}

/// Times that do not go back, each track by itself.
#[derive(Default)]
struct Clock(HashMap<u8, u32>);

impl Clock {
    #[track_caller]
    fn look_at(&mut self, tag: &Tag) {
        let last = self.0.insert(tag.kind as u8, tag.timestamp).unwrap_or_default();
        assert!(last <= tag.timestamp, "time goes back from {last}: {tag:?}");
    }
}

#[track_caller]
fn assert_monotonic(tags: &[Tag]) {
    let mut clock = Clock::default();
    tags.iter().for_each(|tag| clock.look_at(tag));
}

/// The longest time without video, in ms.
fn widest_gap(tags: &[Tag]) -> u32 {
    let times: Vec<u32> =
        tags.iter().filter(|tag| tag.kind == Kind::Video && tag.is_frame()).map(|tag| tag.timestamp).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

//! What a viewer gets first, and how soon.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use support::ffmpeg::Publisher;
use support::flv::{FlvReader, Kind, Tag};
use support::http::{self, Body, Reply};
use support::media::{self, Source};
use support::rtmp::RtmpClient;
use support::rtmpd::Rtmpd;

#[test]
fn h264_and_aac_begin_with_headers_and_a_keyframe() {
    begins_well(&media::plain());
}

#[test]
fn b_frames_begin_with_headers_and_a_keyframe() {
    begins_well(&media::b_frames());
}

#[test]
fn h264_and_mp3_begin_with_headers_and_a_keyframe() {
    begins_well(&media::with_mp3());
}

#[test]
fn audio_alone_begins_with_its_header() {
    begins_well(&media::audio_only());
}

#[test]
fn video_alone_begins_with_its_header_and_a_keyframe() {
    begins_well(&media::video_only());
}

#[test]
fn the_first_keyframe_comes_within_50_ms() {
    let (rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a keyframe", Tag::is_keyframe);

    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let start = Instant::now();
            http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a keyframe", Tag::is_keyframe);
            start.elapsed()
        })
        .collect();

    times.sort_unstable();
    let median = times[50];
    println!(
        "first keyframe after {median:?} (median of 100 joins), {:?} (p95), {:?} (longest)",
        times[95], times[99]
    );
    assert!(median <= Duration::from_millis(50), "median {median:?}");
}

#[test]
fn http_1_1_gets_chunks_and_http_1_0_a_plain_body_until_the_close() {
    let (rtmpd, source) = (Rtmpd::start(), media::plain());
    let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
    let server = rtmpd.http();

    let modern = http::get(server, "/live/cam1.flv");
    assert_eq!((modern.status, modern.version.as_str()), (200, "HTTP/1.1"));
    assert!(modern.is_chunked());
    let old = http::send(server, "GET /live/cam1.flv HTTP/1.0\r\n\r\n");
    assert_eq!(old.status, 200);
    assert_eq!(old.header("transfer-encoding"), None);
    assert_eq!(old.header("content-length"), None);

    let bodies = [modern.body, old.body].map(|body| {
        thread::spawn(move || {
            let mut viewer = FlvReader::open(body);
            let tags = viewer.rest();
            assert!(viewer.input().is_complete(), "the body's end");
            tags
        })
    });
    for body in bodies {
        source.run_of_tags(&body.join().unwrap()).assert_to_end();
    }
    publisher.finish();
}

/// Keyframes are two seconds of media apart, and no frame comes but those that are sent here: a head that has come
/// says that its viewer has its place.
#[test]
fn viewers_choose_where_they_begin() {
    let rtmpd = Rtmpd::start_with(&["--start", "live"]);
    let server = rtmpd.http();
    let mut waiting = http::connect(server);
    waiting.write_all(b"GET /live/cam1.flv?start=key HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    rtmpd.log().wait_for("a viewer that waits", 0, |line| line.contains("waits up to"));
    let mut publisher = RtmpClient::connect(rtmpd.rtmp());
    let stream = publisher.publish("live", "cam1").unwrap();
    let body = vec![0x17, 0, 0, 0, 0, 1, 100, 0, 31];
    publisher.send_tag(stream, &Tag { kind: Kind::Video, timestamp: 0, body });
    let mut send = |frames: Range<u32>| {
        for frame in frames {
            let first = if frame % 50 == 0 { 0x17 } else { 0x27 };
            let body = vec![first, 1, 0, 0, 0, frame as u8, 1, 2, 3];
            publisher.send_tag(stream, &Tag { kind: Kind::Video, timestamp: frame * 40, body });
        }
    };
    send(0..1);
    let frames_of = |mut viewer: FlvReader<Body>, last: u32| {
        assert!(viewer.has_video && viewer.next_tag().unwrap().is_metadata());
        let mut frames = Vec::new();
        while frames.last() != Some(&last) {
            frames.push(viewer.find_tag("a frame", Tag::is_frame).timestamp / 40);
        }
        frames
    };

    let reply = |query: &str| http::get(server, &format!("/live/cam1.flv{query}")).body;
    let first = FlvReader::open(Reply::read(waiting, false).body);
    send(1..75);
    assert_eq!(frames_of(first, 74), (0..75).collect::<Vec<_>>(), "who waited gets the first keyframe");
    let gop = FlvReader::open(reply("?start=gop"));
    assert_eq!(frames_of(gop, 74), (50..75).collect::<Vec<_>>(), "while nothing new comes");
    let (key, live) = (reply("?start=key"), reply(""));
    send(75..110);
    assert_eq!(frames_of(FlvReader::open(key), 109), (100..110).collect::<Vec<_>>());
    assert_eq!(frames_of(FlvReader::open(live), 109), (75..110).collect::<Vec<_>>());

    let wrong = http::get(server, "/live/cam1.flv?start=nonsense");
    assert_eq!((wrong.status, wrong.text().trim()), (400, "start takes gop, key or live"));
}

/// For a viewer that was there before the publisher, and for one that joins a running stream.
#[track_caller]
fn begins_well(source: &Source) {
    let rtmpd = Rtmpd::start();
    let server = rtmpd.http();
    let waiting = thread::spawn(move || beginning(server));
    rtmpd.wait_for_http_clients(1);
    let publisher = Publisher::start(source, &rtmpd.publish_url("/live/cam1"));
    check(source, &waiting.join().unwrap());

    let mut running = http::play(server, "/live/cam1.flv");
    running.find_tag("more than a second", |tag| tag.timestamp >= 1300);
    check(source, &beginning(server));
    publisher.finish();
}

struct Beginning {
    has_video: bool,
    has_audio: bool,
    tags: Vec<Tag>,
}

/// Reads up to the tenth frame of video, or of audio where there is no video.
fn beginning(server: SocketAddr) -> Beginning {
    let mut viewer = http::play(server, "/live/cam1.flv");
    let FlvReader { has_video, has_audio, .. } = viewer;
    let counted = if has_video { Kind::Video } else { Kind::Audio };
    let mut frames = 0;
    let mut tags = Vec::new();
    while frames < 10 {
        let tag = viewer.next_tag().expect("ten frames");
        frames += usize::from(tag.kind == counted && tag.is_frame());
        tags.push(tag);
    }
    Beginning { has_video, has_audio, tags }
}

#[track_caller]
fn check(source: &Source, got: &Beginning) {
    assert_eq!(
        (got.has_video, got.has_audio),
        (source.has_video(), source.has_audio()),
        "the flags of the FLV header"
    );
    let metadata = &got.tags[0];
    assert!(metadata.is_metadata(), "metadata comes first: {:?}", got.tags);
    assert_eq!(metadata.metadata_flag("hasVideo"), Some(source.has_video()), "hasVideo");
    assert_eq!(metadata.metadata_flag("hasAudio"), Some(source.has_audio()), "hasAudio");

    let first_frame = got.tags.iter().position(Tag::is_frame).unwrap();
    let headers = &got.tags[1..first_frame];
    assert!(headers.iter().all(Tag::is_sequence_header), "between metadata and frames: {headers:?}");
    let of = |tags: &[Tag], kind| {
        tags.iter().filter(|tag| tag.is_sequence_header() && tag.kind == kind).cloned().collect::<Vec<_>>()
    };
    for kind in [Kind::Video, Kind::Audio] {
        let (got, published) = (of(headers, kind), of(&source.tags, kind));
        assert_eq!(got.len(), published.len(), "sequence headers of kind {kind:?}: {got:?}");
        for (got, published) in got.iter().zip(&published) {
            assert_eq!(got.payload(), published.payload(), "the sequence header");
        }
    }
    let first_picture = got.tags.iter().find(|tag| tag.kind == Kind::Video && tag.is_frame());
    assert!(first_picture.is_none_or(Tag::is_keyframe), "the first frame of video is {first_picture:?}");

    for kind in [Kind::Video, Kind::Audio] {
        let times: Vec<u32> = got.tags.iter().filter(|tag| tag.kind == kind).map(|tag| tag.timestamp).collect();
        assert!(times.is_sorted(), "times of kind {kind:?} go back: {times:?}");
    }
    source.run_of_tags(&got.tags);
}

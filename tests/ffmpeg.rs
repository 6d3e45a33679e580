//! ffmpeg publishes; ffmpeg and a strict FLV reader get every packet of it, whoever joins whenever.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::thread;

use support::ffmpeg::{Publisher, Reader};
use support::flv::Tag;
use support::http;
use support::media::{self, Source};
use support::rtmpd::Rtmpd;

#[test]
fn an_address_without_app_and_name_plays_as_the_default_stream() {
    plays_from_the_start(&media::plain(), "", "/service/httpflv");
}

#[test]
fn a_named_stream_plays_under_its_name() {
    plays_from_the_start(&media::plain(), "/live/cam1", "/live/cam1.flv");
}

#[test]
fn the_default_address_plays_a_named_stream_too() {
    plays_from_the_start(&media::plain(), "/live/cam1", "/service/httpflv?app=live&stream=cam1");
}

#[test]
fn b_frames_keep_their_composition_times() {
    let source = media::b_frames();
    assert!(source.tags.iter().any(|tag| tag.composition_time() > 0), "the source has B-frames");
    plays_from_the_start(&source, "/live/cam1", "/live/cam1.flv");
}

#[test]
fn audio_alone_plays() {
    plays_from_the_start(&media::audio_only(), "/live/cam1", "/live/cam1.flv");
}

#[test]
fn video_alone_plays() {
    plays_from_the_start(&media::video_only(), "/live/cam1", "/live/cam1.flv");
}

#[test]
fn mp3_plays() {
    plays_from_the_start(&media::with_mp3(), "/live/cam1", "/live/cam1.flv");
}

#[test]
fn viewers_that_join_within_a_gop_begin_at_its_keyframe() {
    let (rtmpd, source) = (Rtmpd::start(), media::b_frames());
    let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));

    // Two seconds lie between keyframes: this is in the middle of the second GOP.
    let mut first = http::play(rtmpd.http(), "/live/cam1.flv");
    first.find_tag("the second GOP", |tag| tag.timestamp >= 2600 && tag.is_frame());
    let reader = Reader::start(&rtmpd.play_url("/live/cam1.flv"));
    let mut second = http::play(rtmpd.http(), "/live/cam1.flv");
    let tags = second.rest();

    let run = source.run_of_tags(&tags);
    assert_eq!(run.video.start, source.keyframes[1]);
    run.assert_to_end();
    let run = source.run_of_packets(&reader.finish());
    assert!(run.video.start >= source.keyframes[1], "{run:?}");
    run.assert_to_end();
    publisher.finish();
}

#[test]
fn fifty_viewers_get_the_same() {
    let (rtmpd, source) = (Rtmpd::start(), media::plain());
    let url = rtmpd.play_url("/live/cam1.flv");
    let early = Reader::start(&url);
    let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));

    // A viewer joins behind each of the first fifty frames, so that every place in a GOP has its own.
    let mut pacemaker = http::play(rtmpd.http(), "/live/cam1.flv");
    let mut late = None;
    let viewers: Vec<_> = (0..50)
        .map(|number| {
            pacemaker.find_tag("fifty frames", |tag| tag.kind == support::flv::Kind::Video && tag.is_frame());
            if number == 40 {
                late = Some(Reader::start(&url));
            }
            let server = rtmpd.http();
            thread::spawn(move || all_tags(server))
        })
        .collect();

    for viewer in viewers {
        source.run_of_tags(&viewer.join().unwrap()).assert_to_end();
    }
    for reader in [early, late.unwrap()] {
        source.run_of_packets(&reader.finish()).assert_to_end();
    }
    publisher.finish();
}

#[test]
fn three_streams_play_at_once() {
    let rtmpd = Rtmpd::start();
    let streams = [
        (media::plain(), "/live/one", "/live/one.flv"),
        (media::b_frames(), "/live/two?key=3", "/live/two.flv"),
        (media::with_mp3(), "/a/b/c", "/a/b/c.flv"),
    ];
    thread::scope(|scope| {
        for (source, publish, play) in &streams {
            scope.spawn(|| publish_and_compare(&rtmpd, source, publish, play, streams.len()));
        }
    });
}

/// The whole of `source` reaches an ffmpeg that was there before the publisher.
#[track_caller]
fn plays_from_the_start(source: &Source, publish: &str, play: &str) {
    publish_and_compare(&Rtmpd::start(), source, publish, play, 1);
}

/// Publishes when `viewers` are waiting, this one among them.
#[track_caller]
fn publish_and_compare(rtmpd: &Rtmpd, source: &Source, publish: &str, play: &str, viewers: usize) {
    let reader = Reader::start(&rtmpd.play_url(play));
    rtmpd.wait_for_http_clients(viewers);
    Publisher::start(source, &rtmpd.publish_url(publish)).finish();
    let run = source.run_of_packets(&reader.finish());
    run.assert_from_start();
    run.assert_to_end();
}

/// Everything up to the last chunk.
fn all_tags(server: std::net::SocketAddr) -> Vec<Tag> {
    let mut viewer = http::play(server, "/live/cam1.flv");
    let tags = viewer.rest();
    assert!(viewer.input().is_complete(), "no last chunk");
    tags
}

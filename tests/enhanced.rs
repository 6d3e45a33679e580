//! Enhanced RTMP with a current ffmpeg at both ends, and in Chromium.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use support::compare::Packets;
use support::ffmpeg::{Program, Publisher, Reader};
use support::flv::{Kind, Tag};
use support::http;
use support::media::{self, Enhanced};
use support::page;
use support::rtmpd::Rtmpd;
use support::turns::alone;
use support::webdriver::Browser;

// Each test in its turn: encoding a source takes all there is, and a browser then shows six frames a second.

/// Every source has a keyframe in so many frames.
const GOP: usize = 25;

#[test]
fn hevc_plays_packet_by_packet() {
    let _turn = alone();
    plays(&media::enhanced(Enhanced::HevcAac));
}

#[test]
fn av1_and_opus_play_packet_by_packet() {
    let _turn = alone();
    plays(&media::enhanced(Enhanced::Av1Opus));
}

#[test]
fn hevc_plays_under_codec_id_12_for_those_who_ask() {
    let _turn = alone();
    let rtmpd = Rtmpd::start();
    let publisher = publish(&media::enhanced(Enhanced::HevcAac), &rtmpd);
    let mut viewer = http::play(rtmpd.http(), "/live/cam1.flv?hevc=legacy");
    let header = viewer.find_tag("the sequence header", |tag| tag.body.starts_with(&[0x1C, 0, 0, 0, 0]));
    assert_eq!(header.body[5], 1, "an hvcC");
    viewer.find_tag("a keyframe", |tag| tag.body.starts_with(&[0x1C, 1]));
    viewer.find_tag("another frame", |tag| tag.body.starts_with(&[0x2C, 1]));
    drop(publisher);
}

#[test]
fn hdr_metadata_of_a_real_encoder_goes_to_those_who_can_take_it() {
    let _turn = alone();
    let rtmpd = Rtmpd::start();
    let publisher = publish(&media::enhanced(Enhanced::HdrHevc), &rtmpd);
    let play = |query| http::play(rtmpd.http(), &format!("/live/cam1.flv{query}"));
    let (mut raw, mut browser) = (play("?enhanced=raw"), play(""));
    let is_metadata = |tag: &Tag| tag.kind == Kind::Video && tag.body[0] & 0x8F == 0x84;
    let told = raw.find_tag("colours", is_metadata);
    assert!(told.body.windows(9).any(|part| part == b"colorInfo"), "{told:?}");
    let is_keyframe = |tag: &Tag| tag.kind == Kind::Video && [0x91, 0x93].contains(&tag.body[0]);
    raw.find_tag("a keyframe behind it", is_keyframe);
    browser.find_tag("a keyframe", |tag| {
        assert!(!is_metadata(tag), "mpegts.js ends with an error at it");
        is_keyframe(tag)
    });
    drop(publisher);
}

#[test]
fn of_several_tracks_the_first_plays_and_the_others_on_request() {
    let _turn = alone();
    let (rtmpd, source) = (Rtmpd::start(), media::enhanced(Enhanced::TwoTracks));
    let url = |query| rtmpd.play_url(&format!("/live/cam1.flv{query}"));
    let waiting = |query| Reader::start_by(Program::Current, &url(query), &[]);
    let raw = |map: &[&str]| Reader::start_by(Program::Current, &url("?enhanced=raw"), map);
    let (first, old, second) = (waiting(""), Reader::start(&url("")), waiting("?track=1"));
    let (raw_first, raw_second) = (raw(FIRST), raw(SECOND));
    let sound = waiting("?track=1&only=audio");
    let publisher = publish(&source, &rtmpd);

    for (reader, map) in
        [(first, FIRST), (old, FIRST), (second, SECOND), (raw_first, FIRST), (raw_second, SECOND)]
    {
        let got = reader.finish();
        let run = packets(&source, map).find_run(&keyframes(), &got);
        run.assert_to_end();
    }
    let sound = sound.finish();
    assert!(sound.video.is_empty());
    assert!(sound.audio.len() > 200, "{} packets of sound", sound.audio.len());
    publisher.finish();
}

#[test]
fn a_track_that_is_not_there_is_said_so() {
    let _turn = alone();
    let rtmpd = Rtmpd::start();
    let _publisher = publish(&media::enhanced(Enhanced::TwoTracks), &rtmpd);
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a frame", |tag| tag.is_frame());
    let answer = http::get(rtmpd.http(), "/live/cam1.flv?track=2");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text().trim(), "This stream has no such track.");
}

#[test]
fn chromium_plays_av1_with_opus() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::enhanced(Enhanced::LongAv1Opus));
    let publisher = publish(&source, &rtmpd);
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv?app=live&stream=cam1"));
    page::play(&browser);
    page::assert_plays(&browser, [320, 180]);
    let codecs = browser.run("return window.rtmpdPlayer.codecs;");
    assert_eq!(codecs, serde_json::json!(["AV1", "Opus"]));
    page::assert_no_complaints(&browser);
    drop(publisher);
    rtmpd.assert_sound();
}

#[test]
fn chromium_plays_the_first_of_several_tracks_and_another_one() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::enhanced(Enhanced::LongTwoTracks));
    let publisher = publish(&source, &rtmpd);
    for (query, size) in [("", [320, 180]), ("&track=1", [480, 270])] {
        let browser = Browser::start();
        browser.open(&rtmpd.play_url(&format!("/resource/httpflv?app=live&stream=cam1{query}")));
        page::play(&browser);
        page::assert_plays(&browser, size);
        page::assert_no_complaints(&browser);
    }
    drop(publisher);
    rtmpd.assert_sound();
}

#[track_caller]
fn plays(source: &Path) {
    let rtmpd = Rtmpd::start();
    let reader = Reader::start_by(Program::Current, &rtmpd.play_url("/live/cam1.flv"), &[]);
    let publisher = publish(source, &rtmpd);
    let run = packets(source, &[]).find_run(&keyframes(), &reader.finish());
    run.assert_from_start();
    run.assert_to_end();
    publisher.finish();
}

fn publish(source: &Path, rtmpd: &Rtmpd) -> Publisher {
    let map = if source.to_string_lossy().contains("two-tracks") { &["-map", "0"][..] } else { &[] };
    Publisher::start_file(Program::Current, &[], source, map, &rtmpd.publish_url("/live/cam1"))
}

fn packets(source: &Path, map: &[&str]) -> Packets {
    let packets = Reader::start_by(Program::Current, source.to_str().unwrap(), map).finish();
    assert!(!packets.video.is_empty() && !packets.audio.is_empty());
    packets
}

fn keyframes() -> Vec<usize> {
    (0..100).map(|number| number * GOP).collect()
}

const FIRST: &[&str] = &["-map", "0:v:0", "-map", "0:a:0"];
const SECOND: &[&str] = &["-map", "0:v:1", "-map", "0:a:1"];

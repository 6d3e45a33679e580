//! Chromium plays the page, as a person would have it play.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::Value;
use support::deadline::seconds;
use support::ffmpeg::Publisher;
use support::media;
use support::rtmpd::Rtmpd;
use support::webdriver::Browser;

#[test]
fn the_page_plays_a_named_stream_and_plays_it_again_when_it_comes_back() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv?app=live&stream=cam1"));
    play(&browser);
    assert_plays(&browser, [320, 180]);

    publisher.stop();
    browser.wait_for("the page to notice the end", seconds(20), STATE, |state| state != "playing");
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    browser.wait_for("the page to play again", seconds(20), STATE, |state| state == "playing");
    assert_plays(&browser, [320, 180]);

    drop(publisher);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

#[test]
fn the_page_waits_for_the_default_stream_and_plays_it() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::other_size());
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv"));
    click_play(&browser);
    browser.wait_for("the page to wait", seconds(20), STATE, |state| state == "waiting");
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url(""));
    browser.wait_for("the page to play", seconds(20), STATE, |state| state == "playing");
    assert_plays(&browser, [480, 270]);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

fn play(browser: &Browser) {
    click_play(browser);
    browser.wait_for("the page to play", seconds(20), STATE, |state| state == "playing");
}

fn click_play(browser: &Browser) {
    browser.wait_for("the page to be ready", seconds(20), STATE, |state| state == "idle");
    browser.click("#play");
}

/// Time advances by several seconds, new frames are decoded, and there is something to see.
#[track_caller]
fn assert_plays(browser: &Browser, size: [u64; 2]) {
    let before = browser.run(PROGRESS);
    let later = browser.wait_for("three more seconds of the stream", seconds(30), PROGRESS, |now| {
        number(now, "time") >= number(&before, "time") + 3.0
    });
    let decoded = number(&later, "frames") - number(&before, "frames");
    assert!(decoded >= 40.0, "{decoded} frames in three seconds: {before}, then {later}");
    assert_eq!(later["error"], Value::Null);
    assert_eq!([later["width"].as_u64(), later["height"].as_u64()], size.map(Some));

    let picture = browser.run(PICTURE);
    assert!(number(&picture, "mean") > 30.0, "the picture is black: {picture}");
    assert!(number(&picture, "deviation") > 15.0, "the picture is of one colour: {picture}");
}

/// Whether the console is free of errors. A page that waits for a stream asks for it and is told 404: that is none.
#[track_caller]
fn assert_no_complaints(browser: &Browser) {
    let complaints = browser.console().into_iter().filter(|line| line.starts_with("SEVERE"));
    let complaints: Vec<String> = complaints.filter(|line| !line.contains("status of 404")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[track_caller]
fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {object}"))
}

const STATE: &str = "return window.rtmpdPlayer?.state;";
const PROGRESS: &str = "
    const video = document.querySelector('video');
    return {
        time: video.currentTime,
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
        width: video.videoWidth,
        height: video.videoHeight,
        error: video.error && video.error.message,
    };";
/// Brightness of the picture, 0 to 255.
const PICTURE: &str = "
    const video = document.querySelector('video');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let [sum, squares, count] = [0, 0, pixels.length / 4];
    for (let at = 0; at < pixels.length; at += 4) {
        const bright = (pixels[at] + pixels[at + 1] + pixels[at + 2]) / 3;
        sum += bright;
        squares += bright * bright;
    }
    const mean = sum / count;
    return { mean, deviation: Math.sqrt(squares / count - mean * mean) };";

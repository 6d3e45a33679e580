//! The player page in a browser: what a person does and sees.

use serde_json::Value;

use super::deadline::seconds;
use super::webdriver::Browser;

pub fn play(browser: &Browser) {
    click_play(browser);
    browser.wait_for("the page to play", seconds(20), STATE, |state| state == "playing");
}

pub fn click_play(browser: &Browser) {
    browser.wait_for("the page to be ready", seconds(20), STATE, |state| state == "idle");
    browser.click("#play");
}

/// Time advances by several seconds, new frames are decoded, and there is something to see.
#[track_caller]
pub fn assert_plays(browser: &Browser, size: [u64; 2]) {
    let mut before = browser.run(PROGRESS);
    let later =
        browser.wait_for("three more seconds of the stream, in 40 frames", seconds(30), PROGRESS, |now| {
            if number(now, "time") < number(&before, "time") + 3.0 {
                return false;
            }
            let decoded = number(now, "frames") - number(&before, "frames");
            // A page that has fallen behind on a busy machine jumps to what is live, and plays on from there.
            before = now.clone();
            decoded >= 40.0
        });
    assert_eq!(later["error"], Value::Null);
    assert_eq!([later["width"].as_u64(), later["height"].as_u64()], size.map(Some));

    let picture = browser.run(PICTURE);
    assert!(number(&picture, "mean") > 30.0, "the picture is black: {picture}");
    assert!(number(&picture, "deviation") > 15.0, "the picture is of one colour: {picture}");
}

/// Whether the console is free of errors. A page that waits for a stream asks for it and is told 404: that is none.
#[track_caller]
pub fn assert_no_complaints(browser: &Browser) {
    let complaints = browser.console().into_iter().filter(|line| line.starts_with("SEVERE"));
    let complaints: Vec<String> = complaints.filter(|line| !line.contains("status of 404")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[track_caller]
pub fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {object}"))
}

pub const PAGE_IS_TOO_WIDE: &str =
    "return document.documentElement.scrollWidth > document.documentElement.clientWidth;";
pub const STATE: &str = "return window.rtmpdPlayer?.state;";
pub const PROGRESS: &str = "
    const video = document.querySelector('video');
    return {
        time: video.currentTime,
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
        width: video.videoWidth,
        height: video.videoHeight,
        error: video.error && video.error.message,
    };";
/// Brightness of the picture, 0 to 255.
pub const PICTURE: &str = "
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

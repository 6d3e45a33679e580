//! Chromium plays the page, as a person would have it play.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::deadline::seconds;
use support::ffmpeg::Publisher;
use support::media;
use support::page::{self, STATE, assert_no_complaints, assert_plays, play};
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
    page::click_play(&browser);
    browser.wait_for("the page to wait", seconds(20), STATE, |state| state == "waiting");
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url(""));
    browser.wait_for("the page to play", seconds(20), STATE, |state| state == "playing");
    assert_plays(&browser, [480, 270]);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

#[test]
fn the_page_plays_from_the_next_keyframe_on_and_from_anywhere() {
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    for start in ["key", "live"] {
        let browser = Browser::start();
        browser.open(&rtmpd.play_url(&format!("/resource/httpflv?app=live&stream=cam1&start={start}")));
        play(&browser);
        assert_plays(&browser, [320, 180]);
        assert_no_complaints(&browser);
    }
    rtmpd.assert_sound();
}

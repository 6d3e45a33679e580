//! The player page in Chromium, beyond that it plays: many at once, in frames, over WebSocket, and how far behind live.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::deadline::{seconds, wait_until};
use support::ffmpeg::Publisher;
use support::flv::{FlvReader, Kind, Tag};
use support::page::{PROGRESS, STATE, assert_no_complaints, assert_plays, number};
use support::rtmpd::Rtmpd;
use support::turns::alone;
use support::webdriver::Browser;
use support::{http, media};

const PAGE: &str = "/resource/httpflv?app=live&stream=cam1";

#[test]
fn twelve_players_in_frames_of_another_site_play_over_websocket() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a keyframe", Tag::is_keyframe);
    let browser = Browser::start();
    let player = rtmpd.play_url(&format!("{PAGE}&embed=1&autoplay=1&muted=1"));
    browser
        .open(&other_site(&format!("<iframe src='{player}' width=300 height=170></iframe>").repeat(PLAYERS)));
    let progress = |frame| {
        let state = browser.run_in_frame(frame, STATE);
        (state == "playing").then(|| number(&browser.run_in_frame(frame, PROGRESS), "time"))
    };
    for frame in 0..PLAYERS {
        let begun = wait_until("a player to play", seconds(60), || progress(frame));
        wait_until("it to go on", seconds(20), || progress(frame).filter(|time| *time > begun + 1.0));
    }
    browser.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("twelve-players.png"));
    let over_websocket = |line: &&String| line.contains("joins live/cam1 over WebSocket-FLV");
    let joined = rtmpd.log().all().iter().filter(over_websocket).count();
    assert!(joined >= PLAYERS, "{joined} have joined over WebSocket");
    for hidden in ["header", "footer", ".about", ".card"] {
        let script = format!("return document.querySelector('{hidden}').offsetHeight;");
        assert_eq!(browser.run_in_frame(0, &script), 0, "{hidden} of a bare player");
    }
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

#[test]
fn the_entry_page_cannot_be_framed() {
    let _turn = alone();
    let mut rtmpd = Rtmpd::start();
    let browser = Browser::start();
    let frame = |path| format!("<iframe src='{}'></iframe>", rtmpd.play_url(path));
    browser.open(&other_site(&[frame("/"), frame(PAGE)].concat()));
    let is_shown = |frame| browser.run_in_frame(frame, "return document.querySelector('main') !== null;");
    wait_until("the player", seconds(10), || (is_shown(1) == true).then_some(()));
    assert_eq!(is_shown(0), false);
    rtmpd.assert_sound();
}

#[test]
fn the_players_buttons_keys_and_choices_do_what_they_say() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    let browser = Browser::start();
    browser.open(&rtmpd.play_url(&format!("{PAGE}&autoplay=1&muted=1")));
    playing(&browser);
    let video = |property: &str| browser.run(&format!("return document.querySelector('video').{property};"));
    assert_eq!(video("muted"), true);
    browser.click("#mute");
    assert_eq!(video("muted"), false);
    browser.type_into("body", "m");
    assert_eq!(video("muted"), true);
    browser.run(
        "const v = document.querySelector('#volume'); v.value = 0.5; v.dispatchEvent(new Event('input'));",
    );
    assert_eq!((video("muted"), video("volume")), (json!(false), json!(0.5)));
    browser.type_into("#pause", ARROW_UP);
    assert_eq!(video("volume"), 0.6);
    browser
        .run("const v = document.querySelector('#volume'); v.value = 0; v.dispatchEvent(new Event('input'));");
    assert_eq!(video("muted"), true);
    browser.click("#mute");
    assert_eq!((video("muted"), video("volume")), (json!(false), json!(0.6)), "as loud as it was");

    browser.type_into("body", "k");
    assert_eq!(video("paused"), true);
    browser.wait_for("the button to offer play", seconds(5), LABEL_OF_PAUSE, |label| label == "Play");
    let stopped = number(&browser.run(PROGRESS), "time");
    let behind = "return window.rtmpdPlayer.delay;";
    browser.wait_for("it to fall behind", seconds(20), behind, |delay| delay.as_f64() > Some(3.5));
    browser.click("#live");
    browser.wait_for("it to be live again", seconds(20), behind, |delay| delay.as_f64() < Some(1.2));
    assert!(number(&browser.run(PROGRESS), "time") > stopped + 2.0);
    let shown = "return document.querySelector('#details').textContent;";
    browser.wait_for("the figures", seconds(5), shown, |text| {
        let text = text.as_str().unwrap();
        ["320 × 180", "H.264, AAC", " s behind live", " s buffered", " frames dropped"]
            .iter()
            .all(|part| text.contains(part))
    });

    let joined = |text: &str| rtmpd.log().all().iter().filter(|line| line.contains(text)).count();
    assert_eq!(joined("over HTTP-FLV"), 0);
    choose(&browser, "#transport", "http");
    wait_until("the player to be on HTTP", seconds(20), || (joined("over HTTP-FLV") == 1).then_some(()));
    playing(&browser);
    choose(&browser, "#start", "key");
    playing(&browser);
    assert_eq!(
        browser.run("return location.search;"),
        "?app=live&stream=cam1&autoplay=1&muted=1&transport=http&start=key"
    );
    assert_plays(&browser, [320, 180]);

    browser.click("#full");
    browser.wait_for("full screen", seconds(10), FULL_SCREEN, |is| is == true);
    browser.type_into("body", "f");
    browser.wait_for("no full screen", seconds(10), FULL_SCREEN, |is| is == false);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

#[test]
fn over_websocket_the_page_says_why_and_comes_back() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let browser = Browser::start();
    browser.open(&rtmpd.play_url(&format!("{PAGE}&autoplay=1&muted=1&wait=0")));
    browser.wait_for("the page to wait", seconds(20), STATE, |state| state == "waiting");
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    playing(&browser);
    publisher.stop();
    browser.wait_for("the page to notice the end", seconds(20), STATE, |state| state == "ended");
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    playing(&browser);
    assert_plays(&browser, [320, 180]);
    rtmpd.assert_sound();
}

#[test]
fn a_choice_made_while_the_player_reconnects_is_played() {
    let _turn = alone();
    let (rtmpd, source) = (Rtmpd::start(), media::long());
    let addresses = [rtmpd.rtmp(), rtmpd.http()].map(|address| address.to_string());
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    let browser = Browser::start();
    browser.open(&rtmpd.play_url(&format!("{PAGE}&autoplay=1&muted=1")));
    playing(&browser);
    rtmpd.signal("KILL");
    browser.wait_for("the page to reconnect", seconds(20), STATE, |state| state == "reconnecting");
    publisher.kill();
    let attempts = "return window.rtmpdPlayer.attempts;";
    browser.wait_for("a long pause between attempts", seconds(30), attempts, |count| count.as_u64() > Some(2));
    let again = Rtmpd::start_with(&["--rtmp", &addresses[0], "--http", &addresses[1]]);
    let _publisher = Publisher::start_looped(&source, &again.publish_url("/live/cam1"));
    choose(&browser, "#transport", "http");
    playing(&browser);
    assert_plays(&browser, [320, 180]);
}

#[test]
fn who_pauses_while_nothing_plays_is_left_alone() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    let browser = Browser::start();
    browser.open(&rtmpd.play_url(&format!("{PAGE}&autoplay=1&muted=1")));
    playing(&browser);
    publisher.stop();
    browser.wait_for("the page to notice the end", seconds(20), STATE, |state| state == "ended");
    browser.type_into("body", "l");
    browser.type_into("body", "k");
    browser.wait_for("the play button", seconds(5), STATE, |state| state == "idle");
    let _publisher = Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    let mut reader = http::play(rtmpd.http(), "/live/cam1.flv");
    let first = reader.find_tag("a keyframe", Tag::is_keyframe).timestamp;
    reader.find_tag("three seconds", |tag| tag.timestamp > first + 3000);
    assert_eq!(browser.run(STATE), "idle");
    browser.click("#play");
    playing(&browser);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

/// The clock in the demo's picture against what the server gives out at that moment; `RTMPD_DELAY_SECONDS` sets for how long.
#[test]
fn the_picture_stays_less_than_a_second_behind() {
    let _turn = alone();
    let long = env::var("RTMPD_DELAY_SECONDS").map_or(30, |text| text.parse().unwrap());
    let mut rtmpd = Rtmpd::start_with(&["--demo"]);
    let newest = follow_demo(&rtmpd);
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/resource/httpflv?app=live&stream=demo&autoplay=1&muted=1"));
    playing(&browser);
    let delay = || {
        let shown = browser.run(FRAME_IN_PICTURE).as_u64()?;
        // What the script's way back took counts, too.
        let behind = (newest.load(Ordering::Relaxed) + FRAMES - shown as usize) % FRAMES;
        Some(FRAME * behind as u32)
    };
    wait_until("the picture to catch up", seconds(10), || delay().filter(|delay| *delay < LIVE * 3 / 4));
    let (end, mut delays) = (Instant::now() + seconds(long), Vec::new());
    while Instant::now() < end {
        delays.extend(delay());
        thread::park_timeout(Duration::from_millis(200));
    }
    delays.sort_unstable();
    let (median, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!("{} looks in {long} s: median {median:?}, at most {most:?}", delays.len());
    assert!(delays.len() as u64 > 2 * long, "{} looks", delays.len());
    assert!(most < LIVE, "{delays:?}");
    assert_eq!(browser.run("return window.rtmpdPlayer.attempts;"), 0);
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

/// The address of a page on a server of its own, which ends with the test's process.
fn other_site(page: &str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html>{page}");
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _head = client.read(&mut [0; 8192]).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}/")
}

/// The number of the demo's frame that the server has given out last, told by its content.
fn follow_demo(rtmpd: &Rtmpd) -> Arc<AtomicUsize> {
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/static/demo.flv");
    let frames: Vec<_> = FlvReader::open(std::fs::File::open(clip).unwrap())
        .rest()
        .into_iter()
        .filter(|tag| tag.kind == Kind::Video && tag.is_frame())
        .collect();
    assert_eq!(frames.len(), FRAMES);
    let mut reader = http::play(rtmpd.http(), "/live/demo.flv");
    let newest = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&newest);
    thread::spawn(move || {
        while let Ok(Some(tag)) = reader.try_next_tag() {
            if let Some(number) = frames.iter().position(|frame| frame.body == tag.body) {
                shared.store(number, Ordering::Relaxed);
            }
        }
    });
    newest
}

#[track_caller]
fn playing(browser: &Browser) {
    browser.wait_for("the page to play", seconds(20), STATE, |state| state == "playing");
}

#[track_caller]
fn choose(browser: &Browser, selector: &str, value: &str) {
    let chosen = browser.run(&format!(
        "const list = document.querySelector('{selector}');
         list.value = '{value}';
         list.dispatchEvent(new Event('change'));
         return list.value;"
    ));
    assert_eq!(chosen, Value::from(value));
}

/// The white mark at the lower edge of the demo's card moves with each frame; the README has how.
const FRAME_IN_PICTURE: &str = "
    const video = document.querySelector('video');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [1280, 720];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(380, 442, 520, 1);
    const left = [...Array(520).keys()].findIndex((x) => data[4 * x] > 128 && data[4 * (x + 8)] > 128);
    return left < 0 ? null : Math.round(left * 200 / 504);";
const LABEL_OF_PAUSE: &str = "return document.querySelector('#pause').getAttribute('aria-label');";
const FULL_SCREEN: &str = "return document.fullscreenElement !== null;";
const ARROW_UP: &str = "\u{E013}";
const PLAYERS: usize = 12;
const FRAMES: usize = 200;
const FRAME: Duration = Duration::from_millis(40);
const LIVE: Duration = seconds(1);

//! The entry page in Chromium: the live streams as cards, as an operator sees them all day.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::deadline::seconds;
use support::ffmpeg::Publisher;
use support::numbered::{GENTLE, Numbered};
use support::page::{PAGE_IS_TOO_WIDE, assert_no_complaints};
use support::rtmpd::Rtmpd;
use support::scene::Scene;
use support::turns::alone;
use support::webdriver::Browser;
use support::{http, media};

const DESKTOP: [u32; 2] = [1280, 900];
const PHONE: [u32; 2] = [390, 844];

/// What each card says, by the stream's name; `picture` is how bright the still is, 0 to 255.
const CARDS: &str = "
    return Object.fromEntries([...document.querySelectorAll('.stream')].map((card) => {
        const text = (name) => card.querySelector(`[data-${name}]`).textContent;
        const canvas = card.querySelector('canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const bright = pixels.filter((_, at) => at % 4 < 3);
        return [text('name'), {
            state: text('state'), viewers: text('viewers'), format: text('format'), bitrate: text('bitrate'),
            blank: text('blank'), times: text('times'), health: text('health'),
            picture: bright.reduce((sum, value) => sum + value, 0) / bright.length,
            curve: card.querySelector('.line').getAttribute('d'),
        }];
    }));";

#[test]
fn three_streams_are_shown_light_and_dark_wide_and_narrow() {
    let _turn = alone();
    let (long, other) = (media::long(), media::other_size());
    let mut rtmpd = Rtmpd::start_with(&["--demo"]);
    let _publishers = [("/live/cam1", &long), ("/live/cam2", &other)]
        .map(|(path, source)| Publisher::start_looped(source, &rtmpd.publish_url(path)));
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/"));
    let formats = [
        ("live/cam1", "H.264 320 × 180 25 fps · AAC 44.1 kHz stereo"),
        ("live/cam2", "H.264 480 × 270 25 fps · AAC 44.1 kHz stereo"),
        ("live/demo", "H.264 1280 × 720 25 fps · AAC 48 kHz mono"),
    ];
    let cards = wait_for_cards(&browser, "three streams, pictures and curves", |cards| {
        cards.len() == 3
            && cards.values().all(|card| card["picture"].as_f64() > Some(20.0))
            && cards.values().all(|card| card["curve"].as_str().unwrap().contains('L'))
            && formats
                .iter()
                .all(|(name, format)| cards.get(*name).is_some_and(|card| card["format"] == *format))
    });
    for card in cards.values() {
        let said = ["state", "blank", "viewers"].map(|key| &card[key]);
        assert_eq!(said, [&json!("Live"), &json!(""), &json!("0")], "{card}");
        assert!(card["bitrate"].as_str().unwrap().ends_with("bit/s"), "{card}");
        assert!(card["times"].as_str().unwrap().contains("keyframe every "), "{card}");
    }
    for (size, device) in [(DESKTOP, "desktop"), (PHONE, "phone")] {
        for (is_dark, scheme) in [(true, "dark"), (false, "light")] {
            browser.emulate(size, is_dark);
            assert_eq!(browser.run(PAGE_IS_TOO_WIDE), false, "{device}");
            assert_eq!(browser.run(BACKGROUND_IS_DARK), is_dark, "{device} {scheme}");
            browser.screenshot(&screenshot(&format!("console-{device}-{scheme}")));
        }
    }
    assert_eq!(joins(&rtmpd), 0, "stills make no viewers");

    browser.emulate(DESKTOP, true);
    browser.click("#previews");
    browser.wait_for("all pictures to move", seconds(20), MOVING, |count| *count == 3);
    assert_no_complaints(&browser);
    browser.type_into(".stream:nth-child(2) [data-name]", ENTER);
    let page = "return location.pathname + location.search;";
    let player = "/resource/httpflv?app=live&stream=cam2";
    browser.wait_for("the player", seconds(20), page, |path| path == player);
    rtmpd.assert_sound();
}

#[test]
fn an_encoder_that_goes_and_comes_back_is_seen_to() {
    let _turn = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/"));
    browser.wait_for("nothing to be live", seconds(20), NOTHING_IS_LIVE, |shown| shown == true);
    let state = |wanted: &'static str| {
        wait_for_cards(&browser, wanted, |cards| {
            cards.get("live/cam1").is_some_and(|card| card["state"].as_str().unwrap().starts_with(wanted))
        });
    };
    let start = || Publisher::start_looped(&source, &rtmpd.publish_url("/live/cam1"));
    let publisher = start();
    state("Live");
    browser.run("document.querySelector('.stream').id = 'kept';");
    publisher.kill();
    state("Encoder gone for");
    let publisher = start();
    state("Live");
    assert_eq!(browser.run("return document.querySelector('.stream').id;"), "kept");
    publisher.stop();
    wait_for_cards(&browser, "the card to go", serde_json::Map::is_empty);
    let publisher = start();
    state("Live");
    publisher.stop();
    assert_no_complaints(&browser);
    rtmpd.assert_sound();
}

#[test]
fn a_server_that_goes_and_comes_back_is_seen_to() {
    let _turn = alone();
    let mut rtmpd = Rtmpd::start();
    let address = rtmpd.http().to_string();
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/"));
    browser.wait_for("nothing to be live", seconds(20), NOTHING_IS_LIVE, |shown| shown == true);
    assert!(rtmpd.terminate(seconds(5)).success());
    browser.wait_for("the page to say so", seconds(20), TROUBLE, |text| {
        text == "The server does not answer. Trying again…"
    });
    let _rtmpd = Rtmpd::start_with(&["--http", &address]);
    browser.wait_for("the page to find it again", seconds(20), TROUBLE, |text| text == "");
}

#[test]
fn markup_in_a_name_is_text_everywhere() {
    let _turn = alone();
    let mut rtmpd = Rtmpd::start();
    let name = "<img src=x onerror=\"document.title='fooled'\"> &amp; 'x'";
    let _publisher = Numbered::start(rtmpd.rtmp(), "live", name, GENTLE);
    let browser = Browser::start();
    browser.open(&rtmpd.play_url("/"));
    let shown = format!("live/{name}");
    wait_for_cards(&browser, "its card", |cards| cards.contains_key(&shown));
    browser.click(".stream summary");
    let addresses =
        browser.run("return [...document.querySelectorAll('.stream [data-text]')].map((e) => e.textContent);");
    let encoded = "%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'fooled'%22%3E%20%26amp%3B%20'x'";
    let texts: Vec<_> = addresses.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(texts.contains(&&*rtmpd.play_url(&format!("/live/{encoded}.flv"))), "{texts:#?}");
    assert!(texts.contains(&name), "as OBS's key, as it is: {texts:#?}");
    browser.click("[data-name]");
    let heading = "return location.pathname !== '/' && document.querySelector('h1').textContent;";
    browser.wait_for("the player's heading", seconds(20), heading, |text| *text == shown);
    for script in ["return document.images.length > 1;", "return document.title === 'fooled';"] {
        assert_eq!(browser.run(script), false, "{script}");
    }
    // It is no real video: the player says that it cannot play it, and not why in markup.
    let errors: Vec<_> =
        browser.console().into_iter().filter(|line| line.contains("Content Security Policy")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    rtmpd.assert_sound();
}

#[test]
fn addresses_are_copied() {
    let _turn = alone();
    let mut rtmpd = Rtmpd::start();
    let _publisher = Numbered::start(rtmpd.rtmp(), "live", "cam1", GENTLE);
    let browser = Browser::start();
    browser.allow_clipboard();
    browser.open(&rtmpd.play_url("/"));
    wait_for_cards(&browser, "the card", |cards| cards.contains_key("live/cam1"));
    browser.click(".stream summary");
    let rows =
        browser.run("return document.querySelectorAll('.stream .addresses li').length;").as_u64().unwrap();
    let http = rtmpd.http();
    let rtmp = format!("rtmp://127.0.0.1:{}/live", rtmpd.rtmp().port());
    let mut copied = Vec::new();
    for row in 1..=rows {
        browser.click(&format!(".stream .addresses li:nth-child({row}) button"));
        let clipboard = browser.run("return navigator.clipboard.readText();");
        copied.push(clipboard.as_str().unwrap().to_owned());
    }
    let embedded = copied.remove(3);
    assert!(
        embedded.starts_with(&format!(
            "<iframe src=\"http://{http}/resource/httpflv?app=live&amp;stream=cam1&amp;"
        ))
    );
    assert_eq!(
        copied,
        [
            format!("http://{http}/resource/httpflv?app=live&stream=cam1"),
            format!("http://{http}/live/cam1.flv"),
            format!("ws://{http}/live/cam1.flv"),
            format!("{rtmp}/cam1"),
            rtmp,
            "cam1".into(),
        ]
    );
    rtmpd.assert_sound();
}

/// What a hundred entry pages ask for in ten seconds, each the page itself first. A viewer must not notice.
#[test]
fn a_hundred_consoles_at_once_disturb_nobody() {
    let _turn = alone();
    let scene = Scene::start();
    let server = scene.rtmpd.http();
    let (answers, end) = (AtomicUsize::new(0), Instant::now() + seconds(10));
    thread::scope(|threads| {
        for _ in 0..CONSOLES {
            threads.spawn(|| {
                let ask = |path: &str| {
                    let reply = http::get(server, path);
                    assert_eq!(reply.status, 200, "{path}");
                    answers.fetch_add(1, Ordering::Relaxed);
                    assert!(!reply.text().is_empty());
                };
                for asset in ["/", "/static/site.css", "/static/console.js", "/api/v1/summaries"] {
                    ask(asset);
                }
                while Instant::now() < end {
                    ask("/api/v1/streams?history=1");
                    thread::park_timeout(PAGE_PAUSE);
                }
            });
        }
    });
    let answers = answers.into_inner();
    assert!(answers >= CONSOLES * 8, "{answers} answers");
    scene.ends_well();
}

#[track_caller]
fn wait_for_cards(
    browser: &Browser,
    what: &str,
    mut wanted: impl FnMut(&serde_json::Map<String, Value>) -> bool,
) -> serde_json::Map<String, Value> {
    let cards = browser.wait_for(what, seconds(40), CARDS, |cards| wanted(cards.as_object().unwrap()));
    cards.as_object().unwrap().clone()
}

fn joins(rtmpd: &Rtmpd) -> usize {
    rtmpd.log().all().iter().filter(|line| line.contains(" joins ")).count()
}

fn screenshot(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"))
}

const BACKGROUND_IS_DARK: &str = "
    const [red] = getComputedStyle(document.body).backgroundColor.match(/\\d+/);
    return Number(red) < 128;";
const MOVING: &str = "
    const videos = [...document.querySelectorAll('.stream video')];
    return videos.filter((video) => !video.hidden && video.currentTime > 0.5).length;";
const NOTHING_IS_LIVE: &str =
    "return window.rtmpdConsole?.looks > 0 && !document.querySelector('#nothing').hidden;";
const TROUBLE: &str = "return document.querySelector('#trouble').textContent;";
const ENTER: &str = "\u{E007}";
const CONSOLES: usize = 100;
const PAGE_PAUSE: Duration = Duration::from_secs(2);

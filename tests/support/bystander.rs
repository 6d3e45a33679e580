//! A publisher and a viewer who have nothing to do with the trouble, and whose every frame is timed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::deadline::{seconds, wait_until};
use super::http;
use super::numbered::{GENTLE, Numbered, Stamp, is_frame, now};
use super::rtmpd::Rtmpd;

pub struct Bystander {
    publisher: Numbered,
    watcher: Watcher,
    /// How many frames had come when the trouble began.
    calm: usize,
}

/// A viewer of numbered frames, which must come one by one; the end of the test cuts it off.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
}

/// What a viewer got.
#[derive(Default)]
struct Seen {
    /// How late each frame was.
    delays: Vec<Duration>,
    last: Option<u64>,
    /// The first thing that was not as it should be.
    fault: Option<String>,
}

impl Bystander {
    pub const APP: &str = "live";
    pub const NAME: &str = "bystander";
    pub const PLAY: &str = "/live/bystander.flv";
    pub const PUBLISH: &str = "/live/bystander";

    /// Plays a while undisturbed, to know what is usual.
    #[track_caller]
    pub fn start(rtmpd: &Rtmpd) -> Self {
        let publisher = Numbered::start(rtmpd.rtmp(), Self::APP, Self::NAME, GENTLE);
        let watcher = Watcher::start(rtmpd.http(), Self::PLAY);
        watcher.wait_for_frames(CALM);
        Self { publisher, calm: watcher.frames(), watcher }
    }

    /// A second viewer of the same stream.
    pub fn another_watcher(&self, rtmpd: &Rtmpd) -> Watcher {
        let watcher = Watcher::start(rtmpd.http(), Self::PLAY);
        watcher.wait_for_frames(1);
        watcher
    }

    /// How many frames its publisher has sent.
    pub fn sent(&self) -> u64 {
        self.publisher.sent()
    }

    /// Waits for `count` frames more.
    #[track_caller]
    pub fn wait_for_more(&self, count: usize) {
        self.watcher.wait_for_frames(self.watcher.frames() + count);
    }

    /// Everything that has been sent until now comes, and a quarter of a second's more; nothing was lost.
    #[track_caller]
    pub fn plays_on(&self) {
        assert!(!self.publisher.is_lost(), "the server has hung up on the bystander's publisher");
        self.watcher.wait_for_number(self.publisher.sent() + 12);
    }

    /// The same, and nothing since the beginning came late.
    #[track_caller]
    pub fn was_never_disturbed(&self) {
        self.plays_on();
        let delays = self.watcher.delays();
        let (calm, trouble) = delays.split_at(self.calm);
        let (calm, trouble) = (median_and_most(calm), median_and_most(trouble));
        println!("the bystander's delay, median and most: {calm:?} in calm, {trouble:?} in trouble");
        assert!(trouble.1 < MOST_DELAY, "a frame was {:?} late; {:?} in calm", trouble.1, calm.1);
        assert!(trouble.0 <= calm.0 + MEDIAN_NOISE, "median delay {:?}, then {:?}", calm.0, trouble.0);
    }

    /// Forgets what was late so far, where that was to be expected.
    pub fn forgives(&self) {
        self.plays_on();
        self.watcher.seen.lock().unwrap().delays.drain(self.calm..);
    }
}

impl Watcher {
    pub fn start(server: SocketAddr, path: &str) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (sink, path) = (Arc::clone(&seen), path.to_owned());
        thread::spawn(move || watch(server, &path, &sink));
        Self { seen }
    }

    /// How many frames have come.
    pub fn frames(&self) -> usize {
        self.seen.lock().unwrap().delays.len()
    }

    #[track_caller]
    pub fn wait_for_frames(&self, count: usize) {
        self.wait_until(|seen| seen.delays.len() >= count);
    }

    /// Waits for frame `number`, with none missing before it.
    #[track_caller]
    pub fn wait_for_number(&self, number: u64) {
        self.wait_until(|seen| seen.last.is_some_and(|last| last >= number));
    }

    fn delays(&self) -> Vec<Duration> {
        self.seen.lock().unwrap().delays.clone()
    }

    #[track_caller]
    fn wait_until(&self, has_come: impl Fn(&Seen) -> bool) {
        wait_until("frames to come", seconds(20), || {
            let seen = self.seen.lock().unwrap();
            assert_eq!(seen.fault, None, "after {} frames", seen.delays.len());
            has_come(&seen).then_some(())
        });
    }
}

fn watch(server: SocketAddr, path: &str, seen: &Mutex<Seen>) {
    let mut viewer = http::play(server, path);
    loop {
        let tag = match viewer.try_next_tag() {
            Ok(Some(tag)) => tag,
            Ok(None) => return seen.lock().unwrap().fail("the stream ended".into()),
            Err(fault) => return seen.lock().unwrap().fail(fault),
        };
        if is_frame(&tag) {
            let stamp = Stamp::of(&tag);
            seen.lock().unwrap().note(stamp, now().saturating_sub(stamp.due));
        }
    }
}

impl Seen {
    fn note(&mut self, stamp: Stamp, delay: Duration) {
        if let Some(last) = self.last
            && stamp.number != last + 1
        {
            self.fail(format!("frame {} came after frame {last}", stamp.number));
        }
        self.last = Some(stamp.number);
        self.delays.push(delay);
    }

    fn fail(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

fn median_and_most(delays: &[Duration]) -> (Duration, Duration) {
    let mut delays = delays.to_vec();
    delays.sort_unstable();
    (delays[delays.len() / 2], delays[delays.len() - 1])
}

/// Frames of the undisturbed while.
const CALM: usize = 20;

/// How late a frame may be.
const MOST_DELAY: Duration = Duration::from_millis(500);

/// What the usual delay may grow by: the test and its victim share the machine.
const MEDIAN_NOISE: Duration = Duration::from_millis(40);

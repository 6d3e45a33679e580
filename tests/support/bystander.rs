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
    seen: Arc<Mutex<Seen>>,
    /// How many frames had come when the trouble began.
    calm: usize,
}

/// What the viewer got.
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
        let seen = Arc::<Mutex<Seen>>::default();
        let (sink, server) = (Arc::clone(&seen), rtmpd.http());
        thread::spawn(move || watch(server, &sink));
        let mut bystander = Self { publisher, seen, calm: 0 };
        bystander.wait_for_frames(CALM);
        bystander.calm = bystander.frames();
        bystander
    }

    /// Frames that have come.
    pub fn frames(&self) -> usize {
        self.seen.lock().unwrap().delays.len()
    }

    #[track_caller]
    pub fn wait_for_frames(&self, count: usize) {
        wait_until("the bystander's frames", seconds(20), || {
            let seen = self.seen.lock().unwrap();
            assert_eq!(seen.fault, None, "after {} frames", seen.delays.len());
            (seen.delays.len() >= count).then_some(())
        });
    }

    /// Everything that has been sent until now comes, and a quarter of a second's more; nothing was lost.
    #[track_caller]
    pub fn plays_on(&self) {
        assert!(!self.publisher.is_lost(), "the server has hung up on the bystander's publisher");
        let sent = self.publisher.sent();
        wait_until("the bystander to play on", seconds(10), || {
            let seen = self.seen.lock().unwrap();
            assert_eq!(seen.fault, None, "after {} frames", seen.delays.len());
            seen.last.is_some_and(|last| last >= sent + 12).then_some(())
        });
    }

    /// The same, and nothing since the beginning came late.
    #[track_caller]
    pub fn was_never_disturbed(&self) {
        self.plays_on();
        let seen = self.seen.lock().unwrap();
        let (calm, trouble) = seen.delays.split_at(self.calm);
        let (calm, trouble) = (median_and_most(calm), median_and_most(trouble));
        println!("the bystander's delay, median and most: {calm:?} in calm, {trouble:?} in trouble");
        assert!(trouble.1 < MOST_DELAY, "a frame was {:?} late; {:?} in calm", trouble.1, calm.1);
        assert!(trouble.0 <= calm.0 + MEDIAN_NOISE, "median delay {:?}, then {:?}", calm.0, trouble.0);
    }

    /// Forgets what was late so far, where that was to be expected.
    pub fn start_anew(&mut self) {
        self.calm = self.frames();
    }
}

fn watch(server: SocketAddr, seen: &Mutex<Seen>) {
    let mut viewer = http::play(server, Bystander::PLAY);
    // The end of the test cuts it off.
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
const CALM: usize = 40;

/// How late a frame may be.
const MOST_DELAY: Duration = Duration::from_millis(500);

/// What the usual delay may grow by: the test and its victim share the machine.
const MEDIAN_NOISE: Duration = Duration::from_millis(40);

//! A publisher of numbered frames that carry the time they were due, so that a viewer can tell what is missing and
//! what is late.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::flv::{Kind, Tag};
use super::rtmp::{Amf, DATA, RtmpClient, VIDEO, amf_bytes};

/// How often frames come, and how large they are.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub interval: Duration,
    /// Frames from one keyframe to the next.
    pub group: u64,
    pub keyframe_bytes: usize,
    pub frame_bytes: usize,
}

/// Fifty small frames a second, two keyframes among them.
pub const GENTLE: Pace =
    Pace { interval: Duration::from_millis(20), group: 25, keyframe_bytes: 8000, frame_bytes: 2000 };

/// What a frame says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub number: u64,
    /// When it was due, on this process's clock.
    pub due: Duration,
}

/// Publishes at a steady pace until it is dropped.
pub struct Numbered {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    paused: AtomicBool,
    /// Whether the server has closed the connection.
    lost: AtomicBool,
    sent: AtomicU64,
}

impl Numbered {
    /// Publishes `app`/`name`.
    #[track_caller]
    pub fn start(server: SocketAddr, app: &str, name: &str, pace: Pace) -> Self {
        Self::try_start(server, app, name, pace).expect("the server accepts the publisher")
    }

    /// The same with a server that may refuse it; says why.
    pub fn try_start(server: SocketAddr, app: &str, name: &str, pace: Pace) -> Result<Self, String> {
        let mut client = RtmpClient::try_connect(server).map_err(|error| error.to_string())?;
        let stream = client.publish(app, name)?;
        // Video alone, so that nobody waits for sound.
        let tracks = [("videocodecid", Amf::Number(7.0))];
        let metadata = [Amf::Text("@setDataFrame"), Amf::Text("onMetaData"), Amf::Object(&tracks)];
        client.send(DATA, stream, 0, &amf_bytes(&metadata));
        client.send(VIDEO, stream, 0, &SEQUENCE_HEADER);
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || shared.publish(client, stream, pace));
        Ok(Self { state, thread: Some(thread) })
    }

    /// Keeps its connection and says nothing more until [`go_on`](Self::go_on).
    pub fn pause(&self) {
        self.state.paused.store(true, Ordering::Relaxed);
    }

    pub fn go_on(&self) {
        self.state.paused.store(false, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// How many frames it has sent.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// Whether the server has hung up on it.
    pub fn is_lost(&self) -> bool {
        self.state.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl State {
    fn publish(&self, mut client: RtmpClient, stream: u32, pace: Pace) {
        let start = now();
        let mut due = start;
        let mut number = 0;
        while !self.stopped.load(Ordering::Relaxed) {
            if self.paused.load(Ordering::Relaxed) {
                thread::park();
                due = now();
            }
            let left = due.saturating_sub(now());
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            let time = (due - start).as_millis() as u32;
            if client.try_send(VIDEO, stream, time, &frame(Stamp { number, due }, pace)).is_err() {
                return self.lost.store(true, Ordering::Relaxed);
            }
            number += 1;
            self.sent.store(number, Ordering::Relaxed);
            due += pace.interval;
        }
        // Nobody is to be held for it.
        client.say_goodbye(stream);
    }
}

impl Stamp {
    /// Reads the stamp of a frame.
    ///
    /// # Panics
    ///
    /// When the frame is not one of ours, whole.
    #[track_caller]
    pub fn of(tag: &Tag) -> Self {
        let (words, _) = tag.payload().as_chunks::<8>();
        let [number, due, .., last] = words else { panic!("{tag:?} is too short for a numbered frame") };
        let [number, due, last] = [number, due, last].map(|word| u64::from_be_bytes(*word));
        assert_eq!(number, last, "{tag:?} ends as another frame does");
        Self { number, due: Duration::from_micros(due) }
    }
}

/// Whether this is a frame that [`Stamp::of`] can read.
pub fn is_frame(tag: &Tag) -> bool {
    tag.kind == Kind::Video && tag.is_frame()
}

/// The time on this process's clock.
pub fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn frame(stamp: Stamp, pace: Pace) -> Vec<u8> {
    let is_key = stamp.number.is_multiple_of(pace.group);
    let (first, length) = if is_key { (0x17, pace.keyframe_bytes) } else { (0x27, pace.frame_bytes) };
    let mut body = vec![first, 1, 0, 0, 0];
    body.extend_from_slice(&stamp.number.to_be_bytes());
    body.extend_from_slice(&(stamp.due.as_micros() as u64).to_be_bytes());
    for _ in 0..(length / 8).saturating_sub(2).max(1) {
        body.extend_from_slice(&stamp.number.to_be_bytes());
    }
    body
}

/// H.264 as an encoder announces it; nobody here decodes it.
pub const SEQUENCE_HEADER: [u8; 18] =
    [0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 1, 0x67, 1, 0, 1, 0x68];

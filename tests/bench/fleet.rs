//! Many publishers, sent for by a few threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Options;
use crate::load::frames::{Epoch, Frame, Frames, Shape};
use crate::load::process::{Measured, Usage};
use crate::load::publisher::Outlet as _;
use crate::load::rtmp::Rtmp;
use crate::load::table::{Column, quantile_millis};

pub const COLUMNS: [Column; 12] = [
    Column("publishing", "publishers", 0),
    Column("lost", "publishers", 0),
    Column("cpu", "cores", 3),
    Column("cpu_each", "us/publisher/s", 1),
    Column("memory", "KB/publisher", 1),
    Column("threads", "", 0),
    Column("megabytes", "MB resident", 1),
    Column("peak", "MB resident", 1),
    Column("frames", "per second", 0),
    Column("sent", "Mbit/s", 0),
    Column("late_p99", "ms", 2),
    Column("generator_cpu", "cores", 2),
];

/// Threads that send, each for its share of the publishers.
const SENDERS: usize = 4;

/// From the last publisher's start to the begin of the measured time: streams have filled their windows by then.
const WARM_UP: Duration = Duration::from_secs(12);

/// What the threads are told.
#[derive(Default)]
struct Signals {
    measuring: AtomicBool,
    stop: AtomicBool,
}

/// What a thread has done.
#[derive(Default)]
struct Sent {
    publishing: usize,
    lost: usize,
    /// In the measured time.
    frames: u64,
    bytes: u64,
    /// How much later than it was due each frame was sent, in µs.
    late: Vec<u32>,
}

/// One publisher of a thread's.
struct Publisher {
    rtmp: Rtmp,
    frames: Frames,
    next: Frame,
    number: u64,
    start: Instant,
}

pub fn measure(options: &Options) -> io::Result<Vec<f64>> {
    let limit = ["--max-publishers".to_owned(), (options.publishers + 8).max(1000).to_string()];
    let (process, rtmp, _) = Measured::rtmpd(&limit)?;
    let idle = process.usage()?;
    let signals = &Signals::default();
    let time = Duration::from_secs(options.seconds);
    thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|sender| scope.spawn(move || send(options, rtmp, sender, signals))).collect();
        thread::sleep(WARM_UP);
        signals.measuring.store(true, Ordering::Relaxed);
        let begin = (process.usage(), Usage::of_this_process());
        thread::sleep(time);
        let end = (process.usage(), Usage::of_this_process());
        signals.stop.store(true, Ordering::Relaxed);
        let mut sent = Sent::default();
        for sender in senders {
            sent.add(sender.join().unwrap_or_else(|_| Err(io::Error::other("a sender panicked")))?);
        }
        Ok(figures(sent, time, idle, (begin.0?, end.0?), (begin.1?, end.1?)))
    })
}

fn figures(
    mut sent: Sent,
    time: Duration,
    idle: Usage,
    (begin, end): (Usage, Usage),
    (own_begin, own_end): (Usage, Usage),
) -> Vec<f64> {
    sent.late.sort_unstable();
    let seconds = time.as_secs_f64();
    let cpu = (end.cpu_seconds - begin.cpu_seconds) / seconds;
    let publishers = sent.publishing.max(1) as f64;
    vec![
        sent.publishing as f64,
        sent.lost as f64,
        cpu,
        cpu * 1e6 / publishers,
        end.resident_bytes.saturating_sub(idle.resident_bytes) as f64 / 1024.0 / publishers,
        end.threads as f64,
        end.resident_bytes as f64 / 1e6,
        end.peak_bytes as f64 / 1e6,
        sent.frames as f64 / seconds,
        sent.bytes as f64 * 8.0 / seconds / 1e6,
        quantile_millis(&sent.late, 0.99),
        (own_end.cpu_seconds - own_begin.cpu_seconds) / seconds,
    ]
}

/// Sends for every publisher whose turn it is, until told to stop.
fn send(options: &Options, server: SocketAddr, sender: usize, signals: &Signals) -> io::Result<Sent> {
    let epoch = Epoch::start();
    let mut publishers = Vec::new();
    for index in (sender..options.publishers).step_by(SENDERS) {
        let rtmp = Rtmp::publish(server, "live", &format!("stream{index}"), options.chunk_size)?;
        publishers.push(Publisher::new(rtmp, options.shape, index, options.publishers));
    }
    let mut sent = Sent { publishing: publishers.len(), ..Sent::default() };
    let turn = |publishers: &[Publisher], index: usize| Reverse((publishers[index].due(), index));
    let mut turns: BinaryHeap<_> = (0..publishers.len()).map(|index| turn(&publishers, index)).collect();
    while let Some(Reverse((due, index))) = turns.pop() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if signals.stop.load(Ordering::Relaxed) {
            break;
        }
        if signals.measuring.load(Ordering::Relaxed) {
            sent.count(&publishers[index].next, due);
        }
        match publishers[index].send(epoch) {
            Ok(()) => turns.push(turn(&publishers, index)),
            Err(error) => {
                eprintln!("publisher {index} lost: {error}");
                sent.publishing -= 1;
                sent.lost += 1;
            }
        }
    }
    Ok(sent)
}

impl Publisher {
    /// Publishers begin one after the other, so that their keyframes do not come all at once.
    fn new(rtmp: Rtmp, shape: Shape, index: usize, publishers: usize) -> Self {
        let gop = Duration::from_secs(1) * shape.gop / shape.frames_per_second;
        let start = Instant::now() + gop.mul_f64(index as f64 / publishers as f64);
        let mut frames = Frames::new(shape);
        let next = frames.following();
        Self { rtmp, frames, next, number: 0, start }
    }

    fn due(&self) -> Instant {
        self.start + Duration::from_millis(u64::from(self.next.timestamp))
    }

    fn send(&mut self, epoch: Epoch) -> io::Result<()> {
        let following = self.frames.following();
        let mut frame = std::mem::replace(&mut self.next, following);
        frame.stamp(self.number, epoch.now());
        self.number += 1;
        self.rtmp.send(frame)
    }
}

impl Sent {
    fn count(&mut self, frame: &Frame, due: Instant) {
        self.frames += 1;
        self.bytes += frame.payload.len() as u64;
        self.late.push(due.elapsed().as_micros() as u32);
    }

    fn add(&mut self, other: Self) {
        self.publishing += other.publishing;
        self.lost += other.lost;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.late.extend(other.late);
    }
}

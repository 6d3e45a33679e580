//! Many viewers of a fixed number in one event loop.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::load::frames::Epoch;
use crate::load::order::Counts;
use crate::load::response::Arrival;
use crate::load::viewer::{Request, State, Viewer};

/// How often slow viewers read.
const SLOW_TICK: Duration = Duration::from_millis(100);

/// How long the stalled ones' sockets are read at the very end: a connection that the server has closed ends behind
/// what had been sent until then.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Where the viewers go.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// One for each stream; `None` talks to the floor, which needs no request.
    pub paths: Option<Vec<String>>,
    pub websocket: bool,
}

/// Who the viewers are.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub viewers: usize,
    pub joins_per_second: f64,
    pub misbehaving: Misbehaving,
    /// What a slow viewer reads.
    pub slow_bytes_per_second: usize,
}

/// How many of a hundred viewers do not read as they should.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Misbehaving {
    /// Read nothing more after their first keyframe.
    pub stalled_percent: usize,
    /// Read too little for their stream.
    pub slow_percent: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Habit {
    Keen,
    Slow,
    Stalled,
}

/// When what is measured.
#[derive(Clone, Copy)]
pub struct Times {
    /// From the last join to the begin of the measured time.
    pub warm_up: Duration,
    pub measured: Duration,
}

/// What the viewers saw.
#[derive(Default)]
pub struct Seen {
    /// Well-behaved viewers that read to the end and got a keyframe.
    pub playing: usize,
    /// Well-behaved viewers whose response ended before.
    pub lost: usize,
    /// Viewers that stalled or were slow, and those of them that the server has closed.
    pub misbehaving: usize,
    pub given_up: usize,
    /// Viewers of any kind whose response made no sense.
    pub corrupt: usize,
    /// What the well-behaved viewers had.
    pub keen: Counts,
    /// What the others had.
    pub others: Counts,
    /// Under way, in µs, of well-behaved viewers' video frames in the measured time.
    pub latencies: Vec<u32>,
    /// From connect to the end of the first keyframe, in µs, of the same.
    pub first_keyframes: Vec<u32>,
}

/// A crowd at work.
struct Run<'a> {
    target: &'a Target,
    crowd: Crowd,
    epoch: Epoch,
    viewers: Vec<(Viewer, Habit)>,
    poll: Poll,
    buffer: Vec<u8>,
    /// When slow viewers read next.
    slow_tick: Instant,
    seen: Seen,
}

/// Runs a crowd. `measure` is called when the measured time begins and when it ends.
pub fn run<T>(
    target: &Target,
    crowd: Crowd,
    epoch: Epoch,
    times: Times,
    measure: impl Fn() -> io::Result<T>,
) -> io::Result<(Seen, T, T)> {
    let mut run = Run {
        target,
        crowd,
        epoch,
        viewers: Vec::with_capacity(crowd.viewers),
        poll: Poll::new()?,
        buffer: vec![0; 256 << 10],
        slow_tick: Instant::now(),
        seen: Seen::default(),
    };
    run.join_all()?;
    run.play_until(Instant::now() + times.warm_up)?;
    run.seen.latencies.clear();
    let begin = measure()?;
    run.play_until(Instant::now() + times.measured)?;
    let end = measure()?;
    run.look_a_last_time();
    Ok((run.count(), begin, end))
}

impl Run<'_> {
    fn join_all(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        while self.viewers.len() < self.crowd.viewers {
            let due = (begin.elapsed().as_secs_f64() * self.crowd.joins_per_second) as usize;
            while self.viewers.len() <= due && self.viewers.len() < self.crowd.viewers {
                self.join()?;
            }
            self.play_until(Instant::now() + Duration::from_millis(1))?;
        }
        Ok(())
    }

    fn join(&mut self) -> io::Result<()> {
        let index = self.viewers.len();
        let path = self.target.paths.as_ref().map(|paths| &paths[index % paths.len()][..]);
        let habit = self.crowd.habit(index);
        let place = (self.poll.registry(), Token(index));
        let request = path.map(|path| Request { path, websocket: self.target.websocket });
        let viewer = Viewer::join(self.target.address, request, habit != Habit::Keen, place)?;
        self.viewers.push((viewer, habit));
        Ok(())
    }

    fn play_until(&mut self, end: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(4096);
        loop {
            let now = Instant::now();
            if now >= self.slow_tick {
                self.read_slowly();
                self.slow_tick += SLOW_TICK;
            }
            if now >= end {
                return Ok(());
            }
            let wait = end.min(self.slow_tick).saturating_duration_since(now);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.event(event)?;
            }
        }
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let (viewer, habit) = &mut self.viewers[event.token().0];
        let (epoch, habit, seen) = (self.epoch, *habit, &mut self.seen);
        let had_begun = viewer.order.has_begun();
        viewer.on_event(event, &mut self.buffer, |frame| {
            if habit == Habit::Keen && frame.video {
                seen.latencies.push(under_way(frame, epoch));
            }
        });
        if !had_begun && viewer.order.has_begun() {
            match habit {
                Habit::Keen => seen.first_keyframes.push(viewer.connected.elapsed().as_micros() as u32),
                Habit::Slow | Habit::Stalled => viewer.turn_away(self.poll.registry())?,
            }
        }
        Ok(())
    }

    fn read_slowly(&mut self) {
        let bytes = (self.crowd.slow_bytes_per_second as f64 * SLOW_TICK.as_secs_f64()) as usize;
        let buffer = &mut self.buffer[..bytes.max(1)];
        for (viewer, habit) in &mut self.viewers {
            if *habit == Habit::Slow && viewer.state == State::Playing && viewer.order.has_begun() {
                viewer.read_once(buffer, |_| {});
            }
        }
    }

    fn look_a_last_time(&mut self) {
        let end = Instant::now() + LAST_LOOK;
        while Instant::now() < end {
            for (viewer, habit) in &mut self.viewers {
                if *habit != Habit::Keen {
                    viewer.read_all(&mut self.buffer, true, |_| {});
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn count(mut self) -> Seen {
        let seen = &mut self.seen;
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for (viewer, habit) in &self.viewers {
            let keen = *habit == Habit::Keen;
            if keen { &mut seen.keen } else { &mut seen.others }.add(&viewer.order.counts);
            seen.misbehaving += usize::from(!keen);
            if viewer.state != State::Playing {
                *ends.entry(format!("{habit:?} viewer: {:?}", viewer.state)).or_default() += 1;
            }
            match viewer.state {
                State::Corrupt(_) => seen.corrupt += 1,
                _ if viewer.order.counts.disordered > 0 => seen.corrupt += 1,
                State::Playing if keen => seen.playing += usize::from(viewer.order.has_begun()),
                State::Playing => {}
                _ if keen => seen.lost += 1,
                _ => seen.given_up += 1,
            }
        }
        for (end, count) in ends {
            eprintln!("{end}: {count} times");
        }
        self.seen
    }
}

fn under_way(frame: &Arrival, epoch: Epoch) -> u32 {
    (epoch.now().saturating_sub(frame.sent) / 1000) as u32
}

impl Crowd {
    fn habit(&self, index: usize) -> Habit {
        let Misbehaving { stalled_percent, slow_percent } = self.misbehaving;
        // A prime spreads the habits over the order of joins.
        let rank = index * 7919 % self.viewers * 100 / self.viewers;
        match rank {
            _ if rank < stalled_percent => Habit::Stalled,
            _ if rank < stalled_percent + slow_percent => Habit::Slow,
            _ => Habit::Keen,
        }
    }
}

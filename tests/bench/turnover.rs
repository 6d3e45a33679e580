//! Viewers that come and go.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use crate::load::order::Counts;
use crate::load::viewer::{Request, State, Viewer};

/// How long a viewer stays, in ms.
const STAY: RangeInclusive<u64> = 1_000..=15_000;

/// A fixed number of seats. Whoever leaves one makes room for the next.
pub struct Turnover {
    address: SocketAddr,
    path: String,
    seats: Vec<Seat>,
    poll: Poll,
    buffer: Vec<u8>,
    random: Random,
    tally: Tally,
}

struct Seat {
    viewer: Viewer,
    leaves: Instant,
}

/// What has become of all viewers together.
#[derive(Default)]
pub struct Tally {
    pub joined: u64,
    /// Went of their own accord.
    pub left: u64,
    /// Had the last chunk, because the publisher was gone, and asked again.
    pub ended: u64,
    /// Got no stream, or half of one, or nonsense: how often, by what it was.
    pub failed: BTreeMap<String, u64>,
    pub counts: Counts,
}

impl Turnover {
    /// Every seat is taken at once.
    pub fn begin(address: SocketAddr, path: &str, viewers: usize, seed: u64) -> io::Result<Self> {
        let mut turnover = Self {
            address,
            path: path.into(),
            seats: Vec::with_capacity(viewers),
            poll: Poll::new()?,
            buffer: vec![0; 256 << 10],
            random: Random(seed),
            tally: Tally::default(),
        };
        for index in 0..viewers {
            let seat = turnover.seat(index)?;
            turnover.seats.push(seat);
        }
        Ok(turnover)
    }

    pub fn play_until(&mut self, end: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            let wait = (end - now).min(Duration::from_millis(20));
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.seats[event.token().0].viewer.on_event(event, &mut self.buffer, |_| {});
            }
            self.change_seats()?;
        }
    }

    /// Viewers that have something to show now.
    pub fn playing(&self) -> usize {
        let plays = |seat: &&Seat| seat.viewer.state == State::Playing && seat.viewer.order.has_begun();
        self.seats.iter().filter(plays).count()
    }

    /// Everybody goes.
    pub fn finish(mut self) -> Tally {
        for seat in &self.seats {
            self.tally.note(&seat.viewer);
        }
        self.tally
    }

    fn change_seats(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for index in 0..self.seats.len() {
            let Seat { viewer, leaves } = &self.seats[index];
            if viewer.state != State::Playing || now >= *leaves {
                self.tally.note(viewer);
                self.seats[index] = self.seat(index)?;
            }
        }
        Ok(())
    }

    fn seat(&mut self, index: usize) -> io::Result<Seat> {
        let place = (self.poll.registry(), Token(index));
        let request = Request { path: &self.path, websocket: false };
        let viewer = Viewer::join(self.address, Some(request), false, place)?;
        self.tally.joined += 1;
        let leaves = Instant::now() + Duration::from_millis(self.random.within(STAY));
        Ok(Seat { viewer, leaves })
    }
}

impl Tally {
    fn note(&mut self, viewer: &Viewer) {
        self.counts.add(&viewer.order.counts);
        match viewer.state {
            State::Playing => self.left += 1,
            State::Ended => self.ended += 1,
            failed => *self.failed.entry(format!("{failed:?}")).or_default() += 1,
        }
    }
}

/// SplitMix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        range.start() + mixed % (range.end() - range.start() + 1)
    }
}

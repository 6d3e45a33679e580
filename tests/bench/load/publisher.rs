//! Publishers that send a stream at its pace.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtmpd::flv::tag::put_tag;
use rtmpd::media::Timestamp;

use super::frames::{Epoch, Frame, Frames, SESSION, Shape};

/// Where a paced stream goes.
pub trait Outlet: Send + Sized {
    fn send(&mut self, frame: Frame) -> io::Result<()>;

    /// Ends the stream as a publisher does that goes on purpose.
    fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a stream at its pace, on a thread of its own, until told to stop.
pub struct Publisher<O> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<O>>,
}

impl<O: Outlet + 'static> Publisher<O> {
    pub fn start(mut outlet: O, shape: Shape, epoch: Epoch, session: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let start = Instant::now();
            for (mut frame, number) in Frames::new(shape).zip(session * SESSION..) {
                let due = start + Duration::from_millis(u64::from(frame.timestamp));
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                frame.stamp(number, epoch.now());
                outlet.send(frame)?;
            }
            Ok(outlet)
        });
        Self { stop, thread }
    }

    /// Ends the stream. An error says that the server did so before.
    pub fn stop(self) -> io::Result<()> {
        self.take_outlet()?.finish()
    }

    /// The same without a word to the server.
    pub fn cut(self) -> io::Result<()> {
        self.take_outlet().map(drop)
    }

    fn take_outlet(self) -> io::Result<O> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the publisher panicked")))
    }
}

/// FLV tags as they are, for the floor.
pub struct Tags(pub TcpStream);

impl Outlet for Tags {
    fn send(&mut self, frame: Frame) -> io::Result<()> {
        let mut tag = Vec::new();
        put_tag(&mut tag, frame.kind, Timestamp(frame.timestamp), &frame.payload);
        self.0.write_all(&tag)
    }
}

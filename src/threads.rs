//! Named threads whose common end can be waited for, and that go on after a panic where many depend on them.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Stack of a thread that serves one connection or one queue. Nothing here recurses deeply: the deepest
/// path is an AMF0 value nested [`MAX_DEPTH`](crate::amf0::MAX_DEPTH) times.
const STACK: usize = 256 << 10;

/// From a panic to the next try: one that happens again and again must not take a core.
const RECOVERY: Duration = Duration::from_millis(100);

/// Runs `body` to its end, again after each panic. For threads on which more depends than the one peer that has
/// brought them down; what they were doing for it is lost, and `body` is to begin with a sound state.
pub(crate) fn persist(name: &str, mut body: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut body)).is_err() {
        log::error!("thread {name} panicked and begins anew; this is a bug in rtmpd, please report it");
        std::thread::sleep(RECOVERY);
    }
}

/// Threads that belong together. Each holds a sender on which nothing is ever sent: when the last one is gone
/// the channel is disconnected, and all have ended.
#[derive(Debug)]
pub(crate) struct Threads {
    alive: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

impl Threads {
    pub(crate) fn new() -> Self {
        let (alive, ended) = bounded(0);
        Self { alive, ended }
    }

    /// Starts a thread. The kernel shows the first 15 bytes of its name.
    pub(crate) fn spawn(
        &self,
        name: impl Into<String>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let alive = self.alive.clone();
        let whole = move || {
            let _alive = alive;
            body();
        };
        Builder::new().name(name.into()).stack_size(STACK).spawn(whole).map(drop)
    }

    /// Another handle on the same threads, for owners who start some of them.
    pub(crate) fn share(&self) -> Self {
        Self { alive: self.alive.clone(), ended: self.ended.clone() }
    }

    /// Waits until all threads have ended; returns whether they have by `deadline`. All other handles must be
    /// gone by then: they count as threads that may still be started.
    pub(crate) fn join(self, deadline: Instant) -> bool {
        drop(self.alive);
        matches!(self.ended.recv_deadline(deadline), Err(RecvTimeoutError::Disconnected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_panics_begins_anew() {
        let mut tries = 0;
        persist("test", || {
            tries += 1;
            assert!(tries == 3, "not yet");
        });
        assert_eq!(tries, 3);
    }
}

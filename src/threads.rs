//! Named threads whose common end can be waited for, and that go on after a panic where many depend on them.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

/// Stack of a thread that serves one connection or one queue. Nothing here recurses deeply: the deepest
/// path is an AMF0 value nested [`MAX_DEPTH`](crate::amf0::MAX_DEPTH) times.
const STACK: usize = 256 << 10;

/// From a panic to the next try: one that happens again and again must not take a core.
const RECOVERY: Duration = Duration::from_millis(100);

/// Runs `body` to its end, again after each panic. For threads on which more depends than the one peer that has
/// brought them down; what they were doing for it is lost, and `body` is to begin with a sound state.
fn persist(name: &str, mut body: impl FnMut()) {
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

    /// Starts a thread that begins anew after each panic: see [`persist`].
    pub(crate) fn spawn_persistent(
        &self,
        name: impl Into<String>,
        body: impl FnMut() + Send + 'static,
    ) -> io::Result<()> {
        let name = name.into();
        self.spawn(name.clone(), move || persist(&name, body))
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

/// How long a thread of a [`Pool`] waits for more to do.
const IDLE: Duration = Duration::from_secs(3);

type Job = Box<dyn FnOnce() + Send>;

/// Threads that each serve one connection after the other. A thread for each would begin with an arena of the
/// allocator that others have filled and left, and with every publisher that returns a little more memory would stay.
pub(crate) struct Pool {
    name: &'static str,
    threads: Threads,
    /// Without room: only a thread that waits takes a job.
    jobs: (Sender<Job>, Receiver<Job>),
    started: u64,
}

impl Pool {
    /// A pool whose threads belong to `threads`. They end soon after the pool is dropped and their work is done.
    pub(crate) fn new(name: &'static str, threads: Threads) -> Self {
        Self { name, threads, jobs: bounded(0), started: 0 }
    }

    /// Has a thread do this: one that waits, or a new one.
    pub(crate) fn run(&mut self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.jobs.0.try_send(Box::new(job))
        else {
            return Ok(());
        };
        self.started += 1;
        let jobs = self.jobs.1.clone();
        self.threads.spawn(format!("{}-{}", self.name, self.started), move || {
            job();
            while let Ok(job) = jobs.recv_timeout(IDLE) {
                job();
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn a_pool_has_waiting_threads_do_more_and_ends_them_with_it() {
        let threads = Threads::new();
        let mut pool = Pool::new("test", threads.share());
        let (sender, names) = bounded(1);
        let mut seen = HashSet::new();
        let again = (0..1000).any(|_| {
            let sender = sender.clone();
            pool.run(move || sender.send(thread::current().name().map(str::to_owned)).unwrap()).unwrap();
            let name = names.recv().unwrap().unwrap();
            assert!(name.starts_with("test-"), "{name}");
            !seen.insert(name) // A thread that had answered before the last run looked for one that waits.
        });
        assert!(again, "{} threads did one job each", pool.started);
        assert_eq!(pool.started, seen.len() as u64);
        drop(pool);
        assert!(threads.join(Instant::now() + IDLE / 2), "they end before their time when the pool has");
    }

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

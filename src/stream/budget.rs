//! What all streams hold together, against one bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes of bursts: those in the windows, and all that are alive. A burst that has left its window lives on
/// while a viewer is in the middle of it.
#[derive(Debug)]
pub(crate) struct Budget {
    in_windows: AtomicUsize,
    alive: AtomicUsize,
    limit: usize,
}

/// Counts one burst while it lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    budget: Arc<Budget>,
    bytes: usize,
    /// Whether it counts with the windows.
    in_window: bool,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { in_windows: AtomicUsize::new(0), alive: AtomicUsize::new(0), limit })
    }

    /// Counts a new burst.
    pub(super) fn ticket(self: &Arc<Self>, bytes: usize) -> Ticket {
        self.alive.fetch_add(bytes, Ordering::Relaxed);
        Ticket { budget: Arc::clone(self), bytes, in_window: false }
    }

    /// Counts a variant of a burst. It comes and goes with that, so it counts with the windows.
    pub(super) fn ticket_of_variant(self: &Arc<Self>, bytes: usize) -> Ticket {
        self.enter_window(bytes);
        self.alive.fetch_add(bytes, Ordering::Relaxed);
        Ticket { budget: Arc::clone(self), bytes, in_window: true }
    }

    pub(super) fn enter_window(&self, bytes: usize) {
        self.in_windows.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn leave_window(&self, bytes: usize) {
        self.in_windows.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the windows must let go of something.
    pub(super) fn is_exceeded_by_windows(&self) -> bool {
        self.in_windows.load(Ordering::Relaxed) > self.limit
    }

    /// Whether viewers hold too much that the windows have let go of.
    pub(super) fn is_exceeded(&self) -> bool {
        self.alive.load(Ordering::Relaxed) > self.limit
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.budget.alive.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.in_window {
            self.budget.leave_window(self.bytes);
        }
    }
}

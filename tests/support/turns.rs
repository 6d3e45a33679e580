//! Turns for tests that measure, or that load the machine: each runs alone among those of its binary.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub type Turn = MutexGuard<'static, ()>;

/// Waits for one's turn, which ends with what this returns.
pub fn alone() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has had its turn like any other.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

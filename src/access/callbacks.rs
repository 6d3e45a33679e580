use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Attempt, Denial, Denied};

/// What an embedding program says to an attempt.
pub(crate) type Callback = Arc<dyn Fn(&Attempt) -> Result<(), Denied> + Send + Sync>;

/// What an embedding program has a say in.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_publish: Option<Callback>,
    pub(crate) on_play: Option<Callback>,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks")
            .field("on_publish", &self.on_publish.is_some())
            .field("on_play", &self.on_play.is_some())
            .finish()
    }
}

/// Asks, if there is somebody to ask. Who panics has said no, and to this client alone.
pub(super) fn ask(callback: Option<&Callback>, attempt: &Attempt) -> Result<(), Denial> {
    let Some(callback) = callback else { return Ok(()) };
    let answer = catch_unwind(AssertUnwindSafe(|| callback(attempt)));
    answer.map_err(|_| Denial::Panicked)?.map_err(Denial::Program)
}

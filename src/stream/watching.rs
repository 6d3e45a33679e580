use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live::LiveStream;

/// A viewer's hold on a stream: counted while it lives.
#[derive(Debug)]
pub(crate) struct Watching {
    live: Arc<LiveStream>,
    behind: Option<Behind>,
}

impl Watching {
    /// Of one who joins, and is behind until he has caught up.
    pub(crate) fn new(live: Arc<LiveStream>) -> Self {
        live.viewers.fetch_add(1, Ordering::Relaxed);
        let behind = Some(Behind::new(Arc::clone(&live)));
        Self { live, behind }
    }

    /// Whether the viewer is sent each burst as it comes. As long as it is not, the window keeps more for it.
    pub(crate) fn set_keeps_up(&mut self, keeps_up: bool) {
        if keeps_up {
            self.behind = None;
        } else if self.behind.is_none() {
            self.behind = Some(Behind::new(Arc::clone(&self.live)));
        }
    }
}

impl std::ops::Deref for Watching {
    type Target = Arc<LiveStream>;

    fn deref(&self) -> &Self::Target {
        &self.live
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.live.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has the window keep what somebody who is behind still needs, while it lives.
#[derive(Debug)]
pub(super) struct Behind(Arc<LiveStream>);

impl Behind {
    pub(super) fn new(live: Arc<LiveStream>) -> Self {
        live.behind.fetch_add(1, Ordering::Relaxed);
        Self(live)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.behind.fetch_sub(1, Ordering::Relaxed);
    }
}

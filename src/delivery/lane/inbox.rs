//! How the slow lane hears of viewers and of streams while it waits for sockets.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::Waker;

use crate::delivery::client::Client;
use crate::delivery::hand_over;
use crate::delivery::viewer::Viewer;
use crate::stream::event::{Outlet, StreamEvent};

/// How many stream events may wait. Further ones are dropped; the next tick finds what they would have said.
const MAX_EVENTS: usize = 1024;

/// What the lane looks into after each wait.
pub(super) struct Inbox {
    pub(super) commands: Receiver<LaneCommand>,
    pub(super) events: Receiver<StreamEvent>,
    /// Where streams send their events.
    pub(super) outlet: Arc<dyn Outlet>,
}

impl Inbox {
    /// An inbox, and where commands are put into it; `waker` ends the lane's wait.
    pub(super) fn new(waker: Waker) -> (Self, LaneHandle) {
        let waker = Arc::new(waker);
        let (command_sender, commands) = unbounded();
        let (event_sender, events) = bounded(MAX_EVENTS);
        let outlet = Arc::new(LaneEvents { events: event_sender, waker: Arc::clone(&waker) });
        (Self { commands, events, outlet }, LaneHandle { commands: command_sender, waker })
    }
}

/// Where viewers are handed to the slow lane.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct LaneHandle {
    commands: Sender<LaneCommand>,
    waker: Arc<Waker>,
}

pub(in crate::delivery) enum LaneCommand {
    /// A client whose stream is not live yet.
    Wait(Client),
    /// A viewer with something unsent.
    Adopt(Box<Viewer>),
    /// End, at the latest by then.
    Stop(Instant),
}

impl LaneHandle {
    pub(in crate::delivery) fn send(&self, command: LaneCommand) {
        hand_over(&self.commands, command);
        wake(&self.waker);
    }
}

/// Where streams send the lane's events.
#[derive(Debug)]
struct LaneEvents {
    events: Sender<StreamEvent>,
    waker: Arc<Waker>,
}

impl Outlet for LaneEvents {
    fn notify(&self, event: StreamEvent) {
        if self.events.try_send(event).is_err() {
            log::debug!("the slow lane is behind by {MAX_EVENTS} events; it will catch up");
        }
        wake(&self.waker);
    }
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::warn!("cannot wake the slow lane, which goes on at its next tick: {error}");
    }
}

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, bounded, select, unbounded};

use super::backlog::{self, Batch};
use super::leave::LeaveReason;
use super::viewer::{Pumped, Scratch, Viewer};
use super::{Dispatch, QUANTUM, hand_over};
use crate::stream::event::{Outlet, StreamEvent};
use crate::stream::live::{LiveStream, StreamId};

/// How many events may wait for a worker. Further ones are dropped; it then catches up from the window.
const MAX_EVENTS: usize = 1024;

/// How often a worker notes how its viewers do, and looks at sockets on which nothing flows, and at streams whose end it may have missed.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// The senders' side of a worker's channels.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    viewers: Sender<Command>,
    load: Arc<AtomicU64>,
}

enum Command {
    Adopt(Box<Viewer>),
    Stop,
}

/// What one viewer adds to its worker's load, as long as it is there.
#[derive(Debug)]
pub(super) struct LoadShare {
    load: Arc<AtomicU64>,
    cost: u64,
}

impl LoadShare {
    fn new(load: &Arc<AtomicU64>, cost: u64) -> Self {
        load.fetch_add(cost, Ordering::Relaxed);
        Self { load: Arc::clone(load), cost }
    }
}

impl Drop for LoadShare {
    fn drop(&mut self) {
        self.load.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

/// Sends every burst to the viewers that it owns.
pub(super) struct Worker {
    /// Unbounded, for the number of viewers is bounded, and each is in one place.
    viewers: Receiver<Command>,
    events: Receiver<StreamEvent>,
    outlet: Arc<dyn Outlet>,
    groups: HashMap<StreamId, Group>,
    scratch: Scratch,
}

/// The viewers of one stream.
struct Group {
    live: Arc<LiveStream>,
    #[allow(clippy::vec_box, reason = "viewers move between threads, and a pointer moves faster")]
    viewers: Vec<Box<Viewer>>,
    last_burst: Instant,
}

/// Where streams send a worker's events.
#[derive(Debug)]
struct Events(Sender<StreamEvent>);

impl Outlet for Events {
    fn notify(&self, event: StreamEvent) {
        if self.0.try_send(event).is_err() {
            log::debug!("a worker is behind by {MAX_EVENTS} events; it will catch up from the window");
        }
    }
}

impl WorkerHandle {
    /// Nanoseconds per second that its viewers take together, roughly.
    pub(super) fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }

    /// Takes a viewer that costs so much.
    pub(super) fn adopt(&self, mut viewer: Box<Viewer>, cost: u64) {
        // Counted before it arrives, so that a storm of joins is shared out evenly.
        viewer.set_load(LoadShare::new(&self.load, cost));
        hand_over(&self.viewers, Command::Adopt(viewer));
    }

    pub(super) fn stop(&self) {
        hand_over(&self.viewers, Command::Stop);
    }
}

impl Worker {
    pub(super) fn new() -> (Self, WorkerHandle) {
        let (viewer_sender, viewers) = unbounded();
        let (event_sender, events) = bounded(MAX_EVENTS);
        let handle = WorkerHandle { viewers: viewer_sender, load: Arc::default() };
        let outlet = Arc::new(Events(event_sender));
        (Self { viewers, events, outlet, groups: HashMap::new(), scratch: Scratch::default() }, handle)
    }

    /// Serves viewers until it is stopped. Those that it has already when it begins were there when it panicked:
    /// what they have been sent is not certain any more.
    pub(super) fn run(&mut self, dispatch: &Dispatch) {
        for (_, group) in self.groups.drain() {
            group.live.detach(&self.outlet);
            group.viewers.into_iter().for_each(|viewer| viewer.leave(LeaveReason::Failure));
        }
        let mut look_around = after(LOOK_AROUND);
        loop {
            select! {
                recv(self.events) -> event => if let Ok(first) = event {
                    self.deliver(first, dispatch);
                },
                recv(self.viewers) -> command => match command {
                    Ok(Command::Adopt(viewer)) => self.adopt(viewer, dispatch),
                    Ok(Command::Stop) | Err(_) => return self.stop(dispatch),
                },
                recv(look_around) -> _ => {
                    self.look_around(dispatch);
                    look_around = after(LOOK_AROUND);
                }
            }
        }
    }

    /// Attaching before catching up loses nothing: a burst that comes in between is in the window and in the
    /// channel, and its number tells that it has been sent.
    fn adopt(&mut self, mut viewer: Box<Viewer>, dispatch: &Dispatch) {
        let live = Arc::clone(viewer.live());
        let outlet = &self.outlet;
        let group = self.groups.entry(live.id).or_insert_with(|| {
            live.attach(outlet);
            Group { live: Arc::clone(&live), viewers: Vec::new(), last_burst: Instant::now() }
        });
        let pumped = viewer.pump(&mut self.scratch, QUANTUM);
        if pumped == Pumped::CaughtUp {
            viewer.keeps_up();
            group.viewers.push(viewer);
        } else {
            self.pass_on(viewer, pumped, dispatch);
            self.drop_if_empty(live.id);
        }
    }

    /// Delivers what has come by now.
    fn deliver(&mut self, first: StreamEvent, dispatch: &Dispatch) {
        for Batch { stream, bursts } in backlog::take(first, &self.events) {
            if let Some(group) = self.groups.get_mut(&stream) {
                group.last_burst = Instant::now();
            }
            self.for_each_viewer(stream, dispatch, |viewer, scratch| viewer.send(&bursts, scratch));
        }
    }

    fn catch_up(&mut self, id: StreamId, dispatch: &Dispatch) {
        self.for_each_viewer(id, dispatch, |viewer, scratch| viewer.pump(scratch, QUANTUM));
    }

    /// Does something with each viewer of a stream and passes on those that do not stay.
    fn for_each_viewer(
        &mut self,
        id: StreamId,
        dispatch: &Dispatch,
        mut act: impl FnMut(&mut Viewer, &mut Scratch) -> Pumped,
    ) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let mut index = 0;
        let mut leaving = Vec::new();
        while let Some(viewer) = group.viewers.get_mut(index) {
            match act(viewer, &mut self.scratch) {
                Pumped::CaughtUp => index += 1,
                other => leaving.push((group.viewers.swap_remove(index), other)),
            }
        }
        for (viewer, pumped) in leaving {
            self.pass_on(viewer, pumped, dispatch);
        }
        self.drop_if_empty(id);
    }

    fn pass_on(&self, mut viewer: Box<Viewer>, pumped: Pumped, dispatch: &Dispatch) {
        match pumped {
            Pumped::Gone(reason) => viewer.leave(reason),
            _ => {
                viewer.leaves_worker();
                dispatch.to_lane(viewer);
            }
        }
    }

    fn drop_if_empty(&mut self, id: StreamId) {
        if let Some(group) = self.groups.get(&id).filter(|group| group.viewers.is_empty()) {
            group.live.detach(&self.outlet);
            self.groups.remove(&id);
        }
    }

    /// Notes how the viewers do, answers those who speak, and ends what is to end. Where nothing flows, nothing else tells
    /// that one has left.
    fn look_around(&mut self, dispatch: &Dispatch) {
        let now = Instant::now();
        let idle = |group: &Group| now.saturating_duration_since(group.last_burst) >= LOOK_AROUND;
        let ids: Vec<_> = self.groups.iter().map(|(id, group)| (*id, idle(group))).collect();
        for (id, idle) in ids {
            self.for_each_viewer(id, dispatch, |viewer, scratch| {
                viewer.observe(now);
                if idle || viewer.speaks() || viewer.is_kicked() {
                    viewer.attend(scratch)
                } else {
                    Pumped::CaughtUp
                }
            });
        }
    }

    /// The streams have ended: what viewers have not taken now is the slow lane's to send.
    fn stop(&mut self, dispatch: &Dispatch) {
        let ids: Vec<_> = self.groups.keys().copied().collect();
        ids.into_iter().for_each(|id| self.catch_up(id, dispatch));
    }
}

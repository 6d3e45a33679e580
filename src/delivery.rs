//! From a stream's bursts to the viewers' sockets.
//!
//! Waking a thread costs more than writing a tag, so viewers share a few *workers*: each owns its viewers and
//! writes every burst to them in turn, on non-blocking sockets. A viewer whose socket would block moves to the
//! *slow lane*, a single thread that waits for many sockets at once, and comes back when it has kept up for a
//! while. Those who wait for a stream that is not live yet sit in the slow lane, too, as entries with a
//! deadline. No thread ever waits for a viewer.

mod backlog;
mod client;
mod lane;
mod leave;
mod pace;
mod roster;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod totals;
mod unsent;
mod viewer;
mod websocket;
mod worker;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use self::client::Client;
use self::lane::{Lane, LaneCommand, LaneHandle};
use self::roster::Roster;
pub use self::roster::{ViewerState, ViewerStatus};
use self::totals::Counters;
pub use self::totals::ViewerTotals;
use self::viewer::{Pumped, Scratch, Viewer};
use self::worker::{Worker, WorkerHandle};
use crate::media::StreamName;
use crate::peer::Peer;
use crate::stream::burst::Framing;
use crate::stream::cursor::Start;
use crate::stream::headers::Wanted;
use crate::stream::registry::Registry;
use crate::stream::watching::Protocol;
use crate::threads::Threads;

/// How many bytes one viewer may be sent before it is the next one's turn.
const QUANTUM: usize = 512 << 10;

/// Nanoseconds of each second that a worker works before the next one gets viewers, too. One that writes to all in
/// turn costs less than several that do so side by side; but nobody shall wait for long until all others have had
/// their turn.
const BUSY: u64 = 150_000_000;

/// When a viewer that does not keep up is given up.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// Longest time without a byte sent while there is something to send.
    pub(crate) stall: Duration,
    /// Most skips within a minute.
    pub(crate) skips: u32,
}

/// Who wants to see what, and how to answer.
pub(crate) struct ViewerRequest {
    /// The viewer's own socket.
    pub(crate) socket: std::net::TcpStream,
    pub(crate) peer: Peer,
    /// Whatever counts the connection; dropped with it.
    pub(crate) permit: Box<dyn Send>,
    pub(crate) name: StreamName,
    pub(crate) protocol: Protocol,
    pub(crate) wanted: Wanted,
    pub(crate) framing: Framing,
    /// Where to begin in a live stream.
    pub(crate) start: Start,
    /// How long to wait for a stream that is not live.
    pub(crate) wait: Duration,
    pub(crate) answers: Arc<Answers>,
    /// What a WebSocket is answered when it joins, in place of the head of a live response: it is made for one key.
    pub(crate) upgraded: Option<Box<[u8]>>,
}

/// Whole responses or heads, ready to be sent.
#[derive(Debug)]
pub(crate) struct Answers {
    /// The head of a live response.
    pub(crate) live: Box<[u8]>,
    /// The stream is not live.
    pub(crate) not_found: Box<[u8]>,
    /// The stream does not have the track.
    pub(crate) no_track: Box<[u8]>,
    /// The stream's codecs do not go out in the form that is asked for.
    pub(crate) not_playable: Box<[u8]>,
    /// The server is shutting down.
    pub(crate) unavailable: Box<[u8]>,
}

/// The workers and the slow lane.
#[derive(Debug)]
pub(crate) struct Delivery {
    registry: Arc<Registry>,
    counters: Arc<Counters>,
    roster: Arc<Roster>,
    dispatch: Arc<Dispatch>,
    /// Of the workers and of the slow lane; gone once they have been shut down.
    threads: Mutex<Option<(Threads, Threads)>>,
}

/// Where viewers are handed over.
#[derive(Debug)]
pub(crate) struct Dispatch {
    workers: Vec<WorkerHandle>,
    /// See [`BUSY`].
    busy: u64,
    lane: LaneHandle,
}

impl Dispatch {
    /// Gives a viewer that has caught up to the first worker that has room, or else to the one with the least to do.
    fn to_worker(&self, viewer: Box<Viewer>) {
        let cost = viewer.cost();
        let with_room = self.workers.iter().find(|worker| worker.load() + cost <= self.busy);
        let least_busy = || self.workers.iter().min_by_key(|worker| worker.load());
        if let Some(worker) = with_room.or_else(least_busy) {
            worker.adopt(viewer, cost);
        }
    }

    /// Gives a viewer with something unsent to the slow lane.
    fn to_lane(&self, viewer: Box<Viewer>) {
        self.lane.send(LaneCommand::Adopt(viewer));
    }
}

impl Delivery {
    /// Starts `workers` workers and the slow lane.
    pub(crate) fn start(registry: Arc<Registry>, workers: usize, patience: Patience) -> io::Result<Self> {
        Self::start_sharing(registry, workers, BUSY, patience)
    }

    /// The same with workers that are busy at another load.
    fn start_sharing(
        registry: Arc<Registry>,
        workers: usize,
        busy: u64,
        patience: Patience,
    ) -> io::Result<Self> {
        let counters = Arc::<Counters>::default();
        let (mut lane, lane_handle) = Lane::new(Arc::clone(&registry), Arc::clone(&counters), patience)?;
        let (ready, handles): (Vec<_>, Vec<_>) = (0..workers.max(1)).map(|_| Worker::new()).unzip();
        let dispatch = Arc::new(Dispatch { workers: handles, busy, lane: lane_handle });
        let (worker_threads, lane_threads) = (Threads::new(), Threads::new());
        for (index, mut worker) in ready.into_iter().enumerate() {
            let dispatch = Arc::clone(&dispatch);
            worker_threads.spawn_persistent(format!("worker-{index}"), move || worker.run(&dispatch))?;
        }
        let lane_dispatch = Arc::clone(&dispatch);
        lane_threads.spawn_persistent("slow-lane", move || lane.run(&lane_dispatch))?;
        let (roster, threads) = (Arc::default(), Mutex::new(Some((worker_threads, lane_threads))));
        Ok(Self { registry, counters, roster, dispatch, threads })
    }

    /// Takes a viewer on. The first bytes go out in the calling thread, as many as the socket takes at once.
    pub(crate) fn serve(&self, request: ViewerRequest) {
        let (name, start, wait) = (request.name.clone(), request.start, request.wait);
        let client = match Client::new(request, Arc::clone(&self.counters), &self.roster) {
            Ok(client) => client,
            Err(error) => return log::debug!("viewer of {name} lost before it joined: {error}"),
        };
        match self.registry.joinable(&name) {
            Some(live) => {
                let Some(mut viewer) = Viewer::join(client, live, start) else { return };
                match viewer.pump(&mut Scratch::default(), QUANTUM) {
                    Pumped::CaughtUp => self.dispatch.to_worker(viewer),
                    Pumped::Blocked | Pumped::More => self.dispatch.to_lane(viewer),
                    Pumped::Gone(reason) => viewer.leave(reason),
                }
            }
            None if wait.is_zero() => client.refuse_not_found(),
            None => {
                let (peer, protocol) = (client.peer(), client.protocol);
                log::info!("viewer {peer} waits up to {} s for {name} over {protocol}", wait.as_secs());
                self.dispatch.lane.send(LaneCommand::Wait(client));
            }
        }
    }

    /// Everybody who watches or waits, in the order in which they came.
    pub(crate) fn viewers(&self) -> Vec<ViewerStatus> {
        self.roster.viewers(Instant::now())
    }

    /// Ends a viewer's response within a second, with its last chunk; gives its address, if it is there.
    pub(crate) fn kick(&self, viewer: u64) -> Option<Peer> {
        self.roster.kick(viewer)
    }

    /// Bits that the viewers of each stream are sent each second, together.
    pub(crate) fn bitrates(&self) -> HashMap<StreamName, u64> {
        self.roster.bitrates()
    }

    /// What has become of all viewers so far.
    pub(crate) fn totals(&self) -> ViewerTotals {
        self.counters.totals()
    }

    /// Ends every response and all threads; returns whether that was done by `deadline`. The streams must have
    /// been ended before. Viewers that do not take their last bytes in time are cut off.
    pub(crate) fn shutdown(&self, deadline: Instant) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((workers, lane)) = threads else { return true };
        self.dispatch.workers.iter().for_each(WorkerHandle::stop);
        let workers_ended = workers.join(deadline);
        // Only now: workers hand their slow viewers over to the lane as they end.
        self.dispatch.lane.send(LaneCommand::Stop(deadline));
        lane.join(deadline + Duration::from_millis(100)) && workers_ended
    }
}

/// Sends to a thread that outlives all who send to it, but for the last moments of a shutdown.
fn hand_over<T>(sender: &Sender<T>, command: T) {
    if sender.send(command).is_err() {
        log::debug!("a viewer came during shutdown and was closed");
    }
}

mod inbox;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use self::inbox::Inbox;
pub(super) use self::inbox::{LaneCommand, LaneHandle};
use super::client::{Client, Presence};
use super::leave::LeaveReason;
use super::totals::Counters;
use super::viewer::{Pumped, Scratch, Viewer};
use super::{Dispatch, Patience, QUANTUM};
use crate::stream::cursor::Start;
use crate::stream::event::StreamEvent;
use crate::stream::live::{LiveStream, StreamId};
use crate::stream::registry::Registry;

/// How many socket events are taken at a time.
const MAX_SOCKET_EVENTS: usize = 1024;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);

/// How long nothing must have flowed before one who sends nothing any more counts as gone.
const QUIET: Duration = Duration::from_secs(1);

const WAKE: Token = Token(usize::MAX);

/// Serves all who cannot be served in turn: viewers with something unsent, and those whose stream is not live.
pub(super) struct Lane {
    registry: Arc<Registry>,
    counters: Arc<Counters>,
    patience: Patience,
    poll: Poll,
    inbox: Inbox,
    entries: HashMap<Token, Entry>,
    next_token: usize,
    groups: HashMap<StreamId, Group>,
    /// Who can be sent something now.
    ready: VecDeque<Token>,
    next_tick: Instant,
    /// Set once the lane is to end.
    stop_by: Option<Instant>,
    scratch: Scratch,
}

enum Entry {
    Waiting { client: Client },
    Slow { viewer: Box<Viewer>, state: State },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the queue of those who can be sent something.
    Ready,
    /// Until the socket takes more.
    Blocked,
    /// Until there is more to send.
    Idle,
}

/// What the lane knows of one stream.
struct Group {
    live: Arc<LiveStream>,
    members: usize,
    /// Who has everything there is. Nobody else needs to hear of new bursts.
    idle: Vec<Token>,
    /// Whether the stream's events come here.
    attached: bool,
}

impl Lane {
    pub(super) fn new(
        registry: Arc<Registry>,
        counters: Arc<Counters>,
        patience: Patience,
    ) -> io::Result<(Self, LaneHandle)> {
        let poll = Poll::new()?;
        let (inbox, handle) = Inbox::new(Waker::new(poll.registry(), WAKE)?);
        registry.watch(Arc::clone(&inbox.outlet));
        let lane = Self {
            registry,
            counters,
            patience,
            poll,
            inbox,
            entries: HashMap::new(),
            next_token: 0,
            groups: HashMap::new(),
            ready: VecDeque::new(),
            next_tick: Instant::now() + TICK,
            stop_by: None,
            scratch: Scratch::default(),
        };
        Ok((lane, handle))
    }

    /// Serves its viewers until it is stopped. Viewers that it has already when it begins were there when it
    /// panicked: what they have been sent is not certain any more. Those who wait have been sent nothing.
    pub(super) fn run(&mut self, dispatch: &Dispatch) {
        self.drop_viewers();
        let mut socket_events = Events::with_capacity(MAX_SOCKET_EVENTS);
        while !self.is_over() {
            if let Err(error) = self.poll.poll(&mut socket_events, Some(self.time_to_wait()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("slow lane: cannot wait for sockets: {error}");
            }
            for event in &socket_events {
                self.socket_event(event);
            }
            self.take_commands();
            self.take_events();
            self.serve_ready(dispatch);
            if Instant::now() >= self.next_tick {
                self.tick();
            }
        }
        for (_, entry) in self.entries.drain() {
            match entry {
                Entry::Waiting { client } => client.refuse_unavailable(),
                Entry::Slow { viewer, .. } => viewer.leave(LeaveReason::CutOff),
            }
        }
    }

    fn drop_viewers(&mut self) {
        let viewers: Vec<_> = self.entries.extract_if(|_, entry| matches!(entry, Entry::Slow { .. })).collect();
        for (_, entry) in viewers {
            if let Entry::Slow { viewer, .. } = entry {
                viewer.leave(LeaveReason::Failure);
            }
        }
        self.groups.drain().for_each(|(_, group)| group.live.detach(&self.inbox.outlet));
        self.ready.clear();
    }

    fn is_over(&self) -> bool {
        self.stop_by.is_some_and(|deadline| self.entries.is_empty() || Instant::now() >= deadline)
    }

    fn time_to_wait(&self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let until = self.stop_by.map_or(self.next_tick, |deadline| deadline.min(self.next_tick));
        until.saturating_duration_since(Instant::now())
    }

    fn socket_event(&mut self, event: &mio::event::Event) {
        let token = event.token();
        let is_input = event.is_readable() || event.is_error();
        let presence = match self.entries.get_mut(&token) {
            Some(Entry::Waiting { client }) if is_input => Some(client.presence()),
            Some(Entry::Slow { viewer, state: State::Idle }) if is_input => Some(viewer.presence()),
            _ => None,
        };
        match self.entries.get_mut(&token) {
            Some(Entry::Waiting { client }) if presence.is_some_and(|presence| presence != Presence::Here) => {
                log::info!("viewer {} stopped waiting for {}", client.peer(), client.name);
                self.entries.remove(&token);
            }
            // One who has only closed his sending side may still be reading.
            Some(Entry::Slow { state: State::Idle, .. }) if presence == Some(Presence::Gone) => {
                self.leave(token, LeaveReason::Left);
            }
            // A write tells what is wrong with a socket that has an error.
            Some(Entry::Slow { state, .. })
                if *state == State::Blocked && (event.is_writable() || event.is_error()) =>
            {
                *state = State::Ready;
                self.ready.push_back(token);
            }
            _ => {}
        }
    }

    fn take_commands(&mut self) {
        while let Ok(command) = self.inbox.commands.try_recv() {
            match command {
                LaneCommand::Wait(client) if self.stop_by.is_some() => client.refuse_unavailable(),
                // Looked up after it was handed over: a stream that became joinable meanwhile is found here,
                // one that becomes so from now on sends an event.
                LaneCommand::Wait(client) => self.admit(client),
                LaneCommand::Adopt(viewer) => self.add_viewer(viewer),
                LaneCommand::Stop(deadline) => self.stop(deadline),
            }
        }
    }

    fn take_events(&mut self) {
        while let Ok(event) = self.inbox.events.try_recv() {
            match event {
                // Those who wait for one that has ended since go on waiting.
                StreamEvent::Ready(live) if live.ended().is_some() => {}
                StreamEvent::Ready(live) => {
                    let waited = self.take_waiting(|client| client.name == live.name);
                    waited.into_iter().for_each(|client| self.admit(client));
                }
                StreamEvent::Burst(id, _) | StreamEvent::Ended(id) => self.rouse(id),
            }
        }
    }

    /// Viewers that had everything have something to be sent again.
    fn rouse(&mut self, id: StreamId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        for token in group.idle.drain(..) {
            if let Some(Entry::Slow { state, .. }) = self.entries.get_mut(&token) {
                *state = State::Ready;
                self.ready.push_back(token);
            }
        }
    }

    /// One turn for each who can be sent something.
    fn serve_ready(&mut self, dispatch: &Dispatch) {
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else { return };
            let Some(Entry::Slow { viewer, state }) = self.entries.get_mut(&token) else { continue };
            match viewer.pump(&mut self.scratch, QUANTUM) {
                Pumped::More => self.ready.push_back(token),
                Pumped::Blocked => *state = State::Blocked,
                Pumped::Gone(reason) => self.leave(token, reason),
                Pumped::CaughtUp if viewer.is_steady(Instant::now()) && self.stop_by.is_none() => {
                    if let Some(viewer) = self.remove_viewer(token) {
                        log::debug!("viewer {viewer} keeps up again");
                        dispatch.to_worker(viewer);
                    }
                }
                Pumped::CaughtUp => {
                    let Some(group) = self.groups.get_mut(&viewer.live().id) else { continue };
                    if group.attached {
                        *state = State::Idle;
                        group.idle.push(token);
                    } else {
                        // Another turn after attaching: a burst may have come just before.
                        group.live.attach(&self.inbox.outlet);
                        group.attached = true;
                        self.ready.push_back(token);
                    }
                }
            }
        }
    }

    fn add_waiting(&mut self, mut client: Client) {
        let token = self.new_token();
        match self.poll.registry().register(&mut client.socket, token, Interest::READABLE) {
            Ok(()) => {
                self.entries.insert(token, Entry::Waiting { client });
            }
            Err(error) => {
                log::warn!("viewer {} refused: cannot wait for its socket: {error}", client.peer());
                client.refuse_unavailable();
            }
        }
    }

    fn add_joining(&mut self, client: Client, live: Arc<LiveStream>) {
        if let Some(viewer) = Viewer::join(client, live, Start::First) {
            self.add_viewer(viewer);
        }
    }

    fn add_viewer(&mut self, mut viewer: Box<Viewer>) {
        let token = self.new_token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(viewer.socket_mut(), token, interest) {
            log::warn!("slow lane: cannot wait for a viewer's socket: {error}");
            return viewer.leave(LeaveReason::CutOff);
        }
        let live = viewer.live();
        let new = || Group { live: Arc::clone(live), members: 0, idle: Vec::new(), attached: false };
        self.groups.entry(live.id).or_insert_with(new).members += 1;
        self.entries.insert(token, Entry::Slow { viewer, state: State::Ready });
        self.ready.push_back(token);
    }

    fn remove_viewer(&mut self, token: Token) -> Option<Box<Viewer>> {
        let Some(Entry::Slow { mut viewer, .. }) = self.entries.remove(&token) else { return None };
        let _gone_with_it = self.poll.registry().deregister(viewer.socket_mut());
        let id = viewer.live().id;
        if let Some(group) = self.groups.get_mut(&id) {
            group.members -= 1;
            if group.members == 0 {
                group.live.detach(&self.inbox.outlet);
                self.groups.remove(&id);
            }
        }
        Some(viewer)
    }

    fn leave(&mut self, token: Token, reason: LeaveReason) {
        if let Some(viewer) = self.remove_viewer(token) {
            viewer.leave(reason);
        }
    }

    fn new_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Looks at every deadline, and at every stream for what its lost events would have told.
    fn tick(&mut self) {
        let now = Instant::now();
        self.next_tick = now + TICK;
        self.registry.end_overdue(now);
        let registry = Arc::clone(&self.registry);
        self.take_waiting(|client| client.listing.is_kicked()).into_iter().for_each(Client::kick);
        for client in self.take_waiting(|client| {
            now >= client.listing.waits_until() && registry.joinable(&client.name).is_none()
        }) {
            client.refuse_not_found();
        }
        for client in self.take_waiting(|client| registry.joinable(&client.name).is_some()) {
            self.admit(client);
        }
        self.give_up_slow(now);
        for group in self.groups.values_mut().filter(|group| group.attached && group.idle.is_empty()) {
            group.live.detach(&self.inbox.outlet);
            group.attached = false;
        }
        let ids: Vec<_> = self.groups.keys().copied().collect();
        ids.into_iter().for_each(|id| self.rouse(id));
    }

    /// Lets those go who take nothing or too little, and those who have left while nothing flowed. Reads what
    /// WebSocket viewers have sent.
    fn give_up_slow(&mut self, now: Instant) {
        let short_of_memory = self.registry.is_short_of_memory();
        let (mut leaving, mut slow) = (Vec::new(), 0);
        for (token, entry) in &mut self.entries {
            if let Entry::Slow { viewer, .. } = entry {
                viewer.observe(now);
                let shows_it = viewer.speaks() || viewer.live().silence(now) >= QUIET;
                let has_left = shows_it && viewer.presence() != Presence::Here;
                let left = has_left.then_some(LeaveReason::Left);
                let reason = left.or_else(|| viewer.exhausts(&self.patience, short_of_memory, now));
                leaving.extend(reason.map(|reason| (*token, reason)));
                slow += 1;
            }
        }
        self.counters.set_lane(slow, self.entries.len() - slow);
        leaving.into_iter().for_each(|(token, reason)| self.leave(token, reason));
    }

    /// No more waiting; slow viewers may finish until the deadline.
    fn stop(&mut self, deadline: Instant) {
        self.stop_by = Some(deadline);
        self.take_waiting(|_| true).into_iter().for_each(Client::refuse_unavailable);
    }

    /// Takes those out whose wait is over.
    fn take_waiting(&mut self, is_over: impl Fn(&Client) -> bool) -> Vec<Client> {
        let over = |_: &Token, entry: &mut Entry| match entry {
            Entry::Waiting { client } => is_over(client),
            Entry::Slow { .. } => false,
        };
        let taken: Vec<_> = self.entries.extract_if(over).collect();
        let clients = taken.into_iter().filter_map(|(_, entry)| match entry {
            Entry::Waiting { mut client } => {
                let _gone_with_it = self.poll.registry().deregister(&mut client.socket);
                Some(client)
            }
            Entry::Slow { .. } => None,
        });
        clients.collect()
    }

    /// A client that has waited, or just come, joins its stream if that is live. One that has ended in this very moment, or
    /// begins anew, is waited for on.
    fn admit(&mut self, client: Client) {
        match self.registry.joinable(&client.name) {
            Some(live) => self.add_joining(client, live),
            None => self.add_waiting(client),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! RTMP connections: a listener, and one thread for each publisher that moves bytes between its socket, its
//! [`Session`](crate::rtmp::session::Session) and its stream.

mod connection;
mod end;
mod feed;
mod transport;
mod unfinished;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::unfinished::Unfinished;
use crate::access::Access;
use crate::admission::{Admission, Permit};
use crate::config::{Config, Takeover, Timeouts};
use crate::listener::{Acceptor, Listener, Stopper};
use crate::occasional::Occasional;
use crate::peer::Peer;
use crate::proxy::TrustedProxies;
use crate::stream::registry::Registry;
use crate::threads::{Pool, Threads};

/// How long a read waits, so that what is due by time is done while nothing comes.
const TICK: Duration = Duration::from_millis(100);

/// The RTMP side of a server.
#[derive(Debug)]
pub(crate) struct Ingest {
    connections: Arc<Admission>,
    stopper: Stopper,
    threads: Threads,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    registry: Arc<Registry>,
    access: Arc<Access>,
    takeover: Takeover,
    timeouts: Timeouts,
    proxies: TrustedProxies,
    unfinished: Arc<Unfinished>,
    stopper: Stopper,
    /// Where players belong, for those who try to play over RTMP.
    http_port: u16,
}

impl Ingest {
    /// Starts accepting publishers.
    pub(crate) fn start(
        listener: Listener,
        registry: Arc<Registry>,
        config: &Config,
        access: Arc<Access>,
        http_port: u16,
    ) -> io::Result<Self> {
        let mut acceptor = Acceptor::new(listener)?;
        let stopper = acceptor.stopper();
        let limits = &config.limits;
        let shared = Arc::new(Shared {
            registry,
            access,
            takeover: config.takeover,
            timeouts: config.timeouts.clone(),
            proxies: TrustedProxies::new(&config.trusted_proxies),
            unfinished: Unfinished::new(limits.unfinished_bytes),
            stopper: stopper.clone(),
            http_port,
        });
        let admission = Admission::new("RTMP", limits.rtmp_connections, limits.rtmp_connections_per_address);
        let counted = Arc::clone(&admission);
        let threads = Threads::new();
        let mut connections = Pool::new("rtmp", threads.share());
        threads.spawn_persistent("rtmp-accept", move || {
            accept(&mut acceptor, &shared, &admission, &mut connections);
        })?;
        Ok(Self { connections: counted, stopper, threads })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Tells every publisher, and lets no new one in.
    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits for all threads; returns whether they ended by `deadline`.
    pub(crate) fn join(self, deadline: Instant) -> bool {
        self.threads.join(deadline)
    }
}

fn accept(acceptor: &mut Acceptor, shared: &Arc<Shared>, admission: &Arc<Admission>, threads: &mut Pool) {
    let mut refusals = Occasional::default();
    while let Some((socket, peer)) = acceptor.accept() {
        match admission.admit(peer.ip(), shared.proxies.trusts(peer.ip())) {
            Ok(permit) => begin(socket, peer, permit, shared, threads, &mut refusals),
            Err(refusal) => {
                refusals.say(|more| log::warn!("RTMP connection from {peer} refused: {refusal}{more}"));
                let _already_gone = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

fn begin(
    socket: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    shared: &Arc<Shared>,
    threads: &mut Pool,
    refusals: &mut Occasional,
) {
    let shared = Arc::clone(shared);
    let body = move || connection::serve(socket, Peer::direct(peer), permit, shared);
    if let Err(error) = threads.run(body) {
        refusals
            .say(|more| log::error!("RTMP connection from {peer} refused: no thread for it: {error}{more}"));
    }
}

//! RTMP connections: a listener (and one for RTMPS), and one thread for each publisher that moves bytes between its socket, its
//! [`Session`](crate::rtmp::session::Session) and its stream.

mod connection;
mod end;
mod feed;
mod flaps;
mod transport;
mod unfinished;

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::flaps::Flaps;
use self::unfinished::Unfinished;
use crate::access::Access;
use crate::admission::Admission;
use crate::config::{Config, Takeover, Timeouts};
use crate::listener::{Acceptor, Listener, Stopper};
use crate::occasional::{Occasional, Refusals};
use crate::peer::Peer;
use crate::proxy::TrustedProxies;
use crate::stream::registry::Registry;
use crate::threads::{Pool, Threads};
use crate::tls::Certificate;

/// How long a read waits, so that what is due by time is done while nothing comes.
const TICK: Duration = Duration::from_millis(100);

/// The RTMP side of a server.
#[derive(Debug)]
pub(crate) struct Ingest {
    connections: Arc<Admission>,
    stoppers: Vec<Stopper>,
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
    refusals: Refusals,
    flaps: Flaps,
    /// Where players belong, for those who try to play over RTMP.
    http_port: u16,
}

impl Ingest {
    /// Starts accepting publishers; those of `rtmps` over TLS.
    pub(crate) fn start(
        rtmp: Listener,
        rtmps: Option<(Listener, Arc<Certificate>)>,
        registry: Arc<Registry>,
        config: &Config,
        access: Arc<Access>,
        http_port: u16,
    ) -> io::Result<Self> {
        let acceptor = Acceptor::new(rtmp)?;
        let stopper = acceptor.stopper();
        let limits = &config.limits;
        let shared = Arc::new(Shared {
            registry,
            access,
            takeover: config.takeover,
            timeouts: config.timeouts.clone(),
            proxies: TrustedProxies::new(&config.trusted_proxies),
            unfinished: Unfinished::new(limits.unfinished_bytes),
            stopper,
            refusals: Refusals::default(),
            flaps: Flaps::default(),
            http_port,
        });
        let admission = Admission::new("RTMP", limits.rtmp_connections, limits.rtmp_connections_per_address);
        let mut ingest = Self { connections: admission, stoppers: Vec::new(), threads: Threads::new() };
        ingest.accept_from("rtmp", acceptor, &shared, None)?;
        if let Some((listener, certificate)) = rtmps {
            ingest.accept_from("rtmps", Acceptor::new(listener)?, &shared, Some(certificate))?;
        }
        Ok(ingest)
    }

    fn accept_from(
        &mut self,
        name: &'static str,
        mut acceptor: Acceptor,
        shared: &Arc<Shared>,
        certificate: Option<Arc<Certificate>>,
    ) -> io::Result<()> {
        self.stoppers.push(acceptor.stopper());
        let (shared, admission) = (Arc::clone(shared), Arc::clone(&self.connections));
        let mut threads = Pool::new(name, self.threads.share());
        self.threads.spawn_persistent(format!("{name}-accept"), move || {
            accept(&mut acceptor, &shared, &admission, &mut threads, certificate.as_ref());
        })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Tells every publisher, and lets no new one in.
    pub(crate) fn stop(&self) {
        self.stoppers.iter().for_each(Stopper::stop);
    }

    /// Waits for all threads; returns whether they ended by `deadline`.
    pub(crate) fn join(self, deadline: Instant) -> bool {
        self.threads.join(deadline)
    }
}

fn accept(
    acceptor: &mut Acceptor,
    shared: &Arc<Shared>,
    admission: &Arc<Admission>,
    threads: &mut Pool,
    certificate: Option<&Arc<Certificate>>,
) {
    let mut refusals = Occasional::default();
    while let Some((socket, peer)) = acceptor.accept() {
        match admission.admit(peer.ip(), shared.proxies.trusts(peer.ip())) {
            Ok(permit) => {
                let (shared, certificate) = (Arc::clone(shared), certificate.cloned());
                let body = move || {
                    connection::serve(socket, Peer::direct(peer), permit, shared, certificate.as_deref());
                };
                if let Err(error) = threads.run(body) {
                    refusals.say(|more| {
                        log::error!("RTMP connection from {peer} refused: no thread for it: {error}{more}");
                    });
                }
            }
            Err(refusal) => {
                refusals.say(|more| log::warn!("RTMP connection from {peer} refused: {refusal}{more}"));
                let _already_gone = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

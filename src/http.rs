//! HTTP: a gate that lets in what is harmless, tiny_http behind it, and the viewers' own sockets.
//!
//! ```text
//! client -> gate -> private socket -> tiny_http -> worker: a page or an error -> gate -> client
//!                                                          a live stream -> the client's own socket -> delivery
//! ```
//!
//! tiny_http's `Server` parses, queues and answers every request, but no client ever reaches it: the
//! [`gate`] reads each request's head within a time and a length, refuses what could harm, and passes it on over
//! a private socket. A worker that finds a live stream asked for *takes* the client's own socket from the
//! gate, and no thread is tied to it from then on.

mod answer;
mod api;
mod front;
mod gate;
mod head;
mod health;
mod metrics;
mod page;
mod parked;
mod preflight;
mod private;
mod routes;
mod upgrade;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use self::api::Identity;
use self::front::{Context, Front};
use self::gate::Gate;
use self::parked::Parked;
use self::upgrade::Origins;
use crate::access::Access;
use crate::admission::Admission;
use crate::config::Config;
use crate::delivery::{Answers, Delivery};
use crate::error::Error;
use crate::listener::{Listener, Stopper};
use crate::occasional::Refusals;
use crate::stream::burst::Framing;
use crate::stream::registry::Registry;
use crate::threads::Threads;

/// How many of tiny_http's requests are answered at a time. None takes long: what waits, waits elsewhere.
const FRONT_WORKERS: usize = 3;

/// The HTTP side of a server.
#[derive(Debug)]
pub(crate) struct Http {
    connections: Arc<Admission>,
    gate_stopper: Stopper,
    gate: Threads,
    front: Arc<Front>,
    front_threads: Threads,
}

impl Http {
    /// Starts accepting viewers. `rtmp` and `rtmps` are where publishers connect.
    pub(crate) fn start(
        listener: Listener,
        (rtmp, rtmps): (SocketAddr, Option<SocketAddr>),
        config: &Config,
        access: Arc<Access>,
        registry: Arc<Registry>,
        delivery: Arc<Delivery>,
    ) -> Result<Self, Error> {
        let parked = Arc::new(Parked::default());
        let front = Arc::new(Front::new().map_err(Error::start("the private HTTP server"))?);
        let answers = |framing| -> Arc<Answers> { Arc::new(answer::for_viewer(framing, config.cors)) };
        let context = Arc::new(Context {
            access,
            registry,
            delivery,
            parked: Arc::clone(&parked),
            start: config.start,
            wait: config.wait,
            max_wait: config.timeouts.max_wait,
            cors: config.cors,
            origins: Origins { listed: config.ws_origins.clone(), cors: config.cors },
            rtmp,
            rtmps,
            identity: Identity::new(),
            refusals: Refusals::default(),
            chunked: answers(Framing::Chunked),
            plain: answers(Framing::Plain),
        });
        let front_threads = Threads::new();
        for index in 0..FRONT_WORKERS {
            let (front, context) = (Arc::clone(&front), Arc::clone(&context));
            front_threads
                .spawn_persistent(format!("http-{index}"), move || front.work(&context))
                .map_err(Error::start("an HTTP worker"))?;
        }
        let mut gatekeeper = Gate::new(listener, config, parked, Arc::clone(&front))
            .map_err(Error::start("the HTTP listener"))?;
        let (connections, gate_stopper) = (gatekeeper.connections(), gatekeeper.stopper());
        let gate = Threads::new();
        gate.spawn_persistent("http-gate", move || gatekeeper.run())
            .map_err(Error::start("the HTTP listener"))?;
        Ok(Self { connections, gate_stopper, gate, front, front_threads })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections.count()
    }

    /// Lets no new connection in.
    pub(crate) fn stop_accepting(&self) {
        self.gate_stopper.stop();
    }

    /// Ends what is left, once [`stop_accepting`](Self::stop_accepting) was called; returns whether all
    /// threads have ended by `deadline`. tiny_http's own ones follow within seconds.
    pub(crate) fn join(self, deadline: Instant) -> bool {
        let gate_ended = self.gate.join(deadline);
        self.front.stop(FRONT_WORKERS);
        self.front_threads.join(deadline) && gate_ended
    }
}

/// Takes a request as the gate and the front do, for the fuzz target: what is let through must be harmless.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_request(received: &[u8]) {
    let Ok(Some(vetted)) = head::vet(received) else { return };
    assert!(vetted.head_length <= head::MAX_HEAD.min(received.len()) && vetted.body_length <= head::MAX_BODY);
    let harmless = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    assert!(vetted.rewritten.bytes().all(harmless), "{:?}", vetted.rewritten);
    let again = head::vet(format!("{}\r\n", vetted.rewritten).as_bytes());
    // But for what the gate says itself.
    let ours = format!("\r\n{}: {}\r\n", head::UPGRADE_HEADER, head::CONNECTION_UPGRADE);
    let expected = vetted.rewritten.replace(&ours, "\r\n");
    assert!(matches!(&again, Ok(Some(again)) if again.rewritten == expected), "{again:?}");
    let mut words = vetted.rewritten.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if let Ok(routes::Route::Live { name, .. }) =
        routes::route(method, target, std::time::Duration::from_secs(60), ["/"].into_iter())
    {
        assert!(
            name.as_str().len() < crate::media::MAX_STREAM_NAME && !name.as_str().contains(char::is_control)
        );
    }
    let _ = routes::is_media(target);
}

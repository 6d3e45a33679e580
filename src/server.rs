//! The whole server: started, looked at, and shut down.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::{Access, Attempt, Callbacks, Denied, PlaySecret};
use crate::config::{Config, Limits, MIN_DESCRIPTORS};
use crate::deadline::after;
use crate::delivery::{Delivery, Patience, ViewerStatus, ViewerTotals};
use crate::demo::{self, CLIP, Clip, Demo, Program};
use crate::error::Error;
use crate::http::Http;
use crate::ingest::Ingest;
use crate::listener::Listener;
use crate::media::StreamName;
use crate::room::{self, Room};
use crate::stream::registry::Registry;
use crate::stream::{PublisherTotals, StreamSettings, StreamStatus, Subscription};
use crate::tls::Certificate;

/// How much of a shutdown's time viewers have for their last bytes; the rest is for the threads to end.
const VIEWERS_SHARE: f64 = 0.8;

/// Where a server is set up. See [`Server::builder`].
#[derive(Debug, Clone, Default)]
pub struct Server {
    config: Config,
    callbacks: Callbacks,
    demo: Option<(StreamName, &'static Clip)>,
}

/// A running server. Dropping it shuts the server down as [`shutdown`](Self::shutdown) does, with a deadline
/// of a second.
#[derive(Debug)]
pub struct ServerHandle {
    rtmp: SocketAddr,
    rtmps: Option<SocketAddr>,
    http: SocketAddr,
    registry: Arc<Registry>,
    limits: Limits,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    ingest: Ingest,
    web: Http,
    delivery: Arc<Delivery>,
    demo: Option<Demo>,
}

/// Not everything had ended by the deadline of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("some threads had not ended by the deadline")]
pub struct ShutdownTimeout;

impl Server {
    /// A server with default settings: RTMP on port 1935 and HTTP on port 8090 of every address.
    pub fn builder() -> Self {
        Self::default()
    }

    /// Where publishers connect. Port 0 takes any free one; [`ServerHandle::rtmp_addr`] tells which.
    #[must_use]
    pub fn rtmp(mut self, address: impl Into<SocketAddr>) -> Self {
        self.config.rtmp = address.into();
        self
    }

    /// Where publishers connect over TLS; nowhere by default. Needs [`tls`](Self::tls). Port 0 takes any free one;
    /// [`ServerHandle::rtmps_addr`] tells which.
    #[must_use]
    pub fn rtmps(mut self, address: impl Into<SocketAddr>) -> Self {
        self.config.rtmps = Some(address.into());
        self
    }

    /// The files of the certificate for TLS and of its key: see [`Config::tls_cert`].
    #[must_use]
    pub fn tls(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.config.tls_cert, self.config.tls_key) = (Some(cert.into()), Some(key.into()));
        self
    }

    /// Where viewers connect. Port 0 takes any free one; [`ServerHandle::http_addr`] tells which.
    #[must_use]
    pub fn http(mut self, address: impl Into<SocketAddr>) -> Self {
        self.config.http = address.into();
        self
    }

    /// All settings at once.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes some settings.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Has every publish asked about that keys and networks allow. A refusal's text is what the client is told, and logged.
    ///
    /// `check` runs on the thread of that publisher's connection, which is not served meanwhile, so it must not take
    /// long; a shutdown waits for it, too. Should it panic, that publisher is refused.
    ///
    /// ```
    /// use rtmpd::Server;
    /// use rtmpd::access::Denied;
    ///
    /// let server = Server::builder().on_publish(|attempt| match attempt.parameter("token") {
    ///     Some("let me in") => Ok(()),
    ///     _ => Err(Denied::new("Unknown token: ask for another.")),
    /// });
    /// ```
    #[must_use]
    pub fn on_publish(
        mut self,
        check: impl Fn(&Attempt) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.callbacks.on_publish = Some(Arc::new(check));
        self
    }

    /// Has every request to play over HTTP asked about that networks and signature allow, `HEAD` among them, whether the
    /// stream is live or not. A refusal is a 403 with its text.
    ///
    /// `check` runs on one of the few threads that answer all of HTTP, so it must be quick: who asks a database there
    /// keeps other viewers from joining. Should it panic, that viewer is refused.
    #[must_use]
    pub fn on_play(mut self, check: impl Fn(&Attempt) -> Result<(), Denied> + Send + Sync + 'static) -> Self {
        self.callbacks.on_play = Some(Arc::new(check));
        self
    }

    /// Lets streams be played by links alone that are signed with this secret.
    #[must_use]
    pub fn play_secret(mut self, secret: PlaySecret) -> Self {
        self.config.access.play_secret = Some(secret);
        self
    }

    /// Publishes a clip that comes with rtmpd as this stream, again and again without a seam: a test card with a clock (H.264,
    /// 1280 x 720, 25 frames a second, a keyframe each second) and a beep each second (AAC, 48 kHz, mono). It comes in over
    /// RTMP like any other, and no key, network or [`on_publish`](Self::on_publish) keeps it out. While somebody else
    /// publishes the stream, it waits.
    #[must_use]
    pub fn demo(mut self, name: StreamName) -> Self {
        self.demo = Some((name, &CLIP));
        self
    }

    /// Binds the addresses and starts the server's threads.
    ///
    /// # Errors
    /// [`Error::Config`] if the settings do not go together, [`Error::Bind`] if an address cannot be had, [`Error::File`] if a file of keys or with a secret cannot be taken,
    /// [`Error::Tls`] if the certificate cannot be used, [`Error::Start`] if a thread or the like cannot be had.
    pub fn start(self) -> Result<ServerHandle, Error> {
        let mut config = self.config;
        config.check()?;
        let descriptors = room::open_files_limit();
        if descriptors < MIN_DESCRIPTORS {
            return Err(Error::Descriptors { limit: descriptors, needed: MIN_DESCRIPTORS });
        }
        let mut access =
            Access::new(std::mem::take(&mut config.access), self.callbacks).map_err(Error::File)?;
        let demo_key = self.demo.as_ref().map(|(name, _)| access.admit_own(name)).transpose();
        let demo_key = demo_key.map_err(Error::start("the demo"))?;
        let access = Arc::new(access);
        let wanted = config.limits.clone();
        config.limits = config.limits.within(descriptors);
        let certificate = |_| Certificate::load(config.tls_cert.as_deref(), config.tls_key.as_deref());
        let certificate = config.rtmps.map(certificate).transpose()?;
        let (rtmp_listener, rtmp) = bind("RTMP", config.rtmp)?;
        let rtmps_bound = config.rtmps.map(|address| bind("RTMPS", address)).transpose()?;
        let rtmps = rtmps_bound.as_ref().map(|(_, address)| *address);
        let rtmps_listener = rtmps_bound.map(|(listener, _)| listener).zip(certificate);
        let (http_listener, http) = bind("HTTP", config.http)?;
        let registry = Registry::new(stream_settings(&config));
        let patience = Patience { stall: config.timeouts.viewer_stall, skips: config.limits.viewer_skips };
        let delivery = Delivery::start(Arc::clone(&registry), config.workers, patience)
            .map_err(Error::start("the threads that serve viewers"))?;
        let delivery = Arc::new(delivery);
        let web = Http::start(
            http_listener,
            (rtmp, rtmps),
            &config,
            Arc::clone(&access),
            Arc::clone(&registry),
            Arc::clone(&delivery),
        )?;
        let ingest = Ingest::start(
            rtmp_listener,
            rtmps_listener,
            Arc::clone(&registry),
            &config,
            Arc::clone(&access),
            http.port(),
        )
        .map_err(Error::start("the RTMP listener"))?;
        let running = Some(Running { ingest, web, delivery, demo: None });
        let mut handle = ServerHandle { rtmp, rtmps, http, registry, limits: config.limits, running };
        let room = handle.room();
        room.compare_with(&wanted);
        log::info!("{room}");
        access.log();
        if let Some(((name, clip), key)) = self.demo.zip(demo_key) {
            handle.begin_demo(name, clip, key).map_err(Error::start("the demo"))?;
        }
        Ok(handle)
    }
}

impl ServerHandle {
    /// The bound address of RTMP.
    pub fn rtmp_addr(&self) -> SocketAddr {
        self.rtmp
    }

    /// The bound address of RTMPS, if that is on.
    pub fn rtmps_addr(&self) -> Option<SocketAddr> {
        self.rtmps
    }

    /// The bound address of HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// All live streams, by name.
    pub fn streams(&self) -> Vec<StreamStatus> {
        self.registry.status()
    }

    /// How many connections and open files are in use, and how many there may be.
    pub fn room(&self) -> Room {
        let count = |running: &Running| (running.web.connections(), running.ingest.connections());
        let (http, rtmp) = self.running.as_ref().map(count).unwrap_or_default();
        Room::new(&self.limits, http, rtmp, self.rtmps.is_some())
    }

    /// Everybody who watches a stream over HTTP or waits for one, in the order in which they came.
    pub fn viewers(&self) -> Vec<ViewerStatus> {
        self.running.as_ref().map(|running| running.delivery.viewers()).unwrap_or_default()
    }

    /// Ends a publisher's stream at once, as `publication` of [`StreamStatus`] numbers it: the publisher is told, viewers
    /// get the last chunk of their response, and nobody is waited for. Of a publisher that is lost it ends the viewers' wait for
    /// the next one, by the number that it had. Returns whether it was there.
    pub fn end_publisher(&self, publication: u64) -> bool {
        let live = self.registry.kick(publication);
        live.inspect(|live| log::info!("the program ends {}, published by {}", live.name, live.publisher.who()))
            .is_some()
    }

    /// Ends the response of a viewer, or its wait, as `id` of [`ViewerStatus`] numbers it, within a second. Returns whether
    /// it was there.
    pub fn end_viewer(&self, id: u64) -> bool {
        let peer = self.running.as_ref().and_then(|running| running.delivery.kick(id));
        peer.inspect(|peer| log::info!("the program ends viewer {peer}")).is_some()
    }

    /// What publishers have sent since the start.
    pub fn publisher_totals(&self) -> PublisherTotals {
        self.registry.totals()
    }

    /// What has become of all viewers over HTTP since the start, and who are there now.
    pub fn viewer_totals(&self) -> ViewerTotals {
        self.running.as_ref().map(|running| running.delivery.totals()).unwrap_or_default()
    }

    /// Subscribes to a live stream; `None` if it is not live, or its first packets have not come yet.
    pub fn subscribe(&self, name: &StreamName) -> Option<Subscription> {
        self.registry.joinable(name).map(Subscription::new)
    }

    fn begin_demo(&mut self, name: StreamName, clip: &'static Clip, key: String) -> io::Result<()> {
        let page = demo::page(self.http, &name);
        let program = Program { clip, name, key, server: self.rtmp, registry: Arc::clone(&self.registry) };
        if let Some(running) = &mut self.running {
            running.demo = Some(Demo::start(program)?);
            log::info!("the demo plays: open {page}");
        }
        Ok(())
    }

    /// Ends the server: no one new is let in, publishers are told, viewers get the last chunk of their
    /// response, and all threads of the server are joined.
    ///
    /// # Errors
    /// [`ShutdownTimeout`] if that was not done within `patience`. What is left then ends on its own, soon.
    pub fn shutdown(mut self, patience: Duration) -> Result<(), ShutdownTimeout> {
        match self.running.take() {
            Some(running) => running.shutdown(&self.registry, patience),
            None => Ok(()),
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && let Err(error) = running.shutdown(&self.registry, Duration::from_secs(1))
        {
            log::warn!("shutdown: {error}");
        }
    }
}

impl Running {
    fn shutdown(self, registry: &Registry, patience: Duration) -> Result<(), ShutdownTimeout> {
        let now = Instant::now();
        let (for_viewers, for_all) = (after(now, patience.mul_f64(VIEWERS_SHARE)), after(now, patience));
        let demo = self.demo.map(Demo::stop);
        self.web.stop_accepting();
        self.ingest.stop();
        registry.close();
        // In this order: requests under way become viewers until the web side has ended.
        let web_ended = self.web.join(for_viewers);
        let viewers_ended = self.delivery.shutdown(for_viewers);
        let demo_ended = demo.is_none_or(|demo| demo.join(for_all));
        let publishers_ended = self.ingest.join(for_all) && demo_ended;
        log::info!("{}", self.delivery.totals());
        if web_ended && viewers_ended && publishers_ended { Ok(()) } else { Err(ShutdownTimeout) }
    }
}

fn bind(protocol: &'static str, address: SocketAddr) -> Result<(Listener, SocketAddr), Error> {
    let failed = |source| Error::Bind { protocol, address, source };
    let listener = Listener::bind(address).map_err(failed)?;
    let bound = listener.address().map_err(failed)?;
    Ok((listener, bound))
}

pub(crate) fn stream_settings(config: &Config) -> StreamSettings {
    StreamSettings {
        merge: config.merge,
        gop_bytes: config.limits.gop_bytes,
        gop_time: config.limits.gop_time,
        lag_bytes: config.limits.viewer_lag_bytes,
        lag_time: config.limits.viewer_lag_time,
        resume: config.timeouts.resume,
        held: config.limits.rtmp_connections,
        total_bytes: config.limits.stream_bytes,
    }
}

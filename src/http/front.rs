//! tiny_http's `Server` on its private socket, and the workers that answer its requests.

use std::io::{self, Cursor, Read};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tiny_http::{Request, Response, Server};

use super::answer::{CORS, SERVER};
use super::api::Identity;
use super::head::CONNECTION_HEADER;
use super::health;
use super::page::{self, header};
use super::parked::Parked;
use super::preflight::preflight;
use super::private::{Connection, Private, SECRET_HEADER};
use super::routes::{ALLOWED, Route, RouteError, is_media, query, route};
use super::upgrade::{self, Origins};
use crate::access::Access;
use crate::delivery::{Answers, Delivery};
use crate::occasional::Refusals;
use crate::stream::cursor::Start;
use crate::stream::registry::Registry;

/// tiny_http's server, built anew should it ever stop: live viewers have nothing to do with it.
#[derive(Debug)]
pub(crate) struct Front {
    current: RwLock<Arc<Generation>>,
    /// When a replacement was last tried.
    last_try: Mutex<Option<Instant>>,
    stopped: AtomicBool,
}

/// One life of the server.
pub(crate) struct Generation {
    server: Server,
    private: Private,
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation").field("private", &self.private).finish_non_exhaustive()
    }
}

/// A whole answer.
pub(super) type Answer = Response<Cursor<Vec<u8>>>;

/// What requests are answered from.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) access: Arc<Access>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) parked: Arc<Parked>,
    pub(crate) start: Start,
    pub(crate) wait: Duration,
    pub(crate) max_wait: Duration,
    pub(crate) cors: bool,
    /// Whose WebSockets are taken.
    pub(super) origins: Origins,
    pub(crate) rtmp: SocketAddr,
    pub(crate) rtmps: Option<SocketAddr>,
    pub(super) identity: Identity,
    /// The log lines about calls of the API that are refused.
    pub(super) refusals: Refusals,
    /// For HTTP/1.1 viewers, and for WebSockets that are refused.
    pub(crate) chunked: Arc<Answers>,
    /// For HTTP/1.0 viewers.
    pub(crate) plain: Arc<Answers>,
}

impl Front {
    pub(crate) fn new() -> io::Result<Self> {
        let current = RwLock::new(Arc::new(Generation::start()?));
        Ok(Self { current, last_try: Mutex::default(), stopped: AtomicBool::new(false) })
    }

    /// Answers requests until stopped. Run by each worker.
    pub(crate) fn work(&self, context: &Context) {
        while !self.stopped.load(Ordering::Acquire) {
            let generation = self.current();
            match generation.server.recv() {
                Ok(request) => context.answer(request, generation.secret()),
                // A worker is woken when the server has been replaced, too.
                Err(_) if !self.is_current(&generation) => {}
                Err(error) => self.replace(&generation, &error),
            }
        }
    }

    /// Ends all `workers`.
    pub(crate) fn stop(&self, workers: usize) {
        self.stopped.store(true, Ordering::Release);
        let current = self.current();
        (0..workers).for_each(|_| current.server.unblock());
    }

    /// The server as it is now.
    pub(crate) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts another server in the place of one that no longer answers: tiny_http's accept thread ends at any error, and
    /// panics for want of a thread. The first to notice does it.
    pub(crate) fn replace(&self, ended: &Arc<Generation>, error: &io::Error) {
        if !self.is_current(ended) || self.stopped.load(Ordering::Acquire) || !self.may_try() {
            return;
        }
        let next = match Generation::start() {
            Ok(next) => Arc::new(next),
            // Whoever needs it next tries again.
            Err(error) => return log::error!("the private HTTP server cannot be started anew yet: {error}"),
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, ended) {
            *current = next;
            drop(current);
            log::error!("the private HTTP server ended ({error}) and was started anew");
            // The workers still wait for the one that has ended.
            (0..super::FRONT_WORKERS).for_each(|_| ended.server.unblock());
        }
    }

    /// Each try may cost threads of tiny_http's that never end, so there is one a second at most.
    fn may_try(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last_try.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_secs(1));
        if may {
            *last = Some(now);
        }
        may
    }

    fn is_current(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.current(), generation)
    }
}

impl Generation {
    fn start() -> io::Result<Self> {
        let (private, listener) = Private::listen()?;
        // tiny_http panics if it cannot have a thread.
        let server = catch_unwind(AssertUnwindSafe(|| Server::from_listener(listener, None)))
            .map_err(|_| io::Error::other("no thread for it"))?
            .map_err(io::Error::other)?;
        Ok(Self { server, private })
    }

    /// A non-blocking connection to it.
    pub(crate) fn connect(&self) -> io::Result<Box<dyn Connection>> {
        self.private.connect()
    }

    /// What a request must carry as its secret, if anything.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.private.secret()
    }
}

impl Context {
    fn answer(&self, request: Request, secret: Option<&str>) {
        if secret != header_of(&request, SECRET_HEADER) {
            return respond(request, text(403, "This address is private."), false);
        }
        let (method, target) = (request.method().to_string(), request.url().to_owned());
        let cors = self.cors && is_media(&target);
        match route(&method, &target, self.max_wait, page::paths()) {
            Ok(Route::Live { name, start, wait, wanted }) => {
                let upgraded = match upgrade::handshake(&request) {
                    Ok(upgraded) => upgraded,
                    Err(refused) => return respond(request, refused.response(), cors),
                };
                match self.may_play(&request, &name, query(&target)) {
                    Err(why) => respond(request, text(403, &why), cors),
                    Ok(()) if method == "HEAD" => self.head(request, &name, wanted),
                    Ok(()) => {
                        let (start, wait) = (start.unwrap_or(self.start), wait.unwrap_or(self.wait));
                        self.live(request, name, wanted, start, wait, upgraded);
                    }
                }
            }
            Ok(Route::Still { .. } | Route::Asset(_) | Route::Health) if upgrade::is_asked_for(&request) => {
                respond(request, text(400, "There are WebSockets for streams alone."), cors);
            }
            Ok(Route::Still { name, wanted }) => match self.may_play(&request, &name, query(&target)) {
                Err(why) => respond(request, text(403, &why), cors),
                Ok(()) => respond(request, self.still(&name, wanted), cors),
            },
            Ok(Route::Asset(path)) => {
                let known = header_of(&request, "If-None-Match");
                let encodings = header_of(&request, "Accept-Encoding");
                match page::respond(path, query(&target).strip_prefix("v="), known, encodings) {
                    Some(response) => respond(request, response, false),
                    None => respond(request, text(404, "There is nothing here."), false),
                }
            }
            Ok(Route::Api) => {
                let answer = self.api(&request);
                respond(request, answer, false);
            }
            Ok(Route::Metrics) => respond(request, self.metrics(), false),
            Ok(Route::Health) => respond(request, self.health(), false),
            Ok(Route::Options) => {
                let response = preflight(&request, cors);
                respond(request, response, cors);
            }
            Err(RouteError::NotFound) => {
                respond(request, text(404, "There is nothing here; streams end in .flv."), cors);
            }
            Err(RouteError::BadRequest(why)) => respond(request, text(400, &why), cors),
            Err(RouteError::MethodNotAllowed) => {
                let response = text(405, "This method is not taken here.");
                respond(request, with_header(response, "Allow", ALLOWED), cors);
            }
        }
    }

    fn health(&self) -> Answer {
        match health::check(self.rtmp) {
            Ok(()) => text(200, "ok"),
            Err(error) => {
                log::error!("health check: RTMP does not answer: {error}");
                text(503, "RTMP does not answer.")
            }
        }
    }
}

/// The number under which the gate has parked the client's socket.
pub(super) fn connection_of(request: &Request) -> Option<u64> {
    header_of(request, CONNECTION_HEADER)?.parse().ok()
}

pub(super) fn header_of<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

pub(super) fn text(status: u16, line: &str) -> Answer {
    let response = Response::from_string(format!("{line}\n")).with_status_code(status);
    with_header(with_header(response, "Content-Type", "text/plain; charset=utf-8"), "Cache-Control", "no-store")
}

pub(super) fn with_header<R: Read>(mut response: Response<R>, name: &str, value: &str) -> Response<R> {
    if let Some(header) = header(name, value) {
        response.add_header(header);
    }
    response
}

pub(super) fn respond<R: Read>(request: Request, response: Response<R>, cors: bool) {
    let mut response = with_header(response.with_chunked_threshold(usize::MAX), "Server", SERVER);
    for (name, value) in CORS.iter().filter(|_| cors) {
        response = with_header(response, name, value);
    }
    if let Err(error) = request.respond(response) {
        log::debug!("the gate did not wait for an answer: {error}");
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::config::Config;
    use crate::delivery::Patience;
    use crate::http::answer::for_viewer;
    use crate::stream::burst::Framing;

    fn context() -> Context {
        let registry = Registry::new(crate::server::stream_settings(&Config::default()));
        let patience = Patience { stall: Duration::from_secs(1), skips: 1 };
        Context {
            access: Arc::new(Access::new(Config::default().access, Default::default()).unwrap()),
            delivery: Arc::new(Delivery::start(Arc::clone(&registry), 1, patience).unwrap()),
            registry,
            parked: Arc::default(),
            start: Start::Gop,
            wait: Duration::ZERO,
            max_wait: Duration::ZERO,
            cors: true,
            origins: Origins { listed: Vec::new(), cors: true },
            rtmp: SocketAddr::from(([127, 0, 0, 1], 1)),
            rtmps: None,
            identity: Identity::new(),
            refusals: Refusals::default(),
            chunked: Arc::new(for_viewer(Framing::Chunked, true)),
            plain: Arc::new(for_viewer(Framing::Plain, true)),
        }
    }

    fn ask(front: &Front) -> io::Result<String> {
        let current = front.current();
        let Private::Unix { socket, .. } = &current.private else { unreachable!("this is Unix") };
        let mut connection = UnixStream::connect(socket)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn a_server_that_no_longer_answers_is_replaced_once_and_its_workers_move_on() {
        let front = Arc::new(Front::new().unwrap());
        let worker = {
            let front = Arc::clone(&front);
            std::thread::spawn(move || front.work(&context()))
        };
        assert!(ask(&front).unwrap().starts_with("HTTP/1.1 404 "));
        let first = front.current();
        let Private::Unix { socket, .. } = &first.private else { unreachable!("this is Unix") };
        std::fs::remove_file(socket).unwrap();
        let error = ask(&front).unwrap_err();
        front.replace(&first, &error);
        let second = front.current();
        assert!(!Arc::ptr_eq(&first, &second));
        front.replace(&first, &error);
        assert!(Arc::ptr_eq(&second, &front.current()), "one replacement is enough");
        assert!(ask(&front).unwrap().starts_with("HTTP/1.1 404 "));
        front.stop(1);
        worker.join().unwrap();
    }
}

//! The API under `/api/v1`: what there is, and an end to it, as JSON in the shapes that SRS has made familiar.

mod call;
mod shapes;

use std::time::Instant;

use serde_json::{Value, json};
use tiny_http::{Request, Response};

pub(super) use self::call::is_api;
use self::call::{Call, CallError, ClientId, Page};
pub(super) use self::shapes::split_name;
use super::front::{Answer, Context, connection_of, header_of, with_header};
use super::head::LOCAL_HEADER;
use crate::access::{Caller, CallerError, Rank};
use crate::peer::Peer;

/// What tells this run of the server from others.
#[derive(Debug)]
pub(super) struct Identity {
    /// A name by chance: numbers of clients and streams are good for one run.
    name: String,
    pub(super) started: Instant,
}

impl Identity {
    pub(super) fn new() -> Self {
        let name = getrandom::u64().map_or_else(|_| "rtmpd".into(), |number| format!("rtmpd-{number:016x}"));
        Self { name, started: Instant::now() }
    }
}

/// Why a call gets nothing but an error.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Call(CallError),
    /// There is no stream, or no client, of this number.
    Gone(&'static str),
    Caller(CallerError),
    TokenMissing,
    NotFromHere,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<CallerError> for Refusal {
    fn from(error: CallerError) -> Self {
        Self::Caller(error)
    }
}

impl Context {
    /// The answer to a request under `/api`.
    pub(super) fn api(&self, request: &Request) -> Answer {
        match self.try_api(request) {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(),
        }
    }

    fn try_api(&self, request: &Request) -> Result<Answer, Refusal> {
        let call = match Call::parse(&request.method().to_string(), request.url()) {
            Err(CallError::Options(allow)) => {
                return Ok(with_header(Response::from_data(Vec::new()).with_status_code(204), "Allow", allow));
            }
            call => call?,
        };
        let peer = connection_of(request).and_then(|id| self.parked.peer(id));
        let rank = self.rank_of(request, peer)?;
        if call.needs_operator() {
            match rank {
                Rank::Operator => {}
                Rank::Guest { has_token: true } => return Err(Refusal::TokenMissing),
                Rank::Guest { has_token: false } => return Err(Refusal::NotFromHere),
            }
        }
        self.result_of(&call, rank == Rank::Operator, peer).map(|value| json_answer(200, &value))
    }

    fn rank_of(&self, request: &Request, peer: Option<Peer>) -> Result<Rank, Refusal> {
        // One who has gone meanwhile gets no answer anyway.
        let Some(peer) = peer else { return Ok(Rank::Guest { has_token: false }) };
        let caller = Caller {
            ip: peer.ip(),
            is_local: header_of(request, LOCAL_HEADER).is_some(),
            authorization: header_of(request, "Authorization"),
        };
        self.access.rank(&caller).map_err(|error| {
            self.refusals.say(|more| log::warn!("API call from {peer} refused: {}{more}", error.reason()));
            error.into()
        })
    }

    fn result_of(&self, call: &Call, is_operator: bool, peer: Option<Peer>) -> Result<Value, Refusal> {
        Ok(match call {
            Call::Versions => self.envelope("data", shapes::versions()),
            Call::Summaries => self.envelope("data", self.summaries()),
            Call::Streams(page, history) => self.list("streams", *page, self.streams(is_operator, *history)),
            Call::Stream(id) => {
                let streams = self.streams(is_operator, true);
                let stream = streams.into_iter().find(|stream| stream["id"] == **id);
                self.envelope("stream", stream.ok_or(Refusal::Gone("There is no such stream."))?)
            }
            Call::Clients(page) => self.list("clients", *page, self.clients()),
            Call::Client(id) => {
                let client = self.clients().into_iter().find(|client| client["id"] == **id);
                self.envelope("client", client.ok_or(NO_CLIENT)?)
            }
            Call::EndClient(id) => {
                self.end_client(ClientId::parse(id).ok_or(NO_CLIENT)?, peer)?;
                json!({ "code": 0, "server": self.identity.name })
            }
        })
    }

    fn envelope(&self, name: &str, value: Value) -> Value {
        json!({ "code": 0, "server": self.identity.name, name: value })
    }

    fn list(&self, name: &str, page: Page, all: Vec<Value>) -> Value {
        let total = all.len();
        let mut list = self.envelope(name, page.of(all).into());
        list["total"] = total.into();
        list
    }

    fn summaries(&self) -> Value {
        let (streams, viewers) = (self.registry.status(), self.delivery.totals());
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": shapes::seconds(self.identity.started.elapsed()),
            "rtmp_port": self.rtmp.port(),
            "rtmps_port": self.rtmps.map(|address| address.port()),
            "publish_needs_key": self.access.needs_key(),
            "play_needs_link": self.access.needs_link(),
        });
        shapes::summaries(about, &streams, &self.registry.totals(), &viewers)
    }

    fn streams(&self, is_operator: bool, history: bool) -> Vec<Value> {
        let bitrates = self.delivery.bitrates();
        let streams = self.registry.status();
        let sent = |name| bitrates.get(name).copied().unwrap_or(0);
        let shape = |stream| shapes::stream(stream, sent(&stream.name), is_operator, history);
        streams.iter().map(shape).collect()
    }

    /// Publishers, and then viewers.
    fn clients(&self) -> Vec<Value> {
        let streams = self.registry.status();
        let viewers = self.delivery.viewers();
        let publishers = streams.iter().filter_map(shapes::publisher);
        publishers.chain(viewers.iter().map(|viewer| shapes::viewer(viewer, &streams))).collect()
    }

    fn end_client(&self, id: ClientId, peer: Option<Peer>) -> Result<(), Refusal> {
        let who = peer.map(|peer| peer.to_string()).unwrap_or_default();
        match id {
            ClientId::Publisher(publication) => {
                let live = self.registry.kick(publication).ok_or(NO_CLIENT)?;
                log::info!("operator {who} ends {}, published by {}", live.name, live.publisher.who());
            }
            ClientId::Viewer(viewer) => {
                let viewer = self.delivery.kick(viewer).ok_or(NO_CLIENT)?;
                log::info!("operator {who} ends viewer {viewer}");
            }
        }
        Ok(())
    }
}

const NO_CLIENT: Refusal = Refusal::Gone("There is no such client.");

impl Refusal {
    fn answer(&self) -> Answer {
        let (status, reason) = match self {
            Self::Call(CallError::NotFound) => {
                (404, "There is nothing here; the API's paths are in rtmpd's README.")
            }
            Self::Call(CallError::Page) => (400, Page::TAKEN),
            Self::Call(CallError::Method(_) | CallError::Options(_)) => (405, "This method is not taken here."),
            Self::Gone(reason) => (404, *reason),
            Self::Caller(CallerError::TooManyGuesses(_)) => (429, CallerError::TOO_MANY),
            Self::Caller(CallerError::WrongToken) => (401, CallerError::WRONG),
            Self::TokenMissing => {
                (401, "This needs a token: Authorization: Bearer TOKEN, as in --api-token-file.")
            }
            Self::NotFromHere => (
                403,
                "This is for programs on the server's machine, or for those with the token of --api-token-file.",
            ),
        };
        let answer = json_answer(status, &json!({ "code": status, "error": reason }));
        match self {
            Self::Call(CallError::Method(allow)) => with_header(answer, "Allow", allow),
            Self::Caller(CallerError::TooManyGuesses(wait)) => {
                with_header(answer, "Retry-After", &wait.as_secs().max(1).to_string())
            }
            _ if status == 401 => with_header(answer, "WWW-Authenticate", "Bearer realm=\"rtmpd\""),
            _ => answer,
        }
    }
}

impl CallerError {
    const WRONG: &str = "The token is wrong.";
    const TOO_MANY: &str = "Too many wrong tokens have come from your address.";

    /// For the log; what the token was is nobody's business.
    fn reason(self) -> &'static str {
        match self {
            Self::WrongToken => "its token is wrong",
            Self::TooManyGuesses(_) => "too many wrong tokens have come from its address",
        }
    }
}

fn json_answer(status: u16, value: &Value) -> Answer {
    let answer = Response::from_data(value.to_string()).with_status_code(status);
    let answer = with_header(answer, "Content-Type", "application/json");
    with_header(with_header(answer, "Cache-Control", "no-store"), "X-Content-Type-Options", "nosniff")
}

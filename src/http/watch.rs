//! Requests for streams: the worker that has one takes the client's own socket, and the viewer is born.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use tiny_http::{HTTPVersion, Request, Response};

use super::answer::{NO_KEYFRAME, NO_TRACK, NOT_LIVE, NOT_PLAYABLE};
use super::front::{Answer, Context, connection_of, header_of, respond, text, with_header};
use super::parked::ClientSocket;
use super::upgrade;
use crate::access::Attempt;
use crate::delivery::{Answers, ViewerRequest};
use crate::flv::variant::Variant;
use crate::media::StreamName;
use crate::stream::burst::Framing;
use crate::stream::cursor::Start;
use crate::stream::headers::{NotThere, Wanted};
use crate::stream::live::LiveStream;
use crate::stream::watching::Protocol;

impl Context {
    /// Whether the client may play this stream, and why not.
    pub(super) fn may_play(&self, request: &Request, name: &StreamName, query: &str) -> Result<(), String> {
        let peer = connection_of(request).and_then(|id| self.parked.peer(id)).ok_or("The client has gone.")?;
        let program = header_of(request, "User-Agent").unwrap_or_default();
        let attempt = Attempt::to_play(name.clone(), peer, program, query);
        let is_welcome = !upgrade::is_asked_for(request) || self.origins.allow(request);
        let decision =
            if is_welcome { self.access.may_play(&attempt) } else { Err(self.access.refuse_origin(&attempt)) };
        decision.map_err(|denial| denial.to_string())
    }

    /// Takes the client's own socket and makes it a viewer's: over HTTP, or over the WebSocket that begins with `upgraded`.
    pub(super) fn live(
        &self,
        request: Request,
        name: StreamName,
        wanted: Wanted,
        start: Start,
        wait: Duration,
        upgraded: Option<Box<[u8]>>,
    ) {
        let (client, framing) = self.take(request);
        if let Some(ClientSocket { socket, peer, permit }) = client {
            let (answers, permit) = (Arc::clone(self.answers(framing)), Box::new(permit));
            let (protocol, framing) = match upgraded {
                Some(_) => (Protocol::WebSocketFlv, Framing::WebSocket),
                None => (Protocol::HttpFlv, framing),
            };
            self.delivery.serve(ViewerRequest {
                socket,
                peer,
                permit,
                name,
                protocol,
                wanted,
                framing,
                start,
                wait,
                answers,
                upgraded,
            });
        }
    }

    /// One picture. Who gets it is no viewer.
    pub(super) fn still(&self, name: &StreamName, wanted: Wanted) -> Answer {
        let picture = self.find(name, wanted).map(|(live, variant)| live.still(&variant));
        let picture = match picture {
            Ok(Some(picture)) => picture,
            Ok(None) => return text(404, NO_KEYFRAME),
            Err(refusal) => return refusal,
        };
        let answer = with_header(Response::from_data(picture), "Content-Type", "video/x-flv");
        with_header(answer, "Cache-Control", "no-store")
    }

    /// A stream that is live, and what of it is given out.
    fn find(&self, name: &StreamName, wanted: Wanted) -> Result<(Arc<LiveStream>, Variant), Answer> {
        let live = self.registry.joinable(name).ok_or_else(|| text(404, NOT_LIVE))?;
        match live.variant(wanted) {
            Ok(variant) => Ok((live, variant)),
            Err(NotThere::Track) => Err(text(404, NO_TRACK)),
            Err(NotThere::Form) => Err(text(406, NOT_PLAYABLE)),
        }
    }

    /// What GET would answer right now, without joining.
    pub(super) fn head(&self, request: Request, name: &StreamName, wanted: Wanted) {
        if let Err(refusal) = self.find(name, wanted) {
            return respond(request, refusal, self.cors);
        }
        let (client, framing) = self.take(request);
        if let Some(mut client) = client
            && let Err(error) = client
                .socket
                .write_all(&self.answers(framing).live)
                .and_then(|()| client.socket.shutdown(Shutdown::Write))
        {
            log::debug!("client {} lost: {error}", client.peer);
        }
    }

    /// The socket of the client whose request this is. The gate hears that it is taken.
    fn take(&self, request: Request) -> (Option<ClientSocket>, Framing) {
        let framing =
            if *request.http_version() == HTTPVersion(1, 0) { Framing::Plain } else { Framing::Chunked };
        let client = connection_of(&request).and_then(|id| self.parked.take(id));
        respond(request, text(200, ""), false);
        (client, framing)
    }

    fn answers(&self, framing: Framing) -> &Arc<Answers> {
        match framing {
            Framing::Chunked | Framing::WebSocket => &self.chunked,
            Framing::Plain => &self.plain,
        }
    }
}

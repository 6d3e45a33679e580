use std::sync::Arc;

use super::Answers;
use crate::flv::variant::Variant;
use crate::stream::burst::{Burst, Framed, Framing};
use crate::stream::live::LiveStream;

/// Ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What the socket has not taken yet of something that has begun.
pub(super) struct Unsent {
    pub(super) what: Source,
    pub(super) offset: usize,
}

pub(super) enum Source {
    Head(Arc<Answers>),
    Burst(Arc<Burst>),
    LastChunk,
    /// A WebSocket viewer's own: the head of its response, or an answer to what it has sent.
    Own(Box<[u8]>),
}

impl Unsent {
    /// All of something.
    pub(super) fn new(what: Source) -> Self {
        Self { what, offset: 0 }
    }

    /// Whether this keeps a burst in memory that has left its stream's window.
    pub(super) fn pins_what_is_gone(&self, live: &LiveStream) -> bool {
        self.burst().is_some_and(|burst| live.has_let_go_of(burst.sequence))
    }

    pub(super) fn burst(&self) -> Option<&Burst> {
        match &self.what {
            Source::Burst(burst) => Some(burst),
            Source::Head(_) | Source::LastChunk | Source::Own(_) => None,
        }
    }

    pub(super) fn rest(&self, variant: &Variant, framing: Framing) -> Framed<'_> {
        let whole = match &self.what {
            Source::Head(answers) => Framed::whole(&answers.live),
            Source::Burst(burst) => burst.framed(variant, framing),
            Source::LastChunk => Framed::whole(LAST_CHUNK),
            Source::Own(bytes) => Framed::whole(bytes),
        };
        whole.from(self.offset)
    }
}

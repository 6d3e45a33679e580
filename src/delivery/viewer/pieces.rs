use std::io::{self, IoSlice, Write as _};
use std::sync::Arc;
use std::time::Instant;

use super::{MAX_PIECES, Viewer};
use crate::delivery::unsent::{Source, Unsent};
use crate::stream::burst::{Burst, Framed};

impl Viewer {
    /// One write of what is unsent and then `bursts`; how many bytes it took, and whether that was everything.
    pub(super) fn write_pieces(&mut self, bursts: &[Arc<Burst>]) -> io::Result<(usize, bool)> {
        let (framing, variant) = (self.client.framing, self.cursor.variant);
        let mut slices = [IoSlice::new(&[]); 2 * (MAX_PIECES + 1)];
        let mut count = 0;
        let unsent = self.unsent.iter().map(|unsent| unsent.rest(&variant, framing));
        let all = unsent.chain(bursts.iter().map(|burst| burst.framed(&variant, framing)));
        let pieces = all.flat_map(Framed::pieces).filter(|piece| !piece.is_empty());
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = piece;
            count += 1;
        }
        let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        // A variant may have nothing of some bursts, or of all.
        let written = if offered == 0 { 0 } else { self.client.socket.write_vectored(&slices[..count])? };
        if written == 0 && offered > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.note_sent(written);
        self.account_for(written, bursts);
        Ok((written, written == offered))
    }

    /// Moves past what has been written, and remembers what of it was cut.
    fn account_for(&mut self, mut written: usize, bursts: &[Arc<Burst>]) {
        let (framing, variant) = (self.client.framing, self.cursor.variant);
        if let Some(unsent) = &mut self.unsent {
            let taken = written.min(unsent.rest(&variant, framing).len());
            unsent.offset += taken;
            written -= taken;
            if !unsent.rest(&variant, framing).is_empty() {
                return;
            }
            self.unsent = None;
        }
        for burst in bursts {
            let length = burst.framed(&variant, framing).len();
            if written == 0 && length > 0 {
                return;
            }
            self.cursor.advance();
            if written < length {
                self.unsent = Some(Unsent { what: Source::Burst(Arc::clone(burst)), offset: written });
                return;
            }
            written -= length;
        }
    }

    pub(super) fn note_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.client.listing.note_sent(self.sent);
    }

    pub(super) fn note_write(&mut self, written: usize, blocked: bool, now: Instant) {
        // The time that counts for a stall begins when the socket does, not when there was last something to send.
        if written > 0 || (blocked && !self.blocked) {
            self.last_progress = now;
        }
        if blocked {
            self.last_blocked = Some(now);
        }
        self.blocked = blocked;
    }
}

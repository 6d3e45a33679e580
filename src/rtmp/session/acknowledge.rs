/// When to acknowledge (section 5.4.3): at every half of the window that the client has announced, so that it never
/// stalls. One that has announced none gets none, as from nginx and SRS: ffmpeg does not read it before it closes, and
/// to close with unread input resets the connection and loses the last packets.
#[derive(Debug, Default)]
pub(super) struct Acknowledge {
    /// Bytes since the first, wrapping.
    received: u32,
    last_sent: u32,
    window: Option<u32>,
}

impl Acknowledge {
    pub(super) fn receive(&mut self, count: usize) {
        self.received = self.received.wrapping_add(count as u32);
    }

    pub(super) fn has_received(&self) -> bool {
        self.received > 0
    }

    /// Takes the client's window; none is zero.
    pub(super) fn announce(&mut self, window: u32) {
        if window > 0 {
            self.window = Some(window);
        }
    }

    /// The total to acknowledge, once half a window has come in since the last time.
    pub(super) fn due(&mut self) -> Option<u32> {
        let due = self.received.wrapping_sub(self.last_sent) >= (self.window? / 2).max(1);
        due.then(|| {
            self.last_sent = self.received;
            self.received
        })
    }
}

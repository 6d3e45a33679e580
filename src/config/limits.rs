use std::time::Duration;

/// Bounds on memory and connections.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Most HTTP connections, viewers among them. Lowered at start to what the descriptor limit allows.
    pub http_connections: usize,
    /// Most HTTP connections from one address (IPv6: one /64), loopback excepted; 0 means no limit.
    pub http_connections_per_address: usize,
    /// Most HTTP connections that have not become viewers: requests being read or answered. One more takes the
    /// place of the oldest that dawdles.
    pub http_requests: usize,
    /// Most RTMP connections, and most streams that are held for a publisher that was lost.
    pub rtmp_connections: usize,
    /// Most RTMP connections from one address, loopback excepted; 0 means no limit.
    pub rtmp_connections_per_address: usize,
    /// Most bytes of one group of pictures that are kept for those who join.
    pub gop_bytes: usize,
    /// Longest group of pictures that is kept for those who join.
    pub gop_time: Duration,
    /// Most unsent bytes of one viewer before it skips to a keyframe.
    pub viewer_lag_bytes: usize,
    /// Longest time that a viewer may be behind before it skips to a keyframe.
    pub viewer_lag_time: Duration,
    /// Most skips of one viewer within a minute before it is disconnected.
    pub viewer_skips: u32,
    /// Most bytes that all streams keep together.
    pub stream_bytes: usize,
    /// Most bytes that all RTMP connections together hold in unfinished messages, before those are closed that hold
    /// most.
    pub unfinished_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http_connections: 20_000,
            http_connections_per_address: 256,
            http_requests: 1024,
            rtmp_connections: 1_000,
            rtmp_connections_per_address: 64,
            gop_bytes: 16 << 20,
            gop_time: Duration::from_secs(12),
            viewer_lag_bytes: 8 << 20,
            viewer_lag_time: Duration::from_secs(8),
            viewer_skips: 10,
            stream_bytes: 256 << 20,
            unfinished_bytes: 128 << 20,
        }
    }
}

/// Descriptors for listeners (each has an epoll and a waker of its own), the certificate that is read again,
/// standard streams, refused connections and whatever the libraries open.
const RESERVED_DESCRIPTORS: usize = 64;

/// With fewer descriptors there is no room for publishers and viewers beside the reserve.
pub(crate) const MIN_DESCRIPTORS: usize = 128;

/// What requests use beside their clients' sockets while tiny_http answers them, a few at a time: the private
/// connections' two ends, of which tiny_http opens one twice.
pub(crate) const DESCRIPTORS_FOR_EXCHANGES: usize = 24;

/// Most bytes of answers (pages, scripts) that slow clients have not fetched yet, all together.
pub(crate) const MAX_ANSWERS: usize = 64 << 20;

/// Longest request, head and body, and the buffer that it ends in.
const REQUEST_MEMORY: usize = 84 << 10;

/// What a viewer takes at the most beside the stream that all share: 3 to 4 KiB were measured.
const VIEWER_MEMORY: usize = 6 << 10;

/// What an RTMP connection takes at the most beside unfinished messages: its thread's stack, the buffer that it
/// reads into, and what has been read and not been made a burst.
const PUBLISHER_MEMORY: usize = 192 << 10;

/// What a stream takes beside its window: counters, its health, headers of the usual length. There may be as many that are
/// held for a lost publisher as there may be RTMP connections.
const STREAM_MEMORY: usize = 24 << 10;

/// What TLS adds to an RTMP connection at the most: what is read at once, what is decrypted of it, a record or a
/// handshake's message that is not whole, and what waits to be sent.
pub(crate) const TLS_MEMORY: usize = 192 << 10;

/// What the server takes while nobody is there.
const BASE_MEMORY: usize = 16 << 20;

impl Limits {
    /// How much memory the process takes at the most with these limits, in bytes, roughly. The kernel's buffers for
    /// sockets come on top,
    /// and 192 KiB for each RTMP connection if those may have TLS.
    pub fn memory(&self) -> usize {
        // What the windows hold, and as much again that slow viewers hold for a moment longer.
        let streams = 2 * self.stream_bytes;
        // Who must go has a moment to notice, in which more comes.
        let unfinished = 2 * self.unfinished_bytes;
        let publishers = self.rtmp_connections * (PUBLISHER_MEMORY + 2 * STREAM_MEMORY);
        let requests = self.http_requests.min(self.http_connections) * REQUEST_MEMORY + MAX_ANSWERS;
        let viewers = self.http_connections * VIEWER_MEMORY;
        BASE_MEMORY + streams + unfinished + publishers + requests + viewers
    }

    /// Lowers the caps on connections so that together they stay below `descriptors`: accepting must never
    /// fail for want of one.
    pub(crate) fn within(mut self, descriptors: usize) -> Self {
        let available = descriptors.max(MIN_DESCRIPTORS) - RESERVED_DESCRIPTORS - DESCRIPTORS_FOR_EXCHANGES;
        self.rtmp_connections = self.rtmp_connections.min(available / 4);
        self.http_connections = self.http_connections.min(available - self.rtmp_connections);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_that_is_promised_follows_the_limits() {
        let limits = Limits::default();
        assert!((900 << 20..1300 << 20).contains(&limits.memory()), "{} MiB", limits.memory() >> 20);
        let small =
            Limits { stream_bytes: 1 << 20, unfinished_bytes: 1 << 20, ..limits }.within(MIN_DESCRIPTORS);
        assert!(small.memory() < 100 << 20, "{} MiB", small.memory() >> 20);
    }

    #[test]
    fn connection_caps_stay_below_the_descriptor_limit() {
        for descriptors in [MIN_DESCRIPTORS, 129, 256, 1024, 4096, 1 << 20] {
            let limits = Limits::default().within(descriptors);
            let used = limits.rtmp_connections + limits.http_connections + DESCRIPTORS_FOR_EXCHANGES;
            assert!(used + RESERVED_DESCRIPTORS <= descriptors, "{descriptors}: {limits:?}");
            assert!(
                limits.http_connections >= 30 && limits.rtmp_connections >= 10,
                "{descriptors}: {limits:?}"
            );
        }
        assert_eq!(Limits::default().within(1 << 20).http_connections, 20_000);
    }
}

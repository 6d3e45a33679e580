//! How many connections and open files there may be, and how many there are.

use std::fmt;

use crate::config::{Limits, TLS_MEMORY};

/// What is in use of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Room {
    /// HTTP connections, viewers among them.
    pub http: Used,
    /// RTMP connections.
    pub rtmp: Used,
    /// Descriptors of the whole process; those in use are 0 where the system does not tell.
    pub open_files: Used,
    /// Bytes of memory that the server takes at the most, roughly; see [`Limits::memory`]. TLS is
    /// counted here.
    pub memory: usize,
}

/// How many there are, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the type says it")]
pub struct Used {
    pub now: usize,
    pub limit: usize,
}

impl Room {
    /// `tls` is whether RTMP connections may have that.
    pub(crate) fn new(limits: &Limits, http: usize, rtmp: usize, tls: bool) -> Self {
        Self {
            http: Used { now: http, limit: limits.http_connections },
            rtmp: Used { now: rtmp, limit: limits.rtmp_connections },
            open_files: Used { now: open_files(), limit: open_files_limit() },
            memory: limits.memory() + if tls { limits.rtmp_connections * TLS_MEMORY } else { 0 },
        }
    }

    /// Says what to do if there is much less than was asked for.
    pub(crate) fn compare_with(&self, wanted: &Limits) {
        let (http, rtmp) = (wanted.http_connections, wanted.rtmp_connections);
        if self.http.limit < http / 2 || self.rtmp.limit < rtmp / 2 {
            log::warn!(
                "at most {} open files leave no room for {http} HTTP and {rtmp} RTMP connections; \
                 raise the limit with ulimit -n, or LimitNOFILE= in a systemd unit",
                self.open_files.limit
            );
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http, rtmp, open_files, memory } = self;
        write!(
            f,
            "{} of {} HTTP connections, {} of {} RTMP connections and {} of {} open files in use; {} MiB of memory at \
             the most",
            http.now,
            http.limit,
            rtmp.now,
            rtmp.limit,
            open_files.now,
            open_files.limit,
            memory >> 20
        )
    }
}

/// How many descriptors this process may have open.
pub(crate) fn open_files_limit() -> usize {
    rlimit::Resource::NOFILE.get_soft().map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Bytes of memory that this process has, where the system tells.
pub(crate) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

pub(crate) fn open_files() -> usize {
    // One is the folder's own.
    std::fs::read_dir("/dev/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}

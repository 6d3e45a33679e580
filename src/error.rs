//! The errors of the library's own interface.

use std::io;
use std::net::SocketAddr;

use crate::access::FileError;
use crate::config::ConfigError;
use crate::tls::TlsError;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be listened on.
    #[error("cannot listen for {protocol} on {address}: {source}{}", cure(.source, .protocol))]
    Bind {
        /// `RTMP`, `RTMPS` or `HTTP`.
        protocol: &'static str,
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The settings do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no certificate for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The process may not have as many open files as it needs.
    #[error(
        "only {limit} open files are allowed, and at least {needed} are needed; raise the limit with ulimit -n"
    )]
    Descriptors {
        /// How many are allowed.
        limit: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A file with keys or a secret cannot be taken.
    #[error(transparent)]
    File(FileError),
    /// A thread, a private socket or the like could not be had.
    #[error("cannot start {what}: {source}")]
    Start {
        /// What for.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn start(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Start { what, source }
    }
}

fn cure(source: &io::Error, protocol: &str) -> String {
    let flag = protocol.to_ascii_lowercase();
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; stop the program that uses it, or choose another address with --{flag} HOST:PORT")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 need privileges, choose another with --{flag} HOST:PORT")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("; this machine has no such address, choose another with --{flag} HOST:PORT")
        }
        _ => String::new(),
    }
}

//! The private socket between the gate and tiny_http.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::{
    fs::DirBuilderExt as _,
    net::{UnixListener, UnixStream},
};
use std::path::PathBuf;
use std::time::Duration;

use tiny_http::Listener;

/// Proves on a loopback socket, which any program on the machine can reach, that a request comes from the gate.
pub(crate) const SECRET_HEADER: &str = "X-Rtmpd-Secret";

/// Where tiny_http listens.
#[derive(Debug)]
pub(crate) enum Private {
    /// A Unix-domain socket in a directory that only this user can enter. The directory goes with it.
    #[cfg(unix)]
    Unix { directory: PathBuf, socket: PathBuf },
    /// Where there are no such sockets, or no directory for one.
    Loopback { address: SocketAddr, secret: String },
}

/// One connection to it.
pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

impl Private {
    /// Listens in the best way that there is.
    pub(crate) fn listen() -> io::Result<(Self, Listener)> {
        #[cfg(unix)]
        match Self::listen_unix() {
            Ok(listening) => return Ok(listening),
            Err(error) => log::warn!("no private Unix socket ({error}); using loopback with a secret instead"),
        }
        Self::listen_loopback()
    }

    #[cfg(unix)]
    fn listen_unix() -> io::Result<(Self, Listener)> {
        let directory = std::env::temp_dir().join(format!("rtmpd-{}", random_hex()?));
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let private = Self::Unix { socket: directory.join("http.sock"), directory };
        let Self::Unix { socket, .. } = &private else { return Err(io::ErrorKind::Unsupported.into()) };
        let listener = UnixListener::bind(socket)?;
        Ok((private, listener.into()))
    }

    pub(crate) fn listen_loopback() -> io::Result<(Self, Listener)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let private = Self::Loopback { address: listener.local_addr()?, secret: random_hex()? };
        Ok((private, listener.into()))
    }

    /// Connects to tiny_http. Reads and writes fail after `timeout`.
    pub(crate) fn connect(&self, timeout: Duration) -> io::Result<Box<dyn Connection>> {
        match self {
            #[cfg(unix)]
            Self::Unix { socket, .. } => {
                let stream = UnixStream::connect(socket)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Ok(Box::new(stream))
            }
            Self::Loopback { address, .. } => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Ok(Box::new(stream))
            }
        }
    }

    /// The secret that requests must carry, if any.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            #[cfg(unix)]
            Self::Unix { .. } => None,
            Self::Loopback { secret, .. } => Some(secret),
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Self::Unix { directory, .. } = self
            && let Err(error) = std::fs::remove_dir_all(&directory)
        {
            log::debug!("cannot remove {}: {error}", directory.display());
        }
    }
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    }))
}

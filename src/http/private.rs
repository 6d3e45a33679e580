//! The private socket between the gate and tiny_http.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::{fs::DirBuilderExt as _, net::UnixListener};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use tiny_http::Listener;

/// Proves on a loopback socket, which any program on the machine can reach, that a request comes from the gate.
pub(crate) const SECRET_HEADER: &str = "X-Rtmpd-Secret";

const PREFIX: &str = "rtmpd-";
const SOCKET: &str = "http.sock";

/// A directory younger than this may belong to a server that has not begun to listen.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// Where tiny_http listens.
#[derive(Debug)]
pub(crate) enum Private {
    /// A Unix-domain socket in a directory that only this user can enter. The directory goes with it.
    #[cfg(unix)]
    Unix { directory: PathBuf, socket: PathBuf },
    /// Where there are no such sockets, or no directory for one.
    Loopback { address: SocketAddr, secret: String },
}

/// One non-blocking connection to it.
pub(crate) trait Connection: Read + Write + Source + Send {}
impl<T: Read + Write + Source + Send> Connection for T {}

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
        let place = std::env::temp_dir();
        remove_leftovers(&place);
        let directory = place.join(format!("{PREFIX}{}", random_hex()?));
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let private = Self::Unix { socket: directory.join(SOCKET), directory };
        let Self::Unix { socket, .. } = &private else { return Err(io::ErrorKind::Unsupported.into()) };
        let listener = UnixListener::bind(socket)?;
        Ok((private, listener.into()))
    }

    pub(crate) fn listen_loopback() -> io::Result<(Self, Listener)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let private = Self::Loopback { address: listener.local_addr()?, secret: random_hex()? };
        Ok((private, listener.into()))
    }

    /// Connects to tiny_http, without waiting for it.
    pub(crate) fn connect(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match self {
            #[cfg(unix)]
            Self::Unix { socket, .. } => Box::new(UnixStream::connect(socket)?),
            Self::Loopback { address, .. } => Box::new(TcpStream::connect(*address)?),
        })
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

/// Removes the directories of servers that were killed: nobody listens there any more.
#[cfg(unix)]
fn remove_leftovers(place: &Path) {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let directory = entry.path();
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if is_dead(&directory.join(SOCKET)) && age.is_some_and(|age| age > LEFTOVER_AGE) {
            let _of_another_server_by_now = std::fs::remove_dir_all(directory);
        }
    }
}

/// Whether nobody listens on a socket. A server that is busy must not hold this one up.
#[cfg(unix)]
fn is_dead(path: &Path) -> bool {
    use socket2::{Domain, SockAddr, Socket, Type};
    let connected = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    });
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    }))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    fn talks(private: &Private, listener: &Listener) {
        let mut client = private.connect().unwrap();
        while client.write(b"x").is_err() {
            std::thread::yield_now(); // Over loopback, until it is connected.
        }
        let mut got = [0];
        match listener {
            Listener::Tcp(listener) => listener.accept().unwrap().0.read_exact(&mut got).unwrap(),
            Listener::Unix(listener) => listener.accept().unwrap().0.read_exact(&mut got).unwrap(),
        }
        assert_eq!(got, *b"x");
    }

    #[test]
    fn the_directory_is_for_this_user_alone_and_goes_with_the_socket() {
        let (private, listener) = Private::listen().unwrap();
        talks(&private, &listener);
        let Private::Unix { directory, .. } = &private else { unreachable!("this is Unix") };
        let (directory, metadata) = (directory.clone(), directory.metadata().unwrap());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        assert_eq!(metadata.uid(), std::fs::metadata("/proc/self").map_or(metadata.uid(), |own| own.uid()));
        assert_eq!(private.secret(), None);
        drop(private);
        assert!(!directory.exists());
    }

    #[test]
    fn loopback_needs_a_secret_that_differs_each_time() {
        let (one, listener) = Private::listen_loopback().unwrap();
        talks(&one, &listener);
        let (two, _) = Private::listen_loopback().unwrap();
        assert_eq!(one.secret().unwrap().len(), 32);
        assert_ne!(one.secret(), two.secret());
    }

    #[test]
    fn what_a_killed_server_left_is_removed_and_nothing_else() {
        // A place of its own: other tests' servers look for leftovers in the common one.
        let place = std::env::temp_dir().join(format!("leftovers-test-{}", std::process::id()));
        std::fs::create_dir(&place).unwrap();
        let directory = |name: &str| place.join(format!("{PREFIX}{name}"));
        let (dead, young, alive, other) =
            (directory("dead"), directory("young"), directory("alive"), place.join("another-programs"));
        let listen = |directory: &PathBuf| {
            std::fs::create_dir(directory).unwrap();
            UnixListener::bind(directory.join(SOCKET)).unwrap()
        };
        let age = |directory: &PathBuf| {
            let long_ago = std::time::SystemTime::now() - 2 * LEFTOVER_AGE;
            std::fs::File::open(directory).unwrap().set_modified(long_ago).unwrap();
        };
        drop(listen(&dead));
        drop(listen(&young));
        let listener = listen(&alive);
        drop(listen(&other));
        for directory in [&dead, &alive, &other] {
            age(directory);
        }
        remove_leftovers(&place);
        assert!(!dead.exists());
        assert_eq!((young.exists(), alive.exists(), other.exists()), (true, true, true));
        drop(listener);
        std::fs::remove_dir_all(place).unwrap();
    }
}

//! Whether the RTMP side answers, found out as a publisher would: by a connection and a handshake.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::rtmp::handshake::PACKET_LENGTH;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Begins a handshake with the RTMP listener at `address`. To be turned away is an answer, too: a server
/// whose connections are all in use is busy, not ill.
pub(crate) fn check(address: SocketAddr) -> io::Result<()> {
    let reachable = match address.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        false => address,
    };
    let mut socket = TcpStream::connect_timeout(&reachable, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut hello = [0; 1 + PACKET_LENGTH];
    hello[0] = 3;
    let answered = socket.write_all(&hello).and_then(|()| socket.read(&mut [0]));
    match answered {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(error),
        _ => Ok(()),
    }
}

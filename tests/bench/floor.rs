//! The floor: what delivering costs at least when each tag is written as it comes. One thread, one `write` per tag and
//! socket, no protocol at all. Runs in a process of its own, so that it is measured like any server.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rtmpd::flv::tag::{TAG_HEADER_LENGTH, tag_length};
use socket2::{Domain, Socket, Type};

/// The argument that makes the benchmark's own binary the floor.
pub const ARGUMENT: &str = "--be-the-floor";

/// Listens for one publisher, whose tags go to everybody who connects to the second port. Both ports are printed.
pub fn run() -> io::Result<()> {
    let publisher = TcpListener::bind("127.0.0.1:0")?;
    let viewers = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    viewers.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    viewers.listen(4096)?;
    let viewers = TcpListener::from(viewers);
    viewers.set_nonblocking(true)?;
    println!("{}\n{}", publisher.local_addr()?, viewers.local_addr()?);
    let (mut source, _) = publisher.accept()?;
    let mut sockets: Vec<TcpStream> = Vec::new();
    let mut tag = Vec::new();
    while read_tag(&mut source, &mut tag)? {
        while let Ok((socket, _)) = viewers.accept() {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(false)?;
            sockets.push(socket);
        }
        // One write each, but for a socket that is full: the floor waits for it.
        sockets.retain_mut(|socket| socket.write_all(&tag).is_ok());
    }
    Ok(())
}

fn read_tag(source: &mut TcpStream, tag: &mut Vec<u8>) -> io::Result<bool> {
    tag.resize(TAG_HEADER_LENGTH, 0);
    match source.read_exact(tag) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    let body = u32::from_be_bytes([0, tag[1], tag[2], tag[3]]) as usize;
    tag.resize(tag_length(body), 0);
    source.read_exact(&mut tag[TAG_HEADER_LENGTH..])?;
    Ok(true)
}

//! TCP connections as the kernel sees them (Linux), whatever the programs at their ends think.

use std::fs;
use std::net::SocketAddr;

/// How many clients are connected to `server`.
pub fn connected(server: SocketAddr) -> usize {
    const ESTABLISHED: &str = "01";
    count(server, |state, _unsent| state == ESTABLISHED)
}

/// How many connections of `server` hold something that their client does not take.
pub fn unsent(server: SocketAddr) -> usize {
    count(server, |_state, unsent| unsent > 0)
}

/// Counts the connections whose local end is `server`, by state and by bytes not acknowledged yet.
fn count(server: SocketAddr, wanted: impl Fn(&str, u32) -> bool) -> usize {
    let SocketAddr::V4(server) = server else { panic!("{server} is not an IPv4 address") };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(server.ip().octets()), server.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_counted = |line: &&str| {
        // Number, local end, remote end, state, unsent:unread, and more.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let unsent = fields[4].split_once(':').and_then(|(unsent, _)| u32::from_str_radix(unsent, 16).ok());
        fields[1] == local && wanted(fields[3], unsent.expect("two hexadecimal numbers"))
    };
    table.lines().skip(1).filter(is_counted).count()
}

//! PROXY protocol headers (haproxy's proxy-protocol.txt, versions 1 and 2), right ones and broken ones.

use std::net::{IpAddr, SocketAddr};

/// Version 1, for a client at `source`.
pub fn v1(source: &str) -> Vec<u8> {
    let source: SocketAddr = source.parse().unwrap();
    let (family, target) = if source.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::ffff") };
    format!("PROXY {family} {} {target} {} 8090\r\n", source.ip(), source.port()).into_bytes()
}

/// Version 2, for a client at `source`.
pub fn v2(source: &str) -> Vec<u8> {
    v2_with(PROXY, source, &[])
}

/// The same with extensions behind the addresses, as load balancers add them.
pub fn v2_with_extensions(source: &str) -> Vec<u8> {
    const NOOP: [u8; 6] = [4, 0, 3, 1, 2, 3];
    v2_with(PROXY, source, &NOOP.repeat(20))
}

/// Version 2 from the proxy itself, a health check say: its addresses mean nothing.
pub fn v2_local() -> Vec<u8> {
    v2_with(LOCAL, "203.0.113.77:7777", &[])
}

/// What no proxy says, by name.
pub fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let mut bad_version = v2("203.0.113.9:1");
    bad_version[12] = 0x11;
    let mut bad_command = v2("203.0.113.9:1");
    bad_command[12] = 0x2f;
    let mut too_short = v2("203.0.113.9:1");
    too_short[15] = 4;
    too_short.truncate(20);
    vec![
        ("a line without an address", b"PROXY TCP4\r\n".to_vec()),
        ("an address that is none", b"PROXY TCP4 203.0.113.999 192.0.2.1 1 2\r\n".to_vec()),
        ("an address of the other family", b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n".to_vec()),
        ("a port that is none", b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 2\r\n".to_vec()),
        ("a family that is none", b"PROXY TCP5 203.0.113.9 192.0.2.1 1 2\r\n".to_vec()),
        ("a line without end", [b"PROXY TCP4 ".as_slice(), &[b'1'; 4096]].concat()),
        ("version 1 in version 2's dress", bad_version),
        ("a command that is none", bad_command),
        ("too few bytes for an address", too_short),
    ]
}

fn v2_with(command: u8, source: &str, extensions: &[u8]) -> Vec<u8> {
    let source: SocketAddr = source.parse().unwrap();
    let addresses = match source.ip() {
        IpAddr::V4(ip) => [ip.octets().as_slice(), &[192, 0, 2, 1]].concat(),
        IpAddr::V6(ip) => [ip.octets(), [0x20; 16]].concat(),
    };
    let family = if source.is_ipv4() { TCP4 } else { TCP6 };
    let length = (addresses.len() + 4 + extensions.len()) as u16;
    let ports = [source.port().to_be_bytes(), 8090_u16.to_be_bytes()].concat();
    let head = [SIGNATURE.as_slice(), &[0x20 | command, family], &length.to_be_bytes()].concat();
    [head.as_slice(), &addresses, &ports, extensions].concat()
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\x00\r\nQUIT\n";
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

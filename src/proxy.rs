//! Proxies that are believed when they say for whom they speak: by the PROXY protocol, or by X-Forwarded-For.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};

use crate::peer::{Peer, is_in};

/// What a PROXY header begins with, in its two versions.
const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// Longest PROXY header that is taken; one without extensions has 107 bytes at most.
pub(crate) const MAX_PROXY_HEADER: usize = 2048;

/// The networks in which proxies are believed; none by default.
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

/// What a connection from a trusted proxy begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preface {
    /// More bytes are needed to tell.
    Incomplete,
    /// No PROXY header: the proxy speaks plain HTTP or RTMP.
    Absent,
    /// A header of this length. Health checks of the proxy itself name no client.
    Header { client: Option<SocketAddr>, length: usize },
}

/// A PROXY header that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PROXY header")]
pub(crate) struct PrefaceError;

impl TrustedProxies {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        is_in(&self.0, address)
    }

    /// The client of a request that came from `peer`: the last of the `forwarded` addresses (those of all
    /// X-Forwarded-For headers, in order) that is not itself a trusted proxy's. Whatever stands in front of it
    /// the client may have made up.
    pub(crate) fn client_of(&self, peer: Peer, forwarded: &str) -> Peer {
        if !self.trusts(peer.ip()) {
            return peer;
        }
        let mut client = peer;
        for entry in forwarded.rsplit(',').map(str::trim) {
            let Some(address) = forwarded_address(entry) else { break };
            client = peer.speaks_for(address);
            if !self.trusts(client.ip()) {
                break;
            }
        }
        client
    }
}

/// An address as proxies write it: with or without a port, IPv6 with or without brackets.
fn forwarded_address(entry: &str) -> Option<SocketAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let alone = || bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    alone().or_else(|| entry.parse().ok())
}

/// Looks for a PROXY header (version 1 or 2) at the front of what a trusted proxy has sent.
pub(crate) fn preface(received: &[u8]) -> Result<Preface, PrefaceError> {
    let fits = |signature: &&[u8]| {
        let common = received.len().min(signature.len());
        received[..common] == signature[..common]
    };
    let Some(signature) = SIGNATURES.iter().find(|signature| fits(signature)) else {
        return Ok(Preface::Absent);
    };
    if received.len() < signature.len() {
        return Ok(Preface::Incomplete);
    }
    match ProxyHeader::parse(received, ParseConfig::default()) {
        Ok((header, length)) => {
            let client = header.proxied_address().map(|address| address.source);
            Ok(Preface::Header { client, length })
        }
        Err(proxy_header::Error::BufferTooShort) if may_go_on(received) => Ok(Preface::Incomplete),
        Err(_) => Err(PrefaceError),
    }
}

/// Whether a header that is too short so far can be a whole one yet. Version 1 is a line, version 2 tells its length.
fn may_go_on(received: &[u8]) -> bool {
    let is_whole = if received.starts_with(SIGNATURES[0]) {
        received.windows(2).any(|pair| pair == b"\r\n")
    } else {
        let length = received.get(14..16).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        length.is_some_and(|length| received.len() >= 16 + length)
    };
    received.len() < MAX_PROXY_HEADER && !is_whole
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn client(peer: &str, forwarded: &str) -> String {
        trusted().client_of(Peer::direct(SocketAddr::new(peer.parse().unwrap(), 1)), forwarded).ip().to_string()
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_alone() {
        assert_eq!(client("10.1.2.3", "203.0.113.9"), "203.0.113.9");
        assert_eq!(client("::ffff:10.1.2.3", "203.0.113.9"), "203.0.113.9");
        assert_eq!(client("fd00::1", "2001:db8::7"), "2001:db8::7");
        assert_eq!(client("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(client("10.1.2.3", ""), "10.1.2.3");
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        assert_eq!(client("10.1.2.3", "1.1.1.1, 203.0.113.9"), "203.0.113.9");
        assert_eq!(client("10.1.2.3", "1.1.1.1, 203.0.113.9, 10.0.0.2,10.0.0.3"), "203.0.113.9");
        assert_eq!(client("10.1.2.3", "10.0.0.9, 10.0.0.2"), "10.0.0.9");
        assert_eq!(client("10.1.2.3", "1.1.1.1, nonsense, 10.0.0.2"), "10.0.0.2");
        assert_eq!(client("10.1.2.3", "1.1.1.1, [2001:db8::7]:443"), "2001:db8::7");
        assert_eq!(client("10.1.2.3", "[2001:db8::7]"), "2001:db8::7");
        assert_eq!(client("10.1.2.3", "203.0.113.9:5000"), "203.0.113.9");
    }

    #[test]
    fn both_versions_of_the_proxy_protocol_are_read_at_every_split() {
        let v1 = b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 80\r\n".to_vec();
        let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10".to_vec();
        v2.extend([203, 0, 113, 9, 192, 0, 2, 1, 0x13, 0x88, 0, 80, 0x04, 0, 1, 0]);
        for header in [v1, v2] {
            for end in 1..header.len() {
                assert_eq!(preface(&header[..end]), Ok(Preface::Incomplete), "{end}");
            }
            let client = Some("203.0.113.9:5000".parse().unwrap());
            let found = preface(&[&header[..], b"GET / HTTP/1.1\r\n"].concat());
            assert_eq!(found, Ok(Preface::Header { client, length: header.len() }));
        }
    }

    #[test]
    fn a_proxys_own_checks_name_nobody() {
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
        assert_eq!(preface(local), Ok(Preface::Header { client: None, length: 16 }));
        assert_eq!(preface(b"PROXY UNKNOWN\r\n"), Ok(Preface::Header { client: None, length: 15 }));
    }

    #[test]
    fn everything_else_is_absent_or_malformed() {
        for other in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x03\0\0\0", b"\r\n\r\nGET /", b"PUT"] {
            assert_eq!(preface(other), Ok(Preface::Absent));
        }
        assert_eq!(preface(b"PROXY nonsense nonsense\r\n"), Err(PrefaceError));
        assert_eq!(preface(b"PROXY TCP4 203.0.113.10\r\n"), Err(PrefaceError));
        assert_eq!(preface(b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0"), Err(PrefaceError));
        let too_short_for_its_addresses = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\x01\x02\x03\x04";
        assert_eq!(preface(too_short_for_its_addresses), Err(PrefaceError));
        let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; MAX_PROXY_HEADER]].concat();
        assert_eq!(preface(&long[..MAX_PROXY_HEADER - 1]), Ok(Preface::Incomplete));
        assert_eq!(preface(&long), Err(PrefaceError));
    }
}

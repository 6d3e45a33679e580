//! Who is at the other end of a connection, as logs and caps see it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

/// The address of a client, which may have come by way of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    client: SocketAddr,
    /// The proxy that spoke for it.
    via: Option<SocketAddr>,
}

impl Peer {
    /// A client that is connected directly, as far as is known.
    pub(crate) fn direct(client: SocketAddr) -> Self {
        Self { client, via: None }
    }

    /// The client for whom this peer, a proxy, speaks. Port 0 is one that the proxy does not tell.
    pub(crate) fn speaks_for(self, client: SocketAddr) -> Self {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        Self { client, via: Some(self.via.unwrap_or(self.client)) }
    }

    /// The client's own address. Port 0 is one that the proxy does not tell.
    pub(crate) fn client(self) -> SocketAddr {
        self.client
    }

    /// Whether it has connected from this machine itself.
    pub(crate) fn is_on_this_machine(self) -> bool {
        self.via.is_none() && self.ip().to_canonical().is_loopback()
    }

    /// What counts for caps.
    pub(crate) fn ip(self) -> IpAddr {
        self.client.ip()
    }
}

/// Whether an address is in one of the networks. IPv4 counts as such in both, however IPv6 writes it.
pub(crate) fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| canonical(network).contains(&address))
}

/// `10.0.0.0/8` for `::ffff:10.0.0.0/104`.
fn canonical(network: &IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return *network };
    let length = v6.prefix_len().checked_sub(96);
    let v4 =
        v6.addr().to_ipv4_mapped().zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(*network, IpNet::V4)
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client.port() {
            0 => self.client.ip().fmt(f)?,
            _ => self.client.fmt(f)?,
        }
        self.via.map_or(Ok(()), |via| write!(f, " via {via}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_client_behind_a_proxy_is_named_with_it() {
        let proxy = Peer::direct("10.0.0.1:4711".parse().unwrap());
        assert_eq!(proxy.to_string(), "10.0.0.1:4711");
        let local = |text: &str| Peer::direct(text.parse().unwrap());
        assert!(
            local("127.0.0.9:1").is_on_this_machine() && local("[::ffff:127.0.0.1]:1").is_on_this_machine()
        );
        assert!(!proxy.is_on_this_machine());
        assert!(!local("127.0.0.1:1").speaks_for("127.0.0.1:1".parse().unwrap()).is_on_this_machine());
        let client = proxy.speaks_for("[::ffff:203.0.113.9]:0".parse().unwrap());
        assert_eq!(client.to_string(), "203.0.113.9 via 10.0.0.1:4711");
        let further = client.speaks_for("[2001:db8::1]:80".parse().unwrap());
        assert_eq!(further.to_string(), "[2001:db8::1]:80 via 10.0.0.1:4711");
    }
}

//! Caps on connections: in total, and from one address.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// With a smaller cap than this, to use nearly all of it is nothing unusual.
const WORTH_A_WARNING: usize = 20;

/// Counts the connections of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    /// What they are, for the log.
    what: &'static str,
    total: usize,
    /// 0 means no limit.
    per_address: usize,
    admitted: Mutex<Admitted>,
}

#[derive(Debug, Default)]
struct Admitted {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Whether it has been said that few are left.
    warned: bool,
}

/// One counted connection; dropping it uncounts it.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// Which cap is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Total(usize),
    PerAddress(usize),
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(cap) => write!(f, "all {cap} connections are in use"),
            Self::PerAddress(cap) => write!(f, "its address has {cap} connections already"),
        }
    }
}

impl Admission {
    pub(crate) fn new(what: &'static str, total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { what, total, per_address, admitted: Mutex::default() })
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().total
    }

    /// Counts a connection from `peer`, unless a cap is reached. Loopback has no cap of its own: proxies,
    /// tests and the machine's own programs come from there. Neither has a `trusted` proxy, which speaks for many.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, trusted: bool) -> Result<Permit, Refusal> {
        let address = counted_as(peer);
        let mut admitted = self.lock();
        if admitted.total >= self.total {
            return Err(Refusal::Total(self.total));
        }
        admitted.enter(address, if trusted { 0 } else { self.per_address })?;
        admitted.total += 1;
        // Before anybody is refused: nine of ten, once, until it has been less than eight of ten again.
        let warns = admitted.total * 10 >= self.total * 9 && !std::mem::replace(&mut admitted.warned, true);
        let count = admitted.total;
        drop(admitted);
        if warns && self.total >= WORTH_A_WARNING {
            log::warn!("{count} of at most {} {} connections are in use", self.total, self.what);
        }
        Ok(Permit { admission: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Admitted> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    fn enter(&mut self, address: IpAddr, cap: usize) -> Result<(), Refusal> {
        let mine = self.by_address.get(&address).copied().unwrap_or(0);
        if cap > 0 && mine >= cap && !address.is_loopback() {
            return Err(Refusal::PerAddress(cap));
        }
        self.by_address.insert(address, mine + 1);
        Ok(())
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Permit {
    /// The address that the connection is counted under: for IPv6, its /64.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Counts the connection for the client that a trusted proxy speaks for, and no longer for the proxy. The client
    /// may be a `trusted` proxy in its turn.
    pub(crate) fn move_to(&mut self, client: IpAddr, trusted: bool) -> Result<(), Refusal> {
        let address = counted_as(client);
        let mut admitted = self.admission.lock();
        if address != self.address {
            admitted.enter(address, if trusted { 0 } else { self.admission.per_address })?;
            admitted.leave(std::mem::replace(&mut self.address, address));
        }
        Ok(())
    }
}

/// IPv4 as itself however it is written; IPv6 by its /64, of which every household has one whole.
pub(crate) fn counted_as(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut admitted = self.admission.lock();
        admitted.total -= 1;
        admitted.leave(self.address);
        if admitted.total * 10 < self.admission.total * 8 {
            admitted.warned = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn caps_hold_at_their_edges_and_permits_give_back() {
        let admission = Admission::new("test", 3, 2);
        let first = admission.admit(ip("192.0.2.1"), false).unwrap();
        let _second = admission.admit(ip("::ffff:192.0.2.1"), false).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1"), false).unwrap_err(), Refusal::PerAddress(2));
        let _other = admission.admit(ip("192.0.2.2"), false).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3"), false).unwrap_err(), Refusal::Total(3));
        drop(first);
        let _again = admission.admit(ip("192.0.2.1"), false).unwrap();
        assert_eq!(admission.admit(ip("127.0.0.1"), false).unwrap_err(), Refusal::Total(3));
    }

    #[test]
    fn it_is_said_once_that_few_are_left_until_there_are_many_again() {
        let admission = Admission::new("test", 20, 0);
        let mut permits: Vec<_> = (0..17).map(|_| admission.admit(ip("127.0.0.1"), false).unwrap()).collect();
        assert!(!admission.lock().warned);
        permits.push(admission.admit(ip("127.0.0.1"), false).unwrap());
        assert!(admission.lock().warned, "at 18 of 20");
        permits.truncate(16);
        assert!(admission.lock().warned, "still at 16 of 20");
        permits.truncate(15);
        assert!(!admission.lock().warned, "no longer at 15");
        assert_eq!(admission.count(), 15);
    }

    #[test]
    fn loopback_and_zero_have_no_cap_per_address() {
        let admission = Admission::new("test", 100, 1);
        let permits: Vec<_> =
            ["127.0.0.1", "127.0.0.1", "::1", "::1"].map(|a| admission.admit(ip(a), false).unwrap()).into();
        drop(permits);
        assert!(admission.admitted.lock().unwrap().by_address.is_empty());
        let unlimited = Admission::new("test", 100, 0);
        assert!(
            (0..50).map(|_| unlimited.admit(ip("192.0.2.1"), false)).collect::<Result<Vec<_>, _>>().is_ok()
        );
    }

    #[test]
    fn a_proxy_has_no_cap_but_those_it_speaks_for_have() {
        let admission = Admission::new("test", 100, 1);
        let mut behind: Vec<_> = (0..3).map(|_| admission.admit(ip("192.0.2.1"), true).unwrap()).collect();
        behind[0].move_to(ip("203.0.113.1"), false).unwrap();
        assert_eq!(behind[1].move_to(ip("203.0.113.1"), false), Err(Refusal::PerAddress(1)));
        behind[1].move_to(ip("203.0.113.2"), false).unwrap();
        behind[1].move_to(ip("203.0.113.2"), false).unwrap();
        behind[2].move_to(ip("203.0.113.2"), true).unwrap();
        drop(behind);
        assert!(admission.lock().by_address.is_empty());
        assert_eq!(admission.lock().total, 0);
    }

    #[test]
    fn a_64_counts_as_one_address() {
        let admission = Admission::new("test", 100, 1);
        let _permit = admission.admit(ip("2001:db8::1"), false).unwrap();
        assert!(admission.admit(ip("2001:db8::2"), false).is_err());
        assert!(admission.admit(ip("2001:db8:0:1::1"), false).is_ok());
    }
}

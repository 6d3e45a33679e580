use std::net::IpAddr;

use ipnet::IpNet;

use super::Denial;
use crate::peer::is_in;

/// From where something is allowed; by default from everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Networks {
    /// If there is any, all others are excluded.
    pub allow: Vec<IpNet>,
    /// Excluded even where it is allowed.
    pub deny: Vec<IpNet>,
}

impl Networks {
    /// Whether an address is allowed.
    pub fn permit(&self, address: IpAddr) -> bool {
        (self.allow.is_empty() || is_in(&self.allow, address)) && !is_in(&self.deny, address)
    }

    pub(super) fn is_everywhere(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, address: IpAddr) -> Result<(), Denial> {
        if self.permit(address) { Ok(()) } else { Err(Denial::Network) }
    }
}

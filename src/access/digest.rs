use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Publish keys and the API's token are kept and compared as digests: those are of one length, and there is nothing to
/// show by mistake. `purpose` keeps one kind from passing for another.
pub(super) fn digest(purpose: &[u8], secret: &str) -> Hmac<Sha256> {
    let mac = Hmac::new_from_slice(purpose);
    mac.unwrap_or_else(|_| unreachable!("HMAC takes keys of any length")).chain_update(secret)
}

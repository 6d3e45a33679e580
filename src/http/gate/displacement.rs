use std::collections::HashMap;
use std::net::IpAddr;

/// Who gives way to another, of those who may be dropped, the oldest first: the oldest of the address that has most
/// of them. Who holds many requests open keeps out nobody but himself.
pub(super) fn gives_way(candidates: &[(u64, IpAddr)]) -> Option<u64> {
    let mut crowds: HashMap<IpAddr, usize> = HashMap::new();
    for (_, address) in candidates {
        *crowds.entry(*address).or_default() += 1;
    }
    // Of crowds of the same size, the one with the oldest.
    let size = |address: &IpAddr| crowds.get(address).copied().unwrap_or_default();
    let largest = crowds.values().copied().max()?;
    candidates.iter().find(|(_, address)| size(address) == largest).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_largest_crowd_gives_way() {
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!(gives_way(&[]), None);
        assert_eq!(gives_way(&[(1, address(1)), (2, address(2))]), Some(1));
        let crowd = [(1, address(1)), (2, address(2)), (3, address(3)), (4, address(2)), (5, address(3))];
        assert_eq!(gives_way(&crowd), Some(2));
        assert_eq!(gives_way(&crowd[..4]), Some(2));
        assert_eq!(gives_way(&crowd[2..]), Some(3));
    }
}

use std::collections::HashMap;
use std::net::IpAddr;

/// So many requests at a time are a household's, or an office's.
const CROWD: usize = 16;

/// Who gives way to another, of those who may be dropped, the oldest first: the oldest of the address that has most
/// of them, if that is a crowd, or else the oldest of all. Who holds many requests open keeps out nobody but himself.
pub(super) fn gives_way(candidates: &[(u64, IpAddr)]) -> Option<u64> {
    let mut crowds: HashMap<IpAddr, usize> = HashMap::new();
    for (_, address) in candidates {
        *crowds.entry(*address).or_default() += 1;
    }
    let largest = crowds.values().copied().max()?;
    // Of crowds of the same size, the one with the oldest.
    let is_in_it = |address: &IpAddr| largest <= CROWD || crowds.get(address) == Some(&largest);
    candidates.iter().find(|(_, address)| is_in_it(address)).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_largest_crowd_gives_way() {
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!(gives_way(&[]), None);
        // An address with one request, two with a crowd each, in turn.
        let mut all = vec![(1, address(1))];
        all.extend((0..2 * CROWD as u64 + 2).map(|number| (number + 2, address(2 + (number % 2) as u8))));
        assert_eq!(gives_way(&all), Some(2), "the oldest of the crowd with the oldest");
        all.pop();
        assert_eq!(gives_way(&all), Some(2), "the larger crowd's");
        all.remove(1);
        assert_eq!(gives_way(&all), Some(1), "no crowd: the oldest of all");
    }
}

//! What all connections hold in unfinished messages together, against one bound.
//!
//! A message may have 16 MiB, and a thousand connections that each leave one unfinished would take the machine's
//! memory. When all together hold too much, those go who hold most: of the address that holds most, the connection
//! that does. An honest encoder holds one frame for moments, and is not the one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what all connections hold.
#[derive(Debug)]
pub(super) struct Unfinished {
    held: AtomicUsize,
    limit: usize,
    holders: Mutex<Vec<Arc<Holder>>>,
}

/// One connection.
#[derive(Debug)]
struct Holder {
    address: IpAddr,
    bytes: AtomicUsize,
    /// Whether it must go.
    chosen: AtomicBool,
}

/// What one connection holds, counted while it lives.
#[derive(Debug)]
pub(super) struct Holding {
    all: Arc<Unfinished>,
    mine: Arc<Holder>,
}

impl Unfinished {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit, holders: Mutex::default() })
    }

    /// Chooses who must go, until what is left is within the limit.
    fn choose(&self) {
        let holders = self.lock();
        let (chosen, mut staying): (Vec<_>, Vec<_>) = holders.iter().partition(|holder| holder.is_chosen());
        let going: usize = chosen.iter().map(|holder| holder.bytes()).sum();
        let mut excess = self.held.load(Ordering::Relaxed).saturating_sub(self.limit + going);
        let mut by_address: HashMap<IpAddr, (usize, Vec<&Arc<Holder>>)> = HashMap::new();
        if excess == 0 {
            return;
        }
        staying.sort_by_key(|holder| holder.bytes());
        for holder in staying {
            let (bytes, of_address) = by_address.entry(holder.address).or_default();
            *bytes += holder.bytes();
            of_address.push(holder);
        }
        while excess > 0 {
            let Some((bytes, of_address)) = by_address.values_mut().max_by_key(|(bytes, _)| *bytes) else {
                return;
            };
            let Some(largest) = of_address.pop().filter(|holder| holder.bytes() > 0) else { return };
            let held = largest.bytes();
            largest.chosen.store(true, Ordering::Relaxed);
            *bytes = bytes.saturating_sub(held);
            excess = excess.saturating_sub(held);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Holder>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn is_chosen(&self) -> bool {
        self.chosen.load(Ordering::Relaxed)
    }
}

impl Holding {
    /// Of a connection that is counted under `address`.
    pub(super) fn new(all: &Arc<Unfinished>, address: IpAddr) -> Self {
        let mine = Arc::new(Holder { address, bytes: AtomicUsize::new(0), chosen: AtomicBool::new(false) });
        all.lock().push(Arc::clone(&mine));
        Self { all: Arc::clone(all), mine }
    }

    /// Takes note of what the connection holds now; returns whether it may stay.
    pub(super) fn set(&self, bytes: usize) -> bool {
        let before = self.mine.bytes.swap(bytes, Ordering::Relaxed);
        if bytes > before {
            let held = self.all.held.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before);
            if held > self.all.limit {
                self.all.choose();
            }
        } else {
            self.all.held.fetch_sub(before - bytes, Ordering::Relaxed);
        }
        !self.mine.is_chosen()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.all.held.fetch_sub(self.mine.bytes(), Ordering::Relaxed);
        self.all.lock().retain(|holder| !Arc::ptr_eq(holder, &self.mine));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_largest_goes_when_all_hold_too_much_and_nobody_before() {
        let all = Unfinished::new(1000);
        let [large, small, encoder] = [1, 1, 2].map(|last| Holding::new(&all, address(last)));
        assert!(large.set(600) && small.set(200) && encoder.set(200), "together no more than the limit");
        assert!(encoder.set(201), "one byte more, but others hold more");
        assert!(!large.set(600), "the largest of the largest address");
        assert!(small.set(200) && encoder.set(400), "what the chosen one holds is as good as gone");
        drop(large);
        assert!(small.set(200) && encoder.set(800), "at the limit again");
        assert!(!encoder.set(801), "now it is the largest");
        drop((small, encoder));
        assert_eq!(all.held.load(Ordering::Relaxed), 0);
        assert!(all.lock().is_empty());
    }

    #[test]
    fn many_small_ones_of_one_address_go_before_one_of_another() {
        let all = Unfinished::new(1000);
        let crowd: Vec<_> = (0..10).map(|_| Holding::new(&all, address(1))).collect();
        assert!(crowd.iter().all(|holding| holding.set(100)));
        let encoder = Holding::new(&all, address(2));
        assert!((1..=250).all(|bytes| encoder.set(bytes)), "a keyframe that comes slowly");
        let staying = crowd.iter().filter(|holding| holding.set(100)).count();
        assert_eq!(staying, 7, "three of a hundred make room for 250");
    }
}

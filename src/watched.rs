//! What is made from files, and made anew when they change, so that no change of them needs a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at, at the most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What was made last from some files.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    files: Vec<PathBuf>,
    current: Mutex<Current<T>>,
}

#[derive(Debug)]
struct Current<T> {
    value: Arc<T>,
    /// Of the change that it was made for.
    made_for: u64,
    /// How many changes have been seen.
    changes: u64,
    /// Of the files when they were last read, whatever came of that.
    versions: Vec<Version>,
    looked: Instant,
}

/// Tells a file that has changed from one that has not: by time and length, or that it is not there.
type Version = Option<(SystemTime, u64)>;

impl<T> Watched<T> {
    /// Makes it for the first time.
    pub(crate) fn load<E>(files: Vec<PathBuf>, load: impl FnOnce() -> Result<T, E>) -> Result<Self, E> {
        // Looked at first: a change from here on is one.
        let versions = versions(&files);
        let value = Arc::new(load()?);
        let current = Current { value, made_for: 0, changes: 0, versions, looked: Instant::now() };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// The newest that could be made. If a file has changed, `load` makes it anew, and `tell` hears what came of that.
    pub(crate) fn newest<E>(
        &self,
        now: Instant,
        load: impl FnOnce() -> Result<T, E>,
        tell: impl FnOnce(Result<(), E>),
    ) -> Arc<T> {
        if let Some(change) = self.new_change(now) {
            // Without the lock: a slow disk holds up the one who asks, not all.
            let made = load().map(Arc::new);
            tell(made.map(|value| self.lock().replace(value, change)));
        }
        Arc::clone(&self.lock().value)
    }

    /// The number of the change, if a file has changed since this was last asked. Only one who asks is told so.
    fn new_change(&self, now: Instant) -> Option<u64> {
        let mut current = self.lock();
        if self.files.is_empty() || now.saturating_duration_since(current.looked) < LOOK_INTERVAL {
            return None;
        }
        current.looked = now;
        drop(current);
        let versions = versions(&self.files);
        let mut current = self.lock();
        if current.versions == versions {
            return None;
        }
        current.versions = versions;
        current.changes += 1;
        Some(current.changes)
    }

    fn lock(&self) -> MutexGuard<'_, Current<T>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Current<T> {
    /// Takes what was made for a change, unless something has been made for a later one meanwhile.
    fn replace(&mut self, value: Arc<T>, change: u64) {
        if change > self.made_for {
            (self.value, self.made_for) = (value, change);
        }
    }
}

fn versions(files: &[PathBuf]) -> Vec<Version> {
    let version = |file: &Path| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|file| version(file)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_not_replaced_by_one_that_was_read_slowly() {
        let file = std::env::temp_dir().join(format!("rtmpd-watched-{}", std::process::id()));
        let write = |text: &str| fs::write(&file, text).unwrap();
        let read = || Ok::<_, ()>(fs::read_to_string(&file).unwrap());
        write("1");
        let watched = Watched::load(vec![file.clone()], read).unwrap();
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        write("22");
        let slowly = || {
            let text = read();
            // Meanwhile the file changes again, and another one asks.
            write("333");
            assert_eq!(*watched.newest(at(4), read, |_| ()), "333");
            text
        };
        watched.newest(at(2), slowly, |_| ());
        assert_eq!(*watched.newest(at(6), read, |_| ()), "333");
        fs::remove_file(file).unwrap();
    }
}

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
        let current = Current { value: Arc::new(load()?), versions, looked: Instant::now() };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// The newest that could be made. If a file has changed, `load` makes it anew, and `tell` hears what came of that.
    pub(crate) fn newest<E>(
        &self,
        now: Instant,
        load: impl FnOnce() -> Result<T, E>,
        tell: impl FnOnce(Result<(), E>),
    ) -> Arc<T> {
        if self.has_changed(now) {
            // Without the lock: a slow disk holds up the one who asks, not all.
            let made = load().map(Arc::new);
            tell(made.map(|value| self.lock().value = value));
        }
        Arc::clone(&self.lock().value)
    }

    /// Whether a file has changed since this was last asked. Only one who asks is told so.
    fn has_changed(&self, now: Instant) -> bool {
        let mut current = self.lock();
        if self.files.is_empty() || now.saturating_duration_since(current.looked) < LOOK_INTERVAL {
            return false;
        }
        current.looked = now;
        drop(current);
        let versions = versions(&self.files);
        let mut current = self.lock();
        std::mem::replace(&mut current.versions, versions) != current.versions
    }

    fn lock(&self) -> MutexGuard<'_, Current<T>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn versions(files: &[PathBuf]) -> Vec<Version> {
    let version = |file: &Path| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|file| version(file)).collect()
}

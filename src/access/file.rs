use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longest file of keys or with a secret, in bytes.
pub const MAX_FILE: usize = 1 << 20;

/// Where something secret is read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// `publish keys` or `play secret`.
    pub(super) what: &'static str,
    pub(super) path: &'a Path,
}

/// Why a file of keys, or with a secret, is not taken. What is in it is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot take the {what} in {}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
#[non_exhaustive]
pub struct FileError {
    /// What it is read for.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, if it is one.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl Source<'_> {
    /// The whole file, within [`MAX_FILE`].
    pub(super) fn read(self) -> Result<Vec<u8>, FileError> {
        let contents = try_read(self.path).map_err(|error| self.error(None, error))?;
        if contents.len() > MAX_FILE {
            return Err(self.error(None, format!("longer than {MAX_FILE} bytes")));
        }
        Ok(contents)
    }

    pub(super) fn error(self, line: Option<usize>, reason: impl ToString) -> FileError {
        FileError { what: self.what, path: self.path.to_owned(), line, reason: reason.to_string() }
    }
}

fn try_read(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut contents)?;
    Ok(contents)
}

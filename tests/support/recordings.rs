//! What real publishers have sent, from `tests/data/clients`.

use std::fs;
use std::path::PathBuf;

/// Everything that a client sent in one session.
#[track_caller]
pub fn read(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.rtmp"));
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e} (tests/data/record makes it)", path.display()))
}

/// The names of all recordings, in order.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| file.strip_suffix(".rtmp").map(str::to_owned)).collect();
    names.sort();
    names
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/clients")
}

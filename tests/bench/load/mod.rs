//! What the benchmarks share: paced streams, publishers, viewers that check what they get, a process under
//! measurement, and tables of figures.

// Every benchmark compiles this module and uses its own part of it.
#![allow(dead_code, unreachable_pub)]

pub mod frames;
pub mod order;
pub mod process;
pub mod publisher;
pub mod response;
pub mod rtmp;
pub mod table;
pub mod viewer;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// Runs a benchmark whose options are parsed: nothing is to be done if there are none.
pub fn run<T>(
    parsed: Result<Option<T>, lexopt::Error>,
    measure: impl FnOnce(&T) -> io::Result<ExitCode>,
) -> ExitCode {
    match parsed {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(options)) => measure(&options).unwrap_or_else(|error| complain(&error, ExitCode::FAILURE)),
        Err(error) => complain(&error, ExitCode::from(2)),
    }
}

fn complain(error: &dyn Display, code: ExitCode) -> ExitCode {
    eprintln!("{error}");
    code
}

/// Thousands of connections need more descriptors than many systems begin with.
pub fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("cannot raise the limit on open descriptors: {error}");
    }
}

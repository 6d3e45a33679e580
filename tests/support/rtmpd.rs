//! The server under test: the binary itself, on ports of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::deadline::{seconds, wait_until};
use super::process::{Lines, Process};
use super::sockets;

pub struct Rtmpd {
    process: Process,
    rtmp: SocketAddr,
    http: SocketAddr,
}

impl Rtmpd {
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    #[track_caller]
    pub fn start_with(flags: &[&str]) -> Self {
        Self::start_as(Self::command(), flags)
    }

    /// Runs `command`, which is the binary or ends in it, with `flags`.
    #[track_caller]
    pub fn start_as(mut command: Command, flags: &[&str]) -> Self {
        command.args(["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(flags);
        if !command.get_envs().any(|(name, value)| name == "RUST_LOG" && value.is_some()) {
            command.env("RUST_LOG", "info");
        }
        let process = Process::start(&mut command);
        wait_until("the two address lines of rtmpd", seconds(10), || {
            (process.stdout().count() >= 2).then_some(())
        });
        let lines = process.stdout().all();
        let address = |line: &str, scheme: &str| {
            let address = line.strip_prefix(scheme).and_then(|address| address.parse().ok());
            address.unwrap_or_else(|| panic!("expected {scheme}ADDRESS on stdout, found {line:?}"))
        };
        Self { rtmp: address(&lines[0], "rtmp://"), http: address(&lines[1], "http://"), process }
    }

    /// The binary with no flags, and none of our own settings in its environment.
    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpd"));
        command.env_remove("RUST_LOG");
        command
    }

    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }

    /// Where it listens for RTMPS, which a flag must have asked for.
    #[track_caller]
    pub fn rtmps(&self) -> SocketAddr {
        let address =
            || self.process.stdout().all().get(2).and_then(|line| line.strip_prefix("rtmps://")?.parse().ok());
        wait_until("rtmps://ADDRESS in the third line of rtmpd", seconds(10), address)
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// `path` begins with a slash, or is empty for the default stream.
    pub fn publish_url(&self, path: &str) -> String {
        format!("rtmp://{}{path}", self.rtmp)
    }

    pub fn play_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// What it has logged so far.
    pub fn log(&self) -> &Lines {
        self.process.stderr()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn threads(&self) -> usize {
        self.entries("task")
    }

    pub fn descriptors(&self) -> usize {
        self.entries("fd")
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that resident memory has ever been, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Waits until `count` clients are connected to the HTTP port, as the kernel sees it.
    #[track_caller]
    pub fn wait_for_http_clients(&self, count: usize) {
        wait_until(&format!("{count} clients at the HTTP port"), seconds(20), || {
            (sockets::connected(self.http) >= count).then_some(())
        });
    }

    /// SIGTERM, and the end that must follow.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.process.signal("TERM");
        self.process.exit_within(limit)
    }

    #[track_caller]
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    #[track_caller]
    pub fn exit_within(&mut self, limit: Duration) -> ExitStatus {
        self.process.exit_within(limit)
    }

    /// # Panics
    ///
    /// When it has ended, or has logged a panic.
    #[track_caller]
    pub fn assert_sound(&mut self) {
        self.assert_sound_but_for(|_| false);
    }

    /// The same where a panic is `excused`.
    #[track_caller]
    pub fn assert_sound_but_for(&mut self, excused: impl Fn(&str) -> bool) {
        assert!(!self.process.has_ended(), "rtmpd has ended:\n{}", self.log().tail());
        let is_panic = |line: &String| line.contains("panicked at") && !excused(line);
        assert_eq!(self.log().all().into_iter().find(is_panic), None);
    }

    fn status(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let line = line.unwrap_or_else(|| panic!("no line {key}: {status}"));
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    fn entries(&self, folder: &str) -> usize {
        fs::read_dir(format!("/proc/{}/{folder}", self.id())).unwrap().count()
    }
}

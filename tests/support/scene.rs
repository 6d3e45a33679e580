//! A server on which somebody plays already, to whom nothing may happen while a test does what it likes to the
//! server.

use std::process::Command;

use super::bystander::Bystander;
use super::http;
use super::rtmpd::Rtmpd;
use super::usage::{Usage, wait_until_back_at};

pub struct Scene {
    pub rtmpd: Rtmpd,
    pub bystander: Bystander,
    /// What the server used before the trouble.
    pub before: Usage,
    /// What the allocator may keep of what the trouble cost, in bytes.
    kept: u64,
}

impl Scene {
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    #[track_caller]
    pub fn start_with(flags: &[&str]) -> Self {
        Self::start_as(Rtmpd::command(), flags)
    }

    /// See [`Rtmpd::start_as`].
    #[track_caller]
    pub fn start_as(command: Command, flags: &[&str]) -> Self {
        // Abuse takes many sockets on our side, too.
        let _as_far_as_it_goes = rlimit::increase_nofile_limit(u64::MAX);
        let rtmpd = Rtmpd::start_as(command, flags);
        let bystander = Bystander::start(&rtmpd);
        // The first of everything costs what the next ones do not.
        for path in ["/", "/healthz", "/live/nobody.flv?wait=0"] {
            http::get(rtmpd.http(), path).text();
        }
        let before = Usage::settled(&rtmpd);
        Self { rtmpd, bystander, before, kept: 0 }
    }

    /// Allows the allocator to keep `bytes` more than usual: large trouble that is over is no leak.
    pub fn may_keep(&mut self, bytes: u64) {
        self.kept = bytes;
    }

    /// The bystander has had every frame in time, and the server has what it had before.
    #[track_caller]
    pub fn ends_well(self) {
        self.ends_well_but_for(|_| false);
    }

    /// The same where a panic is `excused`.
    #[track_caller]
    pub fn ends_well_but_for(mut self, excused: impl Fn(&str) -> bool) {
        let memory = self.before.memory + self.kept;
        wait_until_back_at(&self.rtmpd, Usage { memory, ..self.before });
        assert_eq!(http::get(self.rtmpd.http(), "/healthz").status, 200);
        self.bystander.was_never_disturbed();
        self.rtmpd.assert_sound_but_for(excused);
    }

    /// Memory has not at any time been more than `bytes` above what it was before.
    #[track_caller]
    pub fn assert_memory_stayed_within(&self, bytes: u64) {
        let (before, peak) = (self.before.memory, self.rtmpd.peak_memory());
        println!("memory was {} KiB before and {} KiB at the most", before >> 10, peak >> 10);
        assert!(peak <= before + bytes, "{} KiB before, {} KiB at the most", before >> 10, peak >> 10);
    }
}

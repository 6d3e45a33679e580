//! ffmpeg as a publisher in real time, and as a reader.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::compare::Packets;
use super::deadline::seconds;
use super::media::Source;
use super::process::Process;

/// `ffmpeg -re … -c copy -f flv rtmp://…`
pub struct Publisher {
    process: Process,
}

impl Publisher {
    /// Publishes `source` once, in real time.
    #[track_caller]
    pub fn start(source: &Source, url: &str) -> Self {
        Self::start_with(&[], source, url)
    }

    /// Publishes `source` over and over until it is stopped.
    #[track_caller]
    pub fn start_looped(source: &Source, url: &str) -> Self {
        Self::start_with(&["-stream_loop", "-1"], source, url)
    }

    fn start_with(input_flags: &[&str], source: &Source, url: &str) -> Self {
        let mut command = ffmpeg();
        command.args(input_flags).arg("-re").arg("-i").arg(&source.path);
        command.args(["-c", "copy", "-f", "flv", url]);
        Self { process: Process::start(&mut command) }
    }

    /// Waits until it has published everything and ended well.
    #[track_caller]
    pub fn finish(mut self) {
        let status = self.process.exit_within(PUBLISH_LIMIT);
        assert!(status.success(), "the publisher ended with {status}: {}", self.process.stderr().tail());
    }

    /// Waits until it has given up, and says why.
    #[track_caller]
    pub fn fail(mut self, limit: Duration) -> String {
        let status = self.process.exit_within(limit);
        assert!(!status.success(), "the publisher ended well, but should have been refused");
        self.process.stderr().all().join("\n")
    }

    /// Ends it the way a person does, with a goodbye to the server.
    pub fn stop(mut self) {
        self.process.signal("INT");
        self.process.exit_within(seconds(10));
    }

    /// Ends it without a goodbye.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// It keeps its connection and says nothing more.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// # Panics
    ///
    /// When it has ended.
    #[track_caller]
    pub fn assert_running(&mut self) {
        assert!(!self.process.has_ended(), "the publisher has ended: {}", self.process.stderr().tail());
    }
}

/// `ffmpeg -i http://… -c copy -f framemd5 -`
pub struct Reader {
    process: Process,
}

impl Reader {
    #[track_caller]
    pub fn start(url: &str) -> Self {
        let mut command = ffmpeg();
        command.args(["-i", url, "-c", "copy", "-f", "framemd5", "-"]);
        Self { process: Process::start(&mut command) }
    }

    /// Waits for the end of the stream; the packets that came.
    #[track_caller]
    pub fn finish(mut self) -> Packets {
        let status = self.process.exit_within(PUBLISH_LIMIT);
        let complaints = self.process.stderr().all();
        assert!(status.success() && complaints.is_empty(), "the reader ended with {status}: {complaints:?}");
        Packets::from_framemd5(&self.process.stdout().all())
    }
}

/// Decodes all of `url` (or of a file) and says how many frames of video it had.
///
/// # Panics
///
/// When a single frame does not decode.
pub struct Decoder {
    process: Process,
}

impl Decoder {
    #[track_caller]
    pub fn start(url: &str) -> Self {
        let mut command = ffmpeg();
        // FLV's own milliseconds: in frames a second, two times that a live source has moved a little may be one.
        // A muxer that takes two frames of one time, too, which a live encoder makes when it lacks CPU; but no going back.
        let muxer = ["-y", "-f", "framecrc", "/dev/null"];
        let output = [&["-fps_mode", "passthrough", "-enc_time_base", "1/1000"][..], &muxer].concat();
        command.args(["-xerror", "-progress", "-", "-i", url]).args(output);
        Self { process: Process::start(&mut command) }
    }

    /// Waits for the end of the stream; the number of video frames.
    #[track_caller]
    pub fn finish(mut self) -> usize {
        let status = self.process.exit_within(PUBLISH_LIMIT);
        let complaints = self.process.stderr().all();
        assert!(status.success() && complaints.is_empty(), "the decoder ended with {status}: {complaints:?}");
        let progress = self.process.stdout().all();
        let frames = progress.iter().rev().find_map(|line| line.strip_prefix("frame="));
        frames.map_or(0, |count| count.trim().parse().unwrap())
    }
}

/// The packets of a file as ffmpeg sees them.
#[track_caller]
pub fn packets_of(path: &Path) -> Packets {
    Reader::start(path.to_str().expect("a path in UTF-8")).finish()
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    command
}

/// Longer than any source plays.
const PUBLISH_LIMIT: Duration = seconds(60);

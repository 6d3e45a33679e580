//! ffmpeg as a publisher in real time, and as a reader.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
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
        Self::start_file(Program::Debians, input_flags, &source.path, &[], url)
    }

    /// Publishes a file in real time, with these flags before its name and before the URL.
    #[track_caller]
    pub fn start_file(
        program: Program,
        input_flags: &[&str],
        file: &Path,
        output_flags: &[&str],
        url: &str,
    ) -> Self {
        let mut command = program.command();
        command.args(input_flags).arg("-re").arg("-i").arg(file);
        command.args(["-c", "copy"]).args(output_flags).args(["-f", "flv", url]);
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
        Self::start_by(Program::Debians, url, &[])
    }

    /// Reads with another ffmpeg, or only some tracks: by flags such as `-map 0:1`.
    #[track_caller]
    pub fn start_by(program: Program, url: &str, flags: &[&str]) -> Self {
        let mut command = program.command();
        command.args(["-i", url]).args(flags).args(["-c", "copy", "-f", "framemd5", "-"]);
        Self { process: Process::start(&mut command) }
    }

    /// Waits for the end of the stream; the packets that came.
    #[track_caller]
    pub fn finish(mut self) -> Packets {
        let status = self.process.exit_within(PUBLISH_LIMIT);
        let mut complaints = self.process.stderr().all();
        complaints.retain(|line| !line.ends_with(END_OF_RESPONSE));
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
        let mut command = Program::Debians.command();
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

/// Which ffmpeg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// The installed one.
    Debians,
    /// One that has Enhanced RTMP: see `tests/current-ffmpeg`.
    Current,
}

impl Program {
    pub fn command(self) -> Command {
        let mut command = match self {
            Self::Debians => Command::new("ffmpeg"),
            Self::Current => Command::new(current()),
        };
        command.args(["-nostdin", "-v", "error"]);
        command
    }
}

fn current() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/current-ffmpeg");
        let output = Command::new(script).output().expect("tests/current-ffmpeg");
        assert!(output.status.success(), "no current ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

/// What ffmpeg 9 says of every FLV over HTTP without a length, from any server, when it has had the last chunk.
const END_OF_RESPONSE: &str = "Error during demuxing: Input/output error";

/// Longer than any source plays.
const PUBLISH_LIMIT: Duration = seconds(60);

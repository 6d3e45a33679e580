//! A child process whose output is collected line by line, and that never outlives its owner.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::deadline::{poll, seconds};

pub struct Process {
    name: String,
    child: Child,
    has_group: bool,
    stdout: Lines,
    stderr: Lines,
    collectors: Vec<JoinHandle<()>>,
}

impl Process {
    /// # Panics
    ///
    /// When the program is not there.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(
                |e| panic!("cannot start {name}: {e} (tests/run installs what the tests need)"),
            );
        let (stdout, reads_stdout) = Lines::collect(child.stdout.take().expect("stdout is piped"));
        let (stderr, reads_stderr) = Lines::collect(child.stderr.take().expect("stderr is piped"));
        Self { name, child, has_group: false, stdout, stderr, collectors: vec![reads_stdout, reads_stderr] }
    }

    /// Starts a program that has children of its own: they are killed with it.
    #[track_caller]
    pub fn start_group(command: &mut Command) -> Self {
        let mut process = Self::start(command.process_group(0));
        process.has_group = true;
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> &Lines {
        &self.stdout
    }

    pub fn stderr(&self) -> &Lines {
        &self.stderr
    }

    /// Sends a signal, named as `kill` names it (`TERM`, `STOP`).
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        assert!(send_signal(signal, &self.id().to_string()), "cannot send SIG{signal} to {}", self.name);
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the process and of its output.
    #[track_caller]
    pub fn exit_within(&mut self, limit: Duration) -> ExitStatus {
        let Some(status) = poll(limit, || self.child.try_wait().unwrap()) else {
            panic!("{} did not end within {limit:?}; its last lines are:\n{}", self.name, self.stderr.tail());
        };
        for collector in self.collectors.drain(..) {
            collector.join().unwrap();
        }
        status
    }

    /// Ends the process at once, as a crash or a power cut would.
    pub fn kill(&mut self) {
        if self.has_group {
            send_signal("KILL", &format!("-{}", self.id()));
        }
        // It may have ended by itself already, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines that a process has written so far.
#[derive(Clone)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    fn collect(pipe: impl Read + Send + 'static) -> (Self, JoinHandle<()>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let collector = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                sink.lock().unwrap().push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        (Self { lines }, collector)
    }

    pub fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Waits for the first line, from number `from` on, that is `wanted`.
    #[track_caller]
    pub fn wait_for(&self, what: &str, from: usize, wanted: impl Fn(&str) -> bool) -> String {
        let limit = seconds(20);
        let find = || self.lines.lock().unwrap().iter().skip(from).find(|line| wanted(line)).cloned();
        match poll(limit, find) {
            Some(line) => line,
            None => panic!("waited {limit:?} in vain for {what}; the last lines are:\n{}", self.tail()),
        }
    }

    pub fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn send_signal(signal: &str, target: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", signal, target])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

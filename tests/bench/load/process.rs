//! The measured process: started or given, and what the kernel says of it.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// USER_HZ, which is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process under measurement. One that was started here is ended with it.
pub struct Measured {
    pid: u32,
    child: Option<Child>,
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    /// The most that it has had resident.
    pub peak_bytes: u64,
    pub threads: usize,
}

impl Measured {
    /// Starts this build's rtmpd on free ports of the loopback interface; gives the RTMP and the HTTP address.
    pub fn rtmpd(flags: &[String]) -> io::Result<(Self, SocketAddr, SocketAddr)> {
        Self::start(&mut Self::rtmpd_command(flags))
    }

    /// What starts it, for whom something is to be added.
    pub fn rtmpd_command(flags: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmpd"));
        command.args(["--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(flags).env("RUST_LOG", "warn");
        command
    }

    /// Starts a program whose first two lines of output are addresses, which may have a scheme in front.
    pub fn start(command: &mut Command) -> io::Result<(Self, SocketAddr, SocketAddr)> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let measured = Self { pid: child.id(), child: Some(child) };
        let mut lines = BufReader::new(output).lines();
        let mut address = || -> io::Result<SocketAddr> {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            let address = line.rsplit('/').next().unwrap_or_default();
            address.parse().map_err(|_| io::Error::other(format!("not an address: {line}")))
        };
        let (first, second) = (address()?, address()?);
        Ok((measured, first, second))
    }

    /// A process that runs already.
    pub fn running(pid: u32) -> Self {
        Self { pid, child: None }
    }

    pub fn usage(&self) -> io::Result<Usage> {
        Usage::read(&format!("/proc/{}", self.pid))
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }
}

impl Usage {
    /// Of the benchmark itself.
    pub fn of_this_process() -> io::Result<Self> {
        Self::read("/proc/self")
    }

    /// Only the CPU time is the thread's own; the rest is its process's.
    pub fn of_this_thread() -> io::Result<Self> {
        Self::read("/proc/thread-self")
    }

    fn read(directory: &str) -> io::Result<Self> {
        let status = fs::read_to_string(format!("{directory}/status"))?;
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        let stat = fs::read_to_string(format!("{directory}/stat"))?;
        // Behind the name in parentheses, fields 14 and 15 of the whole line are user and system time.
        let times = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: f64 = times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(Self {
            cpu_seconds: ticks / TICKS_PER_SECOND,
            resident_bytes: field("VmRSS:") * 1024,
            peak_bytes: field("VmHWM:") * 1024,
            threads: field("Threads:") as usize,
        })
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _already_gone = child.kill();
            let _status = child.wait();
        }
    }
}

//! A long line: a network namespace for the server, and everything between it and us takes its time. The delay and
//! the rate are made between two TUN devices (line.py), for few kernels in virtual machines have netem.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Two ways into a namespace of its own: one long, one short. All of it goes with this.
pub struct Line {
    namespace: String,
    /// Our ends.
    near: String,
    direct: String,
    carrier: Child,
    net: u8,
}

impl Line {
    /// Makes one with this delay each way; says why where it is not possible.
    pub fn start(delay: Duration) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let id = format!("{process}.{number}");
        let (far, inner) = (format!("rl{id}f"), format!("rl{id}i"));
        let near = format!("rl{id}n");
        let line = Self {
            namespace: format!("{PREFIX}{id}"),
            direct: format!("rl{id}d"),
            carrier: carry(&near, &far, delay)?,
            near,
            net: ((process + number) % 250) as u8,
        };
        ip(&["netns", "add", &line.namespace])?;
        let namespace = line.namespace.as_str();
        ip(&["link", "set", &far, "netns", namespace])?;
        ip(&["link", "add", &line.direct, "type", "veth", "peer", "name", &inner])?;
        ip(&["link", "set", &inner, "netns", namespace])?;
        for (near, far, [ours, theirs]) in
            [(&line.near, &far, line.addresses(LONG)), (&line.direct, &inner, line.addresses(SHORT))]
        {
            bring_up(&[], near, ours)?;
            bring_up(&["-n", namespace], far, theirs)?;
        }
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        Ok(line)
    }

    /// The address of what runs in the namespace, at the long line's end.
    pub fn far_end(&self) -> IpAddr {
        self.addresses(LONG)[1].into()
    }

    /// The same at the short one's.
    pub fn short_end(&self) -> IpAddr {
        self.addresses(SHORT)[1].into()
    }

    /// Runs `program` in the namespace.
    pub fn command(&self, program: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program.get_program());
        command
    }

    /// Lets so many bits per second through towards us; 0 is as many as there are.
    pub fn set_rate(&mut self, bits: u64) {
        let rates = self.carrier.stdin.as_mut().expect("it is piped");
        writeln!(rates, "{bits}").expect("the line's carrier has ended");
    }

    /// Ours and the namespace's.
    fn addresses(&self, which: u8) -> [Ipv4Addr; 2] {
        [1, 2].map(|end| Ipv4Addr::new(10, self.net, which, end))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Its devices go with it, and the far end of the other pair with the near one.
        let _already_gone = self.carrier.kill();
        let _status = self.carrier.wait();
        for arguments in [["link", "del", &self.direct], ["netns", "del", &self.namespace]] {
            if let Err(error) = ip(&arguments) {
                println!("{error}");
            }
        }
    }
}

/// Removes the namespaces of tests that were killed.
fn remove_leftovers() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|id| id.split('.').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _another_test_may_be_faster = ip(&["netns", "del", &name]);
        }
    }
}

/// Starts what makes the two devices and carries packets between them.
fn carry(near: &str, far: &str, delay: Duration) -> Result<Child, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/line.py");
    let mut child = Command::new("python3")
        .args([script, near, far, &delay.as_millis().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start python3: {error}"))?;
    let mut said = String::new();
    let output = child.stdout.take().expect("it is piped");
    let is_ready = BufReader::new(output).read_line(&mut said).is_ok_and(|count| count > 0);
    if is_ready {
        return Ok(child);
    }
    let complaint = child.wait_with_output().map_err(|error| error.to_string())?.stderr;
    Err(format!("no TUN devices: {}", String::from_utf8_lossy(&complaint).lines().last().unwrap_or_default()))
}

fn bring_up(place: &[&str], name: &str, address: Ipv4Addr) -> Result<(), String> {
    ip(&[place, &["addr", "add", &format!("{address}/24"), "dev", name]].concat())?;
    // Long enough to lose nothing but what the line is to lose.
    ip(&[place, &["link", "set", name, "txqueuelen", "100000", "up"]].concat())
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(arguments).output();
    let output = done.map_err(|error| format!("cannot start ip (package iproute2): {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    output.status.success().then_some(()).ok_or_else(|| format!("ip {}: {complaint}", arguments.join(" ")))
}

const PREFIX: &str = "rtmpd-line-";
const LONG: u8 = 1;
const SHORT: u8 = 2;

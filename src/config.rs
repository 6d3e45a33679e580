//! Settings: their defaults, their limits, and their names as flags.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use ipnet::IpNet;

/// Everything that can be set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where RTMP is listened for. `[::]` means both IPv6 and IPv4, or IPv4 alone on machines without IPv6.
    pub rtmp: SocketAddr,
    /// Where HTTP is listened for; likewise.
    pub http: SocketAddr,
    /// How many threads share the viewers.
    pub workers: usize,
    /// How much of a stream goes out in one write: zero sends each video frame as it comes.
    pub merge: Duration,
    /// How long a viewer of a stream that is not live waits for it before it gets 404.
    pub wait: Duration,
    /// What happens to a second publisher of a live stream.
    pub takeover: Takeover,
    /// Networks of proxies that are believed when they say for whom they speak: by the PROXY protocol
    /// (RTMP and HTTP) or by X-Forwarded-For.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether media answers allow pages of other origins to play them.
    pub cors: bool,
    /// Bounds on memory and connections.
    pub limits: Limits,
    /// Bounds on time.
    pub timeouts: Timeouts,
}

/// What happens to a second publisher of a live stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Takeover {
    /// It is refused.
    Reject,
    /// It replaces the first.
    Takeover,
    /// It is held back; it replaces the first if that sends nothing for [`Timeouts::silence`], or is refused.
    IfSilent,
}

/// Bounds on memory and connections.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Most HTTP connections, viewers among them. Lowered at start to what the descriptor limit allows.
    pub http_connections: usize,
    /// Most HTTP connections from one address (IPv6: one /64), loopback excepted; 0 means no limit.
    pub http_connections_per_address: usize,
    /// Most HTTP connections that have not become viewers: requests being read or answered. One more takes the
    /// place of the oldest that dawdles.
    pub http_requests: usize,
    /// Most RTMP connections.
    pub rtmp_connections: usize,
    /// Most RTMP connections from one address, loopback excepted; 0 means no limit.
    pub rtmp_connections_per_address: usize,
    /// Most bytes of one group of pictures that are kept for those who join.
    pub gop_bytes: usize,
    /// Longest group of pictures that is kept for those who join.
    pub gop_time: Duration,
    /// Most unsent bytes of one viewer before it skips to a keyframe.
    pub viewer_lag_bytes: usize,
    /// Longest time that a viewer may be behind before it skips to a keyframe.
    pub viewer_lag_time: Duration,
    /// Most skips of one viewer within a minute before it is disconnected.
    pub viewer_skips: u32,
    /// Most bytes that all streams keep together.
    pub stream_bytes: usize,
}

/// Bounds on time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timeouts {
    /// From an RTMP connection's start to its publish command.
    pub publish: Duration,
    /// Longest silence of a publisher before it is disconnected.
    pub idle_publisher: Duration,
    /// Longest silence of a publisher before [`Takeover::IfSilent`] lets another in.
    pub silence: Duration,
    /// From an HTTP connection's start to the end of its request.
    pub request: Duration,
    /// Longest time without a byte taken by a viewer that has something to take.
    pub viewer_stall: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        Self {
            rtmp: any(1935),
            http: any(8090),
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            merge: Duration::ZERO,
            wait: Duration::from_secs(10),
            takeover: Takeover::IfSilent,
            trusted_proxies: Vec::new(),
            cors: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http_connections: 20_000,
            http_connections_per_address: 256,
            http_requests: 1024,
            rtmp_connections: 1_000,
            rtmp_connections_per_address: 64,
            gop_bytes: 16 << 20,
            gop_time: Duration::from_secs(12),
            viewer_lag_bytes: 8 << 20,
            viewer_lag_time: Duration::from_secs(8),
            viewer_skips: 10,
            stream_bytes: 256 << 20,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            publish: Duration::from_secs(10),
            idle_publisher: Duration::from_secs(30),
            silence: Duration::from_secs(3),
            request: Duration::from_secs(5),
            viewer_stall: Duration::from_secs(15),
        }
    }
}

/// Descriptors for listeners, epoll, standard streams, refused connections and whatever the libraries open.
const RESERVED_DESCRIPTORS: usize = 64;

/// With fewer descriptors there is no room for publishers and viewers beside the reserve.
pub(crate) const MIN_DESCRIPTORS: usize = 128;

/// What requests use beside their clients' sockets while tiny_http answers them, a few at a time: the private
/// connections' two ends, of which tiny_http opens one twice.
pub(crate) const DESCRIPTORS_FOR_EXCHANGES: usize = 24;

impl Limits {
    /// Lowers the caps on connections so that together they stay below `descriptors`: accepting must never
    /// fail for want of one.
    pub(crate) fn within(mut self, descriptors: usize) -> Self {
        let available = descriptors.max(MIN_DESCRIPTORS) - RESERVED_DESCRIPTORS - DESCRIPTORS_FOR_EXCHANGES;
        self.rtmp_connections = self.rtmp_connections.min(available / 4);
        self.http_connections = self.http_connections.min(available - self.rtmp_connections);
        self
    }
}

/// One setting that has a name.
pub struct Setting {
    /// Its name, as in `--name`.
    pub name: &'static str,
    /// What its value is called in the help.
    pub value: &'static str,
    /// What it does, with its default.
    pub help: &'static str,
    apply: fn(&mut Config, &str) -> Result<(), &'static str>,
}

/// All settings that have a name, in the order of the help.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "rtmp",
        value: "HOST:PORT",
        help: "where publishers connect; port 0 takes any free one [default: [::]:1935, IPv6 and IPv4]",
        apply: |config, text| address(text).map(|address| config.rtmp = address),
    },
    Setting {
        name: "http",
        value: "HOST:PORT",
        help: "where viewers and pages connect [default: [::]:8090, IPv6 and IPv4]",
        apply: |config, text| address(text).map(|address| config.http = address),
    },
    Setting {
        name: "wait",
        value: "SECONDS",
        help: "how long a viewer waits for a stream that is not live, 0 to 60 [default: 10]",
        apply: |config, text| {
            number(text, 0, 60, "a number from 0 to 60").map(|s| config.wait = Duration::from_secs(s))
        },
    },
    Setting {
        name: "takeover",
        value: "POLICY",
        help: "a second publisher of a live stream: reject, takeover, or if-silent for 3 s [default: if-silent]",
        apply: |config, text| {
            config.takeover = match text {
                "reject" => Takeover::Reject,
                "takeover" => Takeover::Takeover,
                "if-silent" => Takeover::IfSilent,
                _ => return Err("reject, takeover or if-silent"),
            };
            Ok(())
        },
    },
    Setting {
        name: "merge",
        value: "MILLISECONDS",
        help: "send video in pieces this long, 40 to 500, which costs delay and saves CPU; 0 sends each frame at once [default: 0]",
        apply: |config, text| {
            let millis = number(text, 0, 500, "0, or a number from 40 to 500")?;
            if (1..40).contains(&millis) {
                return Err("0, or a number from 40 to 500");
            }
            config.merge = Duration::from_millis(millis);
            Ok(())
        },
    },
    Setting {
        name: "workers",
        value: "COUNT",
        help: "threads that share the viewers, 1 to 64 [default: one per core]",
        apply: |config, text| {
            number(text, 1, 64, "a number from 1 to 64").map(|count| config.workers = count as usize)
        },
    },
    Setting {
        name: "max-connections",
        value: "COUNT",
        help: "most HTTP connections, viewers among them [default: 20000, or what the descriptor limit allows]",
        apply: |config, text| {
            number(text, 1, 1_000_000, "a number from 1 to 1000000")
                .map(|count| config.limits.http_connections = count as usize)
        },
    },
    Setting {
        name: "max-connections-per-address",
        value: "COUNT",
        help: "most HTTP connections from one address, loopback excepted; 0 means no limit [default: 256]",
        apply: |config, text| {
            number(text, 0, 1_000_000, "a number from 0 to 1000000")
                .map(|count| config.limits.http_connections_per_address = count as usize)
        },
    },
    Setting {
        name: "max-publishers",
        value: "COUNT",
        help: "most RTMP connections [default: 1000, or what the descriptor limit allows]",
        apply: |config, text| {
            number(text, 1, 100_000, "a number from 1 to 100000")
                .map(|count| config.limits.rtmp_connections = count as usize)
        },
    },
    Setting {
        name: "trusted-proxy",
        value: "NETWORK,...",
        help: "proxies that are believed when they name their clients, by X-Forwarded-For or the PROXY protocol: addresses or networks such as 10.0.0.0/8; may be repeated [default: none]",
        apply: |config, text| networks(text).map(|networks| config.trusted_proxies.extend(networks)),
    },
    Setting {
        name: "cors",
        value: "on|off",
        help: "whether pages of other sites may play the streams [default: on]",
        apply: |config, text| {
            config.cors = match text {
                "on" => true,
                "off" => false,
                _ => return Err("on or off"),
            };
            Ok(())
        },
    },
];

/// Why a setting was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no setting of this name.
    #[error("unknown option --{0}; see rtmpd --help")]
    Unknown(String),
    /// The value is not one that the setting takes.
    #[error("--{name} takes {expected}, not {value:?}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

impl Config {
    /// Sets one setting by its name.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.name == name)
            .ok_or_else(|| ConfigError::Unknown(name.to_owned()))?;
        (setting.apply)(self, value).map_err(|expected| ConfigError::Value {
            name: setting.name,
            value: value.to_owned(),
            expected,
        })
    }
}

fn number(text: &str, min: u64, max: u64, expected: &'static str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|number| (min..=max).contains(number)).ok_or(expected)
}

/// Addresses and networks, separated by commas.
fn networks(text: &str) -> Result<Vec<IpNet>, &'static str> {
    let expected = "addresses or networks such as 127.0.0.1,10.0.0.0/8,fd00::/8";
    let network = |entry: &str| entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    text.split(',').map(|entry| network(entry.trim()).map_err(|_| expected)).collect()
}

/// `HOST:PORT`, or `:PORT` for every address of the machine.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let expected = "an address such as 0.0.0.0:1935, [::]:1935 or localhost:1935";
    if let Some(port) = text.strip_prefix(':') {
        let port: u16 = port.parse().map_err(|_| expected)?;
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    text.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or(expected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_by_name() {
        let mut config = Config::default();
        for (name, value) in [
            ("rtmp", "127.0.0.1:0"),
            ("http", ":80"),
            ("wait", "0"),
            ("merge", "350"),
            ("takeover", "reject"),
            ("cors", "off"),
        ] {
            config.set(name, value).unwrap();
        }
        assert_eq!(config.rtmp.to_string(), "127.0.0.1:0");
        assert_eq!(config.http.to_string(), "[::]:80");
        assert_eq!((config.wait, config.merge), (Duration::ZERO, Duration::from_millis(350)));
        assert_eq!((config.takeover, config.cors), (Takeover::Reject, false));
    }

    #[test]
    fn wrong_values_are_named_with_what_is_taken() {
        let mut config = Config::default();
        for (name, value) in [
            ("rtmp", "nonsense"),
            ("rtmp", ""),
            ("http", ":x"),
            ("wait", "61"),
            ("wait", "-1"),
            ("merge", "39"),
            ("merge", "501"),
            ("workers", "0"),
            ("takeover", "yes"),
            ("cors", "1"),
            ("max-publishers", "0"),
        ] {
            let message = config.set(name, value).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(&format!("{value:?}")), "{message}");
        }
        assert_eq!(config.set("rtpm", "x"), Err(ConfigError::Unknown("rtpm".into())));
    }

    #[test]
    fn connection_caps_stay_below_the_descriptor_limit() {
        for descriptors in [MIN_DESCRIPTORS, 129, 256, 1024, 4096, 1 << 20] {
            let limits = Limits::default().within(descriptors);
            let used = limits.rtmp_connections + limits.http_connections + DESCRIPTORS_FOR_EXCHANGES;
            assert!(used + RESERVED_DESCRIPTORS <= descriptors, "{descriptors}: {limits:?}");
            assert!(
                limits.http_connections >= 30 && limits.rtmp_connections >= 10,
                "{descriptors}: {limits:?}"
            );
        }
        assert_eq!(Limits::default().within(1 << 20).http_connections, 20_000);
    }
}

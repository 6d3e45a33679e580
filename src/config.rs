//! Settings: their defaults, their limits, and their names as flags.

mod limits;
mod settings;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use self::limits::Limits;
pub(crate) use self::limits::{DESCRIPTORS_FOR_EXCHANGES, MAX_ANSWERS, MIN_DESCRIPTORS, TLS_MEMORY};
pub use self::settings::{SETTINGS, Setting};
use crate::access::Rules;
use crate::stream::Start;

/// Everything that can be set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where RTMP is listened for. `[::]` means both IPv6 and IPv4, or IPv4 alone on machines without IPv6.
    pub rtmp: SocketAddr,
    /// Where RTMP over TLS (RTMPS) is listened for, if anywhere. Needs `tls_cert` and `tls_key`.
    pub rtmps: Option<SocketAddr>,
    /// PEM file with the certificate for TLS, and behind it those that lead to the authority's. Read again when it or
    /// `tls_key` changes.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Where HTTP is listened for; as for RTMP.
    pub http: SocketAddr,
    /// How many threads share the viewers.
    pub workers: usize,
    /// How much of a stream goes out in one write: zero sends each video frame as it comes.
    pub merge: Duration,
    /// Where viewers begin in a live stream who do not say so in their request.
    pub start: Start,
    /// How long a viewer of a stream that is not live waits for it before it gets 404; at most [`Timeouts::max_wait`].
    pub wait: Duration,
    /// What happens to a second publisher of a live stream.
    pub takeover: Takeover,
    /// Networks of proxies that are believed when they say for whom they speak: by the PROXY protocol
    /// (RTMP and HTTP) or by X-Forwarded-For.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may publish and who may play.
    pub access: Rules,
    /// Whether media answers allow pages of other origins to play them.
    pub cors: bool,
    /// Origins of the pages that may play over WebSocket, such as `https://example.org`, beside our own. If there are none,
    /// all may if [`cors`](Self::cors) is set, and none if it is not.
    pub ws_origins: Vec<String>,
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
    /// It replaces the first, whose viewers it gets.
    Takeover,
    /// It is held back; it replaces the first if that sends nothing for [`Timeouts::silence`], or is refused.
    IfSilent,
}

/// Bounds on time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timeouts {
    /// From an RTMP connection's start to its publish command.
    pub publish: Duration,
    /// Longest silence of a publisher before it is disconnected.
    pub idle_publisher: Duration,
    /// How long viewers are held when a publisher was lost, so that it can go on; zero ends its stream at once.
    pub resume: Duration,
    /// Longest silence of a publisher before [`Takeover::IfSilent`] lets another in.
    pub silence: Duration,
    /// Longest time that a request may ask to wait for a stream that is not live.
    pub max_wait: Duration,
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
            rtmps: None,
            tls_cert: None,
            tls_key: None,
            http: any(8090),
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            merge: Duration::ZERO,
            start: Start::Gop,
            wait: Duration::from_secs(10),
            takeover: Takeover::IfSilent,
            trusted_proxies: Vec::new(),
            access: Rules::default(),
            cors: true,
            ws_origins: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            publish: Duration::from_secs(10),
            idle_publisher: Duration::from_secs(30),
            resume: Duration::from_secs(10),
            silence: Duration::from_secs(3),
            max_wait: Duration::from_secs(60),
            request: Duration::from_secs(5),
            viewer_stall: Duration::from_secs(15),
        }
    }
}

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
    /// The same where the value is nobody else's business.
    #[error("--{name} takes {expected}; what it was given is not shown")]
    Secret {
        /// The setting.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// Those who ask for nothing would wait longer than those may who do.
    #[error("--wait is {wait:?} and --max-wait {max:?}: lower the one or raise the other")]
    Wait {
        /// [`Config::wait`].
        wait: Duration,
        /// [`Timeouts::max_wait`].
        max: Duration,
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
        let name = setting.name;
        (setting.apply)(self, value).map_err(|expected| match name {
            "publish-key" => ConfigError::Secret { name, expected },
            _ => ConfigError::Value { name, value: value.to_owned(), expected },
        })
    }

    /// Whether the settings go together.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let (wait, max) = (self.wait, self.timeouts.max_wait);
        if wait > max { Err(ConfigError::Wait { wait, max }) } else { Ok(()) }
    }
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
            ("rtmps", "127.0.0.1:443"),
            ("tls-cert", "/etc/cert.pem"),
            ("tls-key", "key.pem"),
            ("http", ":80"),
            ("start", "live"),
            ("wait", "0"),
            ("max-wait", "600"),
            ("publisher-timeout", "3600"),
            ("merge", "350"),
            ("takeover", "reject"),
            ("resume", "600"),
            ("cors", "off"),
            ("ws-origin", "https://a.org, http://b.org:8080"),
            ("ws-origin", "null"),
        ] {
            config.set(name, value).unwrap();
        }
        assert_eq!(config.rtmp.to_string(), "127.0.0.1:0");
        assert_eq!(config.http.to_string(), "[::]:80");
        assert_eq!(config.rtmps.map(|address| address.port()), Some(443));
        assert_eq!((config.tls_cert, config.tls_key), (Some("/etc/cert.pem".into()), Some("key.pem".into())));
        assert_eq!((config.wait, config.merge), (Duration::ZERO, Duration::from_millis(350)));
        assert_eq!(config.timeouts.resume, Duration::from_secs(600));
        assert_eq!(config.start, Start::Live);
        let timeouts = &config.timeouts;
        let seconds = [timeouts.max_wait, timeouts.idle_publisher].map(|time| time.as_secs());
        assert_eq!(seconds, [600, 3600]);
        assert_eq!((config.takeover, config.cors), (Takeover::Reject, false));
        assert_eq!(config.ws_origins, ["https://a.org", "http://b.org:8080", "null"]);
    }

    #[test]
    fn the_wait_is_no_longer_than_a_request_may_ask_for() {
        let config = |wait: u64, max: u64| {
            let mut config = Config { wait: Duration::from_secs(wait), ..Config::default() };
            config.timeouts.max_wait = Duration::from_secs(max);
            config
        };
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!((config(0, 0).check(), config(600, 600).check()), (Ok(()), Ok(())));
        let error = config(61, 60).check().unwrap_err().to_string();
        assert_eq!(error, "--wait is 61s and --max-wait 60s: lower the one or raise the other");
    }

    #[test]
    fn wrong_values_are_named_with_what_is_taken() {
        let mut config = Config::default();
        for (name, value) in [
            ("rtmp", "nonsense"),
            ("rtmp", ""),
            ("rtmps", "443"),
            ("tls-cert", ""),
            ("tls-key", ""),
            ("http", ":x"),
            ("start", "first"),
            ("wait", "601"),
            ("wait", "-1"),
            ("max-wait", "601"),
            ("publisher-timeout", "0"),
            ("publisher-timeout", "3601"),
            ("merge", "39"),
            ("merge", "501"),
            ("workers", "0"),
            ("takeover", "yes"),
            ("resume", "601"),
            ("api-token-file", ""),
            ("cors", "1"),
            ("ws-origin", ""),
            ("ws-origin", "example.org"),
            ("ws-origin", "https://example.org/"),
            ("max-publishers", "0"),
        ] {
            let message = config.set(name, value).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains(&format!("{value:?}")), "{message}");
        }
        assert_eq!(config.set("rtpm", "x"), Err(ConfigError::Unknown("rtpm".into())));
    }
}

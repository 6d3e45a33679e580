use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{Config, Takeover};
use crate::stream::Start;

/// One setting that has a name.
pub struct Setting {
    /// Its name, as in `--name`.
    pub name: &'static str,
    /// What its value is called in the help.
    pub value: &'static str,
    /// What it does, with its default.
    pub help: &'static str,
    pub(super) apply: fn(&mut Config, &str) -> Result<(), &'static str>,
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
        name: "rtmps",
        value: "HOST:PORT",
        help: "where publishers connect over TLS, often port 443 or 1936; needs the next two [default: off]",
        apply: |config, text| address(text).map(|address| config.rtmps = Some(address)),
    },
    Setting {
        name: "tls-cert",
        value: "FILE",
        help: "PEM file with the certificate for TLS and those behind it; taken up again when it changes",
        apply: |config, text| file(text).map(|file| config.tls_cert = Some(file)),
    },
    Setting {
        name: "tls-key",
        value: "FILE",
        help: "PEM file with the certificate's private key (PKCS#8, PKCS#1 or SEC1, without a password)",
        apply: |config, text| file(text).map(|file| config.tls_key = Some(file)),
    },
    Setting {
        name: "start",
        value: "WHERE",
        help: "where viewers begin who do not say it by ?start=: gop (newest keyframe: a picture at once), key (next keyframe) or live (at once, lowest delay) [default: gop]",
        apply: |config, text| {
            config.start = match text {
                "gop" => Start::Gop,
                "key" => Start::Key,
                "live" => Start::Live,
                _ => return Err("gop, key or live"),
            };
            Ok(())
        },
    },
    Setting {
        name: "wait",
        value: "SECONDS",
        help: "how long a viewer waits for a stream that is not live, 0 to --max-wait [default: 10]",
        apply: |config, text| {
            number(text, 0, 600, "a number from 0 to 600").map(|s| config.wait = Duration::from_secs(s))
        },
    },
    Setting {
        name: "max-wait",
        value: "SECONDS",
        help: "how long a request may ask to wait for such a stream by ?wait=, 0 to 600 [default: 60]",
        apply: |config, text| {
            number(text, 0, 600, "a number from 0 to 600")
                .map(|s| config.timeouts.max_wait = Duration::from_secs(s))
        },
    },
    Setting {
        name: "publisher-timeout",
        value: "SECONDS",
        help: "how long a publisher may send nothing before it is disconnected, 1 to 3600 [default: 30]",
        apply: |config, text| {
            number(text, 1, 3600, "a number from 1 to 3600")
                .map(|s| config.timeouts.idle_publisher = Duration::from_secs(s))
        },
    },
    Setting {
        name: "resume",
        value: "SECONDS",
        help: "how long viewers are held when a publisher is lost, for it to come back, 0 to 600 [default: 10]",
        apply: |config, text| {
            number(text, 0, 600, "a number from 0 to 600")
                .map(|s| config.timeouts.resume = Duration::from_secs(s))
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
        help: "most RTMP connections, and as many streams that are held for lost publishers [default: 1000, or what the descriptor limit allows]",
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
        name: "publish-key",
        value: "PATH=KEY",
        help: "a key that streams at PATH and below need, given as ?key=KEY; an empty PATH is every stream; may be repeated; other users of the machine can see it, so prefer --publish-keys [default: anyone may publish]",
        apply: |config, text| {
            let expected = "PATH=KEY, with a key that has no white space, &, ? or /";
            let (path, key) = text.split_once('=').ok_or(expected)?;
            config.access.publish_keys.add(path, key).map_err(|_| expected)
        },
    },
    Setting {
        name: "publish-keys",
        value: "FILE",
        help: "a file of such keys: lines PATH KEY, or KEY alone for every stream; # begins a comment; may be repeated",
        apply: |config, text| file(text).map(|file| config.access.publish_key_files.push(file)),
    },
    Setting {
        name: "publish-allow",
        value: "NETWORK,...",
        help: "streams may be published from here alone; may be repeated [default: from everywhere]",
        apply: |config, text| networks(text).map(|networks| config.access.publish_from.allow.extend(networks)),
    },
    Setting {
        name: "publish-deny",
        value: "NETWORK,...",
        help: "no stream may be published from here, even if allowed; may be repeated [default: none]",
        apply: |config, text| networks(text).map(|networks| config.access.publish_from.deny.extend(networks)),
    },
    Setting {
        name: "play-allow",
        value: "NETWORK,...",
        help: "streams may be played from here alone; may be repeated [default: from everywhere]",
        apply: |config, text| networks(text).map(|networks| config.access.play_from.allow.extend(networks)),
    },
    Setting {
        name: "play-deny",
        value: "NETWORK,...",
        help: "no stream may be played from here, even if allowed; may be repeated [default: none]",
        apply: |config, text| networks(text).map(|networks| config.access.play_from.deny.extend(networks)),
    },
    Setting {
        name: "play-secret-file",
        value: "FILE",
        help: "a file with a secret of 16 bytes or more: streams play by links signed with it alone (see --sign) [default: none]",
        apply: |config, text| file(text).map(|file| config.access.play_secret_file = Some(file)),
    },
    Setting {
        name: "api-token-file",
        value: "FILE",
        help: "a file with a token of 16 bytes or more: who shows it to /api (Authorization: Bearer TOKEN) sees addresses and may end clients [default: none; those on this machine may]",
        apply: |config, text| file(text).map(|file| config.access.api_token_file = Some(file)),
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
    Setting {
        name: "ws-origin",
        value: "ORIGIN,...",
        help: "sites whose pages may play over WebSocket, beside our own; may be repeated [default: all, or with --cors off none]",
        apply: |config, text| origins(text).map(|origins| config.ws_origins.extend(origins)),
    },
];

fn number(text: &str, min: u64, max: u64, expected: &'static str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|number| (min..=max).contains(number)).ok_or(expected)
}

fn file(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("the name of a file") } else { Ok(text.into()) }
}

/// Addresses and networks, separated by commas.
fn networks(text: &str) -> Result<Vec<IpNet>, &'static str> {
    let expected = "addresses or networks such as 127.0.0.1,10.0.0.0/8,fd00::/8";
    let network = |entry: &str| entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    text.split(',').map(|entry| network(entry.trim()).map_err(|_| expected)).collect()
}

/// Origins as browsers send them, separated by commas.
fn origins(text: &str) -> Result<Vec<String>, &'static str> {
    let is_origin = |entry: &str| {
        let authority = entry.strip_prefix("https://").or_else(|| entry.strip_prefix("http://"));
        entry == "null" || authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('/'))
    };
    let entries: Vec<_> = text.split(',').map(|entry| entry.trim().to_owned()).collect();
    if entries.iter().all(|entry| is_origin(entry)) {
        Ok(entries)
    } else {
        Err("origins such as https://example.org")
    }
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

//! What the tests share: `rtmpd` and real tools as child processes, an HTTP client, an FLV reader and an RTMP
//! client that know nothing of the server's own code, and the comparison of what arrived with what was sent.

// Every test binary compiles this module and uses its own part of it.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod abuse;
pub mod bystander;
pub mod camera;
pub mod compare;
pub mod deadline;
pub mod ffmpeg;
pub mod flv;
pub mod http;
#[cfg(target_os = "linux")]
pub mod line;
pub mod media;
pub mod metrics;
pub mod noise;
pub mod numbered;
pub mod page;
pub mod process;
pub mod proxy;
pub mod recordings;
pub mod rtmp;
pub mod rtmpd;
pub mod scene;
pub mod session;
pub mod sockets;
pub mod tls;
pub mod turns;
pub mod usage;
pub mod webdriver;
pub mod websocket;

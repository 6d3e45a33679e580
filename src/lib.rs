//! A small live server: streams come in over RTMP and go out as HTTP-FLV and WebSocket-FLV.
//!
//! rtmpd is a blocking program: threads and channels, no async runtime. The binary of the same name is a thin
//! shell around this library, which does not read flags, install a logger or handle signals.
//!
//! # The way of a packet
//!
//! ```text
//! publisher's socket -> chunk -> message -> session -> stream -> burst -> worker -> viewer's socket
//!                       \________ rtmp ___________/    \__ stream __/    \___ delivery ___/
//!                       \________________ ingest ____________________/
//! ```
//!
//! A thread for each publisher reads chunks and puts messages together ([`rtmp`]), without knowing of sockets.
//! A stream turns them into FLV tags, runs of tags into bursts, and sends each burst over crossbeam channels to a few
//! workers, which write it to their viewers' sockets. Viewers come in through a gate in front of tiny_http.
//!
//! # Example
//!
//! Start a server on free ports, wait for a publisher, and look at its tags as they come:
//!
//! ```
//! use std::net::Ipv4Addr;
//! use std::time::Duration;
//! use rtmpd::{Server, StreamName};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().rtmp((Ipv4Addr::LOCALHOST, 0)).http((Ipv4Addr::LOCALHOST, 0)).start()?;
//! println!("publish to rtmp://{}/live/cam1", server.rtmp_addr());
//! println!("play http://{}/live/cam1.flv", server.http_addr());
//!
//! if let Some(tags) = server.subscribe(&StreamName::new("live", "cam1")?) {
//!     for tag in tags {
//!         println!("{:?} at {}: {} bytes", tag.kind, tag.timestamp, tag.body().len());
//!     }
//! }
//! for stream in server.streams() {
//!     println!("{} has {} viewers", stream.name, stream.viewers.total());
//! }
//! server.shutdown(Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```

pub mod access;
mod admission;
pub mod amf0;
pub mod bytes;
pub mod config;
mod deadline;
mod delivery;
mod demo;
mod error;
pub mod flv;
mod http;
mod ingest;
mod listener;
pub mod media;
mod occasional;
mod peer;
mod proxy;
mod room;
pub mod rtmp;
mod server;
mod stream;
mod threads;
mod tls;
mod watched;

pub use config::Config;
pub use delivery::{ViewerState, ViewerStatus, ViewerTotals};
pub use error::Error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use http::fuzz_request;
pub use media::StreamName;
pub use room::{Room, Used};
pub use server::{Server, ServerHandle, ShutdownTimeout};
pub use stream::{
    EndReason, HealthWarning, Protocol, PublisherTotals, Start, StreamStatus, Subscription, Tag, Timeout,
    ViewerCounts,
};
pub use tls::TlsError;

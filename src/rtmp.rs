//! RTMP without IO: bytes in, events and bytes out.
//!
//! Nothing in here names a socket, a thread, a clock or a channel, so every path can be tested with plain
//! byte slices and driven by any program. The layers, from the wire up:
//!
//! - [`handshake`]: the greeting, simple and with digests;
//! - [`chunk`]: messages cut into chunks, and put together again;
//! - [`message`]: message types and the control messages; [`aggregate`]: several messages in one;
//! - [`command`]: AMF0 commands such as `connect` and `publish`;
//! - [`session`]: one client's conversation with the server; [`client`]: the other side of it, which publishes.
//!
//! The canonical loop around a [`Session`](session::Session), as `ingest` runs it:
//!
//! 1. read some bytes from the peer;
//! 2. [`handle_input`](session::Session::handle_input) them;
//! 3. drain [`poll_event`](session::Session::poll_event), and answer what asks for an answer
//!    ([`accept_publish`](session::Session::accept_publish) or [`reject`](session::Session::reject)): what is behind it
//!    waits for that;
//! 4. write what [`take_output`](session::Session::take_output) gives;
//! 5. from the top, until an error, the end of the input, or [`is_closing`](session::Session::is_closing).

pub mod aggregate;
pub mod chunk;
pub mod client;
pub mod command;
pub mod handshake;
pub mod message;
pub mod session;

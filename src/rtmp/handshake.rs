//! The handshake: three packets each way before the first chunk (RTMP 1.0, section 5.2).
//!
//! The specification's *simple* form echoes random bytes. The *digest* form, never specified but spoken by
//! Flash, ffmpeg, nginx-rtmp and SRS, hides an HMAC-SHA256 in those bytes at one of two places (*schemas*).
//! A client that sends a valid digest gets digests back, in the schema that it used; any other gets the
//! simple form. What the client answers (C2) is not checked: real clients do not echo it faithfully.

mod client;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use self::client::ClientHandshake;

/// Length of C1, C2, S1 and S2 in bytes.
pub const PACKET_LENGTH: usize = 1536;

/// Length of the random part of a simple C1 or S1, behind time and version.
pub const RANDOM_LENGTH: usize = PACKET_LENGTH - 8;

const VERSION: u8 = 3;
const DIGEST_LENGTH: usize = 32;
/// A 764-byte block holds 4 offset bytes and the digest; the offset is taken modulo what is left.
const DIGEST_OFFSETS: usize = 764 - 4 - DIGEST_LENGTH;
/// What S1 says of its version in the digest form; the first byte must be at least 3, or clients look for no digest.
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

const CLIENT_KEY: &[u8; 30] = b"Genuine Adobe Flash Player 001";
const SERVER_KEY: &[u8; 36] = b"Genuine Adobe Flash Media Server 001";
/// Follows either key where a packet is signed with the whole key.
const KEY_SUFFIX: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E, 0xEC,
    0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

type Packet = [u8; PACKET_LENGTH];
type Digest = [u8; DIGEST_LENGTH];

/// Why a peer's first byte ends the connection: what it speaks instead of RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A TLS ClientHello: an `rtmps://` client on the plain port.
    #[error("peer speaks TLS, not plain RTMP; rtmps:// clients use the RTMPS port")]
    Tls,
    /// A letter that begins an HTTP method (or RTMPT's).
    #[error("peer speaks HTTP, not RTMP; players use the HTTP port")]
    Http,
    /// RTMPE.
    #[error("peer asks for encrypted RTMPE (version {0}), which is not supported")]
    Encrypted(u8),
    /// Any other version.
    #[error("peer does not speak RTMP: its first byte is {0:#04x}, not 0x03")]
    Version(u8),
}

/// The server's side of one handshake.
#[derive(Debug)]
pub struct Handshake {
    random: Box<[u8; RANDOM_LENGTH]>,
    received: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// C0 and C1; the answer must not come before the last byte.
    Hello,
    /// C2, counted and thrown away.
    Echo,
    Done,
}

impl Handshake {
    /// Expects C0. `random` goes into S1; it need not be secret, only different for each connection.
    pub fn new(random: Box<[u8; RANDOM_LENGTH]>) -> Self {
        Self { random, received: Vec::new(), stage: Stage::Hello }
    }

    /// Takes what belongs to the handshake off the front of `input` and appends the answer to `output`.
    /// Returns whether the handshake is over; what then is left of `input` is the chunk stream.
    ///
    /// # Errors
    /// [`HandshakeError`] as soon as the first byte shows that the peer does not speak plain RTMP.
    pub fn read(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, HandshakeError> {
        if self.stage == Stage::Hello && self.fill(input, 1 + PACKET_LENGTH)? {
            self.answer(output);
            self.received.clear();
            self.stage = Stage::Echo;
        }
        if self.stage == Stage::Echo && self.fill(input, PACKET_LENGTH)? {
            self.received = Vec::new();
            self.stage = Stage::Done;
        }
        Ok(self.stage == Stage::Done)
    }

    fn fill(&mut self, input: &mut &[u8], length: usize) -> Result<bool, HandshakeError> {
        let wanted = length - self.received.len();
        let (taken, rest) = input.split_at(wanted.min(input.len()));
        self.received.extend_from_slice(taken);
        *input = rest;
        if self.stage == Stage::Hello {
            self.received.first().map_or(Ok(()), |&version| check_version(version))?;
        }
        Ok(self.received.len() == length)
    }

    /// S0, S1 and S2 in one go: some clients send C2 only when they have all three.
    fn answer(&self, output: &mut Vec<u8>) {
        let mut c1: Packet = [0; PACKET_LENGTH];
        c1.copy_from_slice(&self.received[1..]);
        let mut s1: Packet = [0; PACKET_LENGTH];
        s1[8..].copy_from_slice(&self.random[..]);
        let s2 = match find_digest(&c1) {
            Some((schema, client_digest)) => {
                s1[4..8].copy_from_slice(&SERVER_VERSION);
                sign_hello(&mut s1, schema, SERVER_KEY);
                signed_echo(&self.random, &client_digest)
            }
            None => c1,
        };
        output.push(VERSION);
        output.extend_from_slice(&s1);
        output.extend_from_slice(&s2);
    }
}

fn check_version(version: u8) -> Result<(), HandshakeError> {
    match version {
        VERSION => Ok(()),
        0x16 => Err(HandshakeError::Tls),
        6 | 8 | 9 => Err(HandshakeError::Encrypted(version)),
        b'A'..=b'Z' => Err(HandshakeError::Http),
        other => Err(HandshakeError::Version(other)),
    }
}

/// Where a packet keeps its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schema {
    /// The key's block first, the digest's in the second half.
    KeyDigest,
    /// The digest's block first.
    DigestKey,
}

impl Schema {
    /// Index of the digest's first byte.
    fn digest_at(self, packet: &Packet) -> usize {
        let block = match self {
            Self::KeyDigest => 8 + 764,
            Self::DigestKey => 8,
        };
        let sum: usize = packet[block..block + 4].iter().map(|&byte| usize::from(byte)).sum();
        block + 4 + sum % DIGEST_OFFSETS
    }
}

/// The schema and digest of a client's C1, if it carries a valid one.
fn find_digest(c1: &Packet) -> Option<(Schema, Digest)> {
    if c1[4..8] == [0; 4] {
        return None;
    }
    [Schema::KeyDigest, Schema::DigestKey].into_iter().find_map(|schema| {
        let at = schema.digest_at(c1);
        let expected = digest_around(c1, at, CLIENT_KEY);
        (c1[at..at + DIGEST_LENGTH] == expected).then_some((schema, expected))
    })
}

/// HMAC over a packet without the digest's own bytes.
fn digest_around(packet: &Packet, at: usize, key: &[u8]) -> Digest {
    hmac(key, &[&packet[..at], &packet[at + DIGEST_LENGTH..]])
}

fn sign_hello(packet: &mut Packet, schema: Schema, key: &[u8]) {
    let at = schema.digest_at(packet);
    let digest = digest_around(packet, at, key);
    packet[at..at + DIGEST_LENGTH].copy_from_slice(&digest);
}

/// S2 of the digest form: random bytes, and at the end their HMAC under a key made from the client's digest.
fn signed_echo(random: &[u8; RANDOM_LENGTH], client_digest: &Digest) -> Packet {
    let mut packet: Packet = [0; PACKET_LENGTH];
    let (body, tail) = packet.split_at_mut(PACKET_LENGTH - DIGEST_LENGTH);
    body.copy_from_slice(&random[..body.len()]);
    let key = hmac(&[&SERVER_KEY[..], &KEY_SUFFIX[..]].concat(), &[client_digest]);
    tail.copy_from_slice(&hmac(&key, &[body]));
    packet
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn random() -> Box<[u8; RANDOM_LENGTH]> {
        let mut bytes = Box::new([0; RANDOM_LENGTH]);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (index * 7 + index / 256) as u8;
        }
        bytes
    }

    /// C0 and C1 with a digest in `schema`, as ffmpeg and Flash make it.
    fn digest_hello(schema: Schema) -> Vec<u8> {
        let mut c1: Packet = [0; PACKET_LENGTH];
        c1[8..].copy_from_slice(&random()[..]);
        c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
        sign_hello(&mut c1, schema, CLIENT_KEY);
        [&[VERSION], &c1[..]].concat()
    }

    fn simple_hello() -> Vec<u8> {
        let mut hello = vec![VERSION, 1, 2, 3, 4, 0, 0, 0, 0];
        hello.extend_from_slice(&random()[..]);
        hello
    }

    fn answer_to(hello: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        assert_eq!(Handshake::new(random()).read(&mut &hello[..], &mut output), Ok(false));
        assert_eq!(output.len(), 1 + 2 * PACKET_LENGTH);
        output
    }

    #[test]
    fn simple_hello_is_echoed_under_version_zero() {
        let hello = simple_hello();
        let answer = answer_to(&hello);
        assert_eq!(answer[0], VERSION);
        assert_eq!(answer[5..9], [0; 4], "a simple S1 has no version");
        assert_eq!(answer[1 + PACKET_LENGTH..], hello[1..]);
    }

    #[test]
    fn digest_hello_gets_a_verifiable_digest_in_the_same_schema() {
        for schema in [Schema::KeyDigest, Schema::DigestKey] {
            let hello = digest_hello(schema);
            let answer = answer_to(&hello);
            let s1: Packet = answer[1..=PACKET_LENGTH].try_into().unwrap();
            assert!(s1[4] >= 3, "clients look for a digest only then");
            let at = schema.digest_at(&s1);
            assert_eq!(s1[at..at + DIGEST_LENGTH], digest_around(&s1, at, SERVER_KEY), "{schema:?}");

            let c1: Packet = hello[1..].try_into().unwrap();
            let client_at = schema.digest_at(&c1);
            let key = hmac(
                &[&SERVER_KEY[..], &KEY_SUFFIX[..]].concat(),
                &[&c1[client_at..client_at + DIGEST_LENGTH]],
            );
            let s2 = &answer[1 + PACKET_LENGTH..];
            let (body, tail) = s2.split_at(PACKET_LENGTH - DIGEST_LENGTH);
            assert_eq!(tail, hmac(&key, &[body]), "{schema:?}");
        }
    }

    #[test]
    fn a_version_without_a_valid_digest_is_answered_simply() {
        let mut hello = digest_hello(Schema::DigestKey);
        hello[700] ^= 1;
        let answer = answer_to(&hello);
        assert_eq!(answer[5..9], [0; 4]);
        assert_eq!(answer[1 + PACKET_LENGTH..], hello[1..]);
    }

    #[test]
    fn every_split_gives_the_same_answer_and_keeps_what_follows() {
        let mut whole = digest_hello(Schema::DigestKey);
        whole.extend_from_slice(&[0xAB; PACKET_LENGTH]);
        whole.extend_from_slice(b"chunks");
        let expected = answer_to(&whole[..1 + PACKET_LENGTH]);
        for split in 0..whole.len() {
            let mut handshake = Handshake::new(random());
            let mut output = Vec::new();
            let (mut first, mut second) = whole.split_at(split);
            let done_early = handshake.read(&mut first, &mut output).unwrap();
            if split < 1 + PACKET_LENGTH {
                assert!(output.is_empty(), "no answer to a part of C1");
            }
            assert!(handshake.read(&mut second, &mut output).unwrap());
            assert_eq!(output, expected);
            let rest = if done_early { [first, second].concat() } else { second.to_vec() };
            assert_eq!(rest, b"chunks", "split at {split}");
        }
    }

    #[test]
    fn the_first_byte_tells_who_else_it_is() {
        for (byte, error) in [
            (0x16, HandshakeError::Tls),
            (b'G', HandshakeError::Http),
            (b'P', HandshakeError::Http),
            (6, HandshakeError::Encrypted(6)),
            (0, HandshakeError::Version(0)),
            (0xFF, HandshakeError::Version(0xFF)),
        ] {
            assert_eq!(Handshake::new(random()).read(&mut &[byte][..], &mut Vec::new()), Err(error));
        }
    }
}

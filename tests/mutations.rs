//! Recorded sessions with bits turned, ends cut off, parts exchanged and lengths changed: each ends in an answer, in an
//! error, or goes on, within the bounds of `support::session::drive`. What `tests/run fuzz` does for hours, for seconds
//! and always the same.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::panic;
use std::time::{Duration, Instant};

use rtmpd::rtmp::handshake::PACKET_LENGTH;
use rtmpd::rtmp::session::Event;

use support::noise::Noise;
use support::recordings;
use support::session::{self, drive};

/// For each recording; as many are made in it as there is time for.
const MUTANTS: usize = 20_000;

/// Slow machines do fewer.
const TIME: Duration = Duration::from_secs(10);

const HELLO: usize = 1 + 2 * PACKET_LENGTH;

#[test]
fn mutated_recordings_are_answered_refused_or_go_on() {
    let mut corpus: Vec<_> = recordings::names().iter().map(|name| recordings::read(name)).collect();
    corpus.push(session::written());
    let mut noise = Noise(0x5EED);
    let (start, mut seen) = (Instant::now(), Seen::default());
    for round in 0..MUTANTS {
        for (index, recording) in corpus.iter().enumerate() {
            let other = &corpus[noise.below(corpus.len())];
            let mutant = mutate(&mut noise, recording, other);
            let piece = 1 + noise.below(4000);
            let driven = panic::catch_unwind(|| {
                let driven = drive(mutant.chunks(piece));
                drive([&mutant[..]].into_iter()).assert_same(&driven);
                driven
            });
            let driven = driven.unwrap_or_else(|_| panic!("round {round} of recording {index}"));
            seen.errors += usize::from(driven.end.is_some());
            seen.finished += usize::from(driven.events.contains(&Event::PublishFinished));
            seen.all += 1;
        }
        if start.elapsed() > TIME {
            break;
        }
    }
    println!("{seen:?}");
    // The mutations are neither too mild nor too hard to get anywhere.
    assert!(seen.errors * 20 > seen.all && seen.finished * 20 > seen.all, "{seen:?}");
}

#[derive(Debug, Default)]
struct Seen {
    all: usize,
    errors: usize,
    finished: usize,
}

/// Mostly behind the handshake and near the commands, where there is more to break.
fn place(noise: &mut Noise, bytes: &[u8]) -> usize {
    match noise.below(16) {
        0 => noise.below(bytes.len()),
        1..=7 => (HELLO + noise.below(700)).min(bytes.len() - 1),
        _ => (HELLO + noise.below(bytes.len().saturating_sub(HELLO))).min(bytes.len() - 1),
    }
}

fn mutate(noise: &mut Noise, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    const EDGES: [u8; 6] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF];
    let mut mutant = bytes.to_vec();
    for _ in 0..=noise.below(4) {
        let at = place(noise, &mutant);
        let length = (1 + noise.below(64)).min(mutant.len() - at);
        match noise.below(8) {
            0 | 1 => mutant[at] ^= 1 << noise.below(8),
            2 => mutant[at] = noise.next() as u8,
            // A length or a time, more or less.
            3 | 4 => mutant[at..at + length.min(4)].fill(EDGES[noise.below(EDGES.len())]),
            5 => drop(mutant.drain(at..at + length)),
            6 => {
                let from = place(noise, other);
                let part = &other[from..(from + length).min(other.len())];
                mutant.splice(at..at, part.iter().copied());
            }
            _ if noise.below(4) == 0 => mutant.truncate(at + 1),
            _ => {
                let again = mutant[at..at + length].to_vec();
                mutant.splice(at..at, again);
            }
        }
    }
    mutant
}

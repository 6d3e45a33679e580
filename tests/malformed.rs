//! What no honest client sends, and what other servers have fallen over: each thing ends in an answer, in an error, or
//! is passed over, and what it costs is bounded. (Chunks by themselves are in `chunk_stream.rs`, whole servers that
//! are lied to in `refusals.rs`.)
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::Shutdown;

use rtmpd::amf0::{Amf0Error, Value};
use rtmpd::rtmp::command::Command;
use rtmpd::rtmp::message::MessageType;
use rtmpd::rtmp::session::{Event, SessionError};

use support::deadline::seconds;
use support::http;
use support::rtmpd::Rtmpd;
use support::session::{self, Client, OUTPUT_BOUND};

/// Where a session may stand when something arrives. While it has asked for an answer, nothing is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Connected,
    Asked,
    Publishing,
    Closing,
}

const STATES: [State; 5] = [State::Greeting, State::Connected, State::Asked, State::Publishing, State::Closing];

impl State {
    fn client(self) -> Client {
        let mut client = match self {
            Self::Greeting => Client::new(),
            Self::Connected => Client::connected("live"),
            Self::Publishing | Self::Closing => Client::publishing("live", "s"),
            Self::Asked => {
                let mut client = Client::connected("live");
                client.command("publish", 5.0, &[Value::from("s")], 1).unwrap();
                assert!(client.session.poll_event().is_some());
                client
            }
        };
        if self == Self::Closing {
            client.session.reject("NetStream.Publish.Denied", "Enough.");
            client.replies();
        }
        client
    }
}

/// What came of one input, a letter for each: `a`nswers, `r`equests, `p`ackets, a publication that is `f`inished,
/// an `e`rror; nothing if it was passed over.
fn outcome(client: &mut Client, result: Result<(), SessionError>) -> String {
    let mut outcome = String::new();
    while let Some(event) = client.session.poll_event() {
        outcome.push(match event {
            Event::PublishRequested(_) | Event::PlayRequested { .. } => 'r',
            Event::Packet(_) => 'p',
            Event::PublishFinished => 'f',
            other => panic!("{other:?}"),
        });
    }
    if !client.replies().is_empty() {
        outcome.push('a');
    }
    if result.is_err() {
        outcome.push('e');
    }
    outcome
}

#[test]
fn every_message_type_in_every_state() {
    let command = || Command::new("createStream", 2.0, Vec::new()).encode();
    let part = || vec![8, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xAF, 1, 0, 0, 0, 13];
    // Acknowledgements, windows and bandwidths are taken as they are; what is unknown is passed over.
    let table = [
        (0, vec![0; 4], ["", "", "", "", ""]),
        (2, vec![0; 4], ["", "", "", "", ""]),
        (3, vec![0xFF; 4], ["", "", "", "", ""]),
        (4, vec![0, 6, 0, 0, 0, 1], ["a", "a", "", "a", ""]),
        (4, vec![0, 0, 0, 0, 0, 1], ["", "", "", "", ""]),
        (4, vec![0xFF; 6], ["", "", "", "", ""]),
        (5, vec![0x7F; 4], ["", "", "", "", ""]),
        (6, vec![0x7F; 5], ["", "", "", "", ""]),
        (7, vec![1], ["", "", "", "", ""]),
        (8, vec![0xAF, 1], ["", "", "", "p", ""]),
        (9, vec![0x17, 1], ["", "", "", "p", ""]),
        (15, vec![0, 2, 0, 1, b'x'], ["", "", "", "p", ""]),
        (16, vec![0], ["", "", "", "", ""]),
        (17, [&[0], &command()[..]].concat(), ["e", "a", "", "a", ""]),
        (18, vec![2, 0, 1, b'x'], ["", "", "", "p", ""]),
        (18, vec![0xFF], ["", "", "", "p", ""]), // the stream looks into it
        (19, vec![0], ["", "", "", "", ""]),
        (20, command(), ["e", "a", "", "a", ""]),
        (22, part(), ["", "", "", "p", ""]),
        (255, vec![1], ["", "", "", "", ""]),
    ];
    for (message_type, payload, expected) in table {
        for (state, expected) in STATES.into_iter().zip(expected) {
            for stream_id in [0, 1, u32::MAX] {
                let mut client = state.client();
                let result = client.send(MessageType(message_type), stream_id, payload.clone());
                let what = format!("type {message_type} with {payload:02x?} while {state:?}");
                assert_eq!(outcome(&mut client, result), expected, "{what}");
            }
        }
    }
}

#[test]
fn every_command_in_every_state() {
    let table = [
        ("connect", ["a", "a", "", "a", ""]),
        ("createStream", ["e", "a", "", "a", ""]),
        ("releaseStream", ["e", "a", "", "a", ""]),
        ("FCPublish", ["e", "a", "", "a", ""]),
        ("publish", ["e", "r", "", "a", ""]),
        ("play", ["e", "r", "", "a", ""]),
        ("FCUnpublish", ["e", "a", "", "fa", ""]),
        ("closeStream", ["e", "", "", "fa", ""]),
        ("deleteStream", ["e", "", "", "fa", ""]),
        ("getStreamLength", ["e", "a", "", "a", ""]),
        ("_checkbw", ["e", "a", "", "a", ""]),
        ("pause", ["e", "a", "", "a", ""]),
        ("", ["e", "a", "", "a", ""]),
        ("_result", ["e", "", "", "", ""]),
        ("_error", ["e", "", "", "", ""]),
        ("onStatus", ["e", "", "", "", ""]),
    ];
    // With no arguments, absurd ones, and many.
    let arguments = [
        vec![],
        vec![Value::Null, Value::Number(f64::NAN)],
        vec![Value::Number(-1.0)],
        vec![Value::Null; 4000],
    ];
    for (name, expected) in table {
        for (state, expected) in STATES.into_iter().zip(expected) {
            for arguments in &arguments {
                let mut client = state.client();
                let result = client.command(name, 9.0, arguments, 1);
                let got = outcome(&mut client, result);
                assert_eq!(got, expected, "{name:?} with {} arguments while {state:?}", arguments.len());
            }
        }
    }
}

#[test]
fn a_play_without_a_name_is_for_the_default_stream() {
    let mut client = Client::connected("");
    client.command("play", 3.0, &[], 1).unwrap();
    let request = Event::PlayRequested { app: String::new(), name: String::new() };
    assert_eq!(client.session.poll_event(), Some(request));
}

/// A basic header of two or three bytes must not be taken for one of fewer when it comes in pieces.
#[test]
fn long_chunk_stream_numbers_survive_every_split() {
    for basic in [&[0x00, 10][..], &[0x00, 255], &[0x01, 10, 1], &[0x01, 0, 0], &[0x01, 255, 255]] {
        let again: Vec<u8> =
            basic.iter().enumerate().map(|(i, b)| if i == 0 { b | 0xC0 } else { *b }).collect();
        let mut bytes =
            [basic, &[0, 0, 9, 0, 0, 200, 9, 1, 0, 0, 0], &[0x17; 128], &again, &[0x17; 72]].concat();
        // On the stream that the number becomes when its first byte is lost.
        bytes.extend_from_slice(&[10, 0, 0, 9, 0, 0, 2, 8, 1, 0, 0, 0, 0xAF, 1]);
        for split in 0..=bytes.len() {
            let mut client = State::Publishing.client();
            client.session.handle_input(&bytes[..split]).unwrap();
            client.session.handle_input(&bytes[split..]).unwrap();
            let lengths: Vec<_> = std::iter::from_fn(|| client.session.poll_event())
                .map(|event| if let Event::Packet(packet) = event { packet.payload.len() } else { 0 })
                .collect();
            assert_eq!(lengths, [200, 2], "{basic:02x?} split at {split}");
        }
    }
}

/// The second of the two bytes behind the first weighs more: 0, 10 and 1, 10, 0 are the same number.
#[test]
fn numbers_of_three_bytes_are_little_endian() {
    let first = [0x00, 10, 0, 0, 9, 0, 0, 200, 9, 1, 0, 0, 0];
    for (again, same) in [([0xC1, 10, 0], true), ([0xC1, 0, 10], false)] {
        let mut client = State::Publishing.client();
        let bytes = [&first[..], &[0x17; 128], &again, &[0x17; 72]].concat();
        assert_eq!(client.session.handle_input(&bytes).is_ok(), same, "{again:?}");
    }
}

#[test]
fn every_field_of_a_chunk_header_at_its_edges() {
    const EDGES: [u32; 7] = [0, 1, 0x7F_FFFF, 0x80_0000, 0xFF_FFFE, 0xFF_FFFF, 127];
    const STREAMS: [[u8; 4]; 4] = [[0; 4], [0xFF; 4], [0, 0, 0, 0x80], [0x80, 0, 0, 0]];
    let basics = [&[2][..], &[63], &[0, 0], &[0, 255], &[1, 0, 0], &[1, 255, 255]];
    for (time, length) in EDGES.into_iter().flat_map(|time| EDGES.map(|length| (time, length))) {
        for (message_type, stream) in [0, 1, 2, 8, 9, 20, 22, 255].into_iter().zip(STREAMS.iter().cycle()) {
            let header = |format: u8| {
                let mut fields = time.to_be_bytes()[1..].to_vec();
                fields.extend_from_slice(&length.to_be_bytes()[1..]);
                fields.extend_from_slice(&[message_type, stream[0], stream[1], stream[2], stream[3]]);
                fields.truncate([11, 7, 3, 0][usize::from(format)]);
                let extended: &[u8] = if time == 0xFF_FFFF && format < 3 { &[0xFF; 4] } else { &[] };
                [&fields[..], extended].concat()
            };
            for basic in basics {
                let chunk = |format: u8| {
                    let mut chunk = [basic, &header(format)].concat();
                    chunk[0] |= format << 6;
                    chunk
                };
                for format in 0..4 {
                    let bytes = [chunk(0), vec![0x80; 130], chunk(format), vec![0; 300]].concat();
                    for state in [State::Connected, State::Publishing] {
                        bounded(state, &bytes, bytes.len());
                    }
                    bounded(State::Greeting, &bytes[131..], 7);
                }
            }
        }
    }
}

#[test]
fn headers_cut_off_anywhere_wait_and_cost_nothing() {
    let bytes = [0x01, 255, 255, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 9, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0, 0, 0];
    for end in 0..bytes.len() {
        let mut client = State::Publishing.client();
        client.session.handle_input(&bytes[..end]).unwrap();
        assert_eq!((client.session.unfinished_bytes(), client.replies()), (0, vec![]));
    }
}

#[test]
fn announced_lengths_cost_nothing_until_they_come() {
    let mut client = State::Publishing.client();
    for number in 0..40 {
        let header = [6 + number, 0, 0, 0, 0xFF, 0xFF, 0xFF, 9, 1, 0, 0, 0];
        client.session.handle_input(&[&header[..], &[0x17; 128]].concat()).unwrap();
        assert_eq!(client.session.unfinished_bytes(), 128 * (usize::from(number) + 1));
    }
    // Not as chunks that long: two of them would be beyond the limit.
    client.send(MessageType::SET_CHUNK_SIZE, 0, 0xFF_FFFF_u32.to_be_bytes().to_vec()).unwrap();
    client.session.handle_input(&[0xC6]).unwrap();
    assert_eq!(client.session.unfinished_bytes(), 128 * 40);
}

#[test]
fn control_messages_at_their_edges_and_cut_off() {
    for message_type in 1..=6 {
        for fill in [0, 1, 0x7F, 0x80, 0xFF] {
            for length in 0..12 {
                let mut bytes = vec![2, 0, 0, 0, 0, 0, length, message_type, 0, 0, 0, 0];
                bytes.extend(vec![fill; usize::from(length)]);
                for state in STATES {
                    bounded(state, &bytes, 5);
                }
            }
        }
    }
}

/// Each AMF0 and AMF3 marker with each kind of nonsense behind it, where a command and a data message have values.
#[test]
fn values_at_their_edges_and_cut_off() {
    let fills = [&[][..], &[0], &[1], &[0x7F], &[0x80], &[0xFF], &[0, 0, 9], &[0, 0xFF], &[0x11], &[3, 0, 0]];
    for marker in (0..=0x12).chain([0x7F, 0x80, 0xFF]) {
        for prefix in [&[][..], &[0x11], &[3, 0, 1, b'a'], &[0x0A, 0, 0, 0, 2]] {
            for (fill, length) in fills.iter().flat_map(|fill| (0..14).map(move |length| (fill, length))) {
                let nonsense = fill.iter().copied().cycle().take(if fill.is_empty() { 0 } else { length });
                let value: Vec<u8> = prefix.iter().copied().chain([marker]).chain(nonsense).collect();
                let mut client = State::Connected.client();
                let start = &Command::new("createStream", 2.0, Vec::new()).encode()[..];
                let result = client.send(MessageType::COMMAND_AMF0, 0, [start, &value].concat());
                assert_eq!(outcome(&mut client, result), "a", "{value:02x?}");
                let mut client = State::Publishing.client();
                let data = [&[0, 2, 0, 1, b'x'], &value[..]].concat();
                let result = client.send(MessageType::DATA_AMF3, 1, data);
                assert_eq!(outcome(&mut client, result), "p", "{value:02x?}");
            }
        }
    }
}

#[test]
fn commands_cut_off_anywhere_are_answered_or_are_errors() {
    let mut connect = Command::new("connect", 1.0, vec![Value::from("more")]);
    let object = [("app", Value::from("live")), ("fourCcList", Value::StrictArray(vec![Value::from("*")]))];
    connect.object = Value::Object(object.into_iter().collect());
    let whole = connect.encode();
    let name = 3 + "connect".len();
    for end in 0..=whole.len() {
        let mut client = Client::new();
        let result = client.send(MessageType::COMMAND_AMF0, 0, whole[..end].to_vec());
        let expected = if end < name { "e" } else { "a" };
        assert_eq!(outcome(&mut client, result), expected, "cut at {end}");
    }
}

#[test]
fn bombs_in_commands_end_the_session_and_in_data_the_message() {
    let text = [&[6, 0x81, 0x80, 1][..], &[b'x'; 8 << 10]].concat();
    let repeated = [&[0x11, 9, 0x83, 1, 1][..], &text, &[6, 0].repeat(127)].concat();
    for (bomb, error) in [
        ([3, 0, 1, b'a'].repeat(1000), Amf0Error::TooDeep),
        ([&[0x11][..], &[9, 3, 1].repeat(1000)].concat(), Amf0Error::TooDeep),
        (vec![5; 5000], Amf0Error::TooMany),
        (repeated, Amf0Error::TooMuchText),
    ] {
        let command = [&Command::new("x", 0.0, Vec::new()).encode()[..], &bomb].concat();
        let result = State::Connected.client().send(MessageType::COMMAND_AMF0, 0, command);
        assert_eq!(result, Err(SessionError::Command(error)));
        let mut client = State::Publishing.client();
        let data = [&[0, 2, 0, 1, b'x'], &bomb[..]].concat();
        let result = client.send(MessageType::DATA_AMF3, 1, data);
        assert_eq!(outcome(&mut client, result), "p", "{error}");
    }
}

/// One aggregate of messages that each let a few bytes stand for a long text again and again.
#[test]
fn a_message_becomes_no_more_than_a_few_times_its_size() {
    let (length, references) = (700_usize, 370_usize);
    let head = |number: usize| [0x80, 0x80 | (number << 1 >> 7) as u8, (number << 1 | 1) as u8 & 0x7F];
    let array = [&[2, 0, 1, b'x', 0x11, 9][..], &head(references + 1), &[1]].concat();
    let text = [&[6][..], &head(length), &vec![0xFF; length], &[6, 0].repeat(references)].concat();
    let bomb = [array, text].concat();
    let part = [&(bomb.len() as u32 | 15 << 24).to_be_bytes()[..], &[0; 7], &bomb, &[0; 4]].concat();
    let aggregate = part.repeat((1 << 20) / part.len());
    let sent = aggregate.len();
    let mut client = State::Publishing.client();
    client.send(MessageType::AGGREGATE, 1, aggregate).unwrap();
    let packets = std::iter::from_fn(|| client.session.poll_event()).map(|event| {
        if let Event::Packet(packet) = event { packet.payload.len() } else { panic!("{event:?}") }
    });
    let lengths: Vec<_> = packets.collect();
    assert_eq!(lengths.len(), sent / part.len());
    assert!(lengths.iter().sum::<usize>() < 4 * sent, "{} bytes of {sent}", lengths.iter().sum::<usize>());
}

/// Who goes away in the middle of something is noticed at once, not looked at again and again.
#[test]
fn an_end_of_input_ends_the_connection_wherever_it_comes() {
    let mut rtmpd = Rtmpd::start();
    let whole = session::written();
    for end in [0, 1, 2, 1536, 1537, 1538, 3072, 3073, 3074, 3080, 3100, 3300, whole.len() - 700, whole.len()] {
        let mut socket = http::connect(rtmpd.rtmp());
        socket.write_all(&whole[..end]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let (_, took) = http::read_until_closed(socket, seconds(5));
        assert!(took < seconds(2), "cut at {end}: {took:?}");
    }
    rtmpd.assert_sound();
}

/// Feeds a session in this state, and looks at what that costs.
#[track_caller]
fn bounded(state: State, bytes: &[u8], piece: usize) {
    let mut client = state.client();
    for input in bytes.chunks(piece) {
        let result = client.session.handle_input(input);
        assert!(client.session.unfinished_bytes() <= bytes.len(), "more is held than has come");
        assert!(client.session.take_output().len() <= OUTPUT_BOUND);
        let events = std::iter::from_fn(|| client.session.poll_event()).count();
        assert!(events <= bytes.len(), "{events} events of {} bytes", bytes.len());
        if result.is_err() {
            return;
        }
    }
}

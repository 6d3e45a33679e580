use super::*;
use crate::rtmp::session::{Event, PublishRequest, Session};

fn target() -> Target {
    Target { host: "localhost".into(), app: "live".into(), name: "cam1?key=secret".into() }
}

/// A client and our own server, which talk in memory.
struct Pair {
    client: Client,
    session: Session,
    events: Vec<Event>,
}

impl Pair {
    fn new() -> Self {
        let session = Session::new(ChunkLimits::default(), Box::new([7; RANDOM_LENGTH]));
        Self { client: Client::new(target(), &[3; RANDOM_LENGTH]), session, events: Vec::new() }
    }

    /// A pair that has agreed on the stream.
    fn publishing() -> Self {
        let mut pair = Self::new();
        pair.talk(usize::MAX).unwrap();
        assert!(pair.client.is_publishing());
        pair
    }

    /// Passes on what both have to say until they have said it all, in pieces of so many bytes. A publish is accepted.
    fn talk(&mut self, piece: usize) -> Result<(), ClientError> {
        loop {
            let (asked, answered) = (self.client.take_output(), self.session.take_output());
            if asked.is_empty() && answered.is_empty() {
                return Ok(());
            }
            for part in asked.chunks(piece) {
                self.session.handle_input(part).unwrap();
            }
            self.take_events();
            answered.chunks(piece).try_for_each(|part| self.client.handle_input(part))?;
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if matches!(event, Event::PublishRequested(_)) {
                self.session.accept_publish().unwrap();
            }
            self.events.push(event);
        }
    }
}

fn packet(kind: PacketKind, timestamp: u32, payload: &[u8]) -> Packet {
    Packet { kind, timestamp: Timestamp(timestamp), payload: payload.to_vec() }
}

fn packets() -> [Packet; 5] {
    [
        packet(PacketKind::Data, 0, b"\x02\x00\x0aonCuePoint\x05"),
        packet(PacketKind::Video, 0, &[0x17; 70_000]),
        packet(PacketKind::Audio, 21, &[0xAF, 1, 2]),
        packet(PacketKind::Video, 0x00FF_FFFF, &[0x27; 130_000]),
        packet(PacketKind::Video, u32::MAX, &[0x27; 300]),
    ]
}

#[test]
fn a_stream_is_published_and_finished_whatever_the_pieces() {
    for piece in [1, 2, 3, 7, 100, 1536, 1537, 4096, usize::MAX] {
        let mut pair = Pair::new();
        pair.talk(piece).unwrap();
        assert!(pair.client.is_publishing(), "pieces of {piece}");
        for packet in packets() {
            pair.client.send(packet).unwrap();
        }
        pair.client.finish();
        assert!(!pair.client.is_publishing());
        pair.talk(piece).unwrap();
        let request =
            PublishRequest { app: "live".into(), name: "cam1?key=secret".into(), client: PROGRAM.into() };
        let mut expected = vec![Event::PublishRequested(request)];
        expected.extend(packets().map(Event::Packet));
        expected.push(Event::PublishFinished);
        assert!(pair.events == expected, "pieces of {piece}");
    }
}

/// What the server says from the first byte to its agreement, and what the client answers.
#[test]
fn every_split_of_the_servers_words_gets_the_same_answers() {
    let mut session = Session::new(ChunkLimits::default(), Box::new([7; RANDOM_LENGTH]));
    let mut client = Client::new(target(), &[3; RANDOM_LENGTH]);
    let (mut server_words, mut client_words) = (Vec::new(), Vec::new());
    while !client.is_publishing() {
        let asked = client.take_output();
        session.handle_input(&asked).unwrap();
        while session.poll_event().is_some() {
            session.accept_publish().unwrap();
        }
        client_words.extend(asked);
        let answered = session.take_output();
        client.handle_input(&answered).unwrap();
        server_words.extend(answered);
    }
    for split in 0..=server_words.len() {
        let mut client = Client::new(target(), &[3; RANDOM_LENGTH]);
        let (first, second) = server_words.split_at(split);
        client.handle_input(first).unwrap();
        assert_eq!(client.is_publishing(), split == server_words.len(), "split at {split}");
        client.handle_input(second).unwrap();
        assert!(client.is_publishing() && client.take_output() == client_words, "split at {split}");
    }
}

#[test]
fn metadata_is_sent_so_that_servers_keep_it() {
    let mut pair = Pair::publishing();
    pair.client.send(packet(PacketKind::Data, 0, &[METADATA, &[5]].concat())).unwrap();
    pair.talk(usize::MAX).unwrap();
    let Some(Event::Packet(metadata)) = pair.events.last() else { panic!("{:?}", pair.events) };
    assert_eq!(metadata.payload, [b"\x02\x00\x0d@setDataFrame", METADATA, &[5]].concat());
}

#[test]
fn refusals_and_ends_are_told_with_the_servers_words() {
    let mut pair = Pair::new();
    pair.session = Session::new(ChunkLimits::default(), Box::new([7; RANDOM_LENGTH]));
    let error = loop {
        let asked = pair.client.take_output();
        pair.session.handle_input(&asked).unwrap();
        if pair.session.poll_event().is_some() {
            pair.session.reject("NetStream.Publish.Denied", "The key\nis wrong.");
        }
        if let Err(error) = pair.client.handle_input(&pair.session.take_output()) {
            break error;
        }
    };
    assert_eq!(error.to_string(), "the server refuses: The keyis wrong. (NetStream.Publish.Denied)");

    let mut pair = Pair::publishing();
    pair.session.close("The server is shutting down.");
    let error = pair.talk(usize::MAX).unwrap_err();
    assert!(matches!(&error, ClientError::Ended { code, .. } if code == "NetStream.Unpublish.Success"));

    // What is asked for too much: the app's name.
    let mut long = Pair::new();
    long.client = Client::new(Target { app: "x".repeat(2000), ..target() }, &[3; RANDOM_LENGTH]);
    let error = loop {
        let asked = long.client.take_output();
        let _too_long = long.session.handle_input(&asked);
        if let Err(error) = long.client.handle_input(&long.session.take_output()) {
            break error;
        }
    };
    assert!(matches!(&error, ClientError::Refused { code, .. } if code == "NetConnection.Connect.Rejected"));
}

#[test]
fn nothing_is_sent_before_the_server_has_agreed_nor_after_the_end() {
    let mut client = Client::new(target(), &[3; RANDOM_LENGTH]);
    let hello = client.output.len();
    let audio = || packet(PacketKind::Audio, 0, &[0xAF]);
    assert_eq!(client.send(audio()), Err(ClientError::NotPublishing));
    client.finish();
    assert_eq!(client.output.len(), hello);
    let mut pair = Pair::publishing();
    let longest = |kind, more: usize| packet(kind, 0, &vec![0x17; MAX_TAG_BODY + more]);
    assert_eq!(pair.client.send(longest(PacketKind::Video, 1)), Err(ClientError::TooLong(MAX_TAG_BODY + 1)));
    assert!(pair.client.output.is_empty());
    assert_eq!(pair.client.send(longest(PacketKind::Video, 0)), Ok(()));
    pair.client.finish();
    assert_eq!(pair.client.send(audio()), Err(ClientError::NotPublishing));
}

#[test]
fn pings_are_answered() {
    let mut pair = Pair::publishing();
    let mut ping = Vec::new();
    let payload = UserControl::PingRequest { timestamp: 4711 }.encode();
    let message =
        Message { timestamp: Timestamp(0), message_type: MessageType::USER_CONTROL, stream_id: 0, payload };
    ChunkWriter::default().write(ChunkStreamId::CONTROL, &message, &mut ping);
    pair.client.handle_input(&ping).unwrap();
    let answer = pair.client.take_output();
    assert_eq!(answer[answer.len() - 6..], *UserControl::PingResponse { timestamp: 4711 }.encode());
}

#[test]
fn keys_are_not_shown() {
    let shown = format!("{:?}", Client::new(target(), &[3; RANDOM_LENGTH]));
    assert!(shown.contains("cam1") && !shown.contains("secret"), "{shown}");
}

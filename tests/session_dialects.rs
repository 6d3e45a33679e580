//! What clients say in their own ways, and the answers that they wait for: AMF3, aggregates, Enhanced RTMP, streams
//! that come and go, padded and quoted texts.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use rtmpd::amf0::{self, Object, Value};
use rtmpd::media::{Packet, PacketKind, Timestamp};
use rtmpd::rtmp::command::Command;
use rtmpd::rtmp::message::MessageType;
use rtmpd::rtmp::session::{Event, MAX_NAME, MAX_NET_STREAMS};

use support::session::{Client, OUTPUT_BOUND, answer};

#[test]
fn amf3_metadata_reaches_the_stream_as_amf0() {
    let mut client = Client::publishing("live", "s");
    let name = values(&[Value::from("@setDataFrame"), Value::from("onMetaData")]);
    // A dynamic object without a class: {"width": 320}.
    let object = b"\x11\x0a\x0b\x01\x0bwidth\x04\x82\x40\x01";
    for selector in [&[0][..], &[]] {
        let data = [selector, &name, object].concat();
        client.send(MessageType::DATA_AMF3, 1, data).unwrap();
        let width = Value::Object([("width", Value::Number(320.0))].into_iter().collect());
        assert_eq!(data_of(&mut client), Some([name.clone(), values(&[width])].concat()));
    }
    // What cannot be read is left out with what follows it, and a message of nothing else altogether.
    client.send(MessageType::DATA_AMF3, 1, [&[0], &name[..], b"\x11\x0a\x07", object].concat()).unwrap();
    assert_eq!(data_of(&mut client), Some(name));
    for unreadable in [&b"\x00\xff"[..], b"\x00", b"", b"\x11\xff"] {
        client.send(MessageType::DATA_AMF3, 1, unreadable.to_vec()).unwrap();
        assert_eq!(client.session.poll_event(), None, "{unreadable:02x?}");
    }
}

#[test]
fn what_stands_behind_an_amf3_value_is_read() {
    let mut client = Client::connected("live");
    let mut publish = [&[0], &values(&[Value::from("publish"), Value::Number(5.0)])[..]].concat();
    publish.extend_from_slice(b"\x11\x0a\x0b\x01\x05ab\x06\x05cd\x01"); // an object in the place of null
    publish.extend_from_slice(b"\x11\x06\x09cam1"); // the name, as an AMF3 string
    client.send(MessageType::COMMAND_AMF3, 1, publish).unwrap();
    let Some(Event::PublishRequested(request)) = client.session.poll_event() else { panic!("no request") };
    assert_eq!(request.name, "cam1");
}

#[test]
fn aggregates_are_taken_apart() {
    let mut client = Client::publishing("live", "s");
    let aggregate = [
        part(9, 500, &[0x17, 1]),
        part(8, 523, &[0xAF, 1]),
        part(8, 530, &[]),
        part(22, 540, &part(8, 0, &[0xAF, 1])),
        part(20, 540, &Command::new("FCUnpublish", 0.0, Vec::new()).encode()),
        part(18, 540, &values(&[Value::from("onCuePoint")])),
        part(15, 550, &[&[0], &values(&[Value::from("onTextData")])[..]].concat()),
        part(9, 560, &[0x27; 100])[..50].to_vec(),
    ];
    client.send(MessageType::AGGREGATE, 1, aggregate.concat()).unwrap();
    let mut packets = Vec::new();
    while let Some(Event::Packet(packet)) = client.session.poll_event() {
        packets.push(packet);
    }
    let packet = |kind, timestamp, payload: &[u8]| Packet {
        kind,
        timestamp: Timestamp(timestamp),
        payload: payload.to_vec(),
    };
    // The client's messages have the time 40.
    let expected = [
        packet(PacketKind::Video, 40, &[0x17, 1]),
        packet(PacketKind::Audio, 63, &[0xAF, 1]),
        packet(PacketKind::Data, 80, &values(&[Value::from("onCuePoint")])),
        packet(PacketKind::Data, 90, &values(&[Value::from("onTextData")])),
    ];
    assert_eq!(packets, expected, "neither empty, nested, command nor cut-off parts");
    assert_eq!(client.answers(), []);
}

#[test]
fn aggregates_before_a_publish_and_shared_objects_are_passed_over() {
    let mut client = Client::connected("live");
    client.send(MessageType::AGGREGATE, 1, part(9, 0, &[0x17, 1])).unwrap();
    let mut publisher = Client::publishing("live", "s");
    for message_type in [16, 19] {
        publisher.send(MessageType(message_type), 0, vec![0, 1, b'x', 0, 0, 0, 0]).unwrap();
        client.send(MessageType(message_type), 0, vec![]).unwrap();
    }
    for client in [&mut client, &mut publisher] {
        assert_eq!((client.session.poll_event(), client.replies()), (None, vec![]));
    }
}

#[test]
fn enhanced_rtmp_is_answered_to_who_asks() {
    let map = || Value::Object([("hvc1", Value::Number(2.0))].into_iter().collect());
    for (key, value, caps) in [
        ("fourCcList", Value::StrictArray(vec![Value::from("hvc1"), Value::from("Opus")]), 0.0),
        ("videoFourCcInfoMap", map(), 0.0),
        ("audioFourCcInfoMap", map(), 0.0),
        ("capsEx", Value::Number(15.0), 14.0), // no reconnect requests
        ("capsEx", Value::Number(1.0), 0.0),
        ("capsEx", Value::Number(6.0), 6.0),
        ("capsEx", Value::Number(f64::from(u32::MAX)), 14.0),
        ("capsEx", Value::Number(-1.0), 0.0),
        ("capsEx", Value::Number(f64::NAN), 0.0),
        ("capsEx", Value::Null, 0.0),
    ] {
        let server = server_properties(&[("app", Value::from("live")), (key, value)]);
        assert_eq!(server.get("capsEx"), Some(&Value::Number(caps)), "{key}");
        let forward = Value::Object([("*", Value::Number(4.0))].into_iter().collect());
        assert_eq!(server.get("videoFourCcInfoMap"), Some(&forward));
        assert_eq!(server.get("audioFourCcInfoMap"), Some(&forward));
        assert_eq!(server.get("fourCcList"), Some(&Value::StrictArray(vec![Value::from("*")])));
    }
    let keys: Vec<_> = server_properties(&[("app", Value::from("live"))]).0.into_iter().map(|p| p.0).collect();
    assert_eq!(keys, ["fmsVer", "capabilities"], "nothing for who does not ask");
}

#[test]
fn an_app_that_is_left_out_is_that_of_the_url() {
    let url = |key, text: &str| vec![(key, Value::from(text))];
    for (properties, app) in [
        (url("tcUrl", "rtmp://h:1935/live"), "live"),
        (url("tcurl", "\"rtmp://h/a/b?x=1\""), "a/b?x=1"),
        (url("tcUrl", "rtmp://h:1935/"), ""),
        (url("tcUrl", "rtmp://h"), ""),
        (url("tcUrl", ""), ""),
        ([url("app", ""), url("tcUrl", "rtmp://h/live")].concat(), ""),
        (url("app", "live\0\0"), "live"),
        (vec![("app", Value::Number(7.0)), ("tcUrl", Value::Null)], ""),
    ] {
        let mut client = connecting(&properties);
        client.command("publish", 0.0, &[Value::from("cam1\0\0\0"), Value::from("live\0")], 1).unwrap();
        let Some(Event::PublishRequested(request)) = client.session.poll_event() else { panic!("no request") };
        assert_eq!((request.app.as_str(), request.name.as_str()), (app, "cam1"), "{properties:?}");
    }
}

#[test]
fn a_deleted_stream_makes_room_for_another() {
    let mut client = Client::connected("live");
    let create = |client: &mut Client| {
        client.command("createStream", 0.0, &[], 0).unwrap();
        Command::decode(&client.replies()[0].payload).unwrap().arguments
    };
    for round in 0..3 * MAX_NET_STREAMS {
        assert_eq!(create(&mut client), [Value::Number(1.0)], "round {round}");
        client.command("publish", 0.0, &[Value::from("s"), Value::from("live")], 1).unwrap();
        assert!(matches!(client.session.poll_event(), Some(Event::PublishRequested(_))));
        client.session.accept_publish().unwrap();
        client.command("deleteStream", 0.0, &[Value::Number(1.0)], 0).unwrap();
        assert_eq!(client.session.poll_event(), Some(Event::PublishFinished));
        client.replies();
    }
    for number in 1..=MAX_NET_STREAMS {
        assert_eq!(create(&mut client), [Value::Number(f64::from(number))]);
    }
    for number in [f64::from(MAX_NET_STREAMS), 7.0] {
        client.command("deleteStream", 0.0, &[Value::Number(number)], 0).unwrap();
    }
    assert_eq!(create(&mut client), [Value::Number(7.0)]);
    for number in [0.0, -1.0, f64::NAN, f64::INFINITY, 65.0, 1e300] {
        client.command("deleteStream", 0.0, &[Value::Number(number)], 0).unwrap();
    }
    assert_eq!(create(&mut client), [Value::Number(f64::from(MAX_NET_STREAMS))]);
    client.command("createStream", 0.0, &[], 0).unwrap();
    assert_eq!(client.answers(), [answer("_error", 0.0, 0, "NetConnection.Call.Failed")]);
}

#[test]
fn other_streams_come_and_go_beside_the_publishing_one() {
    let mut client = Client::publishing("live", "s");
    client.command("createStream", 6.0, &[], 0).unwrap();
    client.command("deleteStream", 0.0, &[Value::Number(2.0)], 0).unwrap();
    client.command("createStream", 7.0, &[], 0).unwrap();
    client.command("closeStream", 0.0, &[], 2).unwrap();
    assert_eq!(client.session.poll_event(), None);
    // One that says no number, or a wrong one, has no other in mind.
    for argument in [vec![], vec![Value::Number(9.0)], vec![Value::from("s")], vec![Value::Number(1.0)]] {
        let mut client = Client::publishing("live", "s");
        client.command("deleteStream", 0.0, &argument, 0).unwrap();
        assert_eq!(client.session.poll_event(), Some(Event::PublishFinished), "{argument:?}");
    }
    client.command("closeStream", 0.0, &[], 0).unwrap();
    assert_eq!(client.session.poll_event(), Some(Event::PublishFinished));
}

#[test]
fn to_play_beside_a_publication_is_refused_and_harms_it_not() {
    let mut client = Client::publishing("live", "s");
    client.command("play", 0.0, &[Value::from("s")], 2).unwrap();
    assert_eq!(client.answers(), [answer("onStatus", 0.0, 2, "NetStream.Play.Failed")]);
    client.send(MessageType::VIDEO, 1, vec![0x17, 1]).unwrap();
    assert!(matches!(client.session.poll_event(), Some(Event::Packet(_))));
}

#[test]
fn a_name_is_repeated_only_as_far_as_names_go() {
    let mut client = Client::publishing("live", "s");
    for (length, repeated) in [(MAX_NAME, MAX_NAME), (MAX_NAME + 1, 0), (900_000, 0)] {
        client.command("FCPublish", 3.0, &[Value::String("n".repeat(length))], 0).unwrap();
        let replies = client.replies();
        let told = Command::decode(&replies[1].payload).unwrap();
        let description = told.arguments[0].as_object().unwrap().get("description").unwrap().as_str().unwrap();
        assert_eq!(description.len(), repeated);
        assert!(replies.iter().map(|reply| reply.payload.len()).sum::<usize>() < OUTPUT_BOUND);
    }
}

#[test]
fn bandwidths_and_acknowledgements_of_any_shape_change_nothing() {
    let mut client = Client::publishing("live", "s");
    for message_type in [MessageType::SET_PEER_BANDWIDTH, MessageType::ACKNOWLEDGEMENT] {
        for payload in [&[][..], &[0; 4], &[0xFF; 4], &[0, 0, 0, 1, 9], &[0x80; 5], &[0; 100]] {
            client.send(message_type, 0, payload.to_vec()).unwrap();
        }
    }
    assert_eq!((client.session.poll_event(), client.replies()), (None, vec![]));
}

fn values(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| amf0::encode(value, &mut bytes));
    bytes
}

fn data_of(client: &mut Client) -> Option<Vec<u8>> {
    match client.session.poll_event()? {
        Event::Packet(packet) if packet.kind == PacketKind::Data => Some(packet.payload),
        other => panic!("{other:?}"),
    }
}

/// A part of an aggregate.
fn part(message_type: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32;
    let mut bytes = vec![message_type];
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&timestamp.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[(timestamp >> 24) as u8, 0, 0, 0]);
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&(length + 11).to_be_bytes());
    bytes
}

/// A client that has sent `connect` with these properties.
fn connecting(properties: &[(&str, Value)]) -> Client {
    let mut client = Client::new();
    let mut connect = Command::new("connect", 1.0, Vec::new());
    connect.object = Value::Object(properties.iter().cloned().collect());
    client.send(MessageType::COMMAND_AMF0, 0, connect.encode()).unwrap();
    client
}

/// What the server says of itself in its answer.
fn server_properties(properties: &[(&str, Value)]) -> Object {
    let replies = connecting(properties).replies();
    let result = Command::decode(&replies.last().unwrap().payload).unwrap();
    assert_eq!(result.name, "_result");
    result.object.as_object().unwrap().clone()
}

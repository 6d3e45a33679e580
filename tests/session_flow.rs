//! Whole RTMP sessions in memory: every client's order of commands, the replies and their order, what is
//! refused and how.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use rtmpd::amf0::{self, Value};
use rtmpd::media::{Packet, PacketKind, Timestamp};
use rtmpd::rtmp::command::Command;
use rtmpd::rtmp::message::{Message, MessageType};
use rtmpd::rtmp::session::{
    Event, MAX_APP, MAX_NAME, MAX_NET_STREAMS, MAX_OUTPUT, MAX_UNANSWERED, PublishRequest, SessionError,
};

use support::session::{self, Client, answer, check_info, drive};

#[test]
fn connect_is_answered_in_the_order_that_clients_know() {
    let mut client = Client::new();
    client.connect("live").unwrap();
    let replies = client.replies();
    let types: Vec<_> = replies.iter().map(|reply| reply.message_type).collect();
    // The reader acts on Set Chunk Size and does not give it out.
    assert_eq!(
        types,
        [MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, MessageType::SET_PEER_BANDWIDTH, MessageType::COMMAND_AMF0]
    );
    assert_eq!(replies[0].payload, 2_500_000_u32.to_be_bytes());
    assert_eq!(replies[1].payload, [&2_500_000_u32.to_be_bytes()[..], &[2]].concat());
    let result = Command::decode(&replies[2].payload).unwrap();
    assert_eq!((result.name.as_str(), result.transaction), ("_result", 1.0));
    assert_eq!(result.object.as_object().unwrap().get("fmsVer"), Some(&Value::from("FMS/3,0,1,123")));
    let status = result.arguments[0].as_object().unwrap();
    check_info(status);
    assert_eq!(status.get("code"), Some(&Value::from("NetConnection.Connect.Success")));
    assert_eq!(status.get("objectEncoding"), Some(&Value::Number(0.0)));
}

#[test]
fn ffmpeg_and_obs_order() {
    let mut client = Client::connected("live");
    client.command("releaseStream", 2.0, &[Value::from("cam1")], 0).unwrap();
    client.command("FCPublish", 3.0, &[Value::from("cam1")], 0).unwrap();
    client.command("createStream", 4.0, &[], 0).unwrap();
    assert_eq!(
        client.answers(),
        [
            answer("_result", 2.0, 0, ""),
            answer("_result", 3.0, 0, ""),
            answer("onFCPublish", 0.0, 0, "NetStream.Publish.Start"),
            answer("_result", 4.0, 0, ""),
        ]
    );
    client.command("publish", 5.0, &[Value::from("cam1?key=1"), Value::from("live")], 1).unwrap();
    assert_eq!(client.answers(), [], "nothing is promised before the server has agreed");
    let request = PublishRequest { app: "live".into(), name: "cam1?key=1".into(), client: "Test/1.0".into() };
    assert_eq!(client.session.poll_event(), Some(Event::PublishRequested(request)));
    client.session.accept_publish().unwrap();
    let replies = client.replies();
    assert_eq!(replies[0].message_type, MessageType::USER_CONTROL);
    assert_eq!(replies[0].payload, [0, 0, 0, 0, 0, 1], "StreamBegin of stream 1");
    assert_eq!(replies[1].stream_id, 1, "clients look for the status on their stream");

    client.command("FCUnpublish", 6.0, &[Value::from("cam1")], 0).unwrap();
    client.command("deleteStream", 7.0, &[Value::Number(1.0)], 0).unwrap();
    assert_eq!(client.session.poll_event(), Some(Event::PublishFinished));
    assert_eq!(client.session.poll_event(), None, "once");
    assert!(!client.session.is_closing());
}

#[test]
fn gstreamer_order_with_transaction_zero() {
    let mut client = Client::connected("live");
    client.send(MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, 2_500_000_u32.to_be_bytes().to_vec()).unwrap();
    client.command("releaseStream", 0.0, &[Value::from("s")], 0).unwrap();
    client.command("FCPublish", 0.0, &[Value::from("s")], 0).unwrap();
    client.command("createStream", 2.0, &[], 0).unwrap();
    let answers = client.answers();
    assert_eq!(answers.iter().filter(|answer| answer.0 == "_result").count(), 1, "0 asks for no answer");
    client.command("publish", 0.0, &[Value::from("s"), Value::from("live")], 1).unwrap();
    client.session.accept_publish().unwrap();
    assert_eq!(client.answers(), [answer("onStatus", 0.0, 1, "NetStream.Publish.Start")]);
}

#[test]
fn nginx_srs_and_makito_orders() {
    // nginx and SRS: no releaseStream, no FCPublish, and media before the answer.
    let mut relay = Client::connected("live");
    relay.command("createStream", 2.0, &[], 0).unwrap();
    relay.command("publish", 0.0, &[Value::from("s"), Value::from("live")], 1).unwrap();
    relay.send(MessageType::AUDIO, 1, vec![0xAF, 0, 0x12, 0x10]).unwrap();
    assert!(matches!(relay.session.poll_event(), Some(Event::PublishRequested(_))));
    relay.session.accept_publish().unwrap();
    assert!(matches!(relay.session.poll_event(), Some(Event::Packet(packet)) if packet.payload.len() == 4));
    // Makito: createStream before FCPublish, and it waits for the answer to _checkbw.
    let mut makito = Client::connected("live");
    makito.command("createStream", 2.0, &[], 0).unwrap();
    makito.command("FCPublish", 3.0, &[Value::from("s")], 0).unwrap();
    makito.command("_checkbw", 4.0, &[], 0).unwrap();
    makito.command("getStreamLength", 5.0, &[], 0).unwrap();
    let results: Vec<_> = makito.answers().into_iter().filter(|answer| answer.0 == "_result").collect();
    assert_eq!(results.iter().map(|answer| answer.1).collect::<Vec<_>>(), [2.0, 3.0, 4.0, 5.0]);
    // A publish without createStream goes by the stream that it is sent on.
    makito.command("publish", 6.0, &[Value::from("s")], 5).unwrap();
    makito.session.accept_publish().unwrap();
    assert_eq!(makito.answers(), [answer("onStatus", 0.0, 5, "NetStream.Publish.Start")]);
}

#[test]
fn empty_and_missing_names_are_the_default_stream() {
    for (arguments, connect_app) in [(vec![Value::from(""), Value::from("live")], true), (vec![], false)] {
        let mut client = Client::new();
        if connect_app {
            client.connect("").unwrap();
        } else {
            client.command("connect", 1.0, &[], 0).unwrap();
        }
        client.command("publish", 5.0, &arguments, 1).unwrap();
        let Some(Event::PublishRequested(request)) = client.session.poll_event() else { panic!("no request") };
        assert_eq!((request.app.as_str(), request.name.as_str()), ("", ""));
    }
}

#[test]
fn amf3_messages_are_amf0_behind_a_selector() {
    let mut client = Client::connected("live");
    for (prefix, txn) in [(&[0][..], 2.0), (&[][..], 3.0)] {
        let payload = [prefix, &Command::new("createStream", txn, Vec::new()).encode()].concat();
        client.send(MessageType::COMMAND_AMF3, 0, payload).unwrap();
        assert_eq!(client.answers(), [answer("_result", txn, 0, "")]);
    }
    let mut client = Client::publishing("live", "s");
    let mut data = vec![0];
    amf0::encode(&Value::from("onMetaData"), &mut data);
    client.send(MessageType::DATA_AMF3, 1, data.clone()).unwrap();
    let packet = Packet { kind: PacketKind::Data, timestamp: Timestamp(40), payload: data[1..].to_vec() };
    assert_eq!(client.session.poll_event(), Some(Event::Packet(packet)));
}

#[test]
fn media_is_passed_on_only_while_publishing() {
    let mut client = Client::connected("live");
    client.send(MessageType::VIDEO, 1, vec![0x17, 1]).unwrap();
    assert_eq!(client.session.poll_event(), None);
    let mut client = Client::publishing("live", "s");
    client.send(MessageType::VIDEO, 1, vec![]).unwrap();
    client.send(MessageType(22), 1, vec![1]).unwrap();
    assert_eq!(client.session.poll_event(), None, "empty and unknown messages are passed over");
    client.send(MessageType::VIDEO, 1, vec![0x17, 1]).unwrap();
    assert!(matches!(client.session.poll_event(), Some(Event::Packet(_))));
}

#[test]
fn media_of_another_stream_of_the_same_client_is_not_mixed_in() {
    let mut client = Client::publishing("live", "a");
    client.command("createStream", 6.0, &[], 0).unwrap();
    client.command("publish", 7.0, &[Value::from("b")], 2).unwrap(); // refused, which not every client looks at
    let aggregate = [9, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x17, 1, 0, 0, 0, 13];
    client.send(MessageType::VIDEO, 2, vec![0x17, 1]).unwrap();
    client.send(MessageType::AGGREGATE, 2, aggregate.to_vec()).unwrap();
    assert_eq!(client.session.poll_event(), None);
    for its_own_or_of_nothing in [1, 0, 3] {
        client.send(MessageType::VIDEO, its_own_or_of_nothing, vec![0x17, 1]).unwrap();
        assert!(matches!(client.session.poll_event(), Some(Event::Packet(_))), "{its_own_or_of_nothing}");
    }
}

#[test]
fn a_client_may_publish_again_on_the_same_connection() {
    let mut client = Client::publishing("live", "a");
    client.command("closeStream", 0.0, &[], 1).unwrap();
    assert_eq!(client.session.poll_event(), Some(Event::PublishFinished));
    assert_eq!(client.answers(), [answer("onStatus", 0.0, 1, "NetStream.Unpublish.Success")]);
    client.command("createStream", 8.0, &[], 0).unwrap();
    client.command("publish", 9.0, &[Value::from("b")], 2).unwrap();
    assert!(
        matches!(client.session.poll_event(), Some(Event::PublishRequested(request)) if request.name == "b")
    );
    // But not two at once.
    client.session.accept_publish().unwrap();
    client.replies();
    client.command("publish", 9.0, &[Value::from("c")], 3).unwrap();
    assert_eq!(client.answers(), [answer("onStatus", 0.0, 3, "NetStream.Publish.BadName")]);
    assert_eq!(client.session.poll_event(), None);
}

#[test]
fn what_stands_behind_a_request_waits_for_its_answer() {
    let ask = |client: &mut Client| {
        client.command("publish", 5.0, &[Value::from("mine")], 1).unwrap();
        client.send(MessageType::VIDEO, 1, vec![0x17; 300]).unwrap();
        client.command("FCUnpublish", 6.0, &[Value::from("mine")], 0).unwrap();
        client.command("publish", 7.0, &[Value::from("another's")], 1).unwrap();
        assert!(matches!(client.session.poll_event(), Some(Event::PublishRequested(_))));
        assert_eq!((client.session.poll_event(), client.answers()), (None, vec![]));
        assert!(client.session.unfinished_bytes() > 300, "what it holds meanwhile is counted");
    };
    let mut client = Client::connected("live");
    ask(&mut client);
    client.session.accept_publish().unwrap();
    assert_eq!(client.session.unfinished_bytes(), 0);
    assert!(matches!(client.session.poll_event(), Some(Event::Packet(_))));
    assert_eq!(client.session.poll_event(), Some(Event::PublishFinished));
    assert!(
        matches!(client.session.poll_event(), Some(Event::PublishRequested(request)) if request.name == "another's")
    );
    let codes: Vec<_> = client.answers().into_iter().map(|answer| answer.3).collect();
    assert_eq!(
        codes,
        ["NetStream.Publish.Start", "", "NetStream.Unpublish.Success"],
        "and nothing of the second"
    );

    let mut refused = Client::connected("live");
    ask(&mut refused);
    refused.session.reject("NetStream.Publish.Denied", "No.");
    assert_eq!(refused.session.poll_event(), None);
}

#[test]
fn what_waits_for_an_answer_has_a_bound() {
    let mut client = Client::connected("live");
    client.command("publish", 5.0, &[Value::from("s")], 1).unwrap();
    client.session.handle_input(&vec![0xC5; MAX_UNANSWERED]).unwrap();
    assert_eq!(client.session.handle_input(&[0xC5]), Err(SessionError::TooMuchUnanswered));
}

#[test]
fn a_goodbye_behind_a_request_is_found_before_it_is_answered() {
    let (own, other) = ([Value::Number(1.0)], [Value::Number(2.0)]);
    for (name, arguments, ends) in [
        ("deleteStream", &own[..], true),
        ("FCUnpublish", &[], true),
        ("deleteStream", &other, false),
        ("publish", &[], false),
    ] {
        let mut client = Client::connected("live");
        client.command("createStream", 3.0, &[], 0).unwrap();
        client.command("createStream", 4.0, &[], 0).unwrap();
        client.command("publish", 5.0, &[Value::from("s")], 1).unwrap();
        assert!(!client.session.is_taken_back());
        let room = client.session.room_for_unanswered();
        client.command(name, 6.0, arguments, 0).unwrap();
        assert!(client.session.room_for_unanswered() < room, "it is kept all the same");
        assert_eq!(client.session.is_taken_back(), ends, "{name} {arguments:?}");
    }
}

#[test]
fn rejections_carry_a_code_and_end_the_session() {
    let mut client = Client::connected("live");
    client.command("publish", 5.0, &[Value::from("s")], 1).unwrap();
    assert!(matches!(client.session.poll_event(), Some(Event::PublishRequested(_))));
    client.session.reject("NetStream.Publish.BadName", "Taken.");
    assert_eq!(client.answers(), [answer("onStatus", 0.0, 1, "NetStream.Publish.BadName")]);
    assert!(client.session.is_closing());
    client.command("publish", 6.0, &[Value::from("t")], 1).unwrap();
    assert_eq!((client.session.poll_event(), client.answers()), (None, vec![]), "input is no longer looked at");

    let mut player = Client::connected("live");
    player.command("createStream", 2.0, &[], 0).unwrap();
    player.command("play", 3.0, &[Value::from("s"), Value::Number(-2000.0)], 1).unwrap();
    let request = Event::PlayRequested { app: "live".into(), name: "s".into() };
    assert_eq!(player.session.poll_event(), Some(request));
    player.replies();
    player.session.reject("NetStream.Play.Failed", "Over HTTP only.");
    assert_eq!(player.answers(), [answer("onStatus", 0.0, 1, "NetStream.Play.Failed")]);
}

#[test]
fn closing_tells_the_publisher() {
    let mut client = Client::publishing("live", "s");
    client.session.close("Shutdown.");
    let codes: Vec<_> = client.answers().into_iter().map(|answer| answer.3).collect();
    assert_eq!(codes, ["NetStream.Unpublish.Success", "NetConnection.Connect.Closed"]);
}

#[test]
fn pings_are_answered_with_their_timestamp() {
    let mut client = Client::connected("live");
    client.send(MessageType::USER_CONTROL, 0, vec![0, 6, 1, 2, 3, 4]).unwrap();
    let replies = client.replies();
    assert_eq!(replies[0].payload, [0, 7, 1, 2, 3, 4]);
    client.send(MessageType::USER_CONTROL, 0, vec![0, 6, 1]).unwrap();
    client.send(MessageType::USER_CONTROL, 0, vec![0]).unwrap();
    client.send(MessageType::USER_CONTROL, 0, vec![0, 3, 0, 0, 0, 1, 0, 0, 11, 184]).unwrap();
    assert_eq!(client.replies(), []);
}

#[test]
fn bytes_are_acknowledged_at_half_the_window_with_the_running_total() {
    let mut client = Client::publishing("live", "s");
    let received = |replies: Vec<Message>| -> Vec<u32> {
        let acks = replies.into_iter().filter(|reply| reply.message_type == MessageType::ACKNOWLEDGEMENT);
        acks.map(|ack| u32::from_be_bytes(ack.payload[..].try_into().unwrap())).collect()
    };
    for _ in 0..30 {
        client.send(MessageType::VIDEO, 1, vec![0x27; 100_000]).unwrap();
    }
    assert_eq!(received(client.replies()), [] as [u32; 0], "none for who has not announced a window");
    let announce = |window: u32| window.to_be_bytes().to_vec();
    client.send(MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, announce(2_500_000)).unwrap();
    let first = received(client.replies());
    assert_eq!(first.len(), 1);
    let mut acks = Vec::new();
    for _ in 0..30 {
        client.send(MessageType::VIDEO, 1, vec![0x27; 100_000]).unwrap();
        acks.extend(received(client.replies()));
    }
    assert_eq!(acks.len(), 2, "3 MB against a half window of 1.25 MB: {acks:?}");
    let since = |ack: u32| ack - first[0];
    let at_halves =
        (1_250_000..1_400_000).contains(&since(acks[0])) && (2_500_000..2_700_000).contains(&since(acks[1]));
    assert!(at_halves, "{first:?}, then {acks:?}");

    // Zero (never divided by) and a cut-off message change nothing; one is the smallest window.
    client.send(MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, announce(0)).unwrap();
    client.send(MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, vec![1]).unwrap();
    client.send(MessageType::VIDEO, 1, vec![0x27; 10]).unwrap();
    assert_eq!(received(client.replies()), [] as [u32; 0]);
    client.send(MessageType::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, announce(1)).unwrap();
    client.send(MessageType::VIDEO, 1, vec![0x27; 10]).unwrap();
    assert!(!received(client.replies()).is_empty());
}

#[test]
fn what_is_out_of_order_or_too_long_ends_the_session() {
    let mut early = Client::new();
    assert_eq!(early.command("publish", 1.0, &[Value::from("s")], 1), Err(SessionError::NotConnected));

    let longest_app = "a".repeat(MAX_APP);
    Client::new().connect(&longest_app).unwrap();
    assert_eq!(Client::new().connect(&(longest_app + "a")), Err(SessionError::NameTooLong));
    let longest_name = "n".repeat(MAX_NAME);
    for (name, outcome) in
        [(longest_name.clone(), Ok(())), (longest_name + "n", Err(SessionError::NameTooLong))]
    {
        for command in ["publish", "play"] {
            let mut client = Client::connected("live");
            assert_eq!(client.command(command, 5.0, &[Value::from(name.as_str())], 1), outcome);
            let told = client.answers().iter().any(|answer| answer.3 == "NetStream.Publish.BadName");
            assert_eq!(told, outcome.is_err(), "the client is told why");
        }
    }
    let mut bomb = Command::new("connect", 1.0, Vec::new()).encode();
    bomb.extend([3, 0, 1, b'a'].repeat(1000));
    let outcome = Client::new().send(MessageType::COMMAND_AMF0, 0, bomb);
    assert!(matches!(outcome, Err(SessionError::Command(amf0::Amf0Error::TooDeep))), "{outcome:?}");
}

#[test]
fn commands_that_nobody_takes_the_answers_to_have_a_bound() {
    let mut client = Client::connected("live");
    client.command("_checkbw", 2.0, &[], 0).unwrap();
    let length = client.session.take_output().len();
    for _ in 0..MAX_OUTPUT / length {
        client.command("_checkbw", 2.0, &[], 0).unwrap();
    }
    let result = client.command("_checkbw", 2.0, &[], 0);
    assert!(matches!(result, Err(SessionError::TooManyCommands)), "{result:?}");
    let held = client.session.take_output().len();
    assert!((MAX_OUTPUT..MAX_OUTPUT + 2 * length).contains(&held), "{held}");
}

#[test]
fn streams_are_numbered_and_not_endless() {
    let mut client = Client::connected("live");
    for number in 1..=MAX_NET_STREAMS {
        client.command("createStream", f64::from(number), &[], 0).unwrap();
        let result = Command::decode(&client.replies()[0].payload).unwrap();
        assert_eq!(result.arguments, [Value::Number(f64::from(number))]);
    }
    client.command("createStream", 99.0, &[], 0).unwrap();
    assert_eq!(client.answers(), [answer("_error", 99.0, 0, "NetConnection.Call.Failed")]);
}

#[test]
fn every_split_of_a_session_gives_the_same_events() {
    let bytes = session::written();
    let expected = drive(bytes.chunks(1));
    assert_eq!(expected.events.len(), 4, "{:?}", expected.events);
    assert_eq!(expected.end, None);
    for split in 0..=bytes.len() {
        let (first, second) = bytes.split_at(split);
        let driven = drive([first, second].into_iter());
        assert_eq!((driven.events, driven.end), (expected.events.clone(), None), "split at {split}");
        assert!(!driven.output.is_empty());
    }
}

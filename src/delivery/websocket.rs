//! What WebSocket viewers send, and what they are answered (RFC 6455). No IO here.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::leave::LeaveReason;
use crate::stream::EndReason;
use crate::stream::burst::frame_head;

/// Longest frame that a viewer may send, in bytes. Players send none; what comes is thrown away.
const MAX_FRAME: u64 = 64 << 10;

/// Longest payload of a control frame, in bytes (5.5).
const MAX_CONTROL: u64 = 125;

/// The frames of one viewer, as far as they have come. Keeps no more than a frame's head, a control frame's payload and
/// the answers that are owed, which are shorter than what they answer.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// What has come of a frame's head.
    head: Vec<u8>,
    /// The frame whose payload comes.
    frame: Option<Frame>,
    /// What has come of the payload of a control frame.
    payload: Vec<u8>,
    /// Whether a message has begun and not ended.
    in_message: bool,
    /// Whole frames that are to be sent.
    answers: Vec<u8>,
    /// Why these are the last ones, if they are. What comes then is thrown away.
    ending: Option<LeaveReason>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: OpCode,
    mask: [u8; 4],
    length: usize,
    /// How much of it has come.
    come: usize,
}

/// Why what a viewer has sent is no WebSocket's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("sent a frame that is not masked")]
    Unmasked,
    #[error("sent a frame of a reserved kind")]
    Reserved,
    #[error("sent a control frame that is too long or fragmented")]
    Control,
    #[error("sent fragments in a wrong order")]
    Order,
    #[error("sent a malformed close frame")]
    Close,
    #[error("sent a close frame whose reason is not UTF-8")]
    NotUtf8,
    #[error("sent a frame of more than {MAX_FRAME} bytes")]
    TooLong,
}

impl Violation {
    fn code(self) -> CloseCode {
        match self {
            Self::TooLong => CloseCode::Size,
            Self::NotUtf8 => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        }
    }
}

impl Incoming {
    /// Takes what has been received.
    pub(super) fn take(&mut self, received: &[u8]) {
        let mut rest = received;
        while !rest.is_empty() && self.ending.is_none() {
            let taken = match self.frame {
                None => self.take_head(&mut rest),
                Some(frame) => self.take_payload(frame, &mut rest),
            };
            if let Err(violation) = taken {
                self.answers.extend(close_frame(violation.code(), &violation.to_string()));
                self.ending = Some(LeaveReason::Broken(violation));
            }
        }
    }

    pub(super) fn is_owed_an_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// What is to be sent, and why it is the last, if it is.
    pub(super) fn take_answer(&mut self) -> Option<(Box<[u8]>, Option<LeaveReason>)> {
        self.is_owed_an_answer().then(|| (std::mem::take(&mut self.answers).into_boxed_slice(), self.ending))
    }

    /// Byte by byte, for the head says itself how long it is; it has 14 bytes at the most.
    fn take_head(&mut self, rest: &mut &[u8]) -> Result<(), Violation> {
        self.head.extend(rest.split_off_first());
        let parsed = FrameHeader::parse(&mut Cursor::new(&self.head)).map_err(|_| Violation::Reserved)?;
        if let Some((header, length)) = parsed {
            self.head.clear();
            let frame = self.vet(&header, length)?;
            // A frame without payload is whole now.
            self.take_payload(frame, &mut &[][..])?;
        }
        Ok(())
    }

    fn vet(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Violation> {
        let FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask } = *header;
        let mask = mask.ok_or(Violation::Unmasked)?;
        if rsv1 || rsv2 || rsv3 {
            return Err(Violation::Reserved);
        }
        match opcode {
            OpCode::Control(_) if !is_final || length > MAX_CONTROL => return Err(Violation::Control),
            OpCode::Control(_) => {}
            OpCode::Data(data) if (data == Data::Continue) != self.in_message => return Err(Violation::Order),
            OpCode::Data(_) => self.in_message = !is_final,
        }
        if length > MAX_FRAME {
            return Err(Violation::TooLong);
        }
        Ok(Frame { opcode, mask, length: length as usize, come: 0 })
    }

    fn take_payload(&mut self, mut frame: Frame, rest: &mut &[u8]) -> Result<(), Violation> {
        let (part, behind) = rest.split_at(rest.len().min(frame.length - frame.come));
        *rest = behind;
        if matches!(frame.opcode, OpCode::Control(_)) {
            let mask = frame.mask.iter().cycle().skip(frame.come % 4);
            self.payload.extend(part.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        }
        frame.come += part.len();
        self.frame = (frame.come < frame.length).then_some(frame);
        if self.frame.is_some() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.payload);
        match frame.opcode {
            OpCode::Control(Control::Ping) => self.answers.extend(control_frame(Control::Pong, &payload)),
            OpCode::Control(Control::Close) => {
                self.answers.extend(control_frame(Control::Close, answer_to_close(&payload)?));
                self.ending = Some(LeaveReason::Left);
            }
            // Nothing that a viewer could say is of interest.
            OpCode::Control(_) | OpCode::Data(_) => {}
        }
        Ok(())
    }
}

/// What a viewer gets when its stream has ended.
pub(super) fn farewell(reason: EndReason) -> Box<[u8]> {
    let code = if reason == EndReason::Shutdown { CloseCode::Away } else { CloseCode::Normal };
    close_frame(code, &reason.to_string()).into_boxed_slice()
}

/// The payload that answers a close frame: the same code, if it has one (5.5.1, 7.4).
fn answer_to_close(payload: &[u8]) -> Result<&[u8], Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(payload) } else { Err(Violation::Close) };
    };
    if !CloseCode::from(u16::from_be_bytes(*code)).is_allowed() {
        return Err(Violation::Close);
    }
    std::str::from_utf8(reason).map(|_| &code[..]).map_err(|_| Violation::NotUtf8)
}

fn close_frame(code: CloseCode, reason: &str) -> Vec<u8> {
    debug_assert!(2 + reason.len() as u64 <= MAX_CONTROL, "{reason}");
    control_frame(Control::Close, &[&u16::from(code).to_be_bytes(), reason.as_bytes()].concat())
}

fn control_frame(kind: Control, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(OpCode::Control(kind), payload.len());
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// A frame as a viewer sends it. `first` is its first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = head(first, payload.len() as u64);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn head(first: u8, length: u64) -> Vec<u8> {
        let (short, long) = match length {
            0..126 => (length as u8, vec![]),
            126..65_536 => (126, (length as u16).to_be_bytes().to_vec()),
            _ => (127, length.to_be_bytes().to_vec()),
        };
        [&[first, 0x80 | short][..], &long, &MASK].concat()
    }

    /// What is answered to bytes that come in such pieces.
    fn answers(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<LeaveReason>) {
        let mut incoming = Incoming::default();
        bytes.chunks(piece).for_each(|piece| incoming.take(piece));
        assert!(incoming.head.len() < 14 && incoming.payload.len() <= 125);
        let ending = incoming.ending;
        (incoming.take_answer().map(|(answer, _)| answer.into_vec()).unwrap_or_default(), ending)
    }

    fn violation(bytes: &[u8]) -> (Violation, u16) {
        let (answer, ending) = answers(bytes, 1);
        assert_eq!(answers(bytes, bytes.len()), (answer.clone(), ending));
        let Some(LeaveReason::Broken(violation)) = ending else { unreachable!("{ending:?}") };
        assert_eq!((answer[0], usize::from(answer[1])), (0x88, answer.len() - 2));
        assert_eq!(answer[4..], *violation.to_string().as_bytes());
        (violation, u16::from_be_bytes([answer[2], answer[3]]))
    }

    #[test]
    fn pings_and_a_close_are_answered_however_they_are_split_and_the_rest_is_thrown_away() {
        let sent = [
            frame(0x89, b""),
            frame(0x81, b"hello"),
            frame(0x01, &[b'x'; 200]),
            frame(0x89, &[7; 125]),
            frame(0x80, &[b'y'; 126]),
            frame(0x8A, b"unasked"),
            frame(0x82, &[0; 65_536]),
            frame(0x88, b"\x03\xE8bye"),
            frame(0x89, b"too late"),
        ];
        let expected = [&[0x8A, 0][..], &[0x8A, 125], &[7; 125], b"\x88\x02\x03\xE8"].concat();
        let all = sent.concat();
        for piece in (1..300).chain([4096, all.len()]) {
            assert_eq!(answers(&all, piece), (expected.clone(), Some(LeaveReason::Left)), "{piece}");
        }
    }

    #[test]
    fn every_cut_is_waited_for() {
        let ping = frame(0x89, b"abc");
        for cut in 0..ping.len() {
            let mut incoming = Incoming::default();
            incoming.take(&ping[..cut]);
            assert!(!incoming.is_owed_an_answer() && incoming.take_answer().is_none(), "{cut}");
            incoming.take(&ping[cut..]);
            let answer = incoming.take_answer().unwrap();
            assert_eq!((&answer.0[..], answer.1), (&b"\x8A\x03abc"[..], None));
            assert!(!incoming.is_owed_an_answer(), "once");
        }
    }

    #[test]
    fn a_close_is_answered_with_its_code() {
        for (payload, answer) in [
            (&b""[..], &b"\x88\0"[..]),
            (b"\x03\xE9", b"\x88\x02\x03\xE9"),
            (b"\x0F\xA0why", b"\x88\x02\x0F\xA0"),
        ] {
            assert_eq!(answers(&frame(0x88, payload), 1), (answer.to_vec(), Some(LeaveReason::Left)));
        }
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 5000] {
            assert_eq!(violation(&frame(0x88, &code.to_be_bytes())), (Violation::Close, 1002), "{code}");
        }
        assert_eq!(violation(&frame(0x88, b"\x03")), (Violation::Close, 1002));
        assert_eq!(violation(&frame(0x88, b"\x03\xE8\xFF")), (Violation::NotUtf8, 1007));
    }

    #[test]
    fn what_no_client_may_send_is_the_end() {
        for (sent, expected) in [
            (b"\x89\x00".to_vec(), Violation::Unmasked),
            (b"\x82\x7E\x01\x00".to_vec(), Violation::Unmasked),
            (frame(0xC1, b""), Violation::Reserved),
            (frame(0xA1, b""), Violation::Reserved),
            (frame(0x91, b""), Violation::Reserved),
            (frame(0x83, b""), Violation::Reserved),
            (frame(0x8B, b""), Violation::Reserved),
            (frame(0x89, &[0; 126]), Violation::Control),
            (frame(0x09, b""), Violation::Control),
            (frame(0x80, b""), Violation::Order),
            ([frame(0x01, b""), frame(0x81, b"")].concat(), Violation::Order),
        ] {
            assert_eq!(violation(&sent), (expected, 1002), "{sent:x?}");
        }
        assert_eq!(violation(&head(0x82, MAX_FRAME + 1)), (Violation::TooLong, 1009));
        assert_eq!(violation(&head(0x82, u64::MAX)), (Violation::TooLong, 1009));
        assert_eq!(answers(&head(0x82, MAX_FRAME), 1), (vec![], None));
    }

    #[test]
    fn the_end_of_a_stream_is_told_in_words() {
        assert_eq!(*farewell(EndReason::Unpublished), *b"\x88\x0E\x03\xE8stream ended");
        assert_eq!(*farewell(EndReason::Shutdown), *b"\x88\x11\x03\xE9server shutdown");
    }
}

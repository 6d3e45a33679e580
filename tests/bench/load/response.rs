//! Takes an HTTP-FLV response apart as it comes: head, chunks or WebSocket frames, file header, tags. Keeps only what it needs of each.

use super::frames::{AUDIO_HEAD, FILLING, STAMP_LENGTH, VIDEO_HEAD};

const TAG_HEADER: usize = 11;

/// A whole frame has arrived.
pub struct Arrival {
    pub number: u64,
    /// When it was sent, in ns after the epoch.
    pub sent: u64,
    /// Of its tag, in ms.
    pub timestamp: u32,
    pub video: bool,
    pub keyframe: bool,
}

/// How far a response is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Progress {
    Open,
    /// The last chunk has come.
    Ended,
    /// The answer is not 200 but this.
    Refused(u16),
    /// Not what the sender can have meant.
    Broken(&'static str),
}

pub struct Response {
    expect: Expect,
    progress: Progress,
    /// The start of what is expected, as far as it has come.
    part: Vec<u8>,
    chunked: bool,
    /// Whether it comes in frames, each of which counts as a chunk.
    websocket: bool,
    /// Bytes left of the current HTTP chunk.
    chunk: usize,
    chunk_head: Vec<u8>,
    /// Bytes left of the current tag's body behind the stamp.
    skip: usize,
}

#[derive(Clone, Copy)]
enum Expect {
    Head,
    FileHeader,
    TagHeader,
    Stamp(Tag),
    Filling(Tag, Option<Stamp>),
    TagEnd(Tag, Option<Stamp>),
}

#[derive(Clone, Copy)]
struct Tag {
    kind: u8,
    timestamp: u32,
    body: usize,
}

#[derive(Clone, Copy)]
struct Stamp {
    number: u64,
    sent: u64,
    keyframe: bool,
}

impl Response {
    /// Expects an HTTP response with an FLV body.
    pub fn new() -> Self {
        Self::expecting(Expect::Head)
    }

    /// Expects tags, without HTTP and without a file header.
    pub fn of_tags() -> Self {
        Self::expecting(Expect::TagHeader)
    }

    fn expecting(expect: Expect) -> Self {
        let (part, chunk_head) = (Vec::new(), Vec::new());
        let (chunked, websocket) = (false, false);
        Self { expect, progress: Progress::Open, part, chunked, websocket, chunk: 0, chunk_head, skip: 0 }
    }

    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether the connection may end here: only a body without chunks has no other end.
    pub fn may_end(&self) -> bool {
        self.is_between_tags() && !self.chunked
    }

    fn is_between_tags(&self) -> bool {
        matches!(self.expect, Expect::TagHeader) && self.part.is_empty()
    }

    pub fn take(&mut self, mut input: &[u8], mut on_frame: impl FnMut(Arrival)) {
        while !input.is_empty() && self.progress == Progress::Open {
            if matches!(self.expect, Expect::Head) {
                self.head(&mut input);
            } else if self.chunked && self.chunk == 0 {
                if self.websocket { self.frame_head(&mut input) } else { self.chunk_head(&mut input) }
            } else {
                let available = if self.chunked { self.chunk.min(input.len()) } else { input.len() };
                let used = self.content(&input[..available], &mut on_frame);
                input = &input[used..];
                self.chunk -= if self.chunked { used } else { 0 };
            }
        }
    }

    fn head(&mut self, input: &mut &[u8]) {
        let had = self.part.len();
        self.part.extend_from_slice(input);
        let Some(end) = self.part.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            *input = &[];
            return;
        };
        let head = String::from_utf8_lossy(&self.part[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        self.websocket = status == 101;
        if status != 200 && !self.websocket {
            self.progress = Progress::Refused(status);
        }
        self.chunked = self.websocket || head.contains("transfer-encoding: chunked");
        *input = &input[end + 4 - had..];
        self.part.clear();
        self.expect = Expect::FileHeader;
    }

    /// Takes one byte of what is between two chunks' contents: a line end, if there was one before, and the length.
    fn chunk_head(&mut self, input: &mut &[u8]) {
        let byte = input[0];
        *input = &input[1..];
        self.chunk_head.push(byte);
        if byte != b'\n' || self.chunk_head.len() <= 2 {
            return;
        }
        let text = String::from_utf8_lossy(&self.chunk_head).trim().to_owned();
        self.chunk_head.clear();
        match usize::from_str_radix(&text, 16) {
            Ok(0) if self.is_between_tags() => self.progress = Progress::Ended,
            Ok(0) => self.progress = Progress::Broken("ended in the middle of a tag"),
            Ok(length) => self.chunk = length,
            Err(_) => self.progress = Progress::Broken("no chunk where one should begin"),
        }
    }

    /// Takes one byte of a WebSocket frame's head.
    fn frame_head(&mut self, input: &mut &[u8]) {
        self.chunk_head.push(input[0]);
        *input = &input[1..];
        let length = match self.chunk_head[..] {
            [0x82, length @ 0..126] => length.into(),
            [0x82, 126, ref length @ ..] if length.len() == 2 => number(length),
            [0x82, 127, ref length @ ..] if length.len() == 8 => number(length),
            [0x88] if self.is_between_tags() => return self.progress = Progress::Ended,
            [0x82] | [0x82, 126 | 127, ..] => return,
            _ => return self.progress = Progress::Broken("no frame where one should begin"),
        };
        self.chunk = length as usize;
        self.chunk_head.clear();
    }

    /// Takes what it can of `input` in one step.
    fn content(&mut self, input: &[u8], on_frame: &mut impl FnMut(Arrival)) -> usize {
        if let Expect::Filling(tag, stamp) = self.expect {
            let used = self.skip.min(input.len());
            // All bytes at once, without looking for the first wrong one: many at a time for the processor.
            let difference = input[..used].iter().fold(0, |difference, byte| difference | (byte ^ FILLING));
            if stamp.is_some() && difference != 0 {
                self.progress = Progress::Broken("a frame's bytes have changed");
            }
            self.skip -= used;
            if self.skip == 0 {
                self.expect = Expect::TagEnd(tag, stamp);
            }
            return used;
        }
        let used = (self.wanted() - self.part.len()).min(input.len());
        self.part.extend_from_slice(&input[..used]);
        if self.part.len() == self.wanted() {
            self.part_is_whole(on_frame);
            self.part.clear();
        }
        used
    }

    fn wanted(&self) -> usize {
        match self.expect {
            Expect::FileHeader => 13,
            Expect::TagHeader => TAG_HEADER,
            Expect::Stamp(tag) => (tag.head() + STAMP_LENGTH).min(tag.body),
            Expect::TagEnd(..) => 4,
            Expect::Head | Expect::Filling(..) => 0,
        }
    }

    fn part_is_whole(&mut self, on_frame: &mut impl FnMut(Arrival)) {
        let part = &self.part[..];
        match self.expect {
            Expect::FileHeader => {
                if !part.starts_with(b"FLV") {
                    self.progress = Progress::Broken("no FLV");
                }
                self.expect = Expect::TagHeader;
            }
            Expect::TagHeader => match Tag::parse(part) {
                Some(tag) => self.expect = Expect::Stamp(tag),
                None => self.progress = Progress::Broken("no tag where one should begin"),
            },
            Expect::Stamp(tag) => {
                self.skip = tag.body - part.len();
                let stamp = tag.stamp(part);
                self.expect =
                    if self.skip > 0 { Expect::Filling(tag, stamp) } else { Expect::TagEnd(tag, stamp) };
            }
            Expect::TagEnd(tag, stamp) => {
                if number(part) != (TAG_HEADER + tag.body) as u64 {
                    self.progress = Progress::Broken("a tag's end does not fit its length");
                } else if let Some(Stamp { number, sent, keyframe }) = stamp {
                    on_frame(Arrival {
                        number,
                        sent,
                        timestamp: tag.timestamp,
                        video: tag.is_video(),
                        keyframe,
                    });
                }
                self.expect = Expect::TagHeader;
            }
            Expect::Head | Expect::Filling(..) => {}
        }
    }
}

impl Tag {
    fn parse(header: &[u8]) -> Option<Self> {
        let [kind, l0, l1, l2, t0, t1, t2, t3, 0, 0, 0] = *header else { return None };
        // The timestamp's highest byte comes last.
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        let body = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        matches!(kind, 8 | 9 | 18).then_some(Self { kind, timestamp, body })
    }

    fn is_video(self) -> bool {
        self.kind == 9
    }

    /// The codec header's length.
    fn head(self) -> usize {
        if self.is_video() { VIDEO_HEAD } else { AUDIO_HEAD }
    }

    /// Frames have 1 behind the first byte, sequence headers 0; metadata has no stamp at all.
    fn stamp(self, part: &[u8]) -> Option<Stamp> {
        let (head, stamp) = part.split_at_checked(self.head())?;
        let is_frame = self.kind != 18 && head[1] == 1 && stamp.len() == STAMP_LENGTH;
        let keyframe = self.is_video() && head[0] == 0x17;
        is_frame.then(|| Stamp { number: number(&stamp[..8]), sent: number(&stamp[8..]), keyframe })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

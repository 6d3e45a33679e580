//! A strict FLV reader of the tests' own: it knows the format (FLV 10.1, annex E) and nothing of rtmpd.

use std::io::{ErrorKind, Read};

/// Reads the tags of a file or of a live response.
pub struct FlvReader<R> {
    input: R,
    pub has_video: bool,
    pub has_audio: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Audio,
    Video,
    Script,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Tag {
    pub kind: Kind,
    pub timestamp: u32,
    pub body: Vec<u8>,
}

impl<R: Read> FlvReader<R> {
    /// Reads the file header.
    ///
    /// # Panics
    ///
    /// When it is not that of an FLV file.
    #[track_caller]
    pub fn open(mut input: R) -> Self {
        let mut header = [0; 13];
        let got = read_full(&mut input, &mut header).expect("the FLV header");
        assert_eq!(got, header.len(), "the input ends inside the FLV header: {:?}", &header[..got]);
        assert_eq!(&header[..4], b"FLV\x01", "signature and version");
        assert_eq!(header[4] & !0b101, 0, "reserved flags {:#04x}", header[4]);
        assert_eq!(header[5..], [0, 0, 0, 9, 0, 0, 0, 0], "header size and first PreviousTagSize");
        Self { input, has_video: header[4] & 1 != 0, has_audio: header[4] & 4 != 0 }
    }

    /// The next tag; `None` when the input ends between two tags.
    ///
    /// # Panics
    ///
    /// When a tag is not whole and well-formed, or the input fails (as it does when nothing came for long).
    #[track_caller]
    pub fn next_tag(&mut self) -> Option<Tag> {
        self.try_next_tag().unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Like [`next_tag`](Self::next_tag), for readers that may be cut off.
    pub fn try_next_tag(&mut self) -> Result<Option<Tag>, String> {
        let mut header = [0; 11];
        match read_full(&mut self.input, &mut header) {
            Ok(0) => return Ok(None),
            Ok(11) => {}
            Ok(n) => return Err(format!("the input ends after {n} bytes of a tag header")),
            Err(e) => return Err(format!("no tag: {e}")),
        }
        let kind = match header[0] {
            8 => Kind::Audio,
            9 => Kind::Video,
            18 => Kind::Script,
            other => return Err(format!("a tag of type {other}: {header:02x?}")),
        };
        if header[8..] != [0, 0, 0] {
            return Err(format!("a stream id in a tag header: {header:02x?}"));
        }
        let size = u32::from_be_bytes([0, header[1], header[2], header[3]]);
        let timestamp = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        let mut body = vec![0; size as usize];
        self.fill(&mut body, kind)?;
        let mut previous = [0; 4];
        self.fill(&mut previous, kind)?;
        if u32::from_be_bytes(previous) != size + 11 {
            return Err(format!("PreviousTagSize {previous:02x?} behind a {kind:?} tag of {size} bytes"));
        }
        Ok(Some(Tag { kind, timestamp, body }))
    }

    /// The next tag that is `wanted`.
    #[track_caller]
    pub fn find_tag(&mut self, what: &str, mut wanted: impl FnMut(&Tag) -> bool) -> Tag {
        loop {
            let tag = self.next_tag().unwrap_or_else(|| panic!("the stream ended before {what}"));
            if wanted(&tag) {
                return tag;
            }
        }
    }

    /// All tags up to the end of the input.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<Tag> {
        std::iter::from_fn(|| self.next_tag()).collect()
    }

    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    fn fill(&mut self, part: &mut [u8], kind: Kind) -> Result<(), String> {
        let missing = match read_full(&mut self.input, part) {
            Ok(n) if n == part.len() => return Ok(()),
            Ok(n) => format!("the input ends {} bytes too early", part.len() - n),
            Err(e) => e.to_string(),
        };
        Err(format!("cut inside a {kind:?} tag: {missing}"))
    }
}

impl Tag {
    /// A frame that a decoder can start at, which a sequence header is not.
    pub fn is_keyframe(&self) -> bool {
        self.kind == Kind::Video && self.body.first().is_some_and(|b| b >> 4 == 1) && self.is_frame()
    }

    /// AVC or AAC configuration.
    pub fn is_sequence_header(&self) -> bool {
        match self.kind {
            Kind::Video => self.is_avc() && self.body[1] == 0,
            Kind::Audio => self.is_aac() && self.body[1] == 0,
            Kind::Script => false,
        }
    }

    /// A coded video or audio frame: no configuration, no end of sequence, not empty.
    pub fn is_frame(&self) -> bool {
        match self.kind {
            Kind::Video if self.is_avc() => self.body[1] == 1 && self.body.len() > 5,
            Kind::Audio if self.is_aac() => self.body[1] == 1 && self.body.len() > 2,
            Kind::Video | Kind::Audio => self.body.len() > 1,
            Kind::Script => false,
        }
    }

    /// Presentation minus decoding time in milliseconds.
    pub fn composition_time(&self) -> i32 {
        if self.kind != Kind::Video || !self.is_avc() {
            return 0;
        }
        // A signed 24-bit number.
        i32::from_be_bytes([self.body[2], self.body[3], self.body[4], 0]) >> 8
    }

    /// The frame itself, without the codec's header in front of it.
    pub fn payload(&self) -> &[u8] {
        match self.kind {
            Kind::Video if self.is_avc() => &self.body[5..],
            Kind::Audio if self.is_aac() => &self.body[2..],
            Kind::Script => &self.body,
            Kind::Video | Kind::Audio => &self.body[1..],
        }
    }

    /// Whether this is the `onMetaData` script tag.
    pub fn is_metadata(&self) -> bool {
        self.kind == Kind::Script && self.body.starts_with(b"\x02\x00\x0aonMetaData")
    }

    /// A boolean property of a metadata tag.
    pub fn metadata_flag(&self, key: &str) -> Option<bool> {
        const BOOLEAN: u8 = 1;
        let key: Vec<u8> = [&[0, key.len() as u8], key.as_bytes()].concat();
        let at = self.body.windows(key.len()).position(|part| part == key)? + key.len();
        match self.body.get(at..at + 2)? {
            [BOOLEAN, value] => Some(*value != 0),
            _ => None,
        }
    }

    fn is_avc(&self) -> bool {
        self.body.len() >= 5 && self.body[0] & 0x8f == 7
    }

    fn is_aac(&self) -> bool {
        self.body.len() >= 2 && self.body[0] >> 4 == 10
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = &self.body[..self.body.len().min(8)];
        write!(f, "{:?} tag at {} ms, {} bytes {head:02x?}", self.kind, self.timestamp, self.body.len())
    }
}

/// Fills `part` unless the input ends before; says how much it got.
fn read_full(input: &mut impl Read, part: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < part.len() {
        match input.read(&mut part[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

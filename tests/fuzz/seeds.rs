//! Writes what each target begins with into the folder that is named: the parts of what real publishers have sent
//! (`tests/data/clients`), and a few requests.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rtmpd::rtmp::chunk::{ChunkLimits, ChunkReader};
use rtmpd::rtmp::handshake::PACKET_LENGTH;
use rtmpd::rtmp::message::MessageType;

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/clients");

/// How much of a payload is of interest: heads, not pictures.
const PAYLOAD_HEAD: usize = 256;

/// Behind the marker: nobody who sends these could be recorded.
const AMF3: [&[u8]; 3] = [
    b"\x0a\x0b\x01\x0bwidth\x04\x82\x40\x01\x05",
    b"\x09\x05\x01\x0a\x2b\x03P\x03a\x03b\x04\x01\x03\x03c\x06\x03x\x01\x0a\x01\x04\x02\x02\x06\x0a\x02\x01",
    b"\x09\x0d\x03k\x03\x01\x08\x01\0\0\0\0\0\0\0\0\x0c\x07abc\x0b\x05<>\x05\x40\x74\0\0\0\0\0\0\x06\0\x00",
];

/// One byte says how the rest is cut into pieces.
const PIECE: u8 = 250;

const REQUESTS: [&str; 6] = [
    "GET /live/cam1.flv?wait=5 HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\n\r\n",
    "GET /service/httpflv?app=live&stream=K%C3%BCche+1 HTTP/1.0\r\nUser-Agent: a\r\nX-Forwarded-For: ::1, 1.2.3.4\r\n\r\n",
    "HEAD http://h:8090/resource/httpflv HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\n\r\n",
    "POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nAccess-Control-Request-Headers: range\r\n\r\n",
];

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = PathBuf::from(env::args().nth(1).ok_or("which folder?")?);
    for entry in fs::read_dir(RECORDINGS)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rtmp") {
            seed(&corpus, &path.file_stem().unwrap_or_default().to_string_lossy(), &fs::read(&path)?)?;
        }
    }
    for (index, value) in AMF3.iter().enumerate() {
        put(&corpus, "amf3", &format!("{index}"), value)?;
    }
    for (index, request) in REQUESTS.iter().enumerate() {
        put(&corpus, "http", &format!("{index}"), request.as_bytes())?;
    }
    Ok(())
}

fn seed(corpus: &Path, name: &str, recording: &[u8]) -> Result<(), Box<dyn Error>> {
    let (hello, chunks) = recording.split_at_checked(1 + 2 * PACKET_LENGTH).ok_or("no handshake")?;
    put(corpus, "handshake", name, &[&[PIECE], hello].concat())?;
    put(corpus, "chunks", name, &[&[PIECE], chunks].concat())?;
    put(corpus, "session", name, &[&[PIECE], chunks].concat())?;
    let mut reader = ChunkReader::new(ChunkLimits::default());
    let (mut input, mut index) = (chunks, 0);
    while let Some(message) = reader.read(&mut input)? {
        index += 1;
        let payload = &message.payload[..];
        let put = |target| put(corpus, target, &format!("{name}-{index}"), payload);
        match message.message_type {
            MessageType::COMMAND_AMF0 => ["amf0", "commands"].into_iter().try_for_each(put)?,
            MessageType::DATA_AMF0 => ["amf0", "metadata"].into_iter().try_for_each(put)?,
            MessageType::AUDIO | MessageType::VIDEO => {
                // By their first bytes, so that there is one of each kind.
                let head = &payload[..payload.len().min(PAYLOAD_HEAD)];
                let kind: String = head.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
                self::put(corpus, "payloads", &kind, head)?;
                // In the browser's form, tracks 0 and 1.
                let of_audio = u8::from(message.message_type == MessageType::AUDIO);
                for track in [0, 1] {
                    let input = [&[of_audio, track], head].concat();
                    self::put(corpus, "variants", &format!("{kind}-{track}"), &input)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn put(corpus: &Path, target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}

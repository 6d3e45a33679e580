//! What goes over the wire: numbered, timed frames, and the publisher that sends them at their pace.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtmpd::amf0::{self, Object, Value};
use rtmpd::flv::tag::put_tag;
use rtmpd::media::{PacketKind, Timestamp};
use rtmpd::rtmp::chunk::{ChunkStreamId, ChunkWriter};
use rtmpd::rtmp::command::Command;
use rtmpd::rtmp::handshake::PACKET_LENGTH;
use rtmpd::rtmp::message::{Message, MessageType};

/// Behind the codec header of every frame: its number, and when it was sent, in ns after `Epoch`.
pub const STAMP_LENGTH: usize = 16;

/// The bytes in front of the stamp.
pub const VIDEO_HEAD: usize = 5;
/// The bytes in front of the stamp.
pub const AUDIO_HEAD: usize = 2;

/// How much larger than the others a keyframe is.
const KEYFRAME_FACTOR: u32 = 8;

/// Audio frames a second, as AAC at 44.1 kHz has them, and their length.
const AUDIO_RATE: f64 = 44_100.0 / 1024.0;
const AUDIO_LENGTH: usize = 270;

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub bits_per_second: u32,
    pub frames_per_second: u32,
    /// Frames from keyframe to keyframe.
    pub gop: u32,
}

/// The zero of all times in this process.
#[derive(Clone, Copy)]
pub struct Epoch(Instant);

impl Epoch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// One frame of the paced stream.
pub struct Frame {
    pub kind: PacketKind,
    pub timestamp: u32,
    /// Without the stamp, which is put in when it is sent.
    pub payload: Vec<u8>,
}

/// An endless stream: video and audio in the order of their times.
pub struct Frames {
    shape: Shape,
    videos: u32,
    audios: u32,
}

impl Frames {
    pub fn new(shape: Shape) -> Self {
        Self { shape, videos: 0, audios: 0 }
    }

    fn video_length(&self, keyframe: bool) -> usize {
        let audio = (AUDIO_RATE * AUDIO_LENGTH as f64) as u32;
        let video = (self.shape.bits_per_second / 8).saturating_sub(audio);
        let (gop, rate) = (self.shape.gop, self.shape.frames_per_second);
        let inter = u64::from(video) * u64::from(gop) / u64::from(rate) / u64::from(gop - 1 + KEYFRAME_FACTOR);
        (if keyframe { inter * u64::from(KEYFRAME_FACTOR) } else { inter }).max(64) as usize
    }
}

impl Iterator for Frames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let video_time = u64::from(self.videos) * 1000 / u64::from(self.shape.frames_per_second);
        let audio_time = (f64::from(self.audios) * 1000.0 / AUDIO_RATE) as u64;
        if audio_time < video_time {
            self.audios += 1;
            let payload = filled(&[0xAF, 1], AUDIO_LENGTH);
            return Some(Frame { kind: PacketKind::Audio, timestamp: audio_time as u32, payload });
        }
        let keyframe = self.videos.is_multiple_of(self.shape.gop);
        self.videos += 1;
        let head = [if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let payload = filled(&head, self.video_length(keyframe));
        Some(Frame { kind: PacketKind::Video, timestamp: video_time as u32, payload })
    }
}

fn filled(head: &[u8], length: usize) -> Vec<u8> {
    let mut payload = head.to_vec();
    payload.resize(length.max(head.len() + STAMP_LENGTH), 0x55);
    payload
}

/// Numbers and times a frame; called when it is sent.
fn stamp(frame: &mut Frame, number: u64, now: u64) {
    let head = if frame.kind == PacketKind::Video { VIDEO_HEAD } else { AUDIO_HEAD };
    frame.payload[head..head + 8].copy_from_slice(&number.to_be_bytes());
    frame.payload[head + 8..head + 16].copy_from_slice(&now.to_be_bytes());
}

/// Where a paced stream goes.
pub trait Outlet: Send {
    fn send(&mut self, frame: &Frame) -> io::Result<()>;
}

/// Sends a stream at its pace until told to stop.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Publisher {
    pub fn start(mut outlet: impl Outlet + 'static, shape: Shape, epoch: Epoch) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let start = Instant::now();
            for (number, mut frame) in Frames::new(shape).enumerate() {
                let due = start + Duration::from_millis(u64::from(frame.timestamp));
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                stamp(&mut frame, number as u64, epoch.now());
                outlet.send(&frame)?;
            }
            Ok(())
        });
        Self { stop, thread }
    }

    /// Ends the stream; an error says that the server did so before.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the publisher panicked")))
    }
}

/// A connection to an RTMP server on which a publish has been accepted, or will be.
pub struct Rtmp {
    socket: TcpStream,
    writer: ChunkWriter,
    bytes: Vec<u8>,
}

impl Rtmp {
    pub fn publish(server: SocketAddr, app: &str, name: &str, chunk_size: u32) -> io::Result<Self> {
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        let mut hello = vec![0; 1 + PACKET_LENGTH];
        hello[0] = 3;
        socket.write_all(&hello)?;
        let mut answer = vec![0; 1 + 2 * PACKET_LENGTH];
        socket.read_exact(&mut answer)?;
        socket.write_all(&answer[1..=PACKET_LENGTH])?;
        let mut rtmp = Self { socket, writer: ChunkWriter::default(), bytes: Vec::new() };
        rtmp.message(MessageType::SET_CHUNK_SIZE, 0, 0, chunk_size.to_be_bytes().to_vec())?;
        let mut connect = Command::new("connect", 1.0, Vec::new());
        let url = format!("rtmp://{server}/{app}");
        let properties: Object =
            [("app", Value::from(app)), ("tcUrl", Value::from(url.as_str()))].into_iter().collect();
        connect.object = Value::Object(properties);
        rtmp.command(0, &connect)?;
        rtmp.command(0, &Command::new("createStream", 2.0, Vec::new()))?;
        rtmp.drain("the answer to createStream")?;
        rtmp.command(1, &Command::new("publish", 3.0, vec![Value::from(name), Value::from("live")]))?;
        rtmp.drain("the answer to publish")?;
        rtmp.headers()?;
        rtmp.answers_in_background()?;
        Ok(rtmp)
    }

    /// Waits until the server has answered something, and a moment has passed without more.
    fn drain(&mut self, what: &str) -> io::Result<()> {
        let mut waste = [0; 4096];
        self.socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        if self.socket.read(&mut waste)? == 0 {
            return Err(io::Error::other(format!("the server hung up before {what}")));
        }
        self.socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        while matches!(self.socket.read(&mut waste), Ok(1..)) {}
        Ok(())
    }

    /// Acknowledgements must be read, or a server that sends many would stall.
    fn answers_in_background(&self) -> io::Result<()> {
        let mut socket = self.socket.try_clone()?;
        socket.set_read_timeout(None)?;
        thread::spawn(move || {
            let mut waste = [0; 4096];
            while matches!(socket.read(&mut waste), Ok(1..)) {}
        });
        Ok(())
    }

    /// Metadata and sequence headers.
    fn headers(&mut self) -> io::Result<()> {
        let mut metadata = Vec::new();
        amf0::encode(&Value::from("@setDataFrame"), &mut metadata);
        amf0::encode(&Value::from("onMetaData"), &mut metadata);
        let values: Object =
            [("videocodecid", Value::Number(7.0)), ("audiocodecid", Value::Number(10.0))].into_iter().collect();
        amf0::encode(&Value::EcmaArray(values), &mut metadata);
        self.message(MessageType::DATA_AMF0, 1, 0, metadata)?;
        self.message(MessageType::VIDEO, 1, 0, vec![0x17, 0, 0, 0, 0, 1, 100, 0, 31, 255])?;
        self.message(MessageType::AUDIO, 1, 0, vec![0xAF, 0, 0x12, 0x10])
    }

    fn command(&mut self, stream: u32, command: &Command) -> io::Result<()> {
        self.message(MessageType::COMMAND_AMF0, stream, 0, command.encode())
    }

    fn message(
        &mut self,
        message_type: MessageType,
        stream_id: u32,
        timestamp: u32,
        payload: Vec<u8>,
    ) -> io::Result<()> {
        let message = Message { timestamp: Timestamp(timestamp), message_type, stream_id, payload };
        self.bytes.clear();
        self.writer.write(ChunkStreamId(4), &message, &mut self.bytes);
        self.socket.write_all(&self.bytes)
    }
}

impl Outlet for Rtmp {
    fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let message_type =
            if frame.kind == PacketKind::Video { MessageType::VIDEO } else { MessageType::AUDIO };
        self.message(message_type, 1, frame.timestamp, frame.payload.clone())
    }
}

/// FLV tags as they are, for the floor.
pub struct Tags(pub TcpStream);

impl Outlet for Tags {
    fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut tag = Vec::new();
        put_tag(&mut tag, frame.kind, Timestamp(frame.timestamp), &frame.payload);
        self.0.write_all(&tag)
    }
}

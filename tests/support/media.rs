//! Source files, made once by ffmpeg and kept in the target directory.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::compare::{Packets, Run};
use super::ffmpeg::{self, Program};
use super::flv::{FlvReader, Kind, Tag};

/// A short FLV file and what is in it.
pub struct Source {
    pub path: PathBuf,
    pub tags: Vec<Tag>,
    /// The numbers of the keyframes among the video frames.
    pub keyframes: Vec<usize>,
}

/// H.264 baseline, a keyframe a second, and AAC.
pub fn plain() -> Source {
    make("plain", &[PICTURE, SOUND, BASELINE, AAC])
}

/// H.264 main with B-frames, a keyframe every two seconds, and AAC.
pub fn b_frames() -> Source {
    make("b-frames", &[PICTURE, SOUND, MAIN, AAC])
}

/// As a screen is sent that stands still most of the time: frames 40 ms to two seconds apart.
pub fn variable_rate() -> Source {
    make("variable-rate", &[PICTURE, SOUND, VARIABLE, BASELINE, AAC])
}

pub fn with_mp3() -> Source {
    make("with-mp3", &[PICTURE, SOUND, BASELINE, MP3])
}

pub fn audio_only() -> Source {
    make("audio-only", &[SOUND, AAC])
}

pub fn video_only() -> Source {
    make("video-only", &[PICTURE, BASELINE])
}

/// Another picture than [`plain`]'s, in another size.
pub fn other_size() -> Source {
    make("other-size", &[OTHER_PICTURE, SOUND, BASELINE, AAC])
}

/// Like [`plain`], but half a minute of it.
pub fn long() -> Source {
    make("long", &[LONG_PICTURE, LONG_SOUND, BASELINE, AAC])
}

/// About 12 Mbit/s for 20 seconds: fills the buffers of a connection that nobody reads.
pub fn fat() -> Source {
    make("fat", &[FAT_PICTURE, FAT_SOUND, FAT, AAC])
}

/// A file of a current ffmpeg's whose codecs need Enhanced RTMP.
pub fn enhanced(codecs: Enhanced) -> PathBuf {
    let (name, parts): (_, &[&str]) = match codecs {
        Enhanced::HevcAac => ("hevc-aac", &[PICTURE, SOUND, HEVC, AAC]),
        Enhanced::HdrHevc => ("hdr-hevc", &[PICTURE, HDR]),
        Enhanced::Av1Opus => ("av1-opus", &[PICTURE, SOUND, AV1, OPUS]),
        Enhanced::LongAv1Opus => ("long-av1-opus", &[LONG_PICTURE, LONG_SOUND, SVT_AV1, OPUS]),
        Enhanced::TwoTracks => {
            ("two-tracks", &[PICTURE, OTHER_PICTURE, SOUND, OTHER_SOUND, ALL_FOUR, BASELINE, AAC])
        }
        Enhanced::LongTwoTracks => {
            let inputs = [LONG_PICTURE, LONG_OTHER_PICTURE, LONG_SOUND, LONG_OTHER_SOUND];
            return file(
                Program::Current,
                "long-two-tracks",
                &[&inputs[..], &[ALL_FOUR, BASELINE, AAC]].concat(),
            );
        }
    };
    file(Program::Current, name, parts)
}

#[derive(Clone, Copy, Debug)]
pub enum Enhanced {
    HevcAac,
    /// Ten bits, BT.2020 and PQ, which the encoder announces.
    HdrHevc,
    Av1Opus,
    LongAv1Opus,
    /// Two of video, two of audio.
    TwoTracks,
    LongTwoTracks,
}

impl Source {
    /// Which part of this source these tags are; panics where they differ from it.
    #[track_caller]
    pub fn run_of_tags(&self, tags: &[Tag]) -> Run {
        Packets::from_tags(&self.tags).find_run(&self.keyframes, &Packets::from_tags(tags))
    }

    /// The same for the packets that ffmpeg got.
    #[track_caller]
    pub fn run_of_packets(&self, got: &Packets) -> Run {
        let source = ffmpeg::packets_of(&self.path);
        let frames = Packets::from_tags(&self.tags);
        assert_eq!(
            (source.video.len(), source.audio.len()),
            (frames.video.len(), frames.audio.len()),
            "two readers of one file"
        );
        source.find_run(&self.keyframes, got)
    }

    pub fn has_video(&self) -> bool {
        self.tags.iter().any(|tag| tag.kind == Kind::Video)
    }

    pub fn has_audio(&self) -> bool {
        self.tags.iter().any(|tag| tag.kind == Kind::Audio)
    }
}

fn make(name: &str, parts: &[&str]) -> Source {
    let path = file(Program::Debians, name, parts);
    let mut reader = FlvReader::open(BufReader::new(File::open(&path).unwrap()));
    let tags = reader.rest();
    let frames = tags.iter().filter(|tag| tag.kind == Kind::Video && tag.is_frame());
    let keyframes = frames.enumerate().filter(|(_, tag)| tag.is_keyframe()).map(|(number, _)| number).collect();
    Source { path, tags, keyframes }
}

/// The file, made if it is not there. Test binaries and threads may do this at the same time: a file gets its
/// name when it is whole.
fn file(program: Program, name: &str, parts: &[&str]) -> PathBuf {
    static ATTEMPT: AtomicU32 = AtomicU32::new(0);
    let recipe = parts.join(" ");
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{name}-{:016x}.flv", hasher.finish()));
    if path.exists() {
        return path;
    }
    let attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
    let unfinished = folder.join(format!("unfinished-{name}-{}-{attempt}.flv", std::process::id()));
    let output = program
        .command()
        .arg("-y")
        .args(recipe.split_whitespace())
        .arg(&unfinished)
        .output()
        .unwrap_or_else(|e| panic!("cannot start ffmpeg: {e} (tests/run installs what the tests need)"));
    assert!(output.status.success(), "ffmpeg cannot make {name}: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, &path).unwrap();
    path
}

// The tone rises, so that no two of its packets are equal.
const SOUND: &str = "-f lavfi -i aevalsrc=exprs=0.2*sin(2*PI*(200+40*t)*t):s=44100:d=6";
const PICTURE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6";
const OTHER_PICTURE: &str = "-f lavfi -i smptebars=size=480x270:rate=25:duration=6";
const BASELINE: &str =
    "-c:v libx264 -profile:v baseline -preset veryfast -pix_fmt yuv420p -g 25 -sc_threshold 0 -b:v 400k";
const MAIN: &str = "-c:v libx264 -profile:v main -preset veryfast -pix_fmt yuv420p \
    -bf 2 -b_strategy 0 -g 50 -sc_threshold 0 -b:v 400k";
const AAC: &str = "-c:a aac -ac 2 -b:a 96k";
const VARIABLE: &str = "-vf select='lt(mod(t,3),1)' -fps_mode vfr";
// Keyframes a second apart, as in BASELINE.
const HEVC: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params \
    log-level=error:info=0:keyint=25:min-keyint=25:scenecut=0:bframes=2:b-adapt=0";
const HDR: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 \
    -colorspace bt2020nc -x265-params log-level=error:info=0:keyint=25:min-keyint=25:scenecut=0:hdr10=1:max-cll=1000,400";
const AV1: &str = "-c:v libaom-av1 -usage realtime -cpu-used 8 -pix_fmt yuv420p -g 25 -b:v 300k";
// At the order hints of its keyframes mpegts.js 1.8.2 stumbles, as it is.
const SVT_AV1: &str = "-c:v libsvtav1 -preset 10 -pix_fmt yuv420p -g 50 -b:v 300k";
const OPUS: &str = "-c:a libopus -ac 2 -b:a 64k";
const OTHER_SOUND: &str = "-f lavfi -i aevalsrc=exprs=0.2*sin(2*PI*(800+40*t)*t):s=44100:d=6";
const ALL_FOUR: &str = "-map 0 -map 1 -map 2 -map 3";
const LONG_OTHER_PICTURE: &str = "-f lavfi -i smptebars=size=480x270:rate=25:duration=30";
const LONG_OTHER_SOUND: &str = "-f lavfi -i aevalsrc=exprs=0.2*sin(2*PI*(800+40*t)*t):s=44100:d=30";
const MP3: &str = "-c:a libmp3lame -ac 2 -b:a 96k";

const LONG_PICTURE: &str = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=30";
const LONG_SOUND: &str = "-f lavfi -i aevalsrc=exprs=0.2*sin(2*PI*(200+40*t)*t):s=44100:d=30";
const FAT_PICTURE: &str = "-f lavfi -i testsrc2=size=640x360:rate=25:duration=20,noise=alls=60:allf=t";
const FAT_SOUND: &str = "-f lavfi -i aevalsrc=exprs=0.2*sin(2*PI*(200+40*t)*t):s=44100:d=20";
const FAT: &str = "-c:v libx264 -profile:v baseline -preset ultrafast -pix_fmt yuv420p \
    -g 25 -sc_threshold 0 -b:v 12M -maxrate 12M -bufsize 6M";

//! Many viewers, viewers that do not read, and publishers that keep dying.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use support::deadline::{seconds, wait_until};
use support::ffmpeg::Publisher;
use support::flv::{FlvReader, Kind, Tag};
use support::http::{self, Body, Reply};
use support::media::{self, Source};
use support::rtmpd::Rtmpd;
use support::sockets;
use support::turns::alone;
use support::usage::Usage;

#[test]
fn three_hundred_viewers_join_within_a_second_and_play_to_the_servers_end() {
    let _alone = alone();
    let (mut rtmpd, source) = (Rtmpd::start(), media::long());
    let _publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
    http::play(rtmpd.http(), "/live/cam1.flv").find_tag("a keyframe", Tag::is_keyframe);

    let gate = Arc::new(Barrier::new(VIEWERS + 1));
    let joined = Arc::new(AtomicUsize::new(0));
    let viewers: Vec<Viewer> =
        (0..VIEWERS).map(|_| Viewer::start_behind(&gate, &joined, rtmpd.http())).collect();
    gate.wait();
    let start = Instant::now();
    wait_until("300 viewers to ask", seconds(10), || (joined.load(Ordering::Relaxed) == VIEWERS).then_some(()));
    let took = start.elapsed();
    assert!(took < seconds(1), "this machine needs {took:?} to connect them");
    for viewer in &viewers {
        viewer.wait_for_pictures(60);
    }

    let start = Instant::now();
    let status = rtmpd.terminate(seconds(5));
    println!("300 viewers asked within {took:?}; the server ended within {:?}", start.elapsed());
    assert_eq!(status.code(), Some(0));
    for viewer in viewers {
        source.run_of_tags(&viewer.finish());
    }
}

#[test]
fn viewers_that_stop_reading_delay_nobody() {
    let _alone = alone();
    let (rtmpd, source) = (Rtmpd::start(), media::fat());
    let server = rtmpd.http();
    let viewers: Vec<Viewer> = (0..3).map(|_| Viewer::start(server)).collect();
    rtmpd.wait_for_http_clients(viewers.len());
    let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
    viewers[0].wait_for_time(4000);

    let mut stalled: Vec<FlvReader<Body>> = (0..STALLED).map(|_| play_with_small_buffer(server)).collect();
    for viewer in &mut stalled {
        viewer.find_tag("a keyframe", Tag::is_keyframe);
    }
    wait_until("20 viewers to be stalled", seconds(10), || (sockets::unsent(server) >= STALLED).then_some(()));
    let stall = Instant::now();

    // Longer than anything is kept for a viewer; then half of them read again.
    viewers[0].wait_for_time(15_500);
    let resumed: Vec<JoinHandle<Vec<Tag>>> =
        stalled.drain(..STALLED / 2).map(|viewer| thread::spawn(move || read_to_the_end(viewer))).collect();

    publisher.finish();
    for viewer in viewers {
        let (arrivals, tags) = viewer.finish_timed();
        let run = source.run_of_tags(&tags);
        run.assert_from_start();
        run.assert_to_end();
        assert_on_time(&arrivals, stall);
    }
    for viewer in resumed {
        assert_skips_to_keyframes(&source, &viewer.join().unwrap());
    }
}

#[test]
fn publishers_that_die_and_come_back_leave_nothing_behind() {
    let _alone = alone();
    // Each is a stream of its own: see `tests/resume.rs` for those that go on.
    let (mut rtmpd, source) = (Rtmpd::start_with(&["--resume", "0"]), media::fat());
    let mut used = Vec::new();
    for _ in 0..20 {
        let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
        let viewer = Viewer::start(rtmpd.http());
        viewer.wait_for_pictures(30);
        used.push(Usage::of(&rtmpd));
        publisher.kill();
        source.run_of_tags(&viewer.finish());
    }
    let publisher = Publisher::start(&source, &rtmpd.publish_url("/live/cam1"));
    let viewer = Viewer::start(rtmpd.http());
    viewer.wait_for_pictures(30);

    let before = used[9];
    wait_until(&format!("no more threads and descriptors than {before:?}"), seconds(15), || {
        let now = Usage::of(&rtmpd);
        (now.threads <= before.threads && now.descriptors <= before.descriptors).then_some(())
    });
    let after = Usage::of(&rtmpd);
    println!("after 10 publishers {before:?}, after 20 {after:?}");
    assert!(after.memory < before.memory + MEMORY_NOISE, "from {before:?} to {after:?}");
    publisher.stop();
    source.run_of_tags(&viewer.finish());
    rtmpd.assert_sound();
}

/// A viewer in a thread of its own, which reads to the end of its stream.
struct Viewer {
    seen: Arc<Mutex<Vec<(Instant, Tag)>>>,
    pictures: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Viewer {
    fn start(server: SocketAddr) -> Self {
        Self::start_behind(&Arc::new(Barrier::new(1)), &Arc::default(), server)
    }

    /// Waits at `gate`, asks for the stream, and counts itself in `joined`.
    fn start_behind(gate: &Arc<Barrier>, joined: &Arc<AtomicUsize>, server: SocketAddr) -> Self {
        let (gate, joined) = (Arc::clone(gate), Arc::clone(joined));
        let (seen, pictures) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
        let (seen_by_thread, counted_by_thread) = (Arc::clone(&seen), Arc::clone(&pictures));
        let watch = move || {
            gate.wait();
            let mut socket = http::connect(server);
            socket.write_all(REQUEST).unwrap();
            joined.fetch_add(1, Ordering::Relaxed);
            let mut reader = FlvReader::open(Reply::read(socket, false).body);
            while let Some(tag) = reader.next_tag() {
                let is_picture = tag.kind == Kind::Video && tag.is_frame();
                seen_by_thread.lock().unwrap().push((Instant::now(), tag));
                counted_by_thread.fetch_add(usize::from(is_picture), Ordering::Relaxed);
            }
            assert!(reader.input().is_complete(), "the stream ended without its last chunk");
        };
        let thread = thread::Builder::new().stack_size(256 * 1024).spawn(watch).unwrap();
        Self { seen, pictures, thread }
    }

    fn pictures(&self) -> usize {
        self.pictures.load(Ordering::Relaxed)
    }

    #[track_caller]
    fn wait_for_pictures(&self, count: usize) {
        wait_until(&format!("{count} frames"), seconds(20), || (self.pictures() >= count).then_some(()));
    }

    #[track_caller]
    fn wait_for_time(&self, timestamp: u32) {
        wait_until(&format!("{timestamp} ms of the stream"), seconds(40), || {
            let seen = self.seen.lock().unwrap();
            seen.last().is_some_and(|(_, tag)| tag.timestamp >= timestamp).then_some(())
        });
    }

    /// Everything that came, up to the last chunk.
    #[track_caller]
    fn finish(self) -> Vec<Tag> {
        self.finish_timed().1
    }

    /// The same, and before it when each frame of video came, with its time in the stream in milliseconds.
    #[track_caller]
    fn finish_timed(self) -> (Vec<(Instant, u32)>, Vec<Tag>) {
        self.thread.join().expect("the viewer played to the end");
        let mut seen = self.seen.lock().unwrap();
        let frames = seen.iter().filter(|(_, tag)| tag.kind == Kind::Video && tag.is_frame());
        let arrivals = frames.map(|(at, tag)| (*at, tag.timestamp)).collect();
        (arrivals, seen.drain(..).map(|(_, tag)| tag).collect())
    }
}

/// Compares the delays of what came after `stall` with those before it.
#[track_caller]
fn assert_on_time(arrivals: &[(Instant, u32)], stall: Instant) {
    let start = arrivals[0].0;
    let delay = |(at, timestamp): &(Instant, u32)| (*at - start).as_secs_f64() * 1000.0 - f64::from(*timestamp);
    let least = arrivals.iter().map(delay).fold(f64::INFINITY, f64::min);
    let percentiles = |part: &[(Instant, u32)]| {
        let mut delays: Vec<f64> = part.iter().map(|arrival| delay(arrival) - least).collect();
        delays.sort_by(f64::total_cmp);
        (delays[delays.len() / 2], delays[delays.len() * 98 / 100])
    };
    let (before, after) = arrivals.split_at(arrivals.partition_point(|(at, _)| *at < stall));
    let ((median_before, most_before), (median_after, most_after)) = (percentiles(before), percentiles(after));
    println!(
        "delay in ms (median, p98): {median_before:.1}, {most_before:.1} before the stall, \
         {median_after:.1}, {most_after:.1} after it"
    );
    assert!(
        median_after <= 2.0 * median_before + 20.0,
        "median delay {median_before} ms, then {median_after} ms"
    );
    assert!(most_after <= 3.0 * most_before + 150.0, "p98 of the delay {most_before} ms, then {most_after} ms");
}

/// Whether each frame follows the one before it in `source`, or is a keyframe further on.
#[track_caller]
fn assert_skips_to_keyframes(source: &Source, tags: &[Tag]) {
    let frames = |tags: &[Tag]| -> Vec<Tag> {
        tags.iter().filter(|tag| tag.kind == Kind::Video && tag.is_frame()).cloned().collect()
    };
    let (published, got) = (frames(&source.tags), frames(tags));
    let number = |tag: &Tag| {
        published.iter().position(|other| other.payload() == tag.payload()).expect("a frame of the source")
    };
    let numbers: Vec<usize> = got.iter().map(number).collect();
    let mut skips = 0;
    for (pair, tag) in numbers.windows(2).zip(&got[1..]) {
        if pair[1] != pair[0] + 1 {
            assert!(pair[1] > pair[0], "frame {} after frame {}", pair[1], pair[0]);
            assert!(tag.is_keyframe(), "frame {} comes after frame {} and is no keyframe", pair[1], pair[0]);
            skips += 1;
        }
    }
    assert!(skips > 0, "a viewer that did not read for 11 s has lost nothing, so it never stalled");
    assert_eq!(*numbers.last().unwrap(), published.len() - 1, "it goes on to the end");
}

fn read_to_the_end(mut viewer: FlvReader<Body>) -> Vec<Tag> {
    let tags = viewer.rest();
    assert!(viewer.input().is_complete(), "no last chunk");
    tags
}

/// Plays on a connection that the kernel takes little on behalf of.
fn play_with_small_buffer(server: SocketAddr) -> FlvReader<Body> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(&server.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(seconds(30))).unwrap();
    socket.write_all(REQUEST).unwrap();
    FlvReader::open(Reply::read(socket, false).body)
}

const REQUEST: &[u8] = b"GET /live/cam1.flv HTTP/1.1\r\nHost: localhost\r\n\r\n";
const VIEWERS: usize = 300;
const STALLED: usize = 20;
/// Less than a leak of half a GOP for each restart would be.
const MEMORY_NOISE: u64 = 4 * 1024 * 1024;

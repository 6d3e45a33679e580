//! The machine runs out of something, or stops for a while: what plays goes on, and what was lost comes back.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::env;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use support::abuse::{self, Crowd};
use support::bystander::Watcher;
use support::deadline::{seconds, wait_until};
use support::http::{self, Reply};
use support::numbered::{GENTLE, Numbered};
use support::rtmpd::Rtmpd;
use support::scene::Scene;
use support::turns::alone;

#[test]
fn without_descriptors_it_plays_on_and_lets_people_in_when_there_are_some_again() {
    let _alone = alone();
    let scene = Scene::start_as(limited("--nofile=160:160"), &[]);
    let (rtmp, server) = (scene.rtmpd.rtmp(), scene.rtmpd.http());
    let mut held: Vec<TcpStream> = Vec::new();
    while let Some(viewer) = abuse::try_to_join(server) {
        held.push(viewer);
        assert!(held.len() < 160, "more viewers than descriptors");
    }
    println!("{} viewers got in", held.len());
    let crowds = [Crowd::start(rtmp, 200, b"\x03"), Crowd::start(server, 200, b"GET / HTTP/1.1\r\n")];
    scene.bystander.wait_for_more(100);
    assert!(abuse::try_to_join(server).is_none(), "there is no room left, and somebody got in");
    println!("{} of 160 descriptors in use", scene.rtmpd.descriptors());

    drop((held, crowds));
    wait_until("a viewer to get in again", seconds(5), || abuse::try_to_join(server));
    publishes_again(&scene);
    scene.ends_well();
}

#[test]
fn a_limit_on_descriptors_that_is_lowered_while_it_runs_is_survived() {
    let _alone = alone();
    // tiny_http may panic, and the names in a backtrace cost 70 MB for good, which would look like a leak.
    let mut command = Rtmpd::command();
    command.env("RUST_BACKTRACE", "0");
    let scene = Scene::start_as(command, &[]);
    let (rtmp, server) = (scene.rtmpd.rtmp(), scene.rtmpd.http());
    let limit = scene.rtmpd.descriptors() + 30;
    lower_descriptors(&scene.rtmpd, limit);
    let mut held: Vec<TcpStream> = Vec::new();
    while let Some(viewer) = abuse::try_to_join(server) {
        held.push(viewer);
        assert!(held.len() < limit, "more viewers than descriptors");
    }
    let crowds = [Crowd::start(rtmp, 100, b"\x03"), Crowd::start(server, 100, b"GET / HTTP/1.1\r\n")];
    println!("{} viewers got in; {} of {limit} descriptors in use", held.len(), scene.rtmpd.descriptors());
    scene.bystander.wait_for_more(100);

    drop((held, crowds));
    wait_until("a viewer to get in again", seconds(5), || abuse::try_to_join(server));
    publishes_again(&scene);
    // That is how tiny_http gives a request up for which it gets no second descriptor.
    scene.ends_well_but_for(|panic| panic.contains("tiny_http"));
}

#[test]
fn without_threads_it_plays_on_and_takes_publishers_when_there_are_some_again() {
    let _alone = alone();
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("not tried: only root can run the server as a user with a limit of its own");
        return;
    }
    let copy = Copy::new();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups", "prlimit", "--nproc=40:40"]).arg(&copy.path);
    let scene = Scene::start_as(command, &[]);
    let (rtmp, server) = (scene.rtmpd.rtmp(), scene.rtmpd.http());
    let mut held: Vec<TcpStream> = Vec::new();
    let refused = wait_until("there to be no threads", seconds(10), || {
        held.push(abuse::half_open(rtmp, b"\x03"));
        assert!(held.len() < 1000, "nothing limits the threads");
        scene.rtmpd.log().all().into_iter().find(|line| line.contains("no thread"))
    });
    println!("{} connections, {} threads: {refused}", held.len(), scene.rtmpd.threads());
    println!("meanwhile a viewer gets in: {}", abuse::try_to_join(server).is_some());
    scene.bystander.wait_for_more(100);
    drop(held);
    publishes_again(&scene);
    wait_until("a viewer to get in again", seconds(5), || abuse::try_to_join(server));
    scene.ends_well();
}

#[test]
fn a_server_that_was_stopped_for_twelve_seconds_goes_on_and_nothing_is_lost() {
    let mut scene = Scene::start();
    let others: Vec<_> = (0..5).map(|_| scene.bystander.another_watcher(&scene.rtmpd)).collect();
    let waiting =
        abuse::half_open(scene.rtmpd.http(), b"GET /live/later.flv?wait=60 HTTP/1.1\r\nHost: a\r\n\r\n");
    scene.bystander.plays_on();

    scene.rtmpd.signal("STOP");
    let start = Instant::now();
    wait_until("twelve seconds to pass", seconds(13), || (start.elapsed() > seconds(12)).then_some(()));
    scene.rtmpd.signal("CONT");

    // What was sent meanwhile comes late, and from then on everything in time.
    scene.bystander.forgives();
    scene.bystander.wait_for_more(50);
    for watcher in others {
        watcher.wait_for_number(scene.bystander.sent());
    }
    let _publisher = Numbered::start(scene.rtmpd.rtmp(), "live", "later", GENTLE);
    waiting.set_nonblocking(false).unwrap();
    assert_eq!(Reply::read(waiting, false).status, 200, "who waited for a stream still does");
    scene.bystander.was_never_disturbed();
    assert_eq!(http::get(scene.rtmpd.http(), "/healthz").status, 200);
    scene.rtmpd.assert_sound();
}

/// A publisher gets in and is seen.
#[track_caller]
fn publishes_again(scene: &Scene) {
    let _publisher = wait_until("a publisher to get in again", seconds(5), || {
        Numbered::try_start(scene.rtmpd.rtmp(), "live", "again", GENTLE).ok()
    });
    Watcher::start(scene.rtmpd.http(), "/live/again.flv").wait_for_frames(10);
}

/// Changes the limit of a process that runs.
#[track_caller]
fn lower_descriptors(rtmpd: &Rtmpd, limit: usize) {
    let status = Command::new("prlimit")
        .args(["--pid", &rtmpd.id().to_string(), &format!("--nofile={limit}:{limit}")])
        .status()
        .expect("prlimit, which util-linux brings");
    assert!(status.success(), "prlimit ended with {status}");
}

fn limited(limit: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(limit).arg(Rtmpd::command().get_program());
    command
}

/// The binary in a place where every user can read it.
struct Copy {
    folder: PathBuf,
    path: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let folder = env::temp_dir().join(format!("rtmpd-faults-{}", std::process::id()));
        let path = folder.join("rtmpd");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(Rtmpd::command().get_program(), &path).unwrap();
        for path in [&folder, &path] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder, path }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _it_is_in_a_temporary_place = fs::remove_dir_all(&self.folder);
    }
}

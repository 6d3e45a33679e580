//! nginx-rtmp takes a stream from ffmpeg and pushes it on to rtmpd.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::deadline::{seconds, wait_until};
use support::ffmpeg::{Publisher, Reader};
use support::media;
use support::process::Process;
use support::rtmpd::Rtmpd;

#[test]
fn a_stream_that_nginx_pushes_plays_packet_by_packet() {
    let (rtmpd, source) = (Rtmpd::start(), media::plain());
    let reader = Reader::start(&rtmpd.play_url("/live/cam1.flv?wait=30"));
    let nginx = Nginx::start(&rtmpd.publish_url("/live"));
    let publisher = Publisher::start(&source, &format!("rtmp://{}/live/cam1", nginx.address));
    source.run_of_packets(&reader.finish()).assert_to_end();
    publisher.finish();
}

struct Nginx {
    _process: Process,
    address: SocketAddr,
}

impl Nginx {
    #[track_caller]
    fn start(push: &str) -> Self {
        let root = installed();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nginx-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let [folder_name, root_name] = [&folder, &root].map(|path| path.display().to_string());
        let settings = format!(
            "daemon off; master_process off; pid {folder_name}/nginx.pid; error_log stderr warn;\n\
             load_module {root_name}/usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
             events {{}}\n\
             rtmp {{ access_log off; server {{ listen {address};\n\
             application live {{ live on; push {push}; }} }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), settings).unwrap();
        let mut command = Command::new(root.join("usr/sbin/nginx"));
        command.arg("-p").arg(&folder).args(["-e", "stderr", "-c"]).arg(folder.join("nginx.conf"));
        let process = Process::start(&mut command);
        wait_until("nginx to listen", seconds(10), || TcpStream::connect(address).ok());
        Self { _process: process, address }
    }
}

fn installed() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx-rtmp");
    let output = Command::new(script).output().expect("tests/nginx-rtmp");
    assert!(output.status.success(), "no nginx-rtmp: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

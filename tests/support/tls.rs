//! Certificates that openssl makes, and a TLS client that cuts what it sends as a test likes.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::http::connect;

/// A certificate for 127.0.0.1 and its key, in a folder of their own that goes with them.
pub struct Pair {
    folder: PathBuf,
}

impl Pair {
    /// `name` is this pair's own within the test binary.
    #[track_caller]
    pub fn make(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pair = Self { folder };
        let output = Command::new("openssl")
            .args(RECIPE.split(' '))
            .arg("-keyout")
            .arg(pair.key())
            .arg("-out")
            .arg(pair.cert())
            .output()
            .unwrap_or_else(|e| panic!("cannot start openssl: {e} (tests/run installs what the tests need)"));
        assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
        pair
    }

    pub fn cert(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The flags that have rtmpd listen with it.
    pub fn flags(&self) -> Vec<String> {
        let (cert, key) = (self.cert().display().to_string(), self.key().display().to_string());
        ["--rtmps", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key].map(str::to_owned).into()
    }

    /// Takes the other's place, as a renewal does: each file changes at once.
    pub fn replace(&self, other: &Self) {
        replace_file(&other.cert(), &fs::read(self.cert()).unwrap());
        replace_file(&other.key(), &fs::read(self.key()).unwrap());
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // What is left lies in the target folder.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn replace_file(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

pub struct TlsClient {
    pub socket: TcpStream,
    connection: ClientConnection,
    /// How many bytes go out in one segment at the most.
    piece: usize,
}

impl TlsClient {
    /// Through the handshake; trusts this one certificate.
    #[track_caller]
    pub fn connect(server: SocketAddr, pair: &Pair) -> Self {
        Self::try_over(connect(server), pair, rustls::ALL_VERSIONS, usize::MAX).expect("a TLS handshake")
    }

    /// The same with certain versions of TLS, in segments of at most `piece` bytes, and a server that may refuse.
    pub fn try_over(
        socket: TcpStream,
        pair: &Pair,
        versions: &[&'static SupportedProtocolVersion],
        piece: usize,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pair.cert()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut client = Self { socket, connection, piece };
        while client.connection.is_handshaking() {
            client.flush()?;
            if client.connection.read_tls(&mut client.socket)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = client.connection.process_new_packets() {
                client.flush()?; // The alert that says so.
                return Err(io::Error::other(error));
            }
        }
        client.flush()?;
        Ok(client)
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        let records = self.encrypt(bytes);
        self.send_raw(&records).unwrap();
    }

    /// The records that carry these bytes.
    pub fn encrypt(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        self.connection.set_buffer_limit(None);
        self.connection.writer().write_all(bytes).unwrap();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).unwrap();
        }
        records
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(self.piece).try_for_each(|piece| self.socket.write_all(piece))
    }

    /// Everything that the server says up to its close_notify.
    #[track_caller]
    pub fn read_until_close_notify(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let mut stream = rustls::Stream::new(&mut self.connection, &mut self.socket);
        stream.read_to_end(&mut said).expect("a close_notify at the end");
        said
    }

    fn flush(&mut self) -> io::Result<()> {
        let records = self.encrypt(&[]);
        self.send_raw(&records)
    }
}

const RECIPE: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";

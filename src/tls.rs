//! The certificate that TLS connections are made with. Its files are read again when they change, so that a renewed
//! one needs no restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{InconsistentKeys, ServerConfig};

use crate::watched::Watched;

/// Why there is no certificate to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A listener for TLS is wanted, but not both files are named.
    #[error("RTMPS needs a certificate and its key; name their files with --tls-cert FILE and --tls-key FILE")]
    Missing,
    /// A file cannot be read.
    #[error("cannot read {}: {source}; --{setting} takes a PEM file that rtmpd may read", .file.display())]
    Read {
        /// `tls-cert` or `tls-key`.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what}; --{setting} takes a PEM file with one", .file.display())]
    Empty {
        /// `tls-cert` or `tls-key`.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {} is not that of the first certificate in {}; name two files that belong together",
        .key.display(),
        .cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Certificate or key are of a kind that cannot be used, or broken.
    #[error("cannot use {} with {}: {reason}; RSA, ECDSA (P-256, P-384) and Ed25519 can be used", .cert.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A certificate and its key, in two files.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    config: Watched<ServerConfig>,
}

#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Reads both files.
    pub(crate) fn load(cert: Option<&Path>, key: Option<&Path>) -> Result<Arc<Self>, TlsError> {
        let (Some(cert), Some(key)) = (cert, key) else { return Err(TlsError::Missing) };
        let files = Files { cert: cert.to_owned(), key: key.to_owned() };
        let config = Watched::load(vec![files.cert.clone(), files.key.clone()], || files.load())?;
        Ok(Arc::new(Self { files, config }))
    }

    /// What a connection that begins `now` is made with: the newest pair that can be used.
    pub(crate) fn config(&self, now: Instant) -> Arc<ServerConfig> {
        let file = self.files.cert.display();
        self.config.newest(
            now,
            || self.files.load(),
            |loaded| match loaded {
                Ok(()) => log::info!("the certificate in {file} has changed and is used from now on"),
                Err(error) => log::error!("the certificate has changed, and the old one stays in use: {error}"),
            },
        )
    }
}

impl Files {
    fn load(&self) -> Result<ServerConfig, TlsError> {
        let (chain, key) = (self.chain()?, self.key()?);
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = builder
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| self.unusable(&error))?;
        // Publishers stay for hours. And what a client does not read, such as a ticket, would reset the connection
        // when it closes.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// The certificate first, then those that lead from it to the authority's.
    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let pem = read("tls-cert", &self.cert)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let empty = || TlsError::Empty { setting: "tls-cert", file: self.cert.clone(), what: "certificate" };
        chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(empty)
    }

    /// What is wrong with a key's file is not told in detail: that could be part of the key.
    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let pem = read("tls-key", &self.key)?;
        let what = "private key without a password (PKCS#8, PKCS#1 or SEC1)";
        let empty = |_| TlsError::Empty { setting: "tls-key", file: self.key.clone(), what };
        PrivateKeyDer::from_pem_slice(&pem).map_err(empty)
    }

    fn unusable(&self, error: &rustls::Error) -> TlsError {
        let (cert, key) = (self.cert.clone(), self.key.clone());
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch { cert, key },
            other => TlsError::Unusable { cert, key, reason: other.to_string() },
        }
    }
}

fn read(setting: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Read { setting, file: file.to_owned(), source })
}

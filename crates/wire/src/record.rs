//! Files that hold secrets: a few fields as text, then PEM.
//!
//! Readers of PEM skip what stands before the first block (RFC 7468, section 2), so such a file can
//! be given to other tools as it is. Used by `identity` and `authority`.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The one format of these files so far.
const FORMAT: u32 = 1;

/// No record is larger: two certificates and a key.
const RECORD_MAX: u64 = 64 << 10;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// Others on this machine could read the secret.
    #[error(
        "{path}: expected a file that only its owner can read, got mode {mode:o}; chmod 600 it, and renew what is in it if others may have read it"
    )]
    Exposed {
        /// Which file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// A later build wrote it.
    #[error("expected format {FORMAT}, got {0}; use the build that wrote it, or a newer one")]
    Format(String),
    /// A field is missing or not what it should be.
    #[error("expected a line `{0}: ...` before the certificates; take the file from a backup")]
    Field(&'static str),
    /// The PEM blocks are missing or damaged.
    #[error("expected certificates and a key in PEM, got {0}; take the file from a backup")]
    Pem(String),
}

/// A record as text: fields, certificates, key.
pub(crate) fn write(
    fields: &[(&'static str, &dyn std::fmt::Display)],
    chain: &str,
    key: &str,
) -> String {
    let mut text = format!("format: {FORMAT}\n");
    for (name, value) in fields {
        writeln!(text, "{name}: {value}").expect("text takes all");
    }
    text + chain + key
}

/// A record in parts.
pub(crate) struct Record<'a> {
    text: &'a str,
    /// Certificates, in PEM.
    pub chain: &'a str,
    /// Their key, in PEM.
    pub key: &'a str,
}

impl<'a> Record<'a> {
    pub fn read(text: &'a str) -> Result<Self, RecordError> {
        let format = field(text, "format").ok_or(RecordError::Field("format"))?;
        if format != FORMAT.to_string() {
            return Err(RecordError::Format(format.to_owned()));
        }
        let start = |block: &str| {
            let at = text.find(&format!("-----BEGIN {block}-----"));
            at.ok_or_else(|| RecordError::Pem(format!("no {block}")))
        };
        let (chain, key) = (start("CERTIFICATE")?, start("PRIVATE KEY")?);
        let Some(certificates) = text.get(chain..key) else {
            return Err(RecordError::Pem("the key first".to_owned()));
        };
        Ok(Self {
            text,
            chain: certificates,
            key: &text[key..],
        })
    }

    pub fn field<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, RecordError> {
        let value = field(self.text, name).and_then(|value| value.parse().ok());
        value.ok_or(RecordError::Field(name))
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let fields = text.lines().take_while(|line| !line.starts_with("-----"));
    fields
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}

/// The certificates in a PEM text.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, RecordError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>();
    found.map_err(|error| RecordError::Pem(error.to_string()))
}

/// The key in a PEM text.
pub(crate) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, RecordError> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    key.map_err(|error| RecordError::Pem(error.to_string()))
}

/// Writes `text` so that only the owner can read it, and so that the file is the old one or the
/// new one whatever happens meanwhile.
pub(crate) fn save(path: &Path, text: &str) -> Result<(), RecordError> {
    let new = path.with_extension("new");
    let written = (|| {
        match remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|error| at(path, error))
}

/// Reads what [`save`] wrote.
pub(crate) fn load(path: &Path) -> Result<String, RecordError> {
    let file = File::open(path).map_err(|error| at(path, error))?;
    let mode = file.metadata().map_err(|error| at(path, error))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(RecordError::Exposed {
            path: path.display().to_string(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(RECORD_MAX)
        .read_to_string(&mut text)
        .map_err(|error| at(path, error))?;
    Ok(text)
}

fn at(path: &Path, error: io::Error) -> RecordError {
    RecordError::File {
        path: path.display().to_string(),
        error,
    }
}

//! PEM files: what they hold, and when they have changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Far above any chain; a mistaken path must not fill the memory.
const LARGEST_FILE: u64 = 1 << 20;

/// The file's bytes, or why it cannot be used.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let found = fs::metadata(path).map_err(cannot)?;
    if !found.is_file() || found.len() > LARGEST_FILE {
        return Err("is no PEM file".to_owned());
    }
    fs::read(path).map_err(cannot)
}

/// The certificates in a file's bytes, at least one.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err("holds no certificate in PEM form".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is no sound PEM file: {error}")),
    }
}

/// The private key in a file's bytes.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text)
        .map_err(|_| "holds no private key in PEM form that is not encrypted".to_owned())
}

/// What changes when a file does: when it was written, and how long it is. None: it cannot be seen.
type Print = Option<(SystemTime, u64)>;

fn print(path: &Path) -> Print {
    // Of the file behind a link: that is how a directory of certificates is swapped as a whole.
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// Files that are looked at again and again, to be read anew when they have changed.
///
/// Looks at their dates and lengths: that works on every file system, also when a directory is swapped behind a link.
#[derive(Debug, Clone)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    /// As the files in use were.
    used: Vec<Print>,
    /// As the files were at the last look.
    last: Vec<Print>,
    /// What was said about files that cannot be used.
    told: Option<String>,
}

impl WatchedFiles {
    /// These files, as they are now: before they are read.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let now: Vec<_> = paths.iter().map(|path| print(path)).collect();
        Self {
            paths,
            used: now.clone(),
            last: now,
            told: None,
        }
    }

    /// The files in use are not those that were read first: they could not be used.
    pub fn not_used(mut self, problem: String) -> Self {
        self.told = Some(problem);
        self
    }

    /// Looks once, and has changed files read. Files that changed since the last look may still be
    /// written: they are read at the next one. `read` returns warnings, or why the files cannot be used.
    pub fn look(&mut self, whose: &str, read: impl FnOnce() -> Result<Vec<String>, String>) {
        let now: Vec<_> = self.paths.iter().map(|path| print(path)).collect();
        if now != self.last {
            self.last = now;
            return;
        }
        // Files that could not be used are tried again: a permission changes without a trace in dates and lengths.
        if now == self.used && self.told.is_none() {
            return;
        }
        match read() {
            Ok(warnings) => {
                log::info!("{whose}: the changed TLS files serve from now on");
                for warning in warnings {
                    log::warn!("{whose}: {warning}");
                }
                self.used = now;
                self.told = None;
            }
            Err(problem) => {
                if self.told.as_ref() != Some(&problem) {
                    log::error!(
                        "{whose}: the TLS files before the change go on serving: {problem}"
                    );
                    self.told = Some(problem);
                }
            }
        }
    }
}

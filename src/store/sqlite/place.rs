use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::schema;
use crate::store::StoreError;

/// The file that was opened.
pub(super) struct Place {
    /// Absolute; its directory free of links.
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// Whether the path still leads to the file that is open. Without this look, changes would be
    /// acknowledged into a deleted file and be gone after a restart.
    pub(super) fn is_still_ours(&self) -> Result<(), StoreError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            _ => Err(StoreError::Moved {
                path: self.path.clone(),
            }),
        }
    }
}

/// Finds the file or creates it.
pub(super) fn prepare(path: &Path) -> Result<Place, StoreError> {
    let name = path.file_name().ok_or_else(|| StoreError::NotA {
        path: path.to_owned(),
        wanted: "regular file",
    })?;
    let path = directory(path)?.join(name);
    let found = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create(&path)?;
            fs::symlink_metadata(&path)
        }
        found => found,
    };
    let found = found.map_err(|error| refused(&path, &error))?;
    acceptable(&path, &found)?;
    Ok(Place {
        path,
        device: found.dev(),
        inode: found.ino(),
    })
}

fn acceptable(path: &Path, found: &Metadata) -> Result<(), StoreError> {
    let path = || path.to_owned();
    if found.is_symlink() {
        return Err(StoreError::Symlink { path: path() });
    }
    if !found.is_file() {
        return Err(StoreError::NotA {
            path: path(),
            wanted: "regular file",
        });
    }
    if found.len() == 0 {
        // Ours never are, not even after a crash while they are created; SQLite would take it
        // for a new database and the state would silently begin anew.
        return Err(StoreError::Damaged {
            path: path(),
            reason: "it is empty".into(),
        });
    }
    Ok(())
}

/// The directory, created when only its last part is missing.
fn directory(path: &Path) -> Result<PathBuf, StoreError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => sync(directory.parent().unwrap_or(directory)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists || directory.is_dir() => {}
        Err(error) => return Err(no_directory(directory, &error)),
    }
    match fs::canonicalize(directory) {
        Ok(found) if found.is_dir() => Ok(found),
        Ok(found) => Err(StoreError::NotA {
            path: found,
            wanted: "directory",
        }),
        Err(error) => Err(no_directory(directory, &error)),
    }
}

fn no_directory(directory: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotFound => StoreError::NoDirectory {
            directory: directory.to_owned(),
        },
        ErrorKind::NotADirectory => StoreError::NotA {
            path: directory.parent().unwrap_or(directory).to_owned(),
            wanted: "directory",
        },
        _ => refused(directory, error),
    }
}

fn refused(path: &Path, error: &io::Error) -> StoreError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { path },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::NotWritable { path, reason }
        }
        ErrorKind::NotADirectory => StoreError::NotA {
            path,
            wanted: "regular file",
        },
        // procfs and the like take no new files and say so in various ways.
        ErrorKind::NotFound => StoreError::NotWritable { path, reason },
        _ => StoreError::Io { path, reason },
    }
}

/// Creates the file whole under another name and then links it into place: a crash leaves either
/// nothing or a complete database, and of two processes one wins.
fn create(path: &Path) -> Result<(), StoreError> {
    let beside = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    if beside("-wal").exists() {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: "it is missing, but its -wal file is there".into(),
        });
    }
    let chance = RandomState::new().build_hasher().finish();
    let draft = beside(&format!(".{chance:016x}.new"));
    let made = fill(&draft, path).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A file system without hard links.
        Err(_) if !path.exists() => fs::rename(&draft, path).map_err(|error| refused(path, &error)),
        linked => linked.map_err(|error| refused(path, &error)),
    });
    // Gone already after a rename.
    let _ = fs::remove_file(&draft);
    made?;
    sync(path.parent().unwrap_or(path));
    Ok(())
}

/// An error names `path`: the draft is nothing that the operator knows.
fn fill(draft: &Path, path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|error| refused(path, &error))?;
    schema::create(draft).map_err(|fault| fault.at(path))
}

/// A new name in a directory survives a power cut. Where a directory cannot be synced, the file
/// system orders this by itself.
fn sync(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
}

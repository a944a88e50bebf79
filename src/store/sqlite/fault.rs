use std::fmt;
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::store::StoreError;
use crate::store::chain::Damage;

/// What went wrong inside the file, before it is known which file it was.
#[derive(Debug)]
pub(super) enum Fault {
    /// The content contradicts itself.
    Damaged(String),
    /// No database, or another program's.
    Foreign(String),
    /// Of a newer version: the format found.
    Future(i64),
    /// What SQLite said, with its extended code.
    Sql(i32, String),
    /// Already an answer.
    Store(StoreError),
}

impl Fault {
    /// The error that the caller sees.
    pub(super) fn at(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Damaged(reason) => StoreError::Damaged { path, reason },
            Self::Foreign(reason) => StoreError::Foreign { path, reason },
            Self::Future(found) => StoreError::FutureVersion {
                path,
                found,
                known: super::schema::VERSION,
            },
            Self::Sql(code, reason) => match (ffi::Error::new(code).code, code) {
                (_, ffi::SQLITE_CANTOPEN_SYMLINK) => StoreError::Symlink { path },
                // The file of the WAL index could not grow.
                (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => {
                    StoreError::Full { path }
                }
                (
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed,
                    _,
                ) => StoreError::Locked { path },
                (ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen, _) => {
                    StoreError::NotWritable { path, reason }
                }
                _ => StoreError::Io { path, reason },
            },
            Self::Store(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            // A value of another type than the schema says, text that is no UTF-8, no row where
            // there is always one.
            return Self::Damaged(reason);
        };
        match failure.code {
            ErrorCode::NotADatabase => Self::Foreign("no SQLite database".into()),
            // `Unknown` is SQL that does not fit the schema: ours does, so the schema is damaged.
            ErrorCode::DatabaseCorrupt
            | ErrorCode::Unknown
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::SchemaChanged
            | ErrorCode::TooBig => Self::Damaged(reason),
            _ => Self::Sql(failure.extended_code, reason),
        }
    }
}

impl From<Damage> for Fault {
    fn from(Damage(reason): Damage) -> Self {
        Self::Damaged(reason)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(reason) | Self::Foreign(reason) | Self::Sql(_, reason) => {
                f.write_str(reason)
            }
            Self::Future(found) => write!(f, "format {found}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

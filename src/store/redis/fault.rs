use std::io;

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use super::wire::MOST;
use crate::store::StoreError;
use crate::store::chain::Damage;

/// What went wrong, before it is known which server it was.
#[derive(Debug)]
pub(super) enum Fault {
    /// The content contradicts itself.
    Damaged(String),
    /// What Redis or the connection said.
    Redis(RedisError),
    /// Nobody could be connected to; why.
    Away(String),
    /// An answer of which nothing was kept.
    TooLarge,
    /// What was to be stored may not be.
    Unfit(String),
    /// Already an answer.
    Store(StoreError),
}

impl Fault {
    /// Whether the connection is of no more use: it ended, an answer may still be on its way, or the
    /// server is not the one to write to.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Redis(error) => {
                let is_server = matches!(error.kind(), ErrorKind::Server(_))
                    || matches!(
                        error.kind(),
                        ErrorKind::Extension | ErrorKind::UnexpectedReturnType
                    );
                !is_server || is_readonly(error)
            }
            Self::Away(_) => true,
            Self::Damaged(_) | Self::TooLarge | Self::Unfit(_) | Self::Store(_) => false,
        }
    }

    /// What is to be said of it, for who knows the place.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Damaged(reason) | Self::Away(reason) | Self::Unfit(reason) => reason.clone(),
            Self::Redis(error) => said(error),
            Self::TooLarge => {
                let most = MOST >> 20;
                format!(
                    "a value of ours is not one that a node wrote: an answer has more than {most} MiB"
                )
            }
            Self::Store(error) => error.to_string(),
        }
    }

    /// The error that the caller sees.
    pub(super) fn at(self, place: &str) -> StoreError {
        let place = place.to_owned();
        match self {
            Self::Damaged(reason) => StoreError::Contradiction { place, reason },
            Self::TooLarge => StoreError::Contradiction {
                place,
                reason: self.text(),
            },
            Self::Unfit(reason) => StoreError::NotTaken { place, reason },
            Self::Away(reason) => StoreError::Unreachable { place, reason },
            Self::Store(error) => error,
            Self::Redis(error) => {
                let reason = said(&error);
                match error.kind() {
                    _ if error.is_timeout() => {
                        let reason = "no answer in time".to_owned();
                        StoreError::Unreachable { place, reason }
                    }
                    _ if reason.contains("WRONGTYPE") => {
                        let reason = format!("a key of ours holds another type: {reason}");
                        StoreError::Contradiction { place, reason }
                    }
                    ErrorKind::UnexpectedReturnType => StoreError::Contradiction { place, reason },
                    ErrorKind::Server(_)
                    | ErrorKind::Extension
                    | ErrorKind::AuthenticationFailed => StoreError::NotTaken { place, reason },
                    _ => StoreError::Unreachable { place, reason },
                }
            }
        }
    }
}

/// A server's error as it was sent, without the script that it happened in.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => {
            let detail = detail.split(" script: ").next().unwrap_or_default();
            format!("{code} {}", detail.trim_end())
        }
        _ => error.to_string(),
    }
}

fn is_readonly(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Redis(error.into())
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

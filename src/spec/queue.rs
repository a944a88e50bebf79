use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Span;

/// Whether requests wait while every server that they may go to is at its `max_connections`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSpec {
    /// Requests that wait at a time; one more gets 503 `servers_full`. Default 0: none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// How long each waits at most; then 503 `queue_timeout`. Default `1s`; `0s`: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

impl QueueSpec {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            size: self.size.or(other.size),
            timeout: self.timeout.or(other.timeout),
        }
    }
}

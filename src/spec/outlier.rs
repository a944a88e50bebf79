use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Broken, Percent, Span};

/// When the share of its failures ejects a server: attempts that failed, and answers with a status of 500 or above.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierSpec {
    /// So large a share of the attempts within `window`; default `50%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<Percent>,
    /// With fewer attempts within `window` no server is ejected; default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<u32>,
    /// How long attempts are counted together; default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// The first time out; each further one is twice the last. Default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eject: Option<Span>,
    /// The longest time out; a server that stayed in for so long begins with `eject` again. Default `300s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eject_max: Option<Span>,
}

impl OutlierSpec {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            failure_rate: self.failure_rate.or(other.failure_rate),
            min_requests: self.min_requests.or(other.min_requests),
            window: self.window.or(other.window),
            eject: self.eject.or(other.eject),
            eject_max: self.eject_max.or(other.eject_max),
        }
    }

    pub(super) fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        if self.failure_rate.is_some_and(|rate| rate.get() == 0) {
            broken.push(Broken::new(
                "/failure_rate",
                "0% would eject whatever fails once: write 1% or more",
            ));
        }
        if self.min_requests == Some(0) {
            broken.push(Broken::new("/min_requests", "write 1 or more"));
        }
        let spans = [
            ("/window", self.window),
            ("/eject", self.eject),
            ("/eject_max", self.eject_max),
        ];
        for (pointer, span) in spans {
            if span.is_some_and(|span| span.limit().is_none()) {
                broken.push(Broken::new(pointer, "a time of more than 0s"));
            }
        }
        if let (Some(eject), Some(most)) = (self.eject, self.eject_max)
            && most.duration() < eject.duration()
        {
            let message = "the longest time out: at least `eject`";
            broken.push(Broken::new("/eject_max", message));
        }
        broken
    }
}

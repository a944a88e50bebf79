use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use crate::clock::Timestamp;
use crate::domain::upstream::Upstream;
use crate::spec::ConsulUrl;

/// What was last heard from the source of a group's servers.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceStatus)]
pub(super) struct SourceView {
    /// What is asked.
    #[schema(value_type = String)]
    consul: ConsulUrl,
    /// `waiting` for the first answer, which another node of the fleet may get; `following`; `failing`: the servers stay.
    #[schema(value_type = String)]
    state: &'static str,
    /// When it was last heard of; null if never.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// Why the servers are not what it says now.
    problem: Option<String>,
    /// Since when.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// What it lists and is not taken, and why.
    skipped: Vec<String>,
}

impl SourceView {
    pub(super) fn of(api: &Api, upstream: &Upstream) -> Option<Self> {
        let source = upstream.spec().source.as_ref()?;
        let told = api.metrics.sources().get(upstream.name());
        let state = match &told {
            None => "waiting",
            Some(told) if told.problem.is_some() => "failing",
            Some(_) => "following",
        };
        let told = told.unwrap_or_default();
        let time = |ms: u64| (ms > 0).then(|| Timestamp::from_unix_ms(ms).to_string());
        Some(Self {
            consul: source.consul.clone(),
            state,
            at: time(told.at),
            problem: told.problem,
            failing_since: told.failing_since.and_then(time),
            skipped: told.skipped,
        })
    }

    /// What needs somebody's attention.
    pub(super) fn trouble(&self) -> Option<String> {
        let skipped = || {
            let count = self.skipped.len();
            (count > 0)
                .then(|| format!("takes not all that Consul has: {}", self.skipped.join("; ")))
        };
        let problem = self.problem.as_ref();
        problem
            .map(|problem| format!("keeps its servers: {problem}"))
            .or_else(skipped)
    }
}

use std::sync::Arc;

use super::problem::{Code, Problem};
use super::settings::{Role, Token};
use crate::change::Change;
use crate::spec::{Name, Spec, Target, normal_host};

/// Who asks, and what they may do.
///
/// | role | may |
/// |---|---|
/// | `read` | every GET |
/// | `operate` | also: add, edit and remove servers, `up`, `drain`, `down`, both switches |
/// | `admin` | everything |
///
/// A token with `upstreams` may do so to groups of these names only. A switch touches the group that
/// the route leaves and the one that it goes to; an address stands for a group of that name. What
/// concerns no group in particular (routes, defaults, the whole state) needs `*`.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// None: no tokens are configured, and only this machine can ask.
    pub(super) token: Option<Arc<Token>>,
    /// The address; `unix` for a Unix socket.
    pub(super) source: String,
}

impl Caller {
    /// The name in the history.
    pub(super) fn author(&self) -> &str {
        self.token.as_ref().map_or("anonymous", |token| &token.name)
    }

    /// Whether what is allowed depends on the state.
    pub(super) fn is_limited(&self) -> bool {
        self.token.as_ref().is_some_and(|token| !token.covers_all())
    }

    /// Whether the role is below `least` or what a change needs, or a group that is touched forbids one.
    pub(super) fn may(&self, least: Role, changes: &[Change], spec: &Spec) -> Result<(), Problem> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let role = changes.iter().map(role).fold(least, Role::max);
        if token.role < role {
            return Err(forbidden(format_args!(
                "the token `{}` has the role `{}`; this needs `{}`",
                token.name,
                word(token.role),
                word(role),
            )));
        }
        for change in changes {
            if !touches(change, spec)
                .iter()
                .all(|what| what.is_covered(token))
            {
                return Err(forbidden(format_args!(
                    "the token `{}` is limited to some upstreams; this touches others",
                    token.name
                )));
            }
        }
        Ok(())
    }
}

fn forbidden(detail: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Forbidden, detail)
}

fn role(change: &Change) -> Role {
    match change {
        Change::AddServer { .. }
        | Change::PatchServer { .. }
        | Change::RemoveServer { .. }
        | Change::Switch { .. } => Role::Operate,
        _ => Role::Admin,
    }
}

enum Touched {
    Upstream(Name),
    Everything,
}

impl Touched {
    fn target(target: &Target) -> Self {
        target
            .name()
            .map_or(Self::Everything, |name| Self::Upstream(name.clone()))
    }

    fn is_covered(&self, token: &Token) -> bool {
        match self {
            Self::Upstream(name) => token.covers(name),
            Self::Everything => token.covers_all(),
        }
    }
}

fn touches(change: &Change, spec: &Spec) -> Vec<Touched> {
    match change {
        Change::PutUpstream { name, .. }
        | Change::PatchUpstream { name, .. }
        | Change::DeleteUpstream { name } => vec![Touched::Upstream(name.clone())],
        Change::AddServer { upstream, .. }
        | Change::PatchServer { upstream, .. }
        | Change::RemoveServer { upstream, .. } => vec![Touched::Upstream(upstream.clone())],
        Change::Switch { route, host, to } => {
            let route = match (route, host) {
                (Some(id), _) => spec.route(id),
                (None, Some(host)) => spec.route_of_host(&normal_host(host)),
                (None, None) => None,
            };
            let old = route.map(|route| Touched::target(&route.to));
            old.into_iter()
                .chain(to.as_ref().map(Touched::target))
                .collect()
        }
        _ => vec![Touched::Everything],
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Operate => "operate",
        Role::Admin => "admin",
    }
}

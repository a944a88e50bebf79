use super::problem::{Code, FieldError, Problem};
use crate::change::ChangeError;
use crate::controller::Refusal;
use crate::domain::rails::Rail;
use crate::spec::explain;

/// What the caller hears when the controller refuses. `place` is where the changed object stands in
/// the state, for the words of errors about its fields: `["upstreams", "web"]`.
pub(super) fn problem(refusal: Refusal, place: &[&str]) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::Change { error, .. } => change(error, place, ""),
        Refusal::Precondition(_) => Problem::new(Code::PreconditionFailed, detail),
        Refusal::Invalid(broken) => {
            let errors = broken.into_iter().map(|rule| FieldError {
                pointer: rule.pointer,
                message: rule.message,
            });
            Problem::new(Code::InvalidState, detail).with_errors(errors)
        }
        Refusal::UpstreamMissing { route, .. } => {
            let error = FieldError {
                pointer: format!("/routes/{route}/to"),
                message: detail.clone(),
            };
            Problem::new(Code::UpstreamMissing, detail).with_errors([error])
        }
        Refusal::UpstreamInUse { .. } => Problem::new(Code::UpstreamInUse, detail),
        Refusal::Sourced { .. } => Problem::new(Code::ServersFromSource, detail),
        Refusal::Rails(rails) => on_rails(&rails, detail),
        Refusal::Store(_) | Refusal::StoreSilent => {
            Problem::new(Code::StoreUnavailable, detail).retry_after(5)
        }
        Refusal::Busy | Refusal::Outdated => Problem::new(Code::Busy, detail).retry_after(1),
        Refusal::Stopping => Problem::new(Code::Draining, detail),
    }
}

/// The same for one of several changes: `base` is where it stands in the body.
pub(super) fn change(error: ChangeError, place: &[&str], base: &str) -> Problem {
    let detail = error.to_string();
    let code = match error {
        ChangeError::NoUpstream(_) => Code::UpstreamNotFound,
        ChangeError::NoServer(..) => Code::ServerNotFound,
        ChangeError::ServerExists(..) => Code::ServerExists,
        ChangeError::NoRoute(_) | ChangeError::NoHostRoute(_) => Code::RouteNotFound,
        ChangeError::NotASwitch(_) => Code::NotASwitch,
        ChangeError::Field { pointer, message } => {
            let inner = pointer.split('/').skip(1);
            let place: Vec<&str> = place.iter().copied().chain(inner).collect();
            return Problem::field(format!("{base}{pointer}"), explain(&place, &message));
        }
    };
    let problem = Problem::new(code, &detail);
    if base.is_empty() {
        return problem;
    }
    problem.with_errors([FieldError {
        pointer: base.to_owned(),
        message: detail,
    }])
}

/// The first rail gives the code, each is listed.
fn on_rails(rails: &[Rail], detail: String) -> Problem {
    let code = match rails.first() {
        Some(Rail::MinHealthy(..)) => Code::RailMinHealthy,
        Some(Rail::LastServer(_)) | None => Code::RailLastServer,
    };
    let errors = rails.iter().map(|rail| FieldError {
        pointer: format!("/upstreams/{}", rail_upstream(rail)),
        message: rail.to_string(),
    });
    Problem::new(code, detail).with_errors(errors)
}

/// The group that a rail protects.
pub(super) fn rail_upstream(rail: &Rail) -> &crate::spec::Name {
    match rail {
        Rail::LastServer(name) | Rail::MinHealthy(name, ..) => name,
    }
}

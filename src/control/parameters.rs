//! Parameters that many calls share, for the OpenAPI document. They are read in `edit` and `query`.

#![allow(
    dead_code,
    reason = "the fields are the document; their values are read elsewhere"
)]

use utoipa::IntoParams;

/// For a GET.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct LookParameters {
    /// A tag that the caller has; 304 if it is still the one.
    #[param(rename = "If-None-Match", example = "\"7\"")]
    if_none_match: Option<String>,
}

/// For a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
struct ChangeHeaders {
    /// Only if the object's tag is still this one; `*`: only if the object exists. Otherwise 412.
    #[param(rename = "If-Match", example = "\"7\"")]
    if_match: Option<String>,
    /// Why; kept in the history. One line of at most 1024 bytes.
    #[param(rename = "Pointsman-Reason")]
    pointsman_reason: Option<String>,
}

/// For a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct ChangeQuery {
    /// Say what would change; nothing is stored.
    dry_run: Option<bool>,
    /// Pass the rails; needs a reason.
    force: Option<bool>,
    /// `fleet`: answer when every live node serves the change; 202 with those that are `missing` when the time is over.
    #[param(value_type = Option<String>, example = "fleet")]
    wait: Option<String>,
    /// How long to wait for the fleet: 5s unless given, 30s at most.
    #[param(value_type = Option<String>, example = "5s")]
    timeout: Option<String>,
}

/// All of these.
pub(super) struct ChangeParameters;

impl IntoParams for ChangeParameters {
    fn into_params(
        parameter_in: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        let mut all = ChangeHeaders::into_params(&parameter_in);
        all.extend(ChangeQuery::into_params(&parameter_in));
        all
    }
}

/// For a PUT of one object.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct CreateParameters {
    /// `*`: create only, 412 if it exists.
    #[param(rename = "If-None-Match", example = "*")]
    if_none_match: Option<String>,
}

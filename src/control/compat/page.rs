use axum::http::StatusCode;

use super::super::api::Api;
use super::call::text;
use crate::domain::snapshot::Snapshot;
use crate::ports::legacy::LegacyAnswer;

/// A page about the state of this moment. It may be long, and is written away from the threads that serve.
pub(super) async fn made(
    api: &Api,
    content_type: impl Into<Option<&'static str>>,
    write: impl FnOnce(&Snapshot) -> String + Send + 'static,
) -> LegacyAnswer {
    let snapshot = api.snapshot();
    match tokio::task::spawn_blocking(move || write(&snapshot)).await {
        Ok(body) => LegacyAnswer {
            status: StatusCode::OK,
            content_type: content_type.into(),
            body: body.into(),
        },
        Err(error) => {
            log::error!("a page cannot be written: {error}");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the log has more\n".into(),
            )
        }
    }
}

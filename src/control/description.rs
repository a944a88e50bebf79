//! The OpenAPI document: generated from the calls, with what all of them share added here.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Type,
};
use utoipa::{OpenApi as _, ToSchema};

use super::problem::ProblemDocument;

/// What the document says about the API as a whole.
pub(super) fn base() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Pointsman control API",
            description = "Every answer carries `Pointsman-Revision`, the state's number. An upstream and a route have an \
                `ETag`: the revision that changed them last; a server has its upstream's; lists and the state have the \
                state's number. A change that alters nothing makes no revision. Where the answer to a change is the \
                changed object, warnings come as `Pointsman-Warning` headers. With `wait=fleet` the answer to a change is 202 with \
                its outcome while live nodes are `missing`. HEAD is answered where GET is. The legacy interfaces \
                that `control.legacy` lists have paths of their own beside these."
        ),
        components(schemas(ProblemDocument))
    )]
    struct Base;
    Base::openapi()
}

/// Adds to every call the token, the headers and the errors that it may answer with.
pub(super) fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components
        .security_schemes
        .insert("token".into(), token.into());
    for (path, item) in &mut document.paths.paths {
        let calls = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        for (method, call) in calls {
            if let Some(call) = call {
                call.operation_id = Some(operation_id(method, path));
                complete(call, path, method != "get");
            }
        }
    }
    document
}

/// `get /v1/upstreams/{name}` -> `get_upstreams_name`; unique, since a method and a path are.
fn operation_id(method: &str, path: &str) -> String {
    let segments = path.split(['/', '{', '}', '.']);
    let words = segments.filter(|word| !word.is_empty() && *word != "v1");
    let mut id = method.to_owned();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn complete(call: &mut Operation, path: &str, is_change: bool) {
    let needs_token = !matches!(path, "/healthz" | "/readyz");
    if needs_token {
        call.security = Some(vec![
            SecurityRequirement::new("token", Vec::<String>::new()),
            SecurityRequirement::default(),
        ]);
    }
    for response in call.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let number = ObjectBuilder::new().schema_type(Type::Integer).build();
            let header = HeaderBuilder::new().schema(Some(number)).build();
            if response.description.is_empty() {
                response.description = "As asked".into();
            }
            response
                .headers
                .insert("Pointsman-Revision".into(), header.into());
        }
    }
    let has_variable = path.contains('{');
    let errors = ERRORS.iter().filter(|(_, _, when)| match when {
        When::Always => true,
        When::Token => needs_token,
        When::Variable => has_variable,
        When::Change => is_change,
    });
    for (status, description, _) in errors {
        let schema = Ref::from_schema_name(ProblemDocument::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", content);
        let answers = &mut call.responses.responses;
        answers
            .entry((*status).to_owned())
            .or_insert_with(|| response.build().into());
    }
}

enum When {
    Always,
    Token,
    Variable,
    Change,
}

/// What a call may answer instead of what it documents itself. The `code`s are in the schema `Code`.
const ERRORS: [(&str, &str, When); 12] = [
    (
        "400",
        "The request cannot be read, or has an unknown field or parameter",
        When::Always,
    ),
    ("401", "A valid token is needed", When::Token),
    (
        "403",
        "This address, host, origin or token may not do this",
        When::Always,
    ),
    ("404", "It does not exist", When::Variable),
    ("405", "Not with this method", When::Always),
    ("409", "A rail, or an existing object", When::Change),
    (
        "412",
        "It changed since: the revision that is in the way",
        When::Change,
    ),
    ("413", "The body has more than 8 MiB", When::Change),
    (
        "415",
        "The content type is not one that this call takes",
        When::Change,
    ),
    (
        "422",
        "The state that it leads to is not valid",
        When::Change,
    ),
    (
        "429",
        "Too many changes are waiting, or too many wrong tokens came",
        When::Always,
    ),
    (
        "503",
        "The store is away, or the node is not ready or stopping",
        When::Always,
    ),
];

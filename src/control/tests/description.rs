use std::collections::BTreeSet;

use serde_json::Value;

use super::Desk;

/// Every call that design and code agree on.
const CALLS: [&str; 33] = [
    "delete /v1/routes/{id}",
    "delete /v1/upstreams/{name}",
    "delete /v1/upstreams/{name}/servers/{address}",
    "get /",
    "get /healthz",
    "get /metrics",
    "get /openapi.json",
    "get /readyz",
    "get /v1/fleet",
    "get /v1/revisions",
    "get /v1/revisions/{a}/diff/{b}",
    "get /v1/revisions/{n}",
    "get /v1/routes",
    "get /v1/routes/{id}",
    "get /v1/state",
    "get /v1/status",
    "get /v1/upstreams",
    "get /v1/upstreams/{name}",
    "get /v1/upstreams/{name}/servers",
    "get /v1/upstreams/{name}/servers/{address}",
    "patch /v1/routes/{id}",
    "patch /v1/upstreams/{name}",
    "patch /v1/upstreams/{name}/servers/{address}",
    "post /v1/changes",
    "post /v1/hosts/{host}/switch",
    "post /v1/revisions/{n}/restore",
    "post /v1/routes/{id}/switch",
    "post /v1/upstreams/{name}/servers",
    "post /v1/upstreams/{name}/servers/{address}/down",
    "post /v1/upstreams/{name}/servers/{address}/drain",
    "post /v1/upstreams/{name}/servers/{address}/up",
    "put /v1/routes/{id}",
    "put /v1/state",
];

async fn document() -> Value {
    Desk::new().get("/openapi.json").await.is(200).json
}

fn calls(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let calls = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, call)| (format!("{method} {path}"), call))
    });
    calls.collect()
}

#[tokio::test]
async fn the_document_lists_every_call() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let found: BTreeSet<String> = calls(&document).into_iter().map(|(name, _)| name).collect();
    let mut wanted: BTreeSet<String> = CALLS.iter().map(|&name| name.to_owned()).collect();
    wanted.insert("put /v1/upstreams/{name}".to_owned());
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn each_call_has_an_id_of_its_own_an_answer_and_its_errors() {
    let document = document().await;
    let mut ids = BTreeSet::new();
    for (name, call) in calls(&document) {
        assert!(
            ids.insert(call["operationId"].as_str().unwrap().to_owned()),
            "{name}"
        );
        assert!(call["summary"].is_string(), "{name}");
        let responses = call["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{name}"
        );
        assert!(
            responses.values().all(|one| one["description"].is_string()),
            "{name}"
        );
        let problem = &responses["400"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{name}");
        let is_change = !name.starts_with("get");
        assert_eq!(responses.contains_key("412"), is_change, "{name}");
    }
}

#[tokio::test]
async fn each_variable_and_parameter_is_described() {
    let document = document().await;
    for (name, call) in calls(&document) {
        let parameters = call["parameters"].as_array().cloned().unwrap_or_default();
        let found = |place: &str| {
            let of = parameters.iter().filter(|one| one["in"] == place);
            of.map(|one| one["name"].as_str().unwrap().to_owned())
                .collect::<BTreeSet<_>>()
        };
        let variables = name
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'));
        let variables: BTreeSet<_> = variables.map(|(variable, _)| variable.to_owned()).collect();
        assert_eq!(found("path"), variables, "{name}");
        if !name.starts_with("get") {
            assert!(
                ["dry_run", "force", "wait", "timeout"]
                    .iter()
                    .all(|name| found("query").contains(*name)),
                "{name}"
            );
            assert!(found("header").contains("If-Match"), "{name}");
        }
    }
}

#[tokio::test]
async fn each_schema_that_is_referred_to_is_there() {
    let document = document().await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    let name = target.strip_prefix("#/components/schemas/").unwrap();
                    assert!(schemas.contains_key(name), "{name} is missing");
                }
                waiting.extend(fields.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    let codes = schemas["Code"].to_string();
    for code in [
        "rail_last_server",
        "server_exists",
        "precondition_failed",
        "invalid_json",
    ] {
        assert!(codes.contains(code), "{code}");
    }
}

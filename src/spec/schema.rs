//! How the values that are written as text appear in the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{
    Address, HashKey, HostHeader, HostPattern, Name, PathPattern, Percent, ServerSpec, Span,
    StatusRange, Target,
};

/// A type that is written as a text: its name, what it is, an example.
macro_rules! text {
    ($type:ty, $name:literal, $description:literal, $example:literal) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String);
                text.description(Some($description))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

text!(
    Name,
    "Name",
    "A group's name or a route's id: `[A-Za-z0-9._:-]{1,255}` but not `.` or `..`, unique ignoring case.",
    "web"
);
text!(
    Address,
    "Address",
    "`ip`, `ip:port`, `[v6]:port`, `unix:/path`, `name:port` (every address of the name) or `srv:name` (the places that its SRV records list); without a port it is 80.",
    "10.0.0.5:8080"
);
text!(
    Target,
    "Target",
    "An upstream by its name, or an address; a group of that name goes first. `{host}`: the upstream named like the request's host, without its port.",
    "web"
);
text!(
    HostHeader,
    "HostHeader",
    "`received`, `without_port`, or the name that is sent always.",
    "received"
);
text!(
    HostPattern,
    "HostPattern",
    "`www.example.org`, `*.example.org` or `*`.",
    "*.example.org"
);
text!(
    PathPattern,
    "PathPattern",
    "`/prefix` or `=/exact`.",
    "/api"
);
text!(
    Percent,
    "Percent",
    "A whole number from 0 to 100 with `%`.",
    "10%"
);
text!(
    HashKey,
    "HashKey",
    "`uri`, `host`, `client_ip`, `header:NAME`, `cookie:NAME` or `query:NAME`.",
    "uri"
);
text!(
    Span,
    "Duration",
    "A whole number with `ms`, `s`, `m`, `h` or `d`.",
    "250ms"
);

impl PartialSchema for StatusRange {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Integer);
        let range = ObjectBuilder::new().schema_type(Type::String);
        OneOfBuilder::new()
            .item(number.examples([200]))
            .item(range.examples(["200-299"]))
            .into()
    }
}

impl ToSchema for StatusRange {
    fn name() -> Cow<'static, str> {
        "StatusRange".into()
    }
}

/// The two forms in which a server may be written.
pub(super) struct ServerForms;

impl PartialSchema for ServerForms {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(Ref::from_schema_name(Address::name()))
            .item(Ref::from_schema_name(ServerSpec::name()))
            .into()
    }
}

impl ToSchema for ServerForms {
    fn name() -> Cow<'static, str> {
        "ServerForms".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Address::name().into(), Address::schema()));
        schemas.push((ServerSpec::name().into(), ServerSpec::schema()));
        <ServerSpec as ToSchema>::schemas(schemas);
    }
}

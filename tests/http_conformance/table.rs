//! The table, by topic.

mod bodies;
mod chunks;
mod fields;
mod framing;
mod hosts;
mod http2_frames;
mod http2_heads;
mod limits;
mod passed;
mod request_lines;
mod sequences;
mod targets;

use super::message::Message;

/// Every message.
pub(crate) fn all() -> Vec<Message> {
    [
        request_lines::all(),
        targets::all(),
        hosts::all(),
        fields::all(),
        framing::all(),
        chunks::all(),
        limits::all(),
        bodies::all(),
        passed::all(),
        sequences::all(),
        http2_heads::all(),
        http2_frames::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const BAD_END: (u16, &str) = (400, "bad_request_line_end");
const BAD_LINE: (u16, &str) = (400, "bad_request_line");
const BAD_TARGET: (u16, &str) = (400, "bad_request_uri");
const BAD_HOST: (u16, &str) = (400, "bad_request_host");
const BAD_FIELD: (u16, &str) = (400, "bad_request_header");
const BAD_FRAMING: (u16, &str) = (400, "bad_request_framing");
const BAD_METHOD: (u16, &str) = (405, "method_not_allowed");
const BAD_EXPECTATION: (u16, &str) = (417, "expectation_failed");
const TOO_LARGE: (u16, &str) = (431, "header_too_large");

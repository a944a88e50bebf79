//! One table of raw messages of HTTP/1 and HTTP/2: what is refused, with what, and what is passed on, as what.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod comparison;
mod conversation;
mod desync;
mod floods;
mod frames;
mod message;
mod others;
mod recorder;
mod responses;
mod table;

use std::collections::HashSet;
use std::time::Duration;

use crate::support::Edge;
use conversation::Conversation;
use message::{Expected, Message};
use recorder::Recorder;
use serde_json::json;

/// No answer takes longer, or the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

fn edge_to(recorder: &Recorder) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": [recorder.address()] } } });
    Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .start()
}

/// What is wrong with how this message was treated; empty if nothing is.
fn problem(edge: &Edge, recorder: &Recorder, message: &Message) -> Option<String> {
    let said = Conversation::hold(edge.address(), message, PATIENCE);
    let seen = recorder.take();
    let (arrivals, refusal) = match &message.expected {
        Expected::Refused(refusal) | Expected::Broken(refusal) => (&[][..], Some(refusal)),
        Expected::Forwarded(arrivals) => (&arrivals[..], None),
        Expected::Both(arrivals, refusal) => (&arrivals[..], Some(refusal)),
    };
    if let Some(refusal) = refusal {
        if said.answers.last() != Some(refusal) {
            return Some(format!("answered {:?}, not {refusal:?}", said.answers));
        }
        if message.is_http1() && !said.is_closed {
            return Some("the connection is still open".into());
        }
    }
    if said.answers.len() != arrivals.len() + usize::from(refusal.is_some()) {
        return Some(format!(
            "{} answers: {:?}",
            said.answers.len(),
            said.answers
        ));
    }
    let own: Vec<_> = seen
        .whole
        .iter()
        .map(|arrival| arrival.without_ours())
        .collect();
    if own
        .iter()
        .map(|own| own.as_ref().ok())
        .ne(arrivals.iter().map(Some))
    {
        return Some(format!("arrived as {own:?}, not {arrivals:?}"));
    }
    let may_be_half = matches!(message.expected, Expected::Broken(_));
    if seen.bytes != seen.whole_bytes && !may_be_half {
        return Some(format!(
            "{} bytes arrived, {} of them whole messages",
            seen.bytes, seen.whole_bytes
        ));
    }
    None
}

fn problems(messages: &[Message]) -> Vec<String> {
    let (recorder, of_halves) = (Recorder::start(), Recorder::start());
    let (edge, edge_of_halves) = (edge_to(&recorder), edge_to(&of_halves));
    let mut problems = Vec::new();
    for message in messages {
        let problem = match message.expected {
            // Bytes of half a message may come when the next one is under way already.
            Expected::Broken(_) => problem(&edge_of_halves, &of_halves, message),
            _ => problem(&edge, &recorder, message),
        };
        let named = |problem| format!("{} ({}): {problem}", message.name, message.source);
        problems.extend(problem.map(named));
    }
    if recorder.take().bytes > 0 || !of_halves.take().whole.is_empty() {
        problems.push("bytes came late".into());
    }
    problems
}

#[test]
fn every_message_is_refused_or_passed_on_as_the_table_says() {
    let messages = table::all();
    let names: HashSet<_> = messages.iter().map(|message| &message.name).collect();
    assert_eq!(names.len(), messages.len(), "a name stands for one message");
    let problems = problems(&messages);
    let refused = messages
        .iter()
        .filter(|message| message.must_be_refused())
        .count();
    let http2 = messages
        .iter()
        .filter(|message| !message.is_http1())
        .count();
    println!(
        "{} messages, {http2} of them HTTP/2: {refused} to be refused, {} to be passed on; {} not as the table says",
        messages.len(),
        messages.len() - refused,
        problems.len()
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(messages.len() >= 250);
}

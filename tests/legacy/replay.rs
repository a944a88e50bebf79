//! The recorded exchanges of the original scripts, sent again: ../shared/compat/golden has one file for each.
//!
//! What a legacy path answers is compared in status, content type and body, JSON as values. What an origin
//! answers is compared by the group that served, and in the rest of its words. The deviations are a table.

mod deviations;
mod golden;
mod site;
mod traffic;

use crate::support::{Client, Response};
use deviations::{Deviation, Ours};
use golden::{Recorded, Row};
use site::Site;

#[test]
fn the_recorded_exchanges_are_the_same_but_for_the_listed_deviations() {
    for (file, rows) in golden::files() {
        let site = Site::of(&file, 2);
        let mut client = site.edge.client();
        let mut state = site.first_state();
        for row in &rows {
            let answer = row.send(&mut client, &site);
            compare(&site, row, &state, &answer);
            state = site.state_after(state, row, &answer);
        }
        println!(
            "{file}: {} rows, {} of them deviate",
            rows.len(),
            deviations::of(&file).count()
        );
        deviations::of(&file)
            .for_each(|deviation| assert!(deviation.line <= rows.len(), "{deviation:?}"));
    }
}

#[test]
fn with_two_workers_no_request_goes_by_a_state_that_an_answer_has_ended() {
    replay_under_traffic(2);
}

#[test]
fn with_eight_workers_no_request_goes_by_a_state_that_an_answer_has_ended() {
    replay_under_traffic(8);
}

fn replay_under_traffic(threads: usize) {
    for (file, rows) in golden::files() {
        let site = Site::of(&file, threads);
        let sent = traffic::during(&site, |traffic| {
            let mut client = site.edge.client();
            let mut state = site.first_state();
            for row in &rows {
                traffic.begin(site.states_after(&state, row));
                let answer = row.send(&mut client, &site);
                compare(&site, row, &state, &answer);
                state = site.state_after(state, row, &answer);
                traffic.answered(&state);
            }
        });
        println!(
            "{file}: {} rows with {threads} threads, {sent} requests of 8 clients meanwhile, none by an old state",
            rows.len()
        );
    }
}

fn compare(site: &Site, row: &Row, state: &site::State, answer: &Response) {
    let recorded = same(site, row, state, answer);
    let Some(deviation) = deviations::find(&site.file, row.line) else {
        return recorded
            .unwrap_or_else(|difference| panic!("{}:{}: {difference}", site.file, row.line));
    };
    let Deviation { ours, reason, .. } = deviation;
    assert!(
        recorded.is_err(),
        "{}:{} is as recorded, and listed as a deviation: {reason}",
        site.file,
        row.line
    );
    let expected = match ours {
        Ours::Answer(status, kind, body) => Recorded::new(*status, kind, body),
        Ours::Served(words) => Recorded::new(200, "text/plain", words),
    };
    let row = Row {
        recorded: Some(expected),
        ..row.clone()
    };
    same(site, &row, state, answer).unwrap_or_else(|difference| {
        panic!(
            "{}:{}: {difference}, by our own table ({reason})",
            site.file, row.line
        )
    });
}

/// Whether the answer is the recorded one.
fn same(site: &Site, row: &Row, state: &site::State, answer: &Response) -> Result<(), String> {
    let Some(recorded) = &row.recorded else {
        return Err(format!("no answer was recorded, this is {answer:?}"));
    };
    let kind = answer.header("content-type").unwrap_or_default();
    if (answer.status, kind) != (recorded.status, recorded.content_type.as_str()) {
        return Err(format!(
            "{} {kind:?} instead of {} {:?}: {}",
            answer.status,
            recorded.status,
            recorded.content_type,
            answer.text()
        ));
    }
    let (ours, theirs) = (answer.text(), site.with_our_ports(&recorded.body));
    let is_same = if row.is_legacy() {
        same_text(&ours, &theirs)
    } else {
        site.served_the_same(&ours, &theirs)? && state.may_serve(site::word(&ours))
    };
    is_same
        .then_some(())
        .ok_or_else(|| format!("{ours:?} instead of {theirs:?}, {state:?}"))
}

/// As values where both are JSON; then our order of keys is the documented one.
fn same_text(ours: &str, theirs: &str) -> bool {
    let json = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .filter(|json| json.is_object())
    };
    let (Some(mine), Some(other)) = (json(ours), json(theirs)) else {
        return ours == theirs;
    };
    let place = |key: &str| ours.find(&format!("\"{key}\":"));
    let is_ordered =
        ours.starts_with("{\"msg\":") && place("data") < place("code") && ours.ends_with("}\n");
    mine == other && is_ordered && theirs.ends_with('\n')
}

/// The row's call on a connection.
impl Row {
    fn send(&self, client: &mut Client, site: &Site) -> Response {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        client.request(
            &self.method,
            &site.with_our_ports(&self.path),
            &headers,
            self.body.as_bytes(),
        )
    }
}

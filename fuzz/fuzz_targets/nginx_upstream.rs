//! Whatever the text: it is a block or an error of one line; a block that is written reads as the same
//! block; what becomes of it is what a store gives back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::nginx::{Directive, UpstreamBlock};
use pointsman::spec::{UpstreamSpec, broken_rules_of_upstream};

fuzz_target!(|text: &str| {
    let block = match UpstreamBlock::parse(text) {
        Ok(block) => block,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
            return;
        }
    };
    let again = UpstreamBlock::parse(&block.to_string());
    let again = again.unwrap_or_else(|error| panic!("{error} in\n{block}"));
    assert_eq!(lines(&block), lines(&again));
    let taken = block.taken();
    for gap in &taken.gaps {
        assert!(!gap.to_string().contains(char::is_control), "{gap:?}");
    }
    let _ = broken_rules_of_upstream(&taken.upstream);
    let stored = serde_json::to_string(&taken.upstream).unwrap();
    assert_eq!(
        serde_json::from_str::<UpstreamSpec>(&stored).unwrap(),
        taken.upstream
    );
});

fn lines(block: &UpstreamBlock) -> Vec<&Directive> {
    block.directives().iter().map(|line| &line.it).collect()
}

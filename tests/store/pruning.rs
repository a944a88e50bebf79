//! What is forgotten, and that all else can still be built.

use pointsman::spec::Span;
use pointsman::store::{History, StoreError};

use crate::lineage::Lineage;
use crate::site::Site;

/// A log of 65 revisions with checkpoints at 20, 40 and 60.
fn log_with_checkpoints(site: &Site) -> Lineage {
    let mut lineage = Lineage::default();
    for number in [20, 40, 60] {
        lineage.grow(site.store(), 20);
        lineage.checkpoint(site.store(), number);
    }
    lineage.grow(site.store(), 5);
    lineage
}

fn kept(site: &Site, lineage: &Lineage) -> Vec<u64> {
    assert_eq!(site.store().load().unwrap(), Some(lineage.last()));
    let page = site.store().history(None, 100).unwrap();
    for revision in &page {
        let built = site.store().state_at(revision.number).unwrap();
        assert_eq!(built, Some(lineage.at(revision.number)));
    }
    page.iter().rev().map(|revision| revision.number).collect()
}

pub(crate) fn pruning_keeps_what_was_asked_for(site: &Site) {
    let lineage = log_with_checkpoints(site);
    site.store().prune(&history(26), 65_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(40..=65));
    assert_eq!(site.store().state_at(39).unwrap(), None);
    assert_eq!(site.store().revision(39).unwrap(), None);
    assert!(matches!(
        site.store().since(30, 5),
        Err(StoreError::Pruned { after: 30 })
    ));
    assert_eq!(site.store().since(39, 1).unwrap()[0].revision.number, 40);
    site.store().prune(&history(1), 65_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(40..=65));
    lineage.checkpoint(site.store(), 65);
    site.store().prune(&history(1), 65_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(60..=65));
}

pub(crate) fn pruning_without_a_checkpoint_keeps_everything(site: &Site) {
    let mut lineage = Lineage::default();
    lineage.grow(site.store(), 9);
    site.store().prune(&history(1), 9_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(1..=9));
    lineage.checkpoint(site.store(), 9);
    site.store().prune(&history(1), 9_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(1..=9));
}

pub(crate) fn pruning_by_age_keeps_the_young(site: &Site) {
    let lineage = log_with_checkpoints(site);
    // Revision n was made at n seconds.
    let young = History {
        age: Span::from_secs(30),
        ..history(0)
    };
    let prune = |now: u64| site.store().prune(&young, now * 1000).unwrap();
    prune(65);
    assert_eq!(kept(site, &lineage), Vec::from_iter(20..=65));
    prune(70);
    assert_eq!(kept(site, &lineage), Vec::from_iter(40..=65));
    prune(1000);
    assert_eq!(kept(site, &lineage), Vec::from_iter(40..=65));
}

pub(crate) fn pruning_by_size_makes_room(site: &Site) {
    let lineage = log_with_checkpoints(site);
    let keep = |size| History {
        revisions: 1000,
        age: FOREVER,
        size,
    };
    site.store().prune(&keep(1 << 30), 65_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(1..=65));
    site.store().prune(&keep(1), 65_000).unwrap();
    assert_eq!(kept(site, &lineage), Vec::from_iter(40..=65));
}

const FOREVER: Span = Span::from_secs(365 * 86_400);

pub(crate) fn history(revisions: u64) -> History {
    History {
        revisions,
        age: Span::from_secs(0),
        size: u64::MAX,
    }
}

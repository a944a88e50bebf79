use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn number(max_fails: u32) -> EjectionRules {
    EjectionRules {
        max_fails,
        fail_timeout: 10 * SECOND,
        rate: None,
    }
}

fn rate() -> EjectionRules {
    EjectionRules {
        rate: Some(RateRule {
            failure_rate: Percent::new(50),
            min_requests: 20,
            window: 10 * SECOND,
            eject: 10 * SECOND,
            eject_max: 60 * SECOND,
        }),
        ..number(0)
    }
}

fn fail(ejection: &Ejection, rules: &EjectionRules, now: u64) -> bool {
    let due = ejection.failed(Failure::Attempt, rules, 1, now, now);
    if let Some(due) = due {
        ejection.eject(due, now);
    }
    due.is_some()
}

#[test]
fn so_many_failures_within_the_time_eject_for_the_time() {
    let ejection = Ejection::default();
    assert!(!fail(&ejection, &number(3), 1_000));
    assert!(!fail(&ejection, &number(3), 2_000));
    assert!(fail(&ejection, &number(3), 11_000));
    assert!(ejection.is_out(20_999) && !ejection.is_out(21_000));
}

#[test]
fn failures_that_lie_further_apart_are_not_added_up() {
    let ejection = Ejection::default();
    for now in [1_000, 12_000, 23_000, 34_000] {
        assert!(!fail(&ejection, &number(2), now));
    }
}

#[test]
fn zero_never_ejects_and_a_bad_answer_is_no_failed_attempt() {
    let ejection = Ejection::default();
    assert!((1..100).all(|now| !fail(&ejection, &number(0), now)));
    for now in 1..100 {
        let due = ejection.failed(Failure::Answer, &number(1), 1, now, now);
        assert_eq!(due, None);
    }
}

#[test]
fn after_its_time_one_attempt_decides() {
    let ejection = Ejection::default();
    let rules = number(3);
    assert!((1..4).any(|now| fail(&ejection, &rules, now)));
    assert!(!ejection.is_out(10_003) && ejection.is_unproven());
    ejection.try_again(10_003);
    assert!(ejection.is_out(10_004), "out for all others meanwhile");
    assert!(
        fail(&ejection, &rules, 10_005),
        "the first failure is enough"
    );
    ejection.try_again(20_005);
    ejection.readmit(20_006);
    assert!(!ejection.is_out(20_006) && !ejection.is_unproven());
    assert!(!fail(&ejection, &rules, 20_007), "it begins at none again");
}

#[test]
fn failures_of_requests_that_were_under_way_already_count_as_one_ejection() {
    let ejection = Ejection::default();
    let rules = EjectionRules {
        max_fails: 1,
        ..rate()
    };
    assert!(fail(&ejection, &rules, 1_000));
    let until = ejection.until();
    assert!((1_001..1_100).all(|now| !fail(&ejection, &rules, now)));
    assert_eq!(ejection.until(), until);
    assert_eq!(ejection.try_again(until), Claim::Trial);
    assert_eq!(ejection.try_again(until + 1), Claim::Lost);
    let old = ejection.failed(Failure::Attempt, &rules, 1, 999, until + 1);
    assert_eq!(old, None, "one from before tells nothing");
    assert!(fail(&ejection, &rules, until + 1), "the one that tells");
    assert!((2..100).all(|late| !fail(&ejection, &rules, until + late)));
}

#[test]
fn a_rate_needs_enough_attempts_and_counts_bad_answers() {
    let ejection = Ejection::default();
    let answer = |attempts, now| ejection.failed(Failure::Answer, &rate(), attempts, now, now);
    // Each second attempt fails: 10 of 20 are reached at the tenth failure or so.
    let due: Vec<_> = (1..=11).map(|n| answer(2 * n, n)).collect();
    assert_eq!(due.iter().position(Option::is_some), Some(10), "{due:?}");
    let ejection = Ejection::default();
    let seldom = (1..100).all(|n| {
        let due = ejection.failed(Failure::Answer, &rate(), 3 * n, n, n);
        due.is_none()
    });
    assert!(seldom, "a third is below the rate");
}

#[test]
fn each_time_out_is_twice_the_last_up_to_the_longest() {
    let ejection = Ejection::default();
    let (mut now, mut attempts, mut lengths) = (1, 0, Vec::new());
    for _ in 0..5 {
        let length = loop {
            attempts += 1;
            let failure = Failure::Attempt;
            if let Some(due) = ejection.failed(failure, &rate(), attempts, now, now) {
                break due;
            }
        };
        ejection.eject(length, now);
        now += millis(length.length);
        ejection.readmit(now);
        lengths.push(length.length.as_secs());
    }
    assert_eq!(lengths, [10, 20, 40, 60, 60]);
    now += 60_001;
    attempts += 20;
    assert_eq!(
        ejection.failed(Failure::Attempt, &rate(), attempts, now, now),
        None,
        "a new window begins"
    );
}

#[test]
fn a_server_that_keeps_failing_is_out_for_longer_each_time() {
    let ejection = Ejection::default();
    ejection.eject(
        Due {
            length: 10 * SECOND,
            by_rate: true,
        },
        1,
    );
    let mut lengths = Vec::new();
    for _ in 0..4 {
        let now = ejection.until();
        assert_eq!(ejection.try_again(now), Claim::Trial);
        let due = ejection.failed(Failure::Attempt, &rate(), 1, now, now + 1);
        ejection.eject(due.unwrap(), now + 1);
        lengths.push(due.unwrap().length.as_secs());
    }
    assert_eq!(lengths, [20, 40, 60, 60]);
}

#[test]
fn failures_that_end_together_are_counted_with_their_attempts() {
    let ejection = Ejection::default();
    let late = |n: u64| ejection.failed(Failure::Attempt, &rate(), 50, 1, 1_000 + n);
    let first = (0..50).position(|n| late(n).is_some());
    assert_eq!(first, Some(19), "as soon as there are enough of them");
}

#[test]
fn only_an_attempt_from_after_the_ejection_tells_that_the_server_is_back() {
    let ejection = Ejection::default();
    ejection.eject(10 * SECOND, 1_000);
    assert!(!ejection.is_news(999) && !ejection.is_news(1_000) && ejection.is_news(1_001));
}

#[test]
fn a_trial_that_tells_nothing_leaves_the_next_one_to_tell() {
    let ejection = Ejection::default();
    ejection.eject(10 * SECOND, 1);
    assert!(!ejection.told_nothing(5), "nothing was on trial");
    assert!(ejection.is_out(6));
    assert_eq!(ejection.try_again(10_001), Claim::Trial);
    assert!(ejection.is_out(10_002));
    assert!(ejection.told_nothing(10_001) && !ejection.told_nothing(10_001));
    assert_eq!(ejection.try_again(10_003), Claim::Trial);
}

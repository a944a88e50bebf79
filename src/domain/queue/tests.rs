use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::domain::server::Health;
use crate::domain::snapshot::Snapshot;
use crate::spec::{Name, Spec};

mod cost;

/// A group of servers with these limits, one of rack `a` and one of rack `b` in turn.
fn snapshot(limits: &[u32], before: Option<&Snapshot>) -> Snapshot {
    let server = |(at, limit): (usize, &u32)| {
        let rack = ["a", "b"][at % 2];
        serde_json::json!({"address": format!("10.0.0.{}", at + 1), "max_connections": limit, "labels": {"rack": rack}})
    };
    let servers: Vec<_> = limits.iter().enumerate().map(server).collect();
    let spec: Spec = serde_json::from_value(serde_json::json!({
        "upstreams": {"web": {"servers": servers, "health": {}, "queue": {"size": 100}}},
        "routes": [{"to": "web"}, {"hosts": ["a"], "labels": {"rack": "a"}, "to": "web"}],
    }))
    .unwrap();
    Snapshot::build(1, Arc::new(spec), before)
}

fn web(snapshot: &Snapshot) -> Arc<Upstream> {
    let name = Name::new("web").unwrap();
    snapshot.upstream(&name).unwrap().clone()
}

fn part(snapshot: &Snapshot) -> Arc<Upstream> {
    let route = snapshot.routes().find("a", "/").unwrap();
    snapshot.serving(route, "a").unwrap().clone()
}

fn waiter(upstream: &Arc<Upstream>) -> Waiter {
    Waiter {
        upstream: upstream.clone(),
        tried: Vec::new(),
        bound: None,
        pick: Pick::new(&[], 1),
        goes_first: false,
    }
}

fn join(upstream: &Arc<Upstream>, tried: &[ServerId]) -> Waiting {
    let waiter = Waiter {
        tried: tried.to_vec(),
        ..waiter(upstream)
    };
    let waiting = upstream.queue().join(100, waiter).unwrap();
    assert!(!waiting.look(1, |old| Some(old.clone())).is_over);
    waiting
}

fn begin(upstream: &Arc<Upstream>) -> InFlight {
    upstream.begin(&Pick::new(&[], 1)).unwrap()
}

fn turn(waiting: &mut Waiting) -> Poll<Turn> {
    waiting.poll(&mut Context::from_waker(Waker::noop()))
}

fn served(waiting: &mut Waiting) -> Option<InFlight> {
    match turn(waiting) {
        Poll::Ready(Turn::Begun(_, begun)) => Some(begun),
        _ => None,
    }
}

#[test]
fn room_goes_to_who_came_first() {
    let web = web(&snapshot(&[1], None));
    let mut busy = begin(&web);
    let mut line = [join(&web, &[]), join(&web, &[]), join(&web, &[])];
    assert_eq!(web.queue().waiting(), 3);
    for next in 0..3 {
        assert!(line.iter_mut().all(|waiting| turn(waiting).is_pending()));
        drop(busy);
        busy = served(&mut line[next]).unwrap();
        assert_eq!(web.queue().waiting(), 2 - next);
        assert_eq!(web.servers()[0].shared().in_flight(), 1);
    }
}

#[test]
fn who_comes_while_there_is_room_has_it_at_once_and_a_full_line_takes_no_one() {
    let web = web(&snapshot(&[1], None));
    let mut first = join(&web, &[]);
    let _busy = served(&mut first).unwrap();
    let _second = join(&web, &[]);
    assert!(matches!(
        web.queue().join(1, waiter(&web)),
        Err(Turn::Nobody(NobodyLeft::Full))
    ));
    assert_eq!(web.queue().waiting(), 1);
}

#[test]
fn a_line_full_of_others_keeps_no_one_from_a_server_that_they_have_no_use_for() {
    let snapshot = snapshot(&[1, 1], None);
    let (web, part) = (web(&snapshot), part(&snapshot));
    let busy = begin(&part);
    let _waits = join(&part, &[]);
    let Err(Turn::Begun(_, other)) = web.queue().join(1, waiter(&web)) else {
        panic!("the other server is free");
    };
    assert_ne!(other.server().id(), busy.server().id());
    let shed = web.queue().join(1, waiter(&part));
    assert!(matches!(shed, Err(Turn::Nobody(NobodyLeft::Full))));
}

#[test]
fn the_end_of_an_ejection_gives_its_server_to_who_looks_then_for_all() {
    let web = web(&snapshot(&[1, 1], None));
    let out = web.servers()[0].clone();
    out.shared()
        .ejection()
        .eject(std::time::Duration::from_millis(50), 10);
    let pick = Pick {
        now: 10,
        ..Pick::new(&[], 1)
    };
    let _busy = web.begin(&pick).unwrap();
    let (mut first, mut next) = (join(&web, &[]), join(&web, &[]));
    let look = |waiting: &Waiting, now| waiting.look(now, |_| Some(web.clone()));
    assert_eq!(look(&next, 20).again_at, Some(60));
    assert_eq!(look(&next, 59).again_at, Some(60));
    assert!(turn(&mut first).is_pending());
    assert_eq!(look(&next, 60).again_at, None);
    let begun = served(&mut first).unwrap();
    assert_eq!(begun.server().id(), out.id());
    assert!(turn(&mut next).is_pending());
}

#[test]
fn who_may_only_go_to_a_server_that_is_ejected_and_full_waits_for_it() {
    let snapshot = snapshot(&[1, 1], None);
    let part = part(&snapshot);
    let busy = begin(&part);
    let length = std::time::Duration::from_secs(10);
    busy.server().shared().ejection().eject(length, 10);
    let pick = Pick {
        now: 20,
        ..Pick::new(&[], 1)
    };
    assert_eq!(part.begin(&pick).unwrap_err(), NobodyLeft::Full);
    let mut line = [join(&part, &[]), join(&part, &[])];
    line[0].look(20, |old| Some(old.clone()));
    drop(busy);
    let _begun = served(&mut line[0]).unwrap();
    assert!(turn(&mut line[1]).is_pending());
}

#[test]
fn a_server_that_is_in_again_has_room_at_once() {
    let web = web(&snapshot(&[1, 1], None));
    let out = web.servers()[0].clone();
    out.shared()
        .ejection()
        .eject(std::time::Duration::from_secs(10), 10);
    let _busy = web
        .begin(&Pick {
            now: 10,
            ..Pick::new(&[], 1)
        })
        .unwrap();
    let mut waits = join(&web, &[]);
    assert!(turn(&mut waits).is_pending());
    out.shared().readmit(11);
    assert!(served(&mut waits).is_some());
}

#[test]
fn who_leaves_passes_on_the_server_that_was_handed_over() {
    let web = web(&snapshot(&[1], None));
    let busy = begin(&web);
    let (gone, leaves, mut stays) = (join(&web, &[]), join(&web, &[]), join(&web, &[]));
    drop(gone);
    drop(busy);
    // It has its server now and does not know it yet.
    assert!(turn(&mut stays).is_pending());
    drop(leaves);
    assert!(served(&mut stays).is_some());
    assert_eq!(web.queue().waiting(), 0);
    assert_eq!(web.servers()[0].shared().in_flight(), 0);
}

#[test]
fn who_cannot_use_the_room_does_not_keep_it_from_those_behind() {
    let snapshot = snapshot(&[1, 1], None);
    let (web, part) = (web(&snapshot), part(&snapshot));
    let (one, other) = (begin(&web), begin(&web));
    let (of_a, of_b) = match one.server().label() {
        "10.0.0.1:80" => (one, other),
        _ => (other, one),
    };
    let tried = [of_b.server().id()];
    let (mut labelled, mut again) = (join(&part, &[]), join(&web, &tried));
    let mut any = join(&web, &[]);
    drop(of_b);
    assert!(turn(&mut labelled).is_pending() && turn(&mut again).is_pending());
    let _of_b = served(&mut any).unwrap();
    drop(of_a);
    let of_a = served(&mut labelled).unwrap();
    assert_eq!(of_a.server().label(), "10.0.0.1:80");
    drop(of_a);
    assert_eq!(served(&mut again).unwrap().server().label(), "10.0.0.1:80");
}

#[test]
fn a_verdict_of_the_checks_serves_the_line_or_ends_it() {
    let web = web(&snapshot(&[1, 1], None));
    let second = web.servers()[1].shared().clone();
    second.set_health(Health::Down, 1);
    let _busy = begin(&web);
    let (mut first, mut next) = (join(&web, &[]), join(&web, &[]));
    second.set_health(Health::Up, 2);
    let _other = served(&mut first).unwrap();
    assert!(turn(&mut next).is_pending());
    for server in web.servers() {
        server.shared().set_health(Health::Down, 3);
    }
    assert!(matches!(
        turn(&mut next),
        Poll::Ready(Turn::Nobody(NobodyLeft::NoServer))
    ));
}

#[test]
fn a_change_of_the_group_reaches_who_waits() {
    let first = snapshot(&[1], None);
    let old = web(&first);
    let _busy = begin(&old);
    let (mut one, mut two) = (join(&old, &[]), join(&old, &[]));
    let next = web(&snapshot(&[2, 1], Some(&first)));
    assert!(Arc::ptr_eq(old.queue(), next.queue()));
    next.queue().changed();
    let [mut three, mut four] = [join(&old, &[]), join(&old, &[])];
    // Whoever hears of it first, those who came first are served.
    assert!(matches!(turn(&mut two), Poll::Ready(Turn::Changed)));
    assert!(!two.look(1, |_| Some(next.clone())).is_over);
    assert!(join(&next, &[]).look(1, |_| None).is_over);
    let _busy = [&mut one, &mut two].map(|waiting| served(waiting).unwrap());
    assert!(turn(&mut three).is_pending() && turn(&mut four).is_pending());
}

#[test]
fn threads_lose_no_room_and_no_request() {
    let web = web(&snapshot(&[2, 1], None));
    let (most, now) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn_of in 0..500 {
                    let mut waiting = join(&web, &[]);
                    if turn_of % 7 == 0 {
                        continue;
                    }
                    let thread = std::thread::current();
                    let waker = Arc::new(Unparks(thread)).into();
                    let begun = loop {
                        match waiting.poll(&mut Context::from_waker(&waker)) {
                            Poll::Ready(Turn::Begun(_, begun)) => break begun,
                            Poll::Ready(other) => panic!("{other:?}"),
                            Poll::Pending => std::thread::park_timeout(LOST),
                        }
                    };
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    now.fetch_sub(1, Ordering::SeqCst);
                    drop(begun);
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(web.queue().waiting(), 0);
    let in_flight = |server: &Arc<crate::domain::server::Server>| server.shared().in_flight();
    assert!(web.servers().iter().all(|server| in_flight(server) == 0));
}

/// One who waits for so long was not woken: the test would go on, and take minutes.
const LOST: std::time::Duration = std::time::Duration::from_secs(20);

struct Unparks(std::thread::Thread);

impl std::task::Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    JoinPart,
    Leave(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Join),
        1 => Just(Step::JoinPart),
        1 => (0..20_usize).prop_map(Step::Leave),
        3 => (0..20_usize).prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn nobody_waits_beside_room_that_is_theirs(
        limits in prop::collection::vec(1..4_u32, 1..4),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let snapshot = snapshot(&limits, None);
        let (web, part) = (web(&snapshot), part(&snapshot));
        let mut waiting: Vec<(Waiting, bool)> = Vec::new();
        let mut busy: Vec<InFlight> = Vec::new();
        for step in steps {
            match step {
                Step::Join => waiting.push((join(&web, &[]), false)),
                Step::JoinPart => waiting.push((join(&part, &[]), true)),
                Step::Leave(at) if at < waiting.len() => drop(waiting.remove(at)),
                Step::End(at) if at < busy.len() => drop(busy.swap_remove(at)),
                Step::Leave(_) | Step::End(_) => {}
            }
            waiting.retain_mut(|(waiting, _)| match served(waiting) {
                Some(begun) => {
                    busy.push(begun);
                    false
                }
                None => true,
            });
            prop_assert_eq!(web.queue().waiting(), waiting.len());
            let is_full = |upstream: &Upstream| upstream.servers().iter().all(|server| server.is_full());
            for (_, of_part) in &waiting {
                let upstream = if *of_part { &part } else { &web };
                prop_assert!(is_full(upstream));
            }
            for server in web.servers() {
                let of_server = busy.iter().filter(|busy| busy.server().id() == server.id());
                prop_assert_eq!(server.shared().in_flight() as usize, of_server.count());
                prop_assert!(server.shared().in_flight() <= server.limit().unwrap());
            }
        }
    }
}

//! What the line costs whoever serves it: counted, not timed.

use super::*;
use crate::domain::server::Server;

/// Ten servers that take one request each, and remember their clients.
fn sticky() -> Arc<Upstream> {
    let server = |at| serde_json::json!({"address": format!("10.0.0.{at}"), "max_connections": 1});
    let spec: Spec = serde_json::from_value(serde_json::json!({
        "upstreams": {"web": {
            "servers": (0..10).map(server).collect::<Vec<_>>(),
            "sticky": {"cookie": "c", "secret_file": "s"},
        }},
    }))
    .unwrap();
    let web = web(&Snapshot::build(1, Arc::new(spec), None));
    web.prepare_sticky(b"thirty-two bytes or more of secret");
    web
}

fn bound(web: &Upstream, server: &Server) -> Option<Bound> {
    let sticky = web.sticky()?;
    let cookie = sticky.value(server, 100)?;
    sticky.read([cookie.as_bytes()].into_iter(), 1)
}

/// Where these wait, how often somebody is tried until all of them had their turn.
fn tries(web: &Arc<Upstream>, what: impl Fn(usize) -> (Vec<ServerId>, Option<Bound>)) -> usize {
    let mut busy: Vec<_> = (0..10).map(|_| begin(web)).collect();
    let joined = (0..WAITING).map(|number| {
        let (tried, bound) = what(number);
        let waiter = Waiter {
            tried,
            bound,
            ..waiter(web)
        };
        let waiting = web.queue().join(WAITING, waiter).unwrap();
        waiting.look(1, |old| Some(old.clone()));
        waiting
    });
    let mut line: Vec<_> = joined.collect();
    let mut ends = 0;
    while !line.is_empty() {
        // The next ends at another server.
        drop(busy.remove(0));
        ends += 1;
        line.retain_mut(|waiting| match served(waiting) {
            Some(begun) => {
                busy.push(begun);
                false
            }
            None => true,
        });
    }
    assert!(ends <= WAITING + 10, "{ends}");
    web.queue().tries()
}

const WAITING: usize = 3000;

#[test]
fn an_end_tries_no_more_than_one_of_those_who_wait_whatever_cookies_they_have() {
    let web = sticky();
    let own = |number: usize| (Vec::new(), bound(&web, &web.servers()[number % 7]));
    let tries = tries(&web, own);
    println!("{tries} tries for {WAITING} who wait");
    assert!(tries <= WAITING + 100, "{tries}");
}

#[test]
fn an_end_tries_no_more_than_one_of_those_who_wait_wherever_they_were_tried() {
    let web = sticky();
    let tried = |number: usize| match number % 3 {
        0 => (Vec::new(), None),
        _ => (vec![web.servers()[number % 4].id()], None),
    };
    let tries = tries(&web, tried);
    println!("{tries} tries for {WAITING} who wait");
    assert!(tries <= WAITING + 100, "{tries}");
}

#[test]
fn who_is_bound_to_a_server_that_drains_gets_its_room_and_nobody_else_does() {
    let web = sticky();
    let own = web.servers()[3].clone();
    let spec = crate::spec::UpstreamSpec::clone(web.spec());
    let mut spec = serde_json::to_value(spec).unwrap();
    spec["servers"][3]["admin"] = "drain".into();
    let spec = Arc::new(serde_json::from_value(spec).unwrap());
    let busy: Vec<_> = (0..10).map(|_| begin(&web)).collect();
    let defaults = crate::spec::UpstreamSpec::default();
    let names = crate::domain::names::Names::default();
    let drains = Arc::new(Upstream::build(
        web.name(),
        &spec,
        &defaults,
        &names,
        Some(&web),
    ));
    let join = |bound| {
        let waiter = Waiter {
            bound,
            ..waiter(&drains)
        };
        let waiting = drains.queue().join(9, waiter).unwrap();
        waiting.look(1, |old| Some(old.clone()));
        waiting
    };
    let mut line = [None, None, bound(&drains, &own), bound(&drains, &own)].map(join);
    let at_own = |busy: &InFlight| busy.server().id() == own.id();
    let (ends, _busy): (Vec<_>, Vec<_>) = busy.into_iter().partition(at_own);
    drop(ends);
    let [first, second, third, fourth] = &mut line;
    assert!(turn(first).is_pending() && turn(second).is_pending());
    let served = served(third).unwrap();
    assert_eq!(served.server().id(), own.id());
    drop(served);
    assert!(turn(first).is_pending() && turn(second).is_pending());
    drop(super::served(fourth).unwrap());
    // Also where the line is full.
    let waiter = Waiter {
        bound: bound(&drains, &own),
        ..waiter(&drains)
    };
    let Err(Turn::Begun(_, begun)) = drains.queue().join(0, waiter) else {
        panic!("its own server has room");
    };
    assert_eq!(begun.server().id(), own.id());
}

#[test]
fn who_had_a_turn_already_goes_first_whatever_the_length_of_the_line() {
    let web = web(&snapshot(&[1], None));
    let mut busy = begin(&web);
    let mut line = vec![join(&web, &[]), join(&web, &[])];
    for _ in 0..2 {
        let again = Waiter {
            goes_first: true,
            ..waiter(&web)
        };
        let waiting = web.queue().join(1, again).unwrap();
        waiting.look(1, |old| Some(old.clone()));
        line.push(waiting);
    }
    for next in [2, 3, 0, 1] {
        drop(busy);
        busy = served(&mut line[next]).unwrap();
    }
}

#[test]
fn who_does_not_wait_takes_no_room_that_others_wait_for() {
    let snapshot = snapshot(&[1, 1], None);
    let (web, part) = (web(&snapshot), part(&snapshot));
    let of_part = begin(&part);
    let _waits = join(&part, &[]);
    let at_once = |upstream: &Arc<Upstream>| {
        let queue = web.queue();
        queue.at_once(waiter(upstream), 1, |old| Some(old.clone()))
    };
    assert!(at_once(&part).is_none());
    let (_, other) = at_once(&web).unwrap();
    assert_ne!(other.server().id(), of_part.server().id());
}

#[test]
fn a_change_of_another_group_wakes_nobody() {
    let group = |weight: u16| -> Arc<crate::spec::UpstreamSpec> {
        let server =
            serde_json::json!({"address": "10.0.0.1", "max_connections": 1, "weight": weight});
        serde_json::from_value(serde_json::json!({ "servers": [server] })).unwrap()
    };
    let with = |spec: &Spec, name: &str, weight| {
        let mut spec = spec.clone();
        spec.upstreams
            .insert(Name::new(name).unwrap(), group(weight));
        Arc::new(spec)
    };
    let first = Snapshot::build(1, with(&Spec::default(), "web", 1), None);
    let second = Snapshot::build(2, with(first.spec(), "other", 1), Some(&first));
    let third = Snapshot::build(3, with(second.spec(), "web", 2), Some(&second));
    let web = web(&first);
    let _busy = begin(&web);
    let (publisher, shared) = crate::domain::snapshot::shared(first);
    let mut waiting = join(&web, &[]);
    shared.tell(web.queue());
    publisher.publish(Arc::new(second));
    assert!(turn(&mut waiting).is_pending());
    publisher.publish(Arc::new(third));
    assert!(matches!(turn(&mut waiting), Poll::Ready(Turn::Changed)));
    waiting.look(1, |old| shared.load().same(old).cloned());
    let gone = Snapshot::build(4, Arc::default(), Some(&shared.load()));
    publisher.publish(Arc::new(gone));
    assert!(matches!(turn(&mut waiting), Poll::Ready(Turn::Changed)));
    assert!(
        waiting
            .look(2, |old| shared.load().same(old).cloned())
            .is_over
    );
}

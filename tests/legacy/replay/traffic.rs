//! Eight clients that send requests all the while, and look whether an answer fits a state that was possible.

use super::site::{Site, State, word};
use crate::support::{Ledger, until};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

const CLIENTS: usize = 8;
/// Requests that each client has begun and ended in a state before the next row.
const IN_EACH_STATE: usize = 3;

/// The states by their number: each row adds one when it begins, and ends those before when it is answered.
pub(crate) struct Traffic {
    states: Mutex<Vec<Vec<State>>>,
    /// The first state that a request which begins now may see.
    current: AtomicUsize,
    /// What each client has sent in the current state.
    sent: Vec<AtomicUsize>,
    total: AtomicUsize,
    is_over: AtomicBool,
}

/// Runs `rows` among the traffic; answers how many requests there were.
pub(crate) fn during(site: &Site, rows: impl FnOnce(&Traffic)) -> usize {
    let ledger = Ledger::new();
    let traffic = Traffic {
        states: Mutex::new(vec![vec![site.first_state()]]),
        current: AtomicUsize::new(0),
        sent: (0..CLIENTS).map(|_| AtomicUsize::new(0)).collect(),
        total: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let over = Over(&traffic);
        for client in 0..CLIENTS {
            let (traffic, ledger) = (&traffic, &ledger);
            scope.spawn(move || traffic.send_all(site, ledger, client));
        }
        rows(&traffic);
        drop(over);
    });
    // The rows' own requests carry no nonce, and so they are not counted here.
    ledger.settle(&site.origins).assert_flawless();
    traffic.total.into_inner()
}

/// Ends the traffic, also when a row fails.
struct Over<'a>(&'a Traffic);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

impl Traffic {
    /// A row is about to be sent: until it is answered any of these states is possible.
    pub(crate) fn begin(&self, possible: [State; 2]) {
        self.states.lock().unwrap().push(possible.to_vec());
    }

    /// The row is answered: what begins from now on sees this state and no other.
    pub(crate) fn answered(&self, state: &State) {
        let number = {
            let mut states = self.states.lock().unwrap();
            states.push(vec![state.clone()]);
            states.len() - 1
        };
        self.current.store(number, Ordering::SeqCst);
        let before: Vec<usize> = self
            .sent
            .iter()
            .map(|sent| sent.load(Ordering::SeqCst))
            .collect();
        // One request of each may have begun before.
        let enough = |(sent, before): (&AtomicUsize, &usize)| {
            sent.load(Ordering::SeqCst) > before + IN_EACH_STATE
        };
        until("each client has sent in this state", || {
            let is_over = self.is_over.load(Ordering::SeqCst);
            (is_over || self.sent.iter().zip(&before).all(enough)).then_some(())
        });
        assert!(!self.is_over.load(Ordering::SeqCst), "a client has failed");
    }

    fn send_all(&self, site: &Site, ledger: &Ledger, client: usize) {
        // A client that fails ends the others, too.
        let over = Over(self);
        let mut connection = site.edge.client().host(site.host);
        while !self.is_over.load(Ordering::SeqCst) {
            let first = self.current.load(Ordering::SeqCst);
            let answer = ledger
                .record(|nonce| connection.try_get(site.path, &[("X-Nonce", nonce)]))
                .unwrap();
            let text = answer.text();
            let states = self.states.lock().unwrap().clone();
            let possible = states[first..].concat();
            let fits = possible.iter().any(|state| state.may_serve(word(&text)));
            assert!(fits, "{text:?} from none of {possible:?}");
            self.total.fetch_add(1, Ordering::SeqCst);
            self.sent[client].fetch_add(1, Ordering::SeqCst);
        }
        drop(over);
    }
}

//! Five nodes over one Redis, with requests on all of them.

mod one_line;
mod outage;
mod restart;
mod spreading;

use std::thread;
use std::time::{Duration, Instant};

use super::support::{Client, Control, Detour, Edge, Origin, RedisServer, pause};

const NODES: usize = 5;

/// Five nodes, each with a way of its own to Redis.
struct Fleet {
    redis: RedisServer,
    ways: Vec<Detour>,
    nodes: Vec<Edge>,
    origins: Vec<Origin>,
}

impl Fleet {
    fn start() -> Self {
        Self::over(RedisServer::start())
    }

    fn over(redis: RedisServer) -> Self {
        let origins = Origin::many(2);
        origins.iter().for_each(Origin::keep_only_nonces);
        let ways: Vec<Detour> = (0..NODES).map(|_| Detour::to(redis.address())).collect();
        let start = |number: usize| {
            let builder = Edge::builder()
                .upstream("blue", &origins[..1])
                .upstream("green", &origins[1..])
                .route("*", "blue");
            let copy = builder.directory().join("last-good.db");
            let state = format!(
                "server: {{node: n{number}, threads: 1}}\nstate: {{store: '{}', local_copy: '{}'}}",
                ways[number].url(),
                copy.display()
            );
            let quiet = "{ log: { level: error }, access_log: { path: 'off' } }";
            builder.with(&state).with(quiet).start()
        };
        let nodes = thread::scope(|scope| {
            let started: Vec<_> = (0..NODES)
                .map(|number| scope.spawn(move || start(number)))
                .collect();
            started.into_iter().map(|it| it.join().unwrap()).collect()
        });
        Self {
            redis,
            ways,
            nodes,
            origins,
        }
    }

    fn control(&self, number: usize) -> Control {
        self.nodes[number % NODES].control()
    }

    /// Asks a node at a pace until `is_over`; answers how many requests there were, and fails the proof if one did.
    fn load(&self, number: usize, is_over: &dyn Fn() -> bool) -> usize {
        let mut client = self.nodes[number].client();
        let mut count = 0;
        while !is_over() {
            let answer = client.try_get("/", &[]).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            if answer.header("connection").is_some_and(|it| it == "close") {
                client = self.nodes[number].client();
            }
            count += 1;
            pause(Duration::from_millis(5));
        }
        count
    }
}

/// Asks one node for the revision that it serves, on a connection that is kept.
struct Look {
    address: std::net::SocketAddr,
    client: Client,
}

impl Look {
    fn at(node: &Edge) -> Self {
        let address = node.control_address();
        Self {
            address,
            client: Client::connect(address),
        }
    }

    fn revision(&mut self) -> u64 {
        loop {
            let answer = self.client.try_get("/healthz", &[]);
            match answer
                .ok()
                .and_then(|it| it.header("Pointsman-Revision")?.parse().ok())
            {
                Some(number) => return number,
                None => self.client = Client::connect(self.address),
            }
        }
    }

    fn wait_for(&mut self, revision: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.revision() < revision {
            assert!(
                Instant::now() < deadline,
                "revision {revision} does not arrive"
            );
            pause(Duration::from_micros(500));
        }
    }
}

/// Numbers that need not be good, only spread.
struct Spread(u64);

impl Spread {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// `p50`, `p99` and the longest.
fn figures(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    (at(50), at(99), at(100))
}

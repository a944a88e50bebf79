//! Names at work in paused time, with answers as a script says.

use std::sync::Mutex;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::domain::names::Observed;
use crate::domain::snapshot::{Publisher, shared};
use crate::spec::{Name, Spec};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum Reply {
    Is(u64, Vec<String>),
    Empty,
    Failed,
    Silent,
}

/// Answers as it is told, and notes when it was asked.
#[derive(Default)]
struct Script {
    v4: Mutex<HashMap<String, Reply>>,
    v6: Mutex<HashMap<String, Reply>>,
    srv: Mutex<HashMap<String, Reply>>,
    asked: Mutex<Vec<(Instant, String)>>,
}

async fn answer<T>(
    replies: &Mutex<HashMap<String, Reply>>,
    name: &DnsName,
    read: impl Fn(&str) -> T,
) -> Result<Answer<T>, Miss> {
    let reply = replies.lock().unwrap().get(name.as_str()).cloned();
    match reply.unwrap_or(Reply::Empty) {
        Reply::Is(ttl, texts) => Ok(Answer {
            records: texts.iter().map(|text| read(text)).collect(),
            ttl: Duration::from_secs(ttl),
        }),
        Reply::Empty => Err(Miss::Empty("none".into())),
        Reply::Failed => Err(Miss::Failed("SERVFAIL".into())),
        Reply::Silent => std::future::pending().await,
    }
}

#[async_trait]
impl Dns for Script {
    async fn addresses(&self, host: &DnsName) -> Addresses {
        self.asked
            .lock()
            .unwrap()
            .push((Instant::now(), host.to_string()));
        let ip = |text: &str| text.parse().unwrap();
        Addresses {
            v4: answer(&self.v4, host, ip).await,
            v6: answer(&self.v6, host, ip).await,
        }
    }

    async fn services(&self, name: &DnsName) -> Result<Answer<Service>, Miss> {
        let service = |text: &str| {
            let mut words = text.split(' ');
            let mut word = || words.next().unwrap();
            Service {
                priority: word().parse().unwrap(),
                weight: word().parse().unwrap(),
                port: word().parse().unwrap(),
                target: DnsName::new(word()).unwrap(),
            }
        };
        answer(&self.srv, name, service).await
    }
}

struct World {
    script: Arc<Script>,
    writer: Arc<Mutex<(Publisher, Arc<Snapshot>)>>,
    revisions: channel::Sender<u64>,
    settled: channel::Receiver<bool>,
    _shutdown: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

fn spec(servers: &[&str]) -> Arc<Spec> {
    let state = json!({ "upstreams": { "web": { "servers": servers } } });
    Arc::new(serde_json::from_value(state).unwrap())
}

impl World {
    /// The script is set before anything is asked.
    fn start(servers: &[&str], script: impl FnOnce(&Self)) -> Self {
        let first = Snapshot::build(1, spec(servers), None);
        let (publisher, snapshot) = shared(first);
        let writer = Arc::new(Mutex::new((publisher, snapshot.load_full())));
        let script_of_dns = Arc::new(Script::default());
        let (revisions, followed) = channel::channel(1);
        let (settle, settled) = channel::channel(false);
        let (shutdown, asked) = oneshot::channel::<()>();
        let discovery = Discovery {
            dns: script_of_dns.clone(),
            permits: Semaphore::new(4),
            forbidden: ForbiddenAddresses::default(),
            snapshot,
            publish: Box::new({
                let writer = writer.clone();
                move |name, resolved| {
                    let mut writer = writer.lock().unwrap();
                    if let Some(next) = writer.1.resolved([(&name, &resolved)]) {
                        writer.1 = Arc::new(next);
                        writer.0.publish(writer.1.clone());
                    }
                    let (reply, done) = oneshot::channel();
                    reply.send(()).unwrap();
                    Some(done)
                }
            }),
            metrics: Metrics::new(),
            clock: || 1_795_000_000_000,
            random: || 0.5,
        };
        let stop = async move {
            let _ = asked.await;
        };
        let task = tokio::spawn(discovery.run(followed, settle, stop));
        let world = Self {
            script: script_of_dns,
            writer,
            revisions,
            settled,
            _shutdown: shutdown,
            _task: task,
        };
        script(&world);
        world
    }

    fn change(&self, servers: &[&str]) {
        let mut writer = self.writer.lock().unwrap();
        writer.1 = Arc::new(Snapshot::build(2, spec(servers), Some(&writer.1)));
        writer.0.publish(writer.1.clone());
        self.revisions.send_replace(2);
    }

    fn v4(&self, host: &str, reply: Reply) {
        self.script.v4.lock().unwrap().insert(host.into(), reply);
    }

    fn v6(&self, host: &str, reply: Reply) {
        self.script.v6.lock().unwrap().insert(host.into(), reply);
    }

    fn srv(&self, name: &str, reply: Reply) {
        self.script.srv.lock().unwrap().insert(name.into(), reply);
    }

    fn servers(&self) -> Vec<String> {
        let snapshot = self.writer.lock().unwrap().1.clone();
        let web = snapshot.upstream(&Name::new("web").unwrap()).unwrap();
        let servers = web.servers().iter();
        servers.map(|server| server.label().to_owned()).collect()
    }

    fn observed(&self, name: &str) -> Observed {
        let snapshot = self.writer.lock().unwrap().1.clone();
        let name = Address::new(name).unwrap();
        snapshot.names().get(&name).unwrap().state().observed()
    }

    /// Seconds between the questions about a host.
    fn pauses(&self, host: &str) -> Vec<f64> {
        let asked = self.script.asked.lock().unwrap();
        let times: Vec<Instant> = asked
            .iter()
            .filter(|(_, name)| name == host)
            .map(|(time, _)| *time)
            .collect();
        let pause = |pair: &[Instant]| (pair[1] - pair[0]).as_secs_f64();
        let rounded = |pause: f64| (pause * 10.0).round() / 10.0;
        times.windows(2).map(|pair| rounded(pause(pair))).collect()
    }
}

fn is(ttl: u64, texts: &[&str]) -> Reply {
    Reply::Is(ttl, texts.iter().map(|text| (*text).to_owned()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_again_when_the_shorter_ttl_of_both_families_ends() {
    let world = World::start(&["app:8080"], |world| {
        world.v4("app", is(60, &["10.0.0.1"]));
        world.v6("app", is(10, &["fd00::1"]));
    });
    sleep(35 * SECOND).await;
    assert_eq!(world.servers(), ["10.0.0.1:8080", "[fd00::1]:8080"]);
    assert_eq!(world.pauses("app"), [10.5, 10.5, 10.5]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_no_use_keeps_the_addresses_and_is_asked_about_again_soon() {
    for bad in [Reply::Empty, Reply::Failed] {
        let world = World::start(&["app:80"], |world| {
            world.v4("app", is(5, &["10.0.0.1", "10.0.0.2"]));
        });
        sleep(SECOND).await;
        world.v4("app", bad);
        sleep(60 * SECOND).await;
        assert_eq!(world.servers(), ["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(world.pauses("app")[..5], [5.3, 1.1, 2.1, 4.2, 8.4]);
        assert!(world.observed("app:80").problem.is_some());
        world.v4("app", is(5, &["10.0.0.3"]));
        sleep(20 * SECOND).await;
        assert_eq!(world.servers(), ["10.0.0.3:80"]);
        assert_eq!(world.observed("app:80").failing_since, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_server_ends_no_watch() {
    let world = World::start(&["app:80"], |world| {
        world.v4("app", Reply::Silent);
    });
    sleep(30 * SECOND).await;
    assert!(world.servers().is_empty());
    assert!(world.observed("app:80").problem.unwrap().contains("10s"));
    world.v4("app", is(5, &["10.0.0.1"]));
    sleep(30 * SECOND).await;
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_fails_is_kept_while_the_other_one_changes() {
    let world = World::start(&["app:80"], |world| {
        world.v4("app", is(1, &["10.0.0.1"]));
        world.v6("app", is(1, &["fd00::1"]));
    });
    sleep(SECOND / 2).await;
    world.v4("app", is(1, &["10.0.0.2"]));
    world.v6("app", Reply::Failed);
    sleep(10 * SECOND).await;
    assert_eq!(world.servers(), ["10.0.0.2:80", "[fd00::1]:80"]);
    assert_eq!(world.observed("app:80").problem.unwrap(), "SERVFAIL");
    // That there is none is an answer, while the other family has some.
    world.v6("app", Reply::Empty);
    sleep(20 * SECOND).await;
    assert_eq!(world.servers(), ["10.0.0.2:80"]);
    assert_eq!(world.observed("app:80").problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_never_had_an_address_may_fail_unnoticed() {
    let world = World::start(&["app:80"], |world| {
        world.v4("app", is(7, &["10.0.0.1"]));
        world.v6("app", Reply::Failed);
    });
    sleep(16 * SECOND).await;
    assert_eq!(world.observed("app:80").problem, None);
    assert_eq!(world.pauses("app"), [7.4, 7.4]);
}

#[tokio::test(start_paused = true)]
async fn a_service_has_the_ports_and_the_ranks_of_its_records() {
    let world = World::start(&["srv:app"], |world| {
        world.srv(
            "app",
            is(60, &["20 1 8003 b.", "10 5 8001 a.", "10 1 8002 b."]),
        );
        world.v4("a.", is(30, &["10.0.0.1"]));
        world.v4("b.", is(8, &["10.0.0.2", "10.0.0.3"]));
    });
    sleep(SECOND).await;
    let expected = [
        "10.0.0.1:8001",
        "10.0.0.2:8002",
        "10.0.0.3:8002",
        "10.0.0.2:8003",
        "10.0.0.3:8003",
    ];
    assert_eq!(world.servers(), expected);
    sleep(8 * SECOND).await;
    assert_eq!(world.pauses("a."), [8.4], "the shortest TTL of all");
    // One target that fails keeps its own addresses, one that is gone from the records has none.
    world.srv("app", is(1, &["10 1 8002 b.", "10 1 8004 c."]));
    world.v4("b.", Reply::Failed);
    world.v4("c.", is(1, &["10.0.0.4"]));
    sleep(10 * SECOND).await;
    assert_eq!(
        world.servers(),
        ["10.0.0.2:8002", "10.0.0.3:8002", "10.0.0.4:8004"]
    );
    world.srv("app", Reply::Empty);
    sleep(30 * SECOND).await;
    assert_eq!(world.servers().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_forbidden_addresses_alone_is_of_no_use() {
    let world = World::start(&["app:80"], |world| {
        world.v4("app", is(1, &["10.0.0.1", "169.254.169.254"]));
    });
    sleep(SECOND / 2).await;
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
    assert_eq!(world.observed("app:80").refused.len(), 1);
    world.v4("app", is(1, &["169.254.169.254", "0.0.0.0"]));
    sleep(5 * SECOND).await;
    assert_eq!(world.servers(), ["10.0.0.1:80"]);
    assert!(world.observed("app:80").problem.is_some());
}

#[tokio::test(start_paused = true)]
async fn names_come_and_go_with_the_snapshots() {
    let world = World::start(&["a:80", "b:80"], |world| {
        world.v4("a", is(1, &["10.0.0.1"]));
        world.v4("b", is(1, &["10.0.0.2"]));
        world.v4("c", is(1, &["10.0.0.3"]));
    });
    sleep(SECOND).await;
    world.change(&["b:80", "c:80"]);
    sleep(SECOND).await;
    assert_eq!(world.servers(), ["10.0.0.2:80", "10.0.0.3:80"]);
    let asked = world.pauses("a").len();
    sleep(10 * SECOND).await;
    assert_eq!(world.pauses("a").len(), asked);
}

#[tokio::test(start_paused = true)]
async fn the_start_is_settled_when_every_name_has_had_an_answer_of_use_or_not() {
    let world = World::start(&["a:80", "b:80"], |world| {
        world.v4("a", is(1, &["10.0.0.1"]));
        world.v4("b", Reply::Silent);
    });
    sleep(9 * SECOND).await;
    assert!(!*world.settled.borrow());
    sleep(2 * SECOND).await;
    assert!(*world.settled.borrow());
    let none = World::start(&["10.0.0.1"], |_| {});
    sleep(SECOND).await;
    assert!(*none.settled.borrow());
}

#[tokio::test(start_paused = true)]
async fn many_silent_names_are_asked_for_in_turn() {
    let names: Vec<String> = (0..40).map(|n| format!("n{n}:80")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::start(&names, |world| {
        for n in 0..40 {
            world.v4(&format!("n{n}"), Reply::Silent);
        }
    });
    sleep(25 * SECOND).await;
    let asked = world.script.asked.lock().unwrap().len();
    assert_eq!(asked, 12, "four at a time, ten seconds each");
}

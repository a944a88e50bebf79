//! Questions to Consul's HTTP interface, over connections that are kept.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::v1::Connector;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use tokio::time::timeout;

use super::super::Dns;
use crate::spec::{Address, ConsulUrl, ForbiddenAddresses, TokenVariable, shortened};

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) url: ConsulUrl,
    pub(super) token: Option<TokenVariable>,
    /// The path with its query.
    pub(super) target: String,
    /// How long the whole may take.
    pub(super) patience: Duration,
}

/// An answer of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Counts up with what is asked for: what a question that waits for a change names.
    pub(super) index: u64,
    /// None: Consul has nothing of the kind.
    pub(super) body: Option<Vec<u8>>,
}

/// Why there is no answer of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Consul answered that this may not be read.
    Forbidden(String),
    /// Everything else.
    Failed(String),
}

impl Fault {
    pub(super) fn text(&self) -> &str {
        let (Self::Forbidden(text) | Self::Failed(text)) = self;
        text
    }
}

/// Asks Consul.
#[async_trait]
pub(super) trait Ask: Send + Sync {
    async fn ask(&self, question: &Question) -> Result<Answer, Fault>;
}

/// Asks over the network. Connections that are not in use are kept for the next question to the same server.
pub(super) struct Connections {
    connector: Connector,
    dns: std::sync::Arc<dyn Dns>,
    forbidden: ForbiddenAddresses,
    environment: fn(&str) -> Option<String>,
}

impl Connections {
    pub(super) fn new(
        dns: std::sync::Arc<dyn Dns>,
        forbidden: ForbiddenAddresses,
        environment: fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            connector: Connector::new(None),
            dns,
            forbidden,
            environment,
        }
    }

    fn token(&self, question: &Question) -> Result<Option<String>, Fault> {
        let Some(variable) = &question.token else {
            return Ok(None);
        };
        let name = variable.name();
        let token = (self.environment)(name).filter(|token| !token.is_empty());
        let missing = || Fault::Failed(format!("the environment has no `{name}`"));
        token.ok_or_else(missing).map(Some)
    }

    async fn place(&self, url: &ConsulUrl) -> Result<SocketAddr, Fault> {
        let place = match url.server() {
            Address::Ip(place) => *place,
            Address::Name(host, port) => {
                let addresses = self.dns.addresses(host).await;
                let mut ips = Vec::new();
                let mut why = format!("`{host}` has no address");
                for answer in [addresses.v4, addresses.v6] {
                    match answer {
                        Ok(answer) => ips.extend(answer.records),
                        Err(super::super::Miss::Failed(text)) => why = text,
                        Err(super::super::Miss::Empty(_)) => {}
                    }
                }
                // The same one each time, so that its connections are used again.
                let ip = ips.into_iter().min().ok_or(Fault::Failed(why))?;
                SocketAddr::new(ip, *port)
            }
            other => return Err(Fault::Failed(format!("`{other}` is no place to ask at"))),
        };
        match self.forbidden.reason(&Address::Ip(place)) {
            Some(reason) => Err(Fault::Failed(reason)),
            None => Ok(place),
        }
    }

    async fn exchange(&self, question: &Question) -> Result<Answer, Fault> {
        let token = self.token(question)?;
        let peer = peer(self.place(&question.url).await?, &question.url);
        loop {
            let connected = self.connector.get_http_session(&peer).await;
            let (mut session, is_reused) = connected.map_err(failed)?;
            let head = request(question, token.as_deref())?;
            match answered(&mut session, head).await {
                // It may have been closed while nobody looked.
                Err(_) if is_reused => continue,
                Err(fault) => return Err(fault),
                Ok(()) => {}
            }
            let answer = read(&mut session, question, token.as_deref()).await?;
            let idle = Some(IDLE);
            self.connector
                .release_http_session(session, &peer, idle)
                .await;
            return Ok(answer);
        }
    }
}

#[async_trait]
impl Ask for Connections {
    async fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        let answer = timeout(question.patience, self.exchange(question)).await;
        answer.unwrap_or_else(|_| {
            let patience = question.patience.as_secs();
            Err(Fault::Failed(format!(
                "no whole answer within {patience} s"
            )))
        })
    }
}

/// An idle connection of Consul's stays open for longer.
const IDLE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);

fn peer(place: SocketAddr, url: &ConsulUrl) -> HttpPeer {
    let name = match url.server() {
        Address::Name(host, _) => host.without_dot().to_owned(),
        _ => place.ip().to_string(),
    };
    let mut peer = HttpPeer::new(place, url.is_tls(), name);
    peer.options.connection_timeout = Some(CONNECT);
    peer.options.total_connection_timeout = Some(CONNECT * 2);
    peer.options.set_http_version(1, 1);
    peer
}

fn request(question: &Question, token: Option<&str>) -> Result<Box<RequestHeader>, Fault> {
    let mut head =
        RequestHeader::build("GET", question.target.as_bytes(), Some(4)).map_err(failed)?;
    let agent = concat!("pointsman/", env!("CARGO_PKG_VERSION"));
    let fields = [
        ("Host", question.url.server().to_string()),
        ("User-Agent", agent.to_owned()),
        ("Accept", "application/json".to_owned()),
    ];
    for (name, value) in fields {
        head.insert_header(name, value).map_err(failed)?;
    }
    if let Some(token) = token {
        let unfit = |_| Fault::Failed("the token cannot stand in a header".to_owned());
        head.insert_header("X-Consul-Token", token).map_err(unfit)?;
    }
    Ok(Box::new(head))
}

async fn answered(session: &mut HttpSession, head: Box<RequestHeader>) -> Result<(), Fault> {
    session.write_request_header(head).await.map_err(failed)?;
    session.read_resp_header_parts().await.map_err(failed)?;
    Ok(())
}

async fn read(
    session: &mut HttpSession,
    question: &Question,
    token: Option<&str>,
) -> Result<Answer, Fault> {
    let status = session.get_status().map_or(0, |status| status.as_u16());
    let index = session.get_header("x-consul-index").cloned();
    let mut body = Vec::new();
    while let Some(part) = session.read_body_bytes().await.map_err(failed)? {
        if body.len() + part.len() > LARGEST {
            let most = LARGEST >> 20;
            return Err(Fault::Failed(format!(
                "the answer has more than {most} MiB"
            )));
        }
        body.extend_from_slice(&part);
    }
    let is_missing = status == 404 && question.target.starts_with("/v1/kv/");
    if status != 200 && !is_missing {
        let text = format!("Consul answers {status}{}", said(&body, token));
        return Err(match status {
            401 | 403 => Fault::Forbidden(text),
            _ => Fault::Failed(text),
        });
    }
    let index = index.and_then(|index| index.to_str().ok()?.parse().ok());
    match index {
        Some(index @ 1..) => Ok(Answer {
            index,
            body: (!is_missing).then_some(body),
        }),
        Some(0) => Err(Fault::Failed("its X-Consul-Index is 0".to_owned())),
        None => Err(Fault::Failed(
            "it has no X-Consul-Index: is this Consul?".to_owned(),
        )),
    }
}

/// As a body of the control API has.
const LARGEST: usize = 8 << 20;

/// What Consul says of an error, in one line and without the token.
fn said(body: &[u8], token: Option<&str>) -> String {
    let text = String::from_utf8_lossy(body);
    let text = match token {
        Some(token) => text.replace(token, "(the token)"),
        None => text.into_owned(),
    };
    let line: String = text
        .chars()
        .take_while(|letter| *letter != '\n')
        .filter(|letter| !letter.is_control())
        .collect();
    match line.trim() {
        "" => String::new(),
        line => format!(": {}", shortened(line)),
    }
}

/// Pingora's errors as one line of words, without places in its own code.
fn failed(error: impl Display) -> Fault {
    let text = error.to_string();
    Fault::Failed(shortened(text.trim()).into_owned())
}

//! `pointsman ctl`: the control API for people at a terminal, and for scripts with `--json`.

mod apply;
mod client;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use client::Client;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The control endpoint
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_URL",
        default_value = "http://127.0.0.1:9900"
    )]
    url: String,
    /// The token, where the endpoint wants one
    #[arg(long, global = true, env = "POINTSMAN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print what the endpoint answers as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    change: ChangeArguments,
    #[command(subcommand)]
    command: Command,
}

/// What goes with any change.
#[derive(clap::Args)]
struct ChangeArguments {
    /// Why; kept in the history
    #[arg(long, global = true)]
    reason: Option<String>,
    /// Only show what would change
    #[arg(long, global = true)]
    dry_run: bool,
    /// Pass the rails; needs a reason
    #[arg(long, global = true, requires = "reason")]
    force: bool,
    /// Wait until every live node serves the change, 5 s at most
    #[arg(long, global = true)]
    wait: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Every server with its state, health and counters
    Status,
    /// The nodes that serve this state
    Fleet,
    /// Point a route, or a host's route, at another upstream or address
    Switch {
        /// The route's id, or the host with --host
        route: String,
        /// The upstream or `ip:port`; with --host `-` gives the host back to the common route
        to: String,
        /// The first argument is a host
        #[arg(long)]
        host: bool,
    },
    /// Let a server take requests
    Up(ServerArguments),
    /// Let a server finish what it has and take nothing new
    Drain(ServerArguments),
    /// Take a server out at once
    Down(ServerArguments),
    /// Print a resource as YAML: `state`, `upstreams/web`, `routes/default`, ...
    Get {
        /// Its path below /v1/
        #[arg(default_value = "state")]
        resource: String,
    },
    /// Show how the file's defaults, upstreams and routes differ from the state, and install them
    Apply {
        /// The configuration file
        #[arg(short, long)]
        file: PathBuf,
    },
    /// The last revisions: who changed what, when and why
    History {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Make the state what it was at a revision, as a new revision
    Restore {
        /// Its number
        revision: u64,
    },
}

#[derive(clap::Args)]
struct ServerArguments {
    /// The upstream
    upstream: String,
    /// The server's address
    server: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let client = Client::new(
        &arguments.url,
        arguments.token.as_deref(),
        &arguments.change,
    );
    let answer = match &arguments.command {
        Command::Status => client.get("status")?,
        Command::Fleet => client.get("fleet")?,
        Command::Switch { route, to, host } => switch(&client, route, to, *host)?,
        Command::Up(server) => act(&client, server, "up")?,
        Command::Drain(server) => act(&client, server, "drain")?,
        Command::Down(server) => act(&client, server, "down")?,
        Command::Get { resource } => {
            client.get(resource.trim_start_matches("/v1/").trim_matches('/'))?
        }
        Command::Apply { file } => apply::run(&client, file, arguments.change.dry_run)?,
        Command::History { limit } => client.get(&format!("revisions?limit={limit}"))?,
        Command::Restore { revision } => {
            client.post(&format!("revisions/{revision}/restore"), None)?
        }
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    match &arguments.command {
        Command::Status => show::status(&answer),
        Command::Fleet => show::fleet(&answer),
        Command::History { .. } => show::history(&answer),
        Command::Get { .. } => print!("{}", serde_yaml::to_string(&answer)?),
        _ => show::change(&answer),
    }
    Ok(())
}

fn switch(client: &Client, from: &str, to: &str, is_host: bool) -> anyhow::Result<Value> {
    let (kind, to) = match (is_host, to) {
        (true, "-") => ("hosts", Value::Null),
        (true, to) => ("hosts", json!(to)),
        (false, to) => ("routes", json!(to)),
    };
    client.post(
        &format!("{kind}/{}/switch", client::escape(from)),
        Some(&json!({ "to": to })),
    )
}

fn act(client: &Client, server: &ServerArguments, action: &str) -> anyhow::Result<Value> {
    let (upstream, server) = (
        client::escape(&server.upstream),
        client::escape(&server.server),
    );
    client.post(
        &format!("upstreams/{upstream}/servers/{server}/{action}"),
        None,
    )
}

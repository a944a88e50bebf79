use std::path::Path;

use serde_json::Value;

use super::client::Client;
use super::show;
use crate::config::Config;

/// Shows the difference, then installs the file's half as an ordinary change, provided that nobody
/// changed the state in between.
pub(super) fn run(client: &Client, file: &Path, dry_run: bool) -> anyhow::Result<Value> {
    let config = Config::load(file)?;
    let wanted = serde_json::to_value(&config.seed)?;
    let tag = client.tag("state")?;
    let preview = client.preview("state", &wanted)?;
    if dry_run {
        return Ok(preview);
    }
    show::difference(&preview);
    client.put("state", &wanted, &tag)
}

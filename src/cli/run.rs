use std::path::PathBuf;

use crate::app;
use crate::config::Config;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(short, long, default_value = "conf/pointsman.yaml")]
    config: PathBuf,
    /// Install the file's defaults, upstreams and routes over the stored state, as its next revision
    #[arg(long)]
    reset_state: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    app::run(config, arguments.reset_state, || {})
}

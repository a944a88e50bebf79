use std::path::PathBuf;

use crate::config;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(short, long, default_value = "conf/pointsman.yaml")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("{}", config::check(&arguments.config)?);
    Ok(())
}

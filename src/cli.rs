//! The command line: one file per command.

mod check;
mod ctl;
mod demo;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigErrors;

/// An edge proxy and load balancer whose upstreams change while it runs.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve, with a configuration file
    Run(run::Arguments),
    /// Read a configuration file exactly as `run` does, and say what is wrong with it
    Check(check::Arguments),
    /// Serve four built-in origins, without a file, to try things out
    Demo,
    /// Look at and change a running process through its control endpoint
    Ctl(ctl::Arguments),
}

/// Reads the arguments and runs the command. Exit code 0: fine; 1: it failed, and said why on
/// standard error; 2: wrong usage.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo => demo::run(),
        Command::Ctl(arguments) => ctl::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<ConfigErrors>() {
                // Each line begins with its place, as compilers do it.
                Some(problems) => eprintln!("{problems}"),
                None => eprintln!("pointsman: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

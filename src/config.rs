//! The configuration file: as written (`file`), as read (`reader`), as used ([`Config`]).
//!
//! text -> `tree` (YAML nodes that know their place) -> environment -> sections -> rules -> [`Config`].
//! Whatever is wrong is told with `FILE:LINE:COLUMN`.

mod certificates;
mod env;
mod errors;
mod file;
mod holes;
mod reader;
mod rules;
mod seed;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::discovery::NameServers;
use crate::ports::access_log::AccessLogSettings;
use crate::spec::{Broken, Spec};
use holes::Holes;

pub use errors::{ConfigErrors, Mark, Problem};
pub use settings::{
    ControlSettings, ControlTls, LimitSettings, ListenerSettings, ServerSettings, StateSettings,
};
pub use values::{ByteSize, ListenAddress, Network};

/// Everything that the file says, with the default where it says nothing.
///
/// All but `seed` is fixed until restart. The seed is the first revision of an empty store.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The process.
    pub server: ServerSettings,
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerSettings>,
    /// Where operators connect.
    pub control: ControlSettings,
    /// Where revisions are kept.
    pub state: StateSettings,
    /// Who is asked for the names of servers.
    pub name_servers: NameServers,
    /// A line for each request.
    pub access_log: AccessLogSettings,
    /// Lines about the process; `RUST_LOG` wins.
    pub log_level: log::LevelFilter,
    /// `defaults`, `upstreams` and `routes`; every route has an id, no rule is broken.
    pub seed: Spec,
    /// What is taken but does nothing yet, in file order.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the file at `path`. Errors tell every problem in it, or why it cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        match read(path) {
            Ok(bytes) => Self::from_bytes(&name, &bytes),
            Err(error) => Err(ConfigErrors::unreadable(&name, &error)),
        }
    }

    /// Reads a file's text; `name` stands for the file in errors.
    pub fn from_text(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        Self::from_bytes(name, text.as_bytes())
    }

    /// Reads a file's content; `name` stands for the file in errors.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ConfigErrors> {
        let variable = |name: &str| std::env::var(name).ok();
        read_config(bytes, &variable).map_err(|problems| ConfigErrors::new(name, problems))
    }

    /// What `pointsman demo` runs: two groups of two origins on loopback, nothing kept.
    pub fn demo() -> Result<Self, ConfigErrors> {
        Self::from_text("conf/demo.yaml", include_str!("../conf/demo.yaml"))
    }

    /// What the seed holds, in words: `2 upstreams, 4 servers, 1 route`.
    pub fn summary(&self) -> String {
        let servers = self
            .seed
            .upstreams
            .values()
            .map(|upstream| upstream.servers.len());
        let count = |number: usize, thing: &str| {
            format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
        };
        [
            count(self.seed.upstreams.len(), "upstream"),
            count(servers.sum(), "server"),
            count(self.seed.routes.len(), "route"),
        ]
        .join(", ")
    }
}

/// Reads the file as `run` does and says in a line that it is fine, after a line for each warning, or
/// what is not.
pub fn check(path: &Path) -> Result<String, ConfigErrors> {
    let config = Config::load(path)?;
    let file = path.display();
    let warnings = config.warnings.iter().map(|Problem { at, message }| {
        format!("{file}:{}:{}: warning: {message}", at.line, at.column)
    });
    let fine = format!("{file}: ok ({})", config.summary());
    Ok(warnings.chain([fine]).collect::<Vec<_>>().join("\n"))
}

/// Far above any file written by hand or by a tool; a mistaken path (a disk image, `/dev/zero`)
/// must not fill the memory.
const LARGEST_FILE: u64 = 64 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("the file is larger than 64 MiB"));
    }
    Ok(bytes)
}

fn read_config(
    bytes: &[u8],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Problem>> {
    let mut root = tree::parse(bytes).map_err(|problem| vec![problem])?;
    let mut reader = reader::Reader::default();
    env::expand(&mut root, variable, &mut reader);
    let written = file::ConfigFile::read(&root, &mut reader);
    let mut config = written.settle(variable);
    let (mut unusable, doubtful) = certificates::examine(&config);
    unusable.retain(|broken| reader.holes.is_whole(&root, &broken.pointer));
    let broken = rules::broken(&config, &root, &reader.holes);
    for broken in broken.into_iter().chain(unusable) {
        let place = reader.holes.place(&root, &broken.pointer);
        reader.note(place, broken.message);
    }
    config.warnings = warnings(doubtful, &root, &reader.holes);
    let problems = reader.into_problems();
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(problems)
    }
}

fn warnings(doubtful: Vec<Broken>, root: &tree::Node, holes: &Holes) -> Vec<Problem> {
    let warning = |broken: Broken| Problem {
        at: holes.place(root, &broken.pointer),
        message: broken.message,
    };
    let mut warnings: Vec<_> = doubtful.into_iter().map(warning).collect();
    warnings.sort_by_key(|warning| warning.at);
    warnings
}

use super::Tls;
use crate::ports::pem::WatchedFiles;

/// Looks whether the files of listeners have changed, and lets new ones serve.
#[derive(Debug, Default)]
pub struct Watch(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    listener: String,
    tls: Tls,
    files: WatchedFiles,
}

impl Watch {
    /// Also those of this listener.
    pub fn add(&mut self, listener: String, tls: Tls) {
        let files = tls.0.watched.clone();
        self.0.push(Watched {
            listener,
            tls,
            files,
        });
    }

    /// Looks once.
    pub fn look(&mut self) {
        for Watched {
            listener,
            tls,
            files,
        } in &mut self.0
        {
            files.look(&format!("listener {listener}"), || {
                let warnings = tls.reload().map_err(|problem| problem.to_string())?;
                Ok(warnings.iter().map(ToString::to_string).collect())
            });
        }
    }
}

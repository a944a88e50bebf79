use super::Tls;
use super::files::Print;

/// Looks whether the files of listeners have changed, and lets new ones serve.
///
/// Looks at their dates and lengths: that works on every file system, also when a directory is swapped behind a link.
#[derive(Debug, Default)]
pub struct Watch(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    listener: String,
    tls: Tls,
    /// As the served files were.
    served: Vec<Print>,
    /// As the files were at the last look.
    last: Vec<Print>,
    /// What was said about files that cannot serve.
    told: Option<String>,
}

impl Watch {
    /// Also those of this listener.
    pub fn add(&mut self, listener: String, tls: Tls) {
        let first = tls.0.first.clone();
        self.0.push(Watched {
            listener,
            tls,
            served: first.clone(),
            last: first,
            told: None,
        });
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks once. Files that changed since the last look may still be written: they are read at the next one.
    pub fn look(&mut self) {
        self.0.iter_mut().for_each(Watched::look);
    }
}

impl Watched {
    fn look(&mut self) {
        let now = self.tls.0.files.prints();
        if now != self.last {
            self.last = now;
            return;
        }
        // Files that could not serve are tried again: a permission changes without a trace in dates and lengths.
        if now == self.served && self.told.is_none() {
            return;
        }
        let listener = &self.listener;
        match self.tls.reload() {
            Ok(warnings) => {
                log::info!("listener {listener}: the changed TLS files serve from now on");
                for warning in warnings {
                    log::warn!("listener {listener}: {warning}");
                }
                self.served = now;
                self.told = None;
            }
            Err(problem) => {
                let problem = problem.to_string();
                if self.told.as_ref() != Some(&problem) {
                    log::error!(
                        "listener {listener}: the TLS files before the change go on serving: {problem}"
                    );
                    self.told = Some(problem);
                }
            }
        }
    }
}

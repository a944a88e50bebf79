//! Redis tells which keys change (`CLIENT TRACKING`, in broadcasting mode): for all that begins with the prefix,
//! whoever writes them, and without any setting of its configuration.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use ::redis::{Cmd, PushInfo, PushKind, Value, cmd};

use super::Redis;
use super::connection::{STEP, Session};
use super::fault::Fault;
use super::host_keys::name_of;
use crate::store::locked;

/// Listens until it is dropped.
pub struct Tracking(Arc<Heard>);

/// What was heard since it was asked for last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Anything may have changed: listening has begun anew, everything went, or too much was heard.
    pub all: bool,
    /// Keys that were written or deleted, without the prefix.
    pub keys: BTreeSet<String>,
    /// Why nothing can be heard now.
    pub trouble: Option<String>,
}

#[derive(Default)]
struct Heard {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    news: News,
    is_over: bool,
}

impl Tracking {
    pub(super) fn begin(redis: Arc<Redis>, prefix: String) -> std::io::Result<Self> {
        let heard = Arc::new(Heard::default());
        let listener = Listener {
            redis,
            prefix,
            heard: heard.clone(),
        };
        Builder::new()
            .name("host-keys".into())
            .spawn(move || listener.run())?;
        Ok(Self(heard))
    }

    /// Waits until there is something new, for `patience` at most.
    pub fn wait(&self, patience: Duration) -> News {
        let is_nothing = |inner: &mut Inner| !inner.news.all && inner.news.keys.is_empty();
        let inner = locked(&self.0.inner);
        let (mut inner, _) = self
            .0
            .changed
            .wait_timeout_while(inner, patience, is_nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let trouble = inner.news.trouble.clone();
        let next = News {
            trouble,
            ..News::default()
        };
        std::mem::replace(&mut inner.news, next)
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        locked(&self.0.inner).is_over = true;
        self.0.changed.notify_all();
    }
}

/// The thread that keeps a connection.
struct Listener {
    redis: Arc<Redis>,
    prefix: String,
    heard: Arc<Heard>,
}

impl Listener {
    fn run(self) {
        let mut pause = RETRY;
        loop {
            let begun = Instant::now();
            let Err(fault) = self.listen() else { return };
            let why = fault.at(&self.redis.place).to_string();
            locked(&self.heard.inner).news.trouble = Some(why);
            // What could be heard for a while may be so again at once.
            pause = match begun.elapsed() > BEAT / 2 {
                true => RETRY,
                false => (pause * 2).min(LONG),
            };
            let jitter = pause.mul_f64(fastrand::f64() / 2.0);
            let is_over = |inner: &mut Inner| !inner.is_over;
            let inner = locked(&self.heard.inner);
            let waited = self
                .heard
                .changed
                .wait_timeout_while(inner, pause + jitter, is_over);
            if waited.unwrap_or_else(PoisonError::into_inner).0.is_over {
                return;
            }
        }
    }

    /// Listens until nobody asks any more, or until that fails.
    fn listen(&self) -> Result<(), Fault> {
        let connections = &self.redis.connections;
        let mut connection = connections.connect(Instant::now() + STEP)?;
        let (tell, told) = channel();
        connection.set_push_sender(tell);
        let mut ask = |command: &Cmd, wait: Duration| {
            let end = Instant::now() + STEP + wait;
            Session::new(&mut connection, end).ask_blocking(command, wait)
        };
        ask(cmd("HELLO").arg(3), Duration::ZERO)?;
        let mut track = cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST");
        if !self.prefix.is_empty() {
            track.arg("PREFIX").arg(&self.prefix);
        }
        ask(&track, Duration::ZERO)?;
        let (heard, prefix) = (self.heard.clone(), self.prefix.clone());
        // Ends with the connection.
        Builder::new()
            .name("host-keys".into())
            .spawn(move || heard.take(&prefix, &told))
            .map_err(|error| Fault::Away(format!("no thread: {error}")))?;
        self.heard.begin_anew();
        // Messages come while it waits for a command that takes its time; that it ends in time says that somebody is there.
        let mut wait = cmd("XREAD");
        wait.arg("BLOCK").arg(BEAT.as_millis() as u64);
        wait.arg("STREAMS").arg(self.redis.keys.nothing()).arg("$");
        while !locked(&self.heard.inner).is_over {
            ask(&wait, BEAT)?;
        }
        Ok(())
    }
}

impl Heard {
    fn begin_anew(&self) {
        let mut inner = locked(&self.inner);
        inner.news.all = true;
        inner.news.trouble = None;
        self.changed.notify_all();
    }

    /// Takes messages in until there are no more. However many come, little is kept.
    fn take(&self, prefix: &str, told: &Receiver<PushInfo>) {
        for push in told {
            if push.kind != PushKind::Invalidate {
                continue;
            }
            let mut inner = locked(&self.inner);
            for value in &push.data {
                match value {
                    Value::Array(keys) => inner.news.add(prefix, keys),
                    // Of no key in particular: the database was emptied.
                    _ => inner.news.all = true,
                }
            }
            self.changed.notify_all();
        }
    }
}

impl News {
    fn add(&mut self, prefix: &str, keys: &[Value]) {
        let bytes = keys.iter().filter_map(|key| match key {
            Value::BulkString(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        self.keys
            .extend(bytes.filter_map(|key| name_of(prefix, key)));
        if self.keys.len() > MOST {
            self.keys.clear();
            self.all = true;
        }
    }
}

/// Keys that are kept by name; what is more is looked for.
const MOST: usize = 1000;
/// How long one command waits.
const BEAT: Duration = Duration::from_secs(1);
/// After a failure; twice as long after each further one, up to [`LONG`].
const RETRY: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_heard_little_is_kept() {
        let mut news = News::default();
        let key = |n: usize| Value::BulkString(format!("h:{n}").into_bytes());
        news.add("h:", &(0..MOST).map(key).collect::<Vec<_>>());
        assert_eq!((news.all, news.keys.len()), (false, MOST));
        news.add("h:", &[key(MOST)]);
        assert_eq!((news.all, news.keys.len()), (true, 0));
    }
}

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How many heads have begun and not ended, over HTTP/1: a process that ends lets them come in for a moment. Their senders
/// have done nothing wrong, and could not tell whether the request was served.
#[derive(Debug, Clone, Default)]
pub(super) struct HalfHeads(Arc<watch::Sender<usize>>);

/// One of them, for as long as it is kept.
#[derive(Debug)]
pub(super) struct HalfHead(HalfHeads);

/// What is sent in one go comes in within a round trip or two.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// What was sent before anyone could know of the end is here by then, and a busy machine has noticed it.
pub(super) const ON_ITS_WAY: Duration = Duration::from_millis(500);

impl HalfHeads {
    /// One more.
    pub(super) fn begin(&self) -> HalfHead {
        self.0.send_modify(|count| *count += 1);
        HalfHead(self.clone())
    }

    /// Until what is on its way has come and there are none, or no longer than a moment.
    pub(super) async fn gone(&self) {
        let gone = async {
            sleep(ON_ITS_WAY).await;
            let mut count = self.0.subscribe();
            let _counted = count.wait_for(|count| *count == 0).await;
        };
        let _in_time = timeout(MOMENT, gone).await;
    }
}

impl Drop for HalfHead {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

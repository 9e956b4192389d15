use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A background task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(AbortHandle);

impl Task {
    pub(super) fn spawn(runtime: &Handle, future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(runtime.spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

use tokio::runtime::{Builder, Handle, Runtime};

/// Where DNS, health checks and the like run: never on a worker, which they would delay. It may be dropped
/// anywhere, inside another runtime too.
pub(crate) struct Control {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Control {
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self {
            runtime: Some(runtime),
            handle,
        })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

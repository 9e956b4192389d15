use std::fs::{self, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::wire::{self, BATCH, MAX_LINE, Offer, Place, Request, SERVING, VERSION};

/// Longest wait for what the new process is to say, but for its last word.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait for its last word: it starts its workers meanwhile.
const START: Duration = Duration::from_mins(1);

type Sockets = Arc<Mutex<Vec<(Place, TcpListener)>>>;

/// Gives this process's listening sockets to the one that comes after it.
#[derive(Debug)]
pub(crate) struct Giver {
    sockets: Sockets,
    task: AbortHandle,
}

impl Giver {
    /// Answers on the Unix socket at `path` from now on, in place of a process before. `sockets` are copies;
    /// `given` is called when another process serves from some of them.
    pub(crate) fn start(
        runtime: &Handle,
        path: &Path,
        sockets: Vec<(Place, TcpListener)>,
        given: impl FnOnce(Vec<Place>) + Send + 'static,
    ) -> io::Result<Self> {
        let listener = bind(path)?;
        let sockets: Sockets = Arc::new(Mutex::new(sockets));
        let _inside = runtime.enter();
        let listener = UnixListener::from_std(listener)?;
        let task = runtime.spawn({
            let sockets = Arc::clone(&sockets);
            async move {
                let places = until_given(&listener, &sockets).await;
                lock(&sockets).clear();
                given(places);
            }
        });
        Ok(Self {
            sockets,
            task: task.abort_handle(),
        })
    }

    /// Gives nothing any more and closes its copies, so that the listeners close when their last user does.
    pub(crate) fn stop(&self) {
        self.task.abort();
        lock(&self.sockets).clear();
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Binds beside `path` and moves it there: there is never a moment without a socket that answers.
fn bind(path: &Path) -> io::Result<StdUnixListener> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdUnixListener::bind(&beside)?;
    let placed = fs::set_permissions(&beside, Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&beside, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    Ok(listener)
}

async fn until_given(listener: &UnixListener, sockets: &Sockets) -> Vec<Place> {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the next process can't be given the sockets");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        match give(stream, sockets).await {
            Ok(places) => return places,
            Err(error) => tracing::warn!(%error, "a process asked for the sockets and didn't take them"),
        }
    }
}

/// What another process serves from now.
async fn give(stream: UnixStream, sockets: &Sockets) -> io::Result<Vec<Place>> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut stream = BufReader::new(stream);
    let wanted = limited(PATIENCE, wanted(&mut stream)).await?;
    let offered: Vec<Place> = {
        let sockets = lock(sockets);
        let places = sockets.iter().map(|(place, _)| *place);
        places.filter(|place| wanted.contains(place)).collect()
    };
    limited(PATIENCE, send(stream.get_mut(), &offered, sockets)).await?;
    let mut said = vec![0; SERVING.len()];
    limited(START, stream.read_exact(&mut said)).await?;
    if said != SERVING {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(offered)
}

async fn wanted(stream: &mut BufReader<UnixStream>) -> io::Result<Vec<Place>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    stream.take(limit).read_until(b'\n', &mut line).await?;
    let request: Request = serde_json::from_slice(&line)?;
    if request.version != VERSION {
        let problem = format!("it speaks version {}, this process {VERSION}", request.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(request.wanted)
}

async fn send(stream: &mut UnixStream, offered: &[Place], sockets: &Sockets) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Offer {
        sockets: offered.to_vec(),
    })?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut sent = 0;
    while sent < offered.len() {
        sent += stream
            .async_io(Interest::WRITABLE, || {
                let sockets = lock(sockets);
                let descriptors: Vec<_> = sockets
                    .iter()
                    .filter(|(place, _)| offered.contains(place))
                    .skip(sent)
                    .take(BATCH)
                    .map(|(_, socket)| socket.as_fd())
                    .collect();
                if descriptors.is_empty() {
                    return Err(io::ErrorKind::ConnectionAborted.into()); // Stopped meanwhile.
                }
                wire::send_descriptors(stream.as_fd(), &descriptors)?;
                Ok(descriptors.len())
            })
            .await?;
    }
    Ok(())
}

async fn limited<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn lock(sockets: &Sockets) -> MutexGuard<'_, Vec<(Place, TcpListener)>> {
    sockets.lock().unwrap_or_else(PoisonError::into_inner)
}

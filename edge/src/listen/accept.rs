use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connection;
use super::drain::begun;
use super::sockets::{Listener, Role};
use super::worker::Local;
use crate::handover::Place;
use crate::observe::ConnectionEnd;

/// Pause after a failure that only time or closed connections cure (no descriptors, no memory).
const RETRY: Duration = Duration::from_millis(20);

/// Accepts connections until draining begins; then those that are queued, and no more. Once another process
/// has the socket, those in its queue are that one's.
pub(crate) async fn run(local: Rc<Local>, listener: Listener) {
    let Listener { place, socket } = listener;
    let role = place.role;
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listening socket can't be used");
            return;
        }
    };
    let mut drain = local.common.drain.clone();
    let mut given = local.common.given.clone();
    loop {
        tokio::select! {
            biased;
            () = is_given(&mut given, place) => return,
            _ = begun(&mut drain) => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => take(&local, socket, peer, role),
                Err(error) => pause(&local, &error).await,
            },
        }
    }
    empty_queue(&local, listener, role);
}

/// Resolves when another process serves from the sockets of this place.
async fn is_given(given: &mut watch::Receiver<Vec<Place>>, place: Place) {
    if given.wait_for(|places| places.contains(&place)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Takes what the kernel has queued: closing a listener resets everything in its queue.
fn empty_queue(local: &Rc<Local>, listener: TcpListener, role: Role) {
    let Ok(listener) = listener.into_std() else { return };
    loop {
        let accepted = listener.accept().and_then(|(socket, peer)| {
            socket.set_nonblocking(true)?;
            Ok((TcpStream::from_std(socket)?, peer))
        });
        match accepted {
            Ok((socket, peer)) => take(local, socket, peer, role),
            Err(error) if is_transient(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn pause(local: &Local, error: &io::Error) {
    if is_transient(error) {
        return;
    }
    local.recorder.counters().accept_error();
    tracing::warn!(%error, "can't accept");
    tokio::time::sleep(RETRY).await;
}

fn take(local: &Rc<Local>, socket: TcpStream, peer: SocketAddr, role: Role) {
    local.recorder.counters().accepted();
    match local.common.open.take() {
        Some(permit) => {
            let presence = local.presence();
            let served = connection::serve(Rc::clone(local), socket, peer, role);
            tokio::task::spawn_local(async move {
                served.await;
                drop((permit, presence));
            });
        }
        None => local.recorder.counters().ended(ConnectionEnd::Refused, (0, 0)),
    }
}

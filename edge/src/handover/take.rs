use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::wire::{self, MAX_LINE, Offer, Place, Request, SERVING, VERSION};

/// Longest wait for the other process, which has nothing to do but to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sockets of the process before, which goes on to accept until [`Taken::confirm`].
#[derive(Debug)]
pub(crate) struct Taken {
    sockets: Vec<(Place, TcpListener)>,
    stream: UnixStream,
}

impl Taken {
    /// The sockets for one place.
    pub(crate) fn at(&mut self, place: Place) -> Vec<TcpListener> {
        let matching = self.sockets.extract_if(.., |(of, _)| *of == place);
        matching.map(|(_, socket)| socket).collect()
    }

    /// Tells the process before that this one accepts now.
    pub(crate) fn confirm(mut self) -> io::Result<()> {
        self.stream.write_all(SERVING)
    }
}

/// Asks the process that serves for its sockets at these places. `None`: there is no such process.
pub(crate) fn take(path: &Path, wanted: &[Place]) -> io::Result<Option<Taken>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = serde_json::to_vec(&Request {
        version: VERSION,
        wanted: wanted.to_vec(),
    })?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let (offer, descriptors) = receive(&stream)?;
    let sockets = check(&offer, descriptors)?;
    Ok(Some(Taken { sockets, stream }))
}

fn receive(stream: &UnixStream) -> io::Result<(Offer, Vec<OwnedFd>)> {
    let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    let mut offer: Option<Offer> = None;
    loop {
        if let Some(offer) = offer.take_if(|offer| descriptors.len() >= offer.sockets.len()) {
            return Ok((offer, descriptors));
        }
        if bytes.len() > MAX_LINE {
            return Err(invalid("its line doesn't end"));
        }
        if wire::receive(stream.as_fd(), &mut bytes, &mut descriptors)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if offer.is_none()
            && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
        {
            offer = Some(serde_json::from_slice(bytes.get(..end).unwrap_or_default())?);
        }
    }
}

/// Takes nothing on trust that would be served from.
fn check(offer: &Offer, descriptors: Vec<OwnedFd>) -> io::Result<Vec<(Place, TcpListener)>> {
    if offer.sockets.len() != descriptors.len() {
        return Err(invalid("it gave another number of sockets than it said"));
    }
    let sockets = offer.sockets.iter().copied().zip(descriptors);
    sockets
        .map(|(place, descriptor)| {
            let socket = TcpListener::from(descriptor);
            if socket.local_addr()? != place.address {
                return Err(invalid("a socket isn't where it was said to be"));
            }
            socket.set_nonblocking(true)?;
            Ok((place, socket))
        })
        .collect()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

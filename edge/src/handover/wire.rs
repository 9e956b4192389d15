use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::listen::Role;

/// What both sides speak; another number is answered with nothing.
pub(super) const VERSION: u32 = 1;

/// Said by the new process once it accepts connections.
pub(super) const SERVING: &[u8] = b"serving\n";

/// Most bytes of a line.
pub(super) const MAX_LINE: usize = 256 << 10;

/// Descriptors in one message; the kernel allows 253.
pub(super) const BATCH: usize = 64;

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) role: Role,
    pub(crate) address: SocketAddr,
}

/// The first line of the new process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) version: u32,
    /// Where it will listen.
    pub(super) wanted: Vec<Place>,
}

/// The old process's answer, followed by as many descriptors.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Offer {
    /// One for each descriptor, in their order.
    pub(super) sockets: Vec<Place>,
}

/// Sends one byte with up to [`BATCH`] descriptors.
pub(super) fn send_descriptors(socket: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors",
        ));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(b".")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives bytes, with the descriptors that came with them; no bytes at the end.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buf = [0; 4096];
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut buf)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    bytes.extend_from_slice(buf.get(..received.bytes).unwrap_or_default());
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

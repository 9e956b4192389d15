//! Listening sockets pass from a process to the one that takes its place on the node.
//!
//! A listener that is closed resets the connections in its queue, also when another process listens on the same
//! port. So no listener is closed: the old process gives its sockets to the new one over a Unix socket in the
//! node's state directory, and stops to accept when the new one says that it serves. Where nobody gives
//! anything, because nobody is there or it can't be understood, the new process makes sockets of its own.

mod give;
mod take;
mod wire;

pub(crate) use give::Giver;
pub(crate) use take::{Taken, take};
pub(crate) use wire::Place;

use std::path::{Path, PathBuf};

/// The Unix socket over which the process that serves gives its listeners away.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("handover.sock")
}

//! Visitors' side: sockets, workers, TLS, and the adaptors between hyper and the phases.
//!
//! In: listening sockets and the configuration in force. Out: answers. It parses nothing itself and decides
//! nothing about a request: that is the phases' part. It must never let one visitor hold more than the limits
//! say, and never close a listener that has connections in its queue.

mod accept;
mod ahead;
mod ask;
mod bell;
mod certificates;
mod client_body;
mod connection;
mod deadline;
mod drain;
mod exchange;
mod fill;
mod gather;
mod h1;
mod handshake;
mod head;
mod meter;
mod outgoing;
mod payload;
mod sockets;
mod stalls;
mod steps;
mod tls;
mod unread;
mod upgrade;
mod warm;
mod worker;

pub(crate) use certificates::Certificates;
pub(crate) use drain::Drain;
pub(crate) use sockets::{Group, Role, bind_group, deal, is_dual_stack};
pub(crate) use tls::{Policies, SiteTls};
pub(crate) use worker::{Clock, Common, OpenConnections, Seat, Workers, cores};

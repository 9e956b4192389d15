//! The sockets that an edge listens on: taken from the process before where there is one, made where not.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::handover::{self, Place, Taken};
use crate::listen::{Group, Role, bind_group, is_dual_stack};
use crate::options::EdgeOptions;

/// What the process before gives.
pub(crate) fn take_over(options: &EdgeOptions) -> Option<Taken> {
    let path = handover::socket_path(options.state_dir.as_deref()?);
    let wanted: Vec<Place> = places(options).map(|(place, _)| place).collect();
    match handover::take(&path, &wanted) {
        Ok(taken) => taken,
        Err(error) => {
            tracing::warn!(%error, "the process before gives no sockets; this one makes its own");
            None
        }
    }
}

fn places(options: &EdgeOptions) -> impl Iterator<Item = (Place, &[SocketAddr])> {
    let lists = [
        (Role::Http, options.http.as_slice()),
        (Role::Https, options.https.as_slice()),
    ];
    lists.into_iter().flat_map(|(role, addresses)| {
        let place = move |address: &SocketAddr| Place {
            role,
            address: *address,
        };
        addresses.iter().map(move |address| (place(address), addresses))
    })
}

/// A group of sockets for each address: what the process before gave, and new ones. An error tells the
/// address.
pub(crate) fn bind(
    options: &EdgeOptions,
    count: usize,
    mut before: Option<&mut Taken>,
) -> Result<Vec<Group>, (SocketAddr, io::Error)> {
    places(options)
        .map(|(place, addresses)| {
            let dual = is_dual_stack(place.address, addresses);
            let sockets = before.as_mut().map_or_else(Vec::new, |before| before.at(place));
            bind_group(place, sockets, dual, count).map_err(|error| (place.address, error))
        })
        .collect()
}

/// The sockets once more, for the next process; none when one of them can't be copied.
pub(crate) fn copies(groups: &[Group]) -> Vec<(Place, TcpListener)> {
    let sockets = groups
        .iter()
        .flat_map(|group| group.sockets.iter().map(|socket| (group.place, socket)));
    let copies: io::Result<_> = sockets
        .map(|(place, socket)| Ok((place, socket.try_clone()?)))
        .collect();
    copies.unwrap_or_else(|error| {
        tracing::warn!(%error, "the listeners can't be handed to the next process");
        Vec::new()
    })
}

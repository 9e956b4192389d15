//! `identify`: the visitor's address. Only a trusted proxy is believed when it tells another.

use std::net::IpAddr;

use super::Context;
use crate::compile::Site;
use crate::scratch::Scratch;
use crate::wire::{Fields, Name};

/// Most addresses of a list that are looked at.
const MAX_HOPS: usize = 32;

pub(crate) fn run(cx: &Context<'_, '_>, site: &Site, scratch: &mut Scratch) {
    let peer = cx.conn.peer.ip().to_canonical();
    scratch.state.client = Some(peer);
    let Some((id, name)) = site.client_field.as_ref().filter(|_| site.trusted.contains(peer)) else {
        return;
    };
    let (client, is_proxy) = behind_proxies(site, &cx.head.fields, *id, name).unwrap_or((peer, true));
    scratch.state.client = Some(client);
    scratch.state.client_is_proxy = is_proxy;
}

/// The last address that isn't a trusted proxy's; the first of the trusted where all are. A part that is no
/// address ends the search: what stands before it was written by nobody known.
fn behind_proxies(site: &Site, fields: &Fields<'_>, id: Name, name: &[u8]) -> Option<(IpAddr, bool)> {
    let mut last_trusted = None;
    let lines: smallvec::SmallVec<[&[u8]; 4]> = match id {
        Name::Other => fields.named(name).collect(),
        id => fields.all(id).collect(),
    };
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|b| *b == b','));
    for hop in hops.take(MAX_HOPS) {
        let Some(address) = address(hop.trim_ascii()) else {
            break;
        };
        if !site.trusted.contains(address) {
            return Some((address, false));
        }
        last_trusted = Some((address, true));
    }
    last_trusted
}

/// An address, in the forms that proxies write: bare, in brackets, with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // One colon separates a port; more are IPv6.
        None => match text.split_once(':') {
            Some((v4, port)) if !port.contains(':') => v4,
            _ => text,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

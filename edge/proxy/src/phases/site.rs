//! `site`: which site the host belongs to. A host that nobody here serves gets no answer, so that scanners
//! learn nothing.

use super::Context;
use crate::compile::Site;
use crate::reason::Reason;
use crate::reply::Exit;
use crate::scratch::Scratch;

pub(crate) fn run<'r>(cx: &Context<'r, '_>, scratch: &mut Scratch) -> Result<&'r Site, Exit> {
    let snapshot = cx.view.snapshot();
    let index = snapshot
        .find_index(&scratch.host)
        .ok_or(Exit::Silent(Reason::UnknownHost))?;
    let site = snapshot.site(index).ok_or(Exit::Silent(Reason::UnknownHost))?;
    scratch.state.site = Some(index);
    // A client may send requests for any host over a connection that it has (RFC 9110 §7.4); only those that
    // the handshake vouched for, under the terms that their site asks for, are answered on it.
    if let Some(tls) = &cx.conn.tls
        && (!tls.covers(&scratch.host) || tls.version < site.min_tls)
    {
        return Err(Reason::Misdirected.into());
    }
    Ok(site)
}

//! `redirect`: plain HTTP to HTTPS.

use bytes::Bytes;

use super::Context;
use crate::compile::Site;
use crate::reason::Reason;
use crate::reply::{self, Exit};
use crate::scratch::Scratch;
use crate::wire::Name;

pub(crate) fn run(cx: &Context<'_, '_>, site: &Site, scratch: &mut Scratch) -> Result<(), Exit> {
    let Some(redirect) = site.redirect.filter(|_| cx.conn.tls.is_none()) else {
        return Ok(());
    };
    let port = if redirect.port == 443 {
        String::new()
    } else {
        format!(":{}", redirect.port)
    };
    let target: &[u8] = if cx.head.target == b"*" {
        b"/"
    } else {
        cx.head.target
    };
    reply::begin(&mut scratch.response, redirect.status, cx.now);
    let parts = [b"https://", scratch.host.as_bytes(), port.as_bytes(), target];
    scratch.response.fields.push_joined(Name::Location, &parts);
    scratch.response.length = Some(0);
    Err(Exit::Written(Reason::HttpsRedirect, Bytes::new()))
}

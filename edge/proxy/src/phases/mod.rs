//! The phases, one file each, in the order of a request. Names are those of logs and metrics.

pub(crate) mod admit;
pub(crate) mod body;
pub(crate) mod cookies;
pub(crate) mod decorate;
pub(crate) mod device;
pub(crate) mod fetch;
pub(crate) mod forwarding;
pub(crate) mod graphql;
pub(crate) mod identify;
pub(crate) mod interim;
pub(crate) mod invalidate;
pub(crate) mod key;
pub(crate) mod lookup;
pub(crate) mod parse;
pub(crate) mod prepare;
pub(crate) mod record;
pub(crate) mod redirect;
pub(crate) mod route;
pub(crate) mod serve;
pub(crate) mod site;
mod steering;
pub mod trailers;
mod waiting;

use std::cell::RefCell;

use breakwater_edge_cache::Near;

use crate::Now;
use crate::boundary::{Event, Step};
use crate::compile::Site;
use crate::facts::ConnFacts;
use crate::reply::{self, Exit};
use crate::scratch::Scratch;
use crate::wire::RequestHead;
use crate::worker::{Shared, View};

/// What every phase may look at.
pub(crate) struct Context<'r, 'a> {
    pub(crate) shared: &'r Shared,
    pub(crate) near: &'r RefCell<Near>,
    pub(crate) view: &'r View,
    pub(crate) conn: &'r ConnFacts,
    pub(crate) head: &'r RequestHead<'a>,
    pub(crate) now: Now,
}

impl<'r> Context<'r, '_> {
    /// The site, once its phase has found it.
    pub(crate) fn site(&self, scratch: &Scratch) -> Option<&'r Site> {
        scratch.state.site(self.view).map(|site| &**site)
    }

    /// The scheme that the visitor used.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.conn.tls.is_some() { "https" } else { "http" }
    }

    /// The port that the visitor asked for; the scheme's own where none was named.
    pub(crate) fn port(&self, scratch: &Scratch) -> u16 {
        scratch.port.unwrap_or(self.own_port())
    }

    fn own_port(&self) -> u16 {
        if self.conn.tls.is_some() { 443 } else { 80 }
    }

    /// Host and port as origins are told them: in one form for all requests that share a key, so without the
    /// scheme's own port.
    pub(crate) fn authority(&self, scratch: &Scratch) -> String {
        match scratch.port.filter(|port| *port != self.own_port()) {
            Some(port) => format!("{}:{port}", scratch.host),
            None => scratch.host.clone(),
        }
    }
}

pub(crate) fn begin(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Step {
    run(cx, scratch).unwrap_or_else(|exit| reply::exit(exit, cx, scratch))
}

/// The order is the point: nothing is counted or answered for a host that isn't ours, nobody is limited by an
/// address that isn't theirs, nothing reaches the cache or an origin that wasn't admitted. A route is
/// searched before `admit` because it has limits of its own.
fn run(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Result<Step, Exit> {
    parse::run(cx, scratch)?;
    let site = site::run(cx, scratch)?;
    redirect::run(cx, site, scratch)?;
    identify::run(cx, site, scratch);
    scratch.state.route = route::find(cx.head, site);
    admit::run(cx, site, scratch)?;
    let (route, origin) = route::run(cx, site, scratch)?;
    lookup::run(cx, lookup::Target { site, route, origin }, scratch)
}

/// A request of the edge's own: nobody is limited, redirected or refused by it.
pub(crate) fn warm(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Step {
    let step = parse::run(cx, scratch).map_err(Exit::from).and_then(|()| {
        let site = site::run(cx, scratch)?;
        scratch.state.route = route::find(cx.head, site);
        let (route, origin) = route::run(cx, site, scratch)?;
        lookup::run(cx, lookup::Target { site, route, origin }, scratch)
    });
    step.unwrap_or_else(|exit| reply::exit(exit, cx, scratch))
}

pub(crate) fn resume(cx: &Context<'_, '_>, event: Event<'_, '_>, scratch: &mut Scratch) -> Step {
    let step = match event {
        Event::OriginHead(answer) => fetch::answer(cx, answer, scratch),
        Event::OriginFailed(failure) => fetch::failure(cx, failure, scratch),
        Event::FillHead { head, collapsed } => waiting::waited(cx, head, collapsed, scratch),
        Event::Body(read) => body::read(cx, read, scratch),
        Event::Loaded => waiting::loaded(cx, scratch),
        Event::WaitTimedOut => waiting::timed_out(cx, scratch),
    };
    step.unwrap_or_else(|exit| reply::exit(exit, cx, scratch))
}

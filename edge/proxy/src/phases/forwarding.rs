//! The fields of a request to an origin, written again from the parsed ones: what belonged to the visitor's
//! connection goes first, our own are added after, the site's and the route's edits come last.

use std::io::Write as _;
use std::net::IpAddr;

use breakwater_edge_config::{CacheKey, OriginProtocol};

use super::device::DeviceClass;
use super::steering::{is, poses, steers};
use super::{Context, body, cookies, device, parse};
use crate::coding;
use crate::compile::{CacheRules, Route, Site};
use crate::facts::Protocol;
use crate::scratch::Scratch;
use crate::wire::{Field, FieldBuf, Fields, Name};

/// What the request to the origin is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'p> {
    /// One visitor alone: end-to-end fields pass unchanged.
    Pass,
    /// An answer that may be stored and given to others: fields by which one visitor could change it for all
    /// are left out, unless they are in the key.
    Store(&'p CacheRules),
}

/// Fields that belong to one connection, to framing, or that are decided here.
fn belongs_to_hop(field: &Field<'_>) -> bool {
    match field.id {
        Name::Connection
        | Name::ContentLength
        | Name::Expect
        | Name::Host
        | Name::KeepAlive
        | Name::ProxyConnection
        | Name::Te
        | Name::TransferEncoding
        | Name::Upgrade => true,
        Name::Other => {
            // CGI hands `Proxy` over as the variable that names a client's proxy.
            field.name.eq_ignore_ascii_case(b"proxy")
                || field.name.eq_ignore_ascii_case(b"proxy-authorization")
                || field.name.eq_ignore_ascii_case(b"proxy-authenticate")
                || field.name.eq_ignore_ascii_case(b"http2-settings")
        }
        _ => false,
    }
}

fn is_nominated(fields: &Fields<'_>, name: &[u8]) -> bool {
    fields.has(Name::Connection)
        && parse::nominated(fields).any(|nominated| nominated.eq_ignore_ascii_case(name))
}

/// True for fields that a hop must not pass on, nominated ones included.
pub(crate) fn is_hop_by_hop(fields: &Fields<'_>, field: &Field<'_>) -> bool {
    belongs_to_hop(field) || is_nominated(fields, field.name)
}

/// True when Connection nominates a field that would otherwise have reached the origin.
pub(crate) fn hides_fields(fields: &Fields<'_>) -> bool {
    fields.has(Name::Connection)
        && fields
            .iter()
            .any(|field| !belongs_to_hop(field) && is_nominated(fields, field.name))
}

/// Fields that make a request conditional or partial: a fill asks for the whole.
fn narrows(id: Name) -> bool {
    matches!(
        id,
        Name::IfMatch
            | Name::IfNoneMatch
            | Name::IfModifiedSince
            | Name::IfUnmodifiedSince
            | Name::IfRange
            | Name::Range
    )
}

/// Whether an end-to-end field of the visitor's is passed on.
fn passes(cx: &Context<'_, '_>, site: &Site, route: &Route, purpose: Purpose<'_>, field: &Field<'_>) -> bool {
    // These are written anew below, from what is known.
    if matches!(
        field.id,
        Name::XForwardedFor | Name::XForwardedHost | Name::XForwardedProto | Name::Forwarded
    ) || poses(field.name)
    {
        return false;
    }
    // Where proxies name the visitor in a field of their own, nobody else may.
    let names_visitor = site
        .client_field
        .as_ref()
        .is_some_and(|(_, name)| field.name.eq_ignore_ascii_case(name));
    if route.cache.0.policy.key.device_class && is(field.name, device::FIELD.as_bytes()) {
        return false;
    }
    let Purpose::Store(rules) = purpose else {
        return !names_visitor || site.trusted.contains(cx.conn.peer.ip());
    };
    if narrows(field.id) {
        return false;
    }
    // What is stored is for a class of visitors, and is asked for as that.
    if rules.coding.is_some() && field.id == Name::AcceptEncoding {
        return false;
    }
    let key = &rules.policy.key;
    let keyed = key
        .headers
        .iter()
        .any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()));
    if !keyed && key.device_class && is_classed(field) {
        return false;
    }
    let of_the_path = matches!(field.id, Name::CdnLoop | Name::Via);
    // Of these methods only those whose bodies are in the key get here.
    let of_the_body = !matches!(cx.head.method, b"GET" | b"HEAD") && body::describes(field.name);
    keyed
        || of_the_path
        || of_the_body
        || !(rules.policy.strict_headers || names_visitor || steers(field.name))
}

/// Writes the fields for the origin.
pub(crate) fn write(
    cx: &Context<'_, '_>,
    site: &Site,
    route: &Route,
    protocol: OriginProtocol,
    purpose: Purpose<'_>,
    scratch: &mut Scratch,
    out: &mut FieldBuf,
) {
    let fields = &cx.head.fields;
    for field in fields {
        // A loop must show whatever a visitor nominates (RFC 8586 §3).
        let hop = field.id != Name::CdnLoop && is_hop_by_hop(fields, field);
        if hop || !passes(cx, site, route, purpose, field) {
            continue;
        }
        if field.id == Name::Cookie && fields.is_repeated(Name::Cookie) {
            joined_cookies(fields, &mut scratch.bytes, out);
        } else {
            out.push_field(field.id, field.name, field.value);
        }
    }
    if let Purpose::Store(rules) = purpose
        && rules.policy.strict_headers
        && !out.has(Name::Cookie)
    {
        keyed_cookies(fields, &rules.policy.key, &mut scratch.bytes, out);
    }
    if let Purpose::Store(CacheRules { coding: Some(_), .. }) = purpose {
        out.push(Name::AcceptEncoding, coding::asked_for(scratch.state.coding));
    }
    let wants_trailers = fields
        .all(Name::Te)
        .flat_map(|te| te.split(|b| *b == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    if wants_trailers && protocol == OriginProtocol::Http2 {
        out.push(Name::Te, b"trailers");
    }
    let version: &[u8] = match cx.conn.protocol {
        Protocol::Http1 if cx.head.http10 => b"1.0",
        Protocol::Http1 => b"1.1",
        Protocol::Http2 => b"2",
    };
    out.push_joined(Name::Via, &[version, b" breakwater"]);
    out.push(Name::CdnLoop, cx.shared.loop_id.as_bytes());
    told_of_visitor(cx, purpose, scratch, out);
    if route.cache.0.policy.key.device_class {
        told_of_device(fields, purpose, out);
    }
    site.request_headers.apply(out);
    route.request_headers.apply(out);
}

/// Fields by which an origin could see more of a device than its class.
fn is_classed(field: &Field<'_>) -> bool {
    let hints = field.name.get(..9).unwrap_or_default();
    field.id == Name::UserAgent || hints.eq_ignore_ascii_case(b"sec-ch-ua")
}

/// The visitor's class of device. Where the answer is for the whole class, that is all that an origin sees of the
/// browser: one visitor's odd one must not choose the page of all.
fn told_of_device(fields: &Fields<'_>, purpose: Purpose<'_>, out: &mut FieldBuf) {
    let class = DeviceClass::of(fields);
    out.push_named(device::FIELD.as_bytes(), class.as_str().as_bytes());
    if matches!(purpose, Purpose::Store(_)) && !out.has(Name::UserAgent) {
        out.push(Name::UserAgent, class.user_agent().as_bytes());
    }
}

/// HTTP/2 may split cookies over lines; origins expect one (RFC 9113 §8.2.3).
fn joined_cookies(fields: &Fields<'_>, line: &mut Vec<u8>, out: &mut FieldBuf) {
    if out.has(Name::Cookie) {
        return;
    }
    line.clear();
    for (at, value) in fields.all(Name::Cookie).enumerate() {
        if at > 0 {
            line.extend_from_slice(b"; ");
        }
        line.extend_from_slice(value);
    }
    out.push(Name::Cookie, line);
}

/// With strict headers, of the cookies those that are in the key.
fn keyed_cookies(fields: &Fields<'_>, key: &CacheKey, line: &mut Vec<u8>, out: &mut FieldBuf) {
    line.clear();
    for (name, value) in cookies::pairs(fields).filter(|(name, _)| cookies::is_keyed(name, key)) {
        if !line.is_empty() {
            line.extend_from_slice(b"; ");
        }
        line.extend_from_slice(name);
        line.push(b'=');
        line.extend_from_slice(value);
    }
    if !line.is_empty() {
        out.push(Name::Cookie, line);
    }
}

/// Who asked for what: `X-Forwarded-*`, and `Forwarded` where one came in.
fn told_of_visitor(cx: &Context<'_, '_>, purpose: Purpose<'_>, scratch: &mut Scratch, out: &mut FieldBuf) {
    let fields = &cx.head.fields;
    let peer = cx.conn.peer.ip().to_canonical();
    let client = scratch.state.client.unwrap_or(peer);
    let list = &mut scratch.bytes;
    list.clear();
    match purpose {
        // End-to-end fields pass: the list that came in is kept, and the peer that it came from added.
        Purpose::Pass if !is_nominated(fields, b"x-forwarded-for") => {
            for value in fields.all(Name::XForwardedFor) {
                list.extend_from_slice(value);
                list.extend_from_slice(b", ");
            }
        }
        // Only what was identified.
        Purpose::Store(_) if client != peer => {
            let _ = write!(list, "{client}, ");
        }
        Purpose::Pass | Purpose::Store(_) => {}
    }
    // Writing to a Vec doesn't fail.
    let _ = write!(list, "{peer}");
    out.push(Name::XForwardedFor, list);
    out.push(Name::XForwardedProto, cx.scheme().as_bytes());
    out.push(Name::XForwardedHost, cx.authority(scratch).as_bytes());
    let told = fields.has(Name::Forwarded) && !is_nominated(fields, b"forwarded");
    if matches!(purpose, Purpose::Pass) && told {
        for value in fields.all(Name::Forwarded) {
            out.push(Name::Forwarded, value);
        }
        let element = match peer {
            IpAddr::V4(v4) => format!("for={v4};proto={};host=\"{}\"", cx.scheme(), scratch.host),
            IpAddr::V6(v6) => format!("for=\"[{v6}]\";proto={};host=\"{}\"", cx.scheme(), scratch.host),
        };
        out.push(Name::Forwarded, element.as_bytes());
    }
}

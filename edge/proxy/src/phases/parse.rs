//! `parse`: a request whose head could be read in two ways is refused, in every protocol alike.

use super::Context;
use crate::facts::Protocol;
use crate::reason::Reason;
use crate::scratch::Scratch;
use crate::wire::{BodyHint, Field, Fields, Name, RequestHead};

/// Longest target.
const MAX_TARGET_BYTES: usize = 8 << 10;
/// Most names that Connection nominates. Each is compared with each field.
const MAX_NOMINATED: usize = 32;

/// Checks the head and finds the host that it asks for.
pub(crate) fn run(cx: &Context<'_, '_>, scratch: &mut Scratch) -> Result<(), Reason> {
    let head = cx.head;
    method(head.method)?;
    target(head)?;
    scheme(head)?;
    for field in &head.fields {
        check_field(field, cx.conn.protocol)?;
    }
    if nominates_too_much(&head.fields) {
        return Err(Reason::BadFieldValue);
    }
    let single = [Name::ContentType, Name::Authorization];
    if single.iter().any(|name| head.fields.is_repeated(*name)) {
        return Err(Reason::RepeatedField);
    }
    framing(head, cx.conn.protocol)?;
    expect(head)?;
    host(head, cx.conn.protocol, scratch)
}

fn method(method: &[u8]) -> Result<(), Reason> {
    match method {
        b"CONNECT" | b"TRACE" => Err(Reason::MethodRefused),
        _ if method.is_empty() || !method.iter().all(|b| is_token_byte(*b)) => Err(Reason::BadMethod),
        _ => Ok(()),
    }
}

fn target(head: &RequestHead<'_>) -> Result<(), Reason> {
    let target = head.target;
    if target.len() > MAX_TARGET_BYTES {
        return Err(Reason::TargetTooLong);
    }
    if target == b"*" && head.method == b"OPTIONS" {
        return Ok(());
    }
    if target.first() != Some(&b'/') || classes_of(target).0 & TARGET == 0 {
        return Err(Reason::BadTarget);
    }
    let path = head.path();
    if path.contains(&b'\\') {
        return Err(Reason::Backslash);
    }
    if path.contains(&b'%') && path.windows(3).any(is_encoded_control) {
        return Err(Reason::EncodedControl);
    }
    Ok(())
}

/// What ends strings or lines where an origin decodes it and writes it into a name of a file, a log or a field.
fn is_encoded_control(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', b'0', b'0' | b'a' | b'A' | b'd' | b'D'])
}

/// Every scheme but these two is another protocol's. Which of the two it is doesn't count: what the connection
/// is does.
fn scheme(head: &RequestHead<'_>) -> Result<(), Reason> {
    let known = |scheme: &[u8]| scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
    if head.scheme.is_none_or(known) {
        Ok(())
    } else {
        Err(Reason::BadTarget)
    }
}

fn check_field(field: &Field<'_>, protocol: Protocol) -> Result<(), Reason> {
    let (all, any) = classes_of(field.name);
    let uppercase = protocol == Protocol::Http2 && any & UPPER != 0;
    if field.name.is_empty() || all & TOKEN == 0 || uppercase {
        return Err(Reason::BadFieldName);
    }
    // Every byte is looked at, without a way out on the first bad one: that runs on many bytes at once.
    if !field.value.iter().fold(true, |good, b| good & is_value_byte(*b)) {
        return Err(Reason::BadFieldValue);
    }
    Ok(())
}

/// What would let two readers disagree about where the message ends (RFC 9112 §6.3, RFC 9113 §8.2.2).
fn framing(head: &RequestHead<'_>, protocol: Protocol) -> Result<(), Reason> {
    let fields = &head.fields;
    if protocol == Protocol::Http2 {
        let of_connections = [
            Name::Connection,
            Name::KeepAlive,
            Name::ProxyConnection,
            Name::TransferEncoding,
            Name::Upgrade,
        ];
        if of_connections.iter().any(|name| fields.has(*name)) {
            return Err(Reason::ConnectionField);
        }
        if fields
            .all(Name::Te)
            .any(|te| !te.eq_ignore_ascii_case(b"trailers"))
        {
            return Err(Reason::ConnectionField);
        }
    }
    if let Some(coding) = fields.get(Name::TransferEncoding) {
        let exact = coding == b"chunked" && !fields.is_repeated(Name::TransferEncoding);
        if !exact || head.http10 || fields.has(Name::ContentLength) {
            return Err(Reason::BadTransferEncoding);
        }
    }
    if let Some(length) = fields.get(Name::ContentLength) {
        let told = decimal(length)
            .filter(|_| !fields.is_repeated(Name::ContentLength) && !matches!(length, [b'0', _, ..]));
        match (told, head.body) {
            (None, _) => return Err(Reason::BadContentLength),
            (Some(told), BodyHint::Length(framed)) if told != framed => return Err(Reason::BadContentLength),
            _ => {}
        }
    }
    Ok(())
}

fn expect(head: &RequestHead<'_>) -> Result<(), Reason> {
    let other = |v: &[u8]| !v.eq_ignore_ascii_case(b"100-continue");
    if !head.http10 && head.fields.all(Name::Expect).any(other) {
        return Err(Reason::ExpectationFailed);
    }
    Ok(())
}

/// Finds host and port: one Host (in HTTP/2 an authority is enough), one authority, and where both are there,
/// the same (RFC 9112 §3.2, RFC 9113 §8.3.1).
fn host(head: &RequestHead<'_>, protocol: Protocol, scratch: &mut Scratch) -> Result<(), Reason> {
    let field = head.fields.get(Name::Host);
    if head.fields.is_repeated(Name::Host) || (protocol == Protocol::Http1 && field.is_none()) {
        return Err(Reason::BadHost);
    }
    let authority = head.authority.or(field).ok_or(Reason::BadHost)?;
    let (name, port) = split_authority(authority).ok_or(Reason::BadHost)?;
    if let (Some(_), Some(field)) = (head.authority, field) {
        let (other_name, other_port) = split_authority(field).ok_or(Reason::BadHost)?;
        if !name.eq_ignore_ascii_case(other_name) || port != other_port {
            return Err(Reason::HostMismatch);
        }
    }
    scratch.host.clear();
    // What names are made of was checked: the bytes are ASCII.
    scratch
        .host
        .extend(name.iter().map(|b| char::from(b.to_ascii_lowercase())));
    scratch.port = port;
    Ok(())
}

/// Splits `host[:port]`; `None` where it isn't that. One trailing dot is left out: it names the same host.
pub(crate) fn split_authority(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end_of_host = match authority.first()? {
        b'[' => authority.iter().position(|b| *b == b']')? + 1,
        _ => authority
            .iter()
            .position(|b| *b == b':')
            .unwrap_or(authority.len()),
    };
    let (name, rest) = authority.split_at_checked(end_of_host)?;
    let port = match rest.split_first() {
        None | Some((b':', [])) => None,
        Some((b':', digits)) => Some(u16::try_from(decimal(digits)?).ok()?),
        Some(_) => return None,
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    let good = match name {
        [b'[', inner @ .., b']'] => inner
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        _ => name.iter().all(|b| is_name_byte(*b)),
    };
    (good && (1..=253).contains(&name.len())).then_some((name, port))
}

/// `1*DIGIT` that fits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What each byte may be part of: one look into this table instead of a chain of comparisons.
static CLASSES: [u8; 256] = classes();
const TOKEN: u8 = 1;
const UPPER: u8 = 2;
const TARGET: u8 = 4;

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs while this compiles; a bad index would be a compile error, and `byte` is below 256"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let punctuation = matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if b.is_ascii_alphanumeric() || punctuation {
            table[byte] |= TOKEN;
        }
        if b.is_ascii_uppercase() {
            table[byte] |= UPPER;
        }
        if b.is_ascii_graphic() && b != b'#' {
            table[byte] |= TARGET;
        }
        byte += 1;
    }
    table
}

/// The classes that all bytes have, and those that any has.
fn classes_of(bytes: &[u8]) -> (u8, u8) {
    bytes.iter().fold((u8::MAX, 0), |(all, any), b| {
        let class = CLASSES.get(usize::from(*b)).copied().unwrap_or(0);
        (all & class, any | class)
    })
}

/// A byte of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(b: u8) -> bool {
    CLASSES
        .get(usize::from(b))
        .is_some_and(|class| class & TOKEN != 0)
}

/// A byte of a field's value: visible, space, tab, or above ASCII (RFC 9110 §5.5).
pub(crate) fn is_value_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// A byte that a configured path may have.
pub(crate) fn is_path_byte(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'#' | b'?' | b'\\')
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')
}

/// True where every line of an origin's head is a token with a value that can be written again: an adaptor
/// that was less strict would let an origin write lines of its own into what visitors get.
pub(crate) fn is_well_formed(fields: &Fields<'_>) -> bool {
    !nominates_too_much(fields)
        && fields.iter().all(|field| {
            !field.name.is_empty()
                && field.name.iter().all(|b| is_token_byte(*b))
                && field.value.iter().all(|b| is_value_byte(*b))
        })
}

fn nominates_too_much(fields: &Fields<'_>) -> bool {
    fields.has(Name::Connection) && nominated(fields).nth(MAX_NOMINATED).is_some()
}

/// The values that Connection nominates as belonging to this hop (RFC 9110 §7.6.1).
pub(crate) fn nominated<'b, 'a>(fields: &'b Fields<'a>) -> impl Iterator<Item = &'a [u8]> + 'b {
    fields
        .all(Name::Connection)
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

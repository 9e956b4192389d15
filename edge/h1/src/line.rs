//! The request line (RFC 9112 §3).

use breakwater_edge_proxy::Reason;

use crate::class::{is_path, is_query, is_token};
use crate::field::Span;
use crate::head::Refusal;

/// What a request line says; places count from the start of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestLine {
    pub(crate) method: Option<Span>,
    pub(crate) scheme: Option<Span>,
    pub(crate) authority: Option<Span>,
    /// `None`: an absolute form without a path.
    pub(crate) target: Option<Span>,
    pub(crate) http10: bool,
}

/// Most bytes of a method. None that is known has more than 20.
const MAX_METHOD_BYTES: usize = 64;

/// Most bytes of a request line besides its target's.
pub(crate) const MAX_BESIDE_TARGET_BYTES: usize = MAX_METHOD_BYTES + " ".len() + " HTTP/1.1\r\n".len();

/// Reads the line that begins at `at`; `None` while its end hasn't come. The second value is where the next
/// line begins.
pub(crate) fn read(
    head: &[u8],
    at: usize,
    max_target_bytes: usize,
) -> Result<Option<(RequestLine, usize)>, Refusal> {
    let bytes = head.get(at..).unwrap_or_default();
    let Some(method_len) = bytes.iter().position(|b| !is_token(*b)) else {
        return partial(bytes.len() <= MAX_METHOD_BYTES, Reason::BadMethod);
    };
    if method_len == 0 || method_len > MAX_METHOD_BYTES || bytes.get(method_len) != Some(&b' ') {
        return Err(Refusal::Answered(line_end_or(
            bytes.get(method_len),
            Reason::BadMethod,
        )));
    }
    let method = bytes.get(..method_len).unwrap_or_default();
    let from = method_len + 1;
    let after = bytes.get(from..).unwrap_or_default();
    let Some(target_len) = after.iter().position(|b| *b <= b' ' || *b == 0x7f) else {
        return partial(after.len() <= max_target_bytes, Reason::TargetTooLong);
    };
    if target_len > max_target_bytes {
        return Err(Refusal::Answered(Reason::TargetTooLong));
    }
    if after.get(target_len) != Some(&b' ') || target_len == 0 {
        return Err(Refusal::Answered(line_end_or(
            after.get(target_len),
            Reason::BadTarget,
        )));
    }
    let target = after.get(..target_len).unwrap_or_default();
    let version = after.get(target_len + 1..).unwrap_or_default();
    let http10 = match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b'\r', b'\n', ..] => false,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b'\r', b'\n', ..] => true,
        _ if method == b"PRI" && target == b"*" => return preface(version),
        _ => match other_version(version)? {
            None => return Ok(None),
            Some(()) => false,
        },
    };
    let mut line = RequestLine {
        method: Span::new(at, at + method_len),
        http10,
        ..RequestLine::default()
    };
    let target_at = at + from;
    place(&mut line, method, target, target_at)?;
    Ok(Some((line, target_at + target_len + 1 + 10)))
}

/// A line that ends too early isn't a line; anything else is what it says.
fn line_end_or(found: Option<&u8>, reason: Reason) -> Reason {
    match found {
        Some(b'\r' | b'\n') => Reason::MalformedMessage,
        _ => reason,
    }
}

fn partial<T>(fits: bool, reason: Reason) -> Result<Option<T>, Refusal> {
    if fits {
        Ok(None)
    } else {
        Err(Refusal::Answered(reason))
    }
}

fn is_start(bytes: &[u8], of: &[u8]) -> bool {
    of.starts_with(bytes)
}

/// A later minor version is served as the highest that is known (RFC 9110 §2.5), a major one isn't; `None` while
/// its end hasn't come.
fn other_version(version: &[u8]) -> Result<Option<()>, Refusal> {
    let form = b"HTTP/#.#\r\n";
    let fits = |(byte, of): (&u8, &u8)| byte == of || (*of == b'#' && byte.is_ascii_digit());
    if !version.iter().zip(form).all(fits) {
        return Err(Refusal::Answered(Reason::MalformedMessage));
    }
    match version.get(..form.len()) {
        None => Ok(None),
        Some(whole) if whole.starts_with(b"HTTP/1.") => Ok(Some(())),
        Some(_) => Err(Refusal::Answered(Reason::UnsupportedVersion)),
    }
}

/// Whoever speaks HTTP/2 without asking wouldn't understand an answer (RFC 9113 §3.4).
fn preface<T>(version: &[u8]) -> Result<Option<T>, Refusal> {
    let whole = b"HTTP/2.0\r\n";
    if version.starts_with(whole) {
        Err(Refusal::Silent(Reason::MalformedMessage))
    } else if is_start(version, whole) {
        Ok(None)
    } else {
        Err(Refusal::Answered(Reason::MalformedMessage))
    }
}

/// Takes the target apart (RFC 9112 §3.2).
fn place(line: &mut RequestLine, method: &[u8], target: &[u8], at: usize) -> Result<(), Refusal> {
    let refused = Refusal::Answered(Reason::BadTarget);
    let end = at + target.len();
    // That CONNECT isn't served is for the phases to say, whatever its target is.
    if target.first() == Some(&b'/') || target == b"*" || method == b"CONNECT" {
        line.target = Span::new(at, end);
    } else {
        let scheme = target
            .iter()
            .position(|b| *b == b':')
            .filter(|colon| *colon > 0)
            .ok_or(refused)?;
        let rest = target.get(scheme..).unwrap_or_default();
        let rest = rest.strip_prefix(b"://").ok_or(refused)?;
        let path = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?'))
            .unwrap_or(rest.len());
        let authority_at = at + scheme + 3;
        line.scheme = Span::new(at, at + scheme);
        line.authority = Span::new(authority_at, authority_at + path);
        match rest.get(path) {
            None => {}
            Some(b'/') => line.target = Span::new(authority_at + path, end),
            // Its path would have to be made up.
            Some(_) => return Err(refused),
        }
    }
    check(target).then_some(()).ok_or(refused)
}

fn check(target: &[u8]) -> bool {
    let query = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(query).unwrap_or((target, b""));
    path.iter().fold(true, |all, b| all & is_path(*b)) && query.iter().fold(true, |all, b| all & is_query(*b))
}

//! Turns the HTTP library's errors into kinds.

use std::error::Error as _;

use super::error::{OriginError, OriginErrorKind};

/// What an error during an exchange means.
pub(super) fn of_exchange(error: &hyper::Error, client_failed: bool) -> OriginError {
    let kind = if client_failed {
        OriginErrorKind::ClientBody
    } else {
        kind(error)
    };
    OriginError::new(kind, chain(error))
}

fn kind(error: &hyper::Error) -> OriginErrorKind {
    if let Some(h2) = find_h2(error) {
        return match h2.reason() {
            // What the origin did is judged by its own word, what the library found by the rules.
            Some(_) if h2.is_remote() && (h2.is_reset() || h2.is_go_away()) => OriginErrorKind::Reset,
            None | Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL) => OriginErrorKind::Reset,
            Some(_) => OriginErrorKind::Protocol,
        };
    }
    if is_of_tls(error) {
        return OriginErrorKind::Tls;
    }
    let closed = error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || error.is_body_write_aborted()
        || error.is_timeout()
        || error
            .source()
            .is_some_and(<dyn std::error::Error + 'static>::is::<std::io::Error>);
    if closed && !error.is_parse() && !is_malformed(error) {
        OriginErrorKind::Reset
    } else {
        OriginErrorKind::Protocol
    }
}

/// An alert may come when the handshake is long done for this side: in TLS 1.3 that is how a server refuses a
/// client certificate.
fn is_of_tls(error: &hyper::Error) -> bool {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    source
        .and_then(std::io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some()
}

/// A bad chunk comes as an input error of kind `InvalidInput` or `InvalidData`.
fn is_malformed(error: &hyper::Error) -> bool {
    use std::io::ErrorKind;
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|io| matches!(io.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData))
}

/// The origin refused the stream or left before it: the request wasn't looked at (RFC 9113 §8.7).
pub(super) fn was_unprocessed(error: &hyper::Error) -> bool {
    find_h2(error).is_some_and(|h2| h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// The whole connection is bad, not only one stream.
pub(super) fn is_of_connection(error: &hyper::Error) -> bool {
    find_h2(error).is_none_or(|h2| !h2.is_reset())
}

fn find_h2(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(h2) = inner.downcast_ref() {
            return Some(h2);
        }
        source = inner.source();
    }
    None
}

fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

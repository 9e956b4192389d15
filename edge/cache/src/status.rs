//! What an answer's status says about storing it.

/// Statuses whose answers may be stored by heuristics (RFC 9110 §15.1), without 206.
pub(crate) fn is_heuristic(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Statuses that tell of one request or connection, not of what was asked for: who stored them would give one
/// visitor's limit, clock or loop to everybody. RFC 6585 forbids it for 428, 429, 431 and 511; 408, 421, 425
/// and 508 are of the same kind.
pub(crate) fn is_about_one_request(status: u16) -> bool {
    matches!(status, 408 | 421 | 425 | 428 | 429 | 431 | 508 | 511)
}

/// Statuses whose caching rules this cache knows (for `must-understand`).
pub(crate) fn is_understood(status: u16) -> bool {
    is_heuristic(status)
        || matches!(status, 302 | 303 | 307 | 400..=404 | 409 | 413 | 415 | 422..=424 | 426 | 500 | 502..=504)
}

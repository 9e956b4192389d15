use breakwater_edge_proxy::{BodyHint, Fields, RequestHead, ResponseHead, TooManyFields};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};

/// A head as the phases see it, borrowed from hyper's. What hyper has changed on the way stands in
/// `docs/known-gaps.md`.
pub(crate) fn request_head(parts: &Parts, body: BodyHint) -> Result<RequestHead<'_>, TooManyFields> {
    Ok(RequestHead {
        method: parts.method.as_str().as_bytes(),
        http10: parts.version == Version::HTTP_10,
        scheme: parts.uri.scheme_str().map(str::as_bytes),
        authority: parts
            .uri
            .authority()
            .map(|authority| authority.as_str().as_bytes()),
        target: parts
            .uri
            .path_and_query()
            .map_or(&b""[..], |target| target.as_str().as_bytes()),
        fields: fields(&parts.headers)?,
        body,
    })
}

/// The lines of a header map, or of trailers.
pub(crate) fn fields(map: &HeaderMap) -> Result<Fields<'_>, TooManyFields> {
    Fields::from_lines(
        map.iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
    )
}

/// What the framing says, as far as hyper tells it.
pub(crate) fn body_hint<B: http_body::Body>(body: &B) -> BodyHint {
    match body.size_hint().exact() {
        _ if body.is_end_stream() => BodyHint::None,
        Some(length) => BodyHint::Length(length),
        None => BodyHint::Streamed,
    }
}

/// A head for hyper, with framing added. `None`: it can't be written, which the phases' own checks exclude.
pub(crate) fn response<B>(head: &ResponseHead, close: bool, body: B) -> Option<Response<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    let map = response.headers_mut();
    map.reserve(head.fields.len() + 2);
    for (name, value) in head.fields.to_shared() {
        map.append(
            HeaderName::from_bytes(name).ok()?,
            HeaderValue::from_maybe_shared(value).ok()?,
        );
    }
    if let Some(length) = head.length {
        map.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if close {
        map.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Some(response)
}

/// A map of lines, for trailers.
pub(crate) fn header_map<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> HeaderMap {
    lines
        .filter_map(|(name, value)| {
            Some((
                HeaderName::from_bytes(name).ok()?,
                HeaderValue::from_bytes(value).ok()?,
            ))
        })
        .fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
}

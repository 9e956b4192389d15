//! A visitor's body that is read before it is known where it goes.

use std::pin::Pin;
use std::task::{Context, Poll};

use breakwater_edge_proxy::{BodyRead, FailureKind};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::ask::VisitorBody;
use crate::origin::BodyError;

/// Reads a body up to so many bytes. One that is larger, or has trailers, is given back as it was.
pub(crate) async fn read_ahead(mut body: VisitorBody, max_bytes: u64) -> (BodyRead, Option<VisitorBody>) {
    // Copied together: a small piece would hold on to the whole buffer that it was read into.
    let mut read = BytesMut::new();
    loop {
        let frame = match body.frame().await {
            None => return (BodyRead::Whole(read.freeze()), None),
            // Whose fault it was knows whoever has the connection.
            Some(Err(_)) => return (BodyRead::Failed(FailureKind::ClientBody), None),
            Some(Ok(frame)) => frame,
        };
        match frame.data_ref() {
            Some(data) if (read.len() + data.len()) as u64 <= max_bytes => read.extend_from_slice(data),
            _ => {
                let again = Again {
                    first: Some(read.freeze()),
                    second: Some(frame),
                    rest: body,
                };
                return (BodyRead::TooLarge, Some(again.boxed_unsync()));
            }
        }
    }
}

/// A body from its beginning, of which a part was read.
struct Again {
    first: Option<Bytes>,
    second: Option<Frame<Bytes>>,
    rest: VisitorBody,
}

impl Body for Again {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(second) = self.second.take() {
            return Poll::Ready(Some(Ok(second)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.second.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let second = self.second.as_ref().and_then(Frame::data_ref);
        let read = self.first.iter().chain(second).map(Bytes::len).sum::<usize>() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::StreamBody;

    use super::*;

    fn body(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> VisitorBody {
        StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    fn read(frames: Vec<Result<Frame<Bytes>, BodyError>>, most: u64) -> (BodyRead, Option<VisitorBody>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_ahead(body(frames), most))
    }

    fn rest(body: VisitorBody) -> (Bytes, bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let all = runtime.block_on(body.collect()).unwrap();
        let trailers = all.trailers().is_some();
        (all.to_bytes(), trailers)
    }

    #[test]
    fn a_body_up_to_the_limit_is_read_whole() {
        let (event, rest) = read(vec![Ok(data("ab")), Ok(data("")), Ok(data("c"))], 3);
        assert!(matches!(event, BodyRead::Whole(bytes) if *bytes == *b"abc"));
        assert!(rest.is_none());
        assert!(matches!(read(vec![], 3).0, BodyRead::Whole(bytes) if bytes.is_empty()));
    }

    #[test]
    fn a_larger_one_is_given_back_from_its_beginning() {
        for (frames, expected) in [
            (vec![Ok(data("abcd")), Ok(data("e"))], "abcde"),
            (vec![Ok(data("ab")), Ok(data("cd")), Ok(data("ef"))], "abcdef"),
        ] {
            let (event, whole) = read(frames, 3);
            assert!(matches!(event, BodyRead::TooLarge));
            let whole = whole.unwrap();
            assert!(!whole.is_end_stream());
            assert_eq!(rest(whole), (Bytes::from_static(expected.as_bytes()), false));
        }
    }

    #[test]
    fn so_is_one_with_trailers() {
        let mut map = HeaderMap::new();
        map.insert("x-sum", "1".parse().unwrap());
        let (event, whole) = read(vec![Ok(data("ab")), Ok(Frame::trailers(map))], 3);
        assert!(matches!(event, BodyRead::TooLarge));
        assert_eq!(rest(whole.unwrap()), (Bytes::from_static(b"ab"), true));
    }

    #[test]
    fn one_that_breaks_off_has_failed() {
        let (event, rest) = read(vec![Ok(data("ab")), Err("gone".into())], 3);
        assert!(matches!(event, BodyRead::Failed(FailureKind::ClientBody)));
        assert!(rest.is_none());
    }
}

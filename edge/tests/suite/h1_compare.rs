//! Well-formed traffic is answered alike by our own server and by the library that is the reference.

use breakwater_edge::{Edge, EdgeOptions, Http1};
use breakwater_edge_config::RouteAction;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::origin::{caching_site, forward_site, origin_at};
use crate::support::server::{Body, Server, Speaks};
use crate::support::{PATIENCE, edge_with, fixed, options, route};

/// What is asked for, by the path; the body tells what came.
async fn answer(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = format!("{:?}", body.trailers());
    let told = format!(
        "{} {} {} bytes, trailers {trailers}, length {:?}",
        parts.method,
        parts.uri,
        body.to_bytes().len(),
        parts.headers.get("content-length"),
    );
    let path = parts.uri.path().to_owned();
    let body = match path.as_str() {
        "/chunked" | "/trailers" => {
            let mut frames: Vec<_> = told
                .as_bytes()
                .chunks(9)
                .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part))))
                .collect();
            if path == "/trailers" {
                let sum = HeaderValue::from_static("1");
                frames.push(Ok(Frame::trailers(HeaderMap::from_iter([(
                    http::HeaderName::from_static("x-sum"),
                    sum,
                )]))));
            }
            StreamBody::new(stream::iter(frames)).boxed_unsync()
        }
        "/large" => Full::new(Bytes::from(vec![b'x'; 300_000])).boxed_unsync(),
        "/empty" | "/204" | "/304" => Full::default().boxed_unsync(),
        _ => Full::new(Bytes::from(told)).boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = match path.as_str() {
        "/204" => http::StatusCode::NO_CONTENT,
        "/304" => http::StatusCode::NOT_MODIFIED,
        "/500" => http::StatusCode::INTERNAL_SERVER_ERROR,
        _ => http::StatusCode::OK,
    };
    let fields = response.headers_mut();
    fields.insert("cache-control", HeaderValue::from_static("public, max-age=60"));
    fields.insert("etag", HeaderValue::from_static("\"a\""));
    fields.insert("trailer", HeaderValue::from_static("x-sum"));
    response
}

fn edge(http1: Http1, origin: &Server) -> Edge {
    let mut pass = forward_site("pass", "pass.example", origin_at(&[origin.address]));
    let here = RouteAction::Respond(fixed(200, "here"));
    pass.config.routes.insert(0, route("here", Some("/here"), here));
    let cached = caching_site("cached", "cached.example", origin_at(&[origin.address]));
    edge_with(EdgeOptions { http1, ..options() }, vec![pass, cached])
}

/// An answer, without what depends on the moment or on how a server words its framing.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    fields: Vec<String>,
    body: String,
    trailers: Vec<String>,
}

fn line(bytes: &mut &[u8]) -> Option<String> {
    let end = bytes.windows(2).position(|w| w == b"\r\n")?;
    let line = String::from_utf8(bytes[..end].to_vec()).unwrap();
    *bytes = &bytes[end + 2..];
    Some(line)
}

fn lines(bytes: &mut &[u8]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        match line(bytes)? {
            empty if empty.is_empty() => return Some(lines),
            line => lines.push(line),
        }
    }
}

fn take(bytes: &mut &[u8], length: usize) -> String {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    String::from_utf8(taken.to_vec()).unwrap()
}

/// Reads an answer to a request of this method; `None` at the end.
fn read(bytes: &mut &[u8], method: &str) -> Option<Answer> {
    let mut head = lines(bytes)?;
    let status: u16 = head.remove(0)[9..12].parse().unwrap();
    if status == 100 {
        return read(bytes, method);
    }
    let value = |name: &str| {
        let found = head
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.map(str::to_owned)
    };
    let (length, coding) = (value("content-length"), value("transfer-encoding"));
    let (mut body, mut trailers) = (String::new(), Vec::new());
    if method != "HEAD" && !matches!(status, 204 | 304) {
        if coding.is_some() {
            loop {
                let size = usize::from_str_radix(&line(bytes).unwrap(), 16).unwrap();
                if size == 0 {
                    trailers = lines(bytes).unwrap();
                    break;
                }
                body += &take(bytes, size);
                assert_eq!(line(bytes).unwrap(), "");
            }
        } else {
            let length = length.map_or(bytes.len(), |length| length.parse().unwrap());
            body = take(bytes, length);
        }
    }
    head.retain(|line| {
        let moment = [
            "date: ",
            "age: ",
            // The library leaves it out for HTTP/1.0.
            "trailer: ",
            "transfer-encoding: ",
            "connection: ",
            "cache-status: ",
        ];
        !moment.iter().any(|name| line.starts_with(name))
    });
    head.sort();
    Some(Answer {
        status,
        fields: head,
        body,
        trailers,
    })
}

/// Sends all requests at once, the last of which ends the connection, and reads what is answered.
async fn answers(edge: &Edge, requests: &[(&str, String)]) -> Vec<Answer> {
    let mut io = TcpStream::connect(edge.addresses().http[0]).await.unwrap();
    let (mut reader, mut writer) = io.split();
    let all: Vec<u8> = requests
        .iter()
        .flat_map(|(_, request)| request.as_bytes().to_vec())
        .collect();
    let mut bytes = Vec::new();
    let exchange = async {
        // A connection that ends early doesn't take everything.
        let (_, read) = tokio::join!(writer.write_all(&all), reader.read_to_end(&mut bytes));
        read.unwrap();
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("no end comes");
    let mut rest = bytes.as_slice();
    let answers = requests
        .iter()
        .map_while(|(method, _)| read(&mut rest, method))
        .collect();
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(rest));
    answers
}

/// Requests of every shape, each with its method.
fn corpus() -> Vec<(&'static str, String)> {
    let mut corpus = Vec::new();
    for host in ["pass.example", "cached.example"] {
        for path in [
            "/",
            "/a?b=c&d",
            "/chunked",
            "/trailers",
            "/large",
            "/empty",
            "/204",
            "/304",
            "/500",
            "/here",
        ] {
            for method in ["GET", "HEAD", "POST"] {
                for fields in [
                    "",
                    "te: trailers\r\n",
                    "accept-encoding: gzip\r\nx:\r\n",
                    "if-none-match: \"a\"\r\n",
                ] {
                    corpus.push((
                        method,
                        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n"),
                    ));
                }
            }
        }
        for (fields, body) in [
            ("content-length: 5", "hello"),
            ("content-length: 0", ""),
            ("content-length: 70000", &*"x".repeat(70_000)),
            ("transfer-encoding: chunked", "0\r\n\r\n"),
            (
                "Transfer-Encoding: chunked",
                "5;a=\"b\"\r\nhello\r\n00001\r\n,\r\n0;x\r\n\r\n",
            ),
            (
                "transfer-encoding: chunked",
                "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
            ),
            ("expect: 100-continue\r\ncontent-length: 5", "hello"),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let head = format!("{method} /up HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n");
                corpus.push((method, head + body));
            }
        }
        corpus.push(("OPTIONS", format!("OPTIONS * HTTP/1.1\r\nhost: {host}\r\n\r\n")));
        corpus.push((
            "GET",
            format!("GET http://{host}/abs HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        ));
        corpus.push(("GET", format!("\r\nGET /after HTTP/1.1\r\nhost: {host}\r\n\r\n")));
        for path in ["/", "/chunked", "/204"] {
            let keep = "connection: Keep-Alive\r\n";
            corpus.push((
                "GET",
                format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n{keep}\r\n"),
            ));
            corpus.push(("GET", format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n")));
            corpus.push((
                "GET",
                format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
            ));
        }
    }
    corpus
}

fn last() -> (&'static str, String) {
    let last = "GET /last HTTP/1.1\r\nhost: pass.example\r\nconnection: close\r\n\r\n";
    ("GET", last.to_owned())
}

#[tokio::test]
async fn every_shape_of_request_is_answered_as_by_the_reference() {
    let origin = Server::start(Speaks::Http1, answer);
    let (own, reference) = (edge(Http1::Own, &origin), edge(Http1::Hyper, &origin));
    for request in corpus() {
        let requests = [request, last()];
        let (is, wanted) = tokio::join!(answers(&own, &requests), answers(&reference, &requests));
        assert!(!is.is_empty(), "{requests:?}");
        let shown = &requests[0].1[..requests[0].1.len().min(200)];
        assert_eq!(is, wanted, "{shown:?}");
    }
}

#[tokio::test]
async fn requests_in_any_order_on_one_connection_are_answered_as_by_the_reference() {
    let origin = Server::start(Speaks::Http1, answer);
    let (own, reference) = (edge(Http1::Own, &origin), edge(Http1::Hyper, &origin));
    let corpus = corpus();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..60 {
        let mut requests: Vec<_> = (0..random.usize(2..12))
            .map(|_| corpus[random.usize(..corpus.len())].clone())
            .collect();
        requests.push(last());
        let (is, wanted) = tokio::join!(answers(&own, &requests), answers(&reference, &requests));
        assert_eq!(is.len(), wanted.len(), "{requests:?}");
        for ((is, wanted), (_, request)) in is.iter().zip(&wanted).zip(&requests) {
            assert_eq!(is, wanted, "{:?}", &request[..request.len().min(200)]);
        }
    }
}

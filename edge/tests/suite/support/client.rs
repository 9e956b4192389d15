use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;

/// A connection whose bytes the test writes and reads itself.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) io: S,
    seen: Vec<u8>,
}

/// An answer as it stood on the wire.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// The heads of interim answers before it.
    pub(crate) interim: Vec<String>,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

/// A request as it stood on the wire.
#[derive(Debug)]
pub(crate) struct RawRequest {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawRequest {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// Method and target.
    pub(crate) fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap()
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    /// A connection from another address of this machine.
    pub(crate) async fn connect_from(own: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(own, 0)).unwrap();
        Self::new(socket.connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, seen: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub(crate) async fn get(&mut self, host: &str, target: &str) -> RawAnswer {
        self.send(&format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
            .await;
        self.answer().await.unwrap()
    }

    /// Reads more; `false` at the end, or when the connection was reset.
    pub(crate) async fn more(&mut self) -> bool {
        let mut buf = [0; 16 << 10];
        match tokio::time::timeout(PATIENCE, self.io.read(&mut buf))
            .await
            .expect("nothing came")
        {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.seen.extend_from_slice(&buf[..n]);
                true
            }
        }
    }

    /// What came and wasn't looked at yet.
    pub(crate) fn take_seen(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.seen)
    }

    /// The next final answer with a body by Content-Length or chunks; `None` when the connection ends before it.
    pub(crate) async fn answer(&mut self) -> Option<RawAnswer> {
        let mut interim = Vec::new();
        loop {
            let answer = self.any_answer().await?;
            match answer.status {
                100 | 102..=199 => interim.push(answer.head),
                _ => return Some(RawAnswer { interim, ..answer }),
            }
        }
    }

    /// The next answer, an interim one too.
    pub(crate) async fn any_answer(&mut self) -> Option<RawAnswer> {
        let head = self.head().await?;
        let status: u16 = head.get(9..12)?.parse().ok()?;
        let body = match status {
            100..=199 | 204 | 304 => Vec::new(),
            _ => self.body(&head).await?,
        };
        Some(RawAnswer {
            status,
            interim: Vec::new(),
            head,
            body,
        })
    }

    /// The next request with its body; `None` when the connection ends before it.
    pub(crate) async fn request(&mut self) -> Option<RawRequest> {
        let head = self.head().await?;
        let body = self.body(&head).await?;
        Some(RawRequest { head, body })
    }

    async fn body(&mut self, head: &str) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = field(head, "content-length").map(|n| n.parse::<usize>().unwrap()) {
            while self.seen.len() < length {
                if !self.more().await {
                    return None;
                }
            }
            body = self.seen.drain(..length).collect();
        } else if field(head, "transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await? {
                body.extend_from_slice(&chunk);
            }
        }
        Some(body)
    }

    pub(crate) async fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.seen.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head: Vec<u8> = self.seen.drain(..end).collect();
        Some(String::from_utf8(head).unwrap())
    }

    /// The next chunk; `Some(None)` is the last one, `None` a connection that ended before.
    pub(crate) async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Some(None);
        }
        while self.seen.len() < size + 2 {
            if !self.more().await {
                return None;
            }
        }
        let chunk = self.seen.drain(..size).collect();
        self.seen.drain(..2);
        Some(Some(chunk))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.seen.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.seen.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).ok();
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// True when the connection ends without another byte.
    pub(crate) async fn ends(&mut self) -> bool {
        self.seen.is_empty() && !self.more().await
    }
}

pub(crate) type Sender1 = http1::SendRequest<Full<Bytes>>;
pub(crate) type Sender2 = http2::SendRequest<Full<Bytes>>;

pub(crate) async fn h1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: S) -> Sender1 {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn h2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: S) -> Sender2 {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

/// Status and whole body.
pub(crate) async fn whole<B>(response: Response<B>) -> (u16, Bytes)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

//! A plain HTTP/1.1 client that looks at every byte: it fills caches and verifies answers beside the load.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Socket, Type};

use crate::content;

/// The host that every server serves.
pub(crate) const HOST: &str = "localhost";

/// Connects from the given address of 127/8, so that clients are not one to what counts by address.
pub(crate) fn connect(to: SocketAddr, number: u32) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number % 60_000);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.connect_timeout(&to.into(), Duration::from_secs(10))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// A request as the load generators send it.
pub(crate) fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes()
}

/// Reads an answer and compares its status, length and body with what the origin has at this path.
pub(crate) fn verify(reader: &mut impl BufRead, path: &str, body: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200 ") {
        bail!("{path}: {}", line.trim_end());
    }
    let (mut length, mut chunked) = (None, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let field = line.trim_end().to_ascii_lowercase();
        if field.is_empty() {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<u64>().context("Content-Length")?);
        }
        chunked |= field.starts_with("transfer-encoding:") && field.ends_with("chunked");
    }
    body.clear();
    if chunked {
        read_chunks(reader, body)?;
    } else {
        reader
            .take(length.context("an answer without a length")?)
            .read_to_end(body)?;
    }
    let expected = content::body(path).context("a path without a body")?;
    if body != expected {
        bail!(
            "{path}: {} bytes that are not the origin's {}",
            body.len(),
            expected.len()
        );
    }
    Ok(())
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim_end(), 16).context("size of a chunk")?;
        reader.take(size).read_to_end(body)?;
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// A connection that stays.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr, number: u32) -> anyhow::Result<Self> {
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, connect(to, number)?),
            body: Vec::new(),
        })
    }

    /// Asks for a path, verified.
    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<()> {
        std::io::Write::write_all(self.reader.get_mut(), &request(path))?;
        verify(&mut self.reader, path, &mut self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &[u8]) -> anyhow::Result<()> {
        verify(&mut &*answer, "/b/3/x", &mut Vec::new())
    }

    #[test]
    fn only_the_origins_bytes_pass() {
        let body = content::body("/b/3/x").unwrap();
        let with = |head: &str, tail: &str| [head.as_bytes(), body, tail.as_bytes()].concat();
        check(&with("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "")).unwrap();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n";
        check(&with(chunked, "\r\n0\r\n\r\n")).unwrap();
        check(&with("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\n", "")).unwrap_err();
        check(&with("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "")).unwrap_err();
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap_err();
        check(b"").unwrap_err();
    }
}

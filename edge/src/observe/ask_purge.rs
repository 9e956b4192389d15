use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::ProbeError;

/// Where a running edge takes purges.
#[derive(Clone, Debug)]
pub enum AdminPlace {
    /// Its Unix socket.
    Socket(PathBuf),
    /// Its admin address, on loopback.
    Address(SocketAddr),
}

/// Asks a running edge to purge. `body` is that of `POST /purge`. Returns the answer's.
pub fn ask_purge(place: &AdminPlace, body: &[u8], timeout: Duration) -> Result<String, ProbeError> {
    match place {
        AdminPlace::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            exchange(stream, body)
        }
        AdminPlace::Address(address) => {
            let stream = TcpStream::connect_timeout(address, timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            exchange(stream, body)
        }
    }
}

fn exchange(mut stream: impl Read + Write, body: &[u8]) -> Result<String, ProbeError> {
    let length = body.len();
    write!(
        stream,
        "POST /purge HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    };
    let body = body.trim().to_owned();
    if head.starts_with("HTTP/1.1 200 ") {
        Ok(body)
    } else {
        Err(ProbeError::No(body))
    }
}

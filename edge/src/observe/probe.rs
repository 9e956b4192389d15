use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Its configuration is complete and it listens.
    Ready,
    /// The process answers.
    Live,
}

/// Why a probe's answer is no.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The socket doesn't answer.
    #[error("no answer: {0}")]
    NoAnswer(#[from] io::Error),
    /// It isn't.
    #[error("{0}")]
    No(String),
}

/// Asks an edge over its Unix socket. Needs no runtime; a kubelet runs it every few seconds.
pub fn probe(what: Probe, socket: &Path, timeout: Duration) -> Result<(), ProbeError> {
    let path = match what {
        Probe::Ready => "/readyz",
        Probe::Live => "/healthz",
    };
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or(&*answer, |(_, body)| body);
    Err(ProbeError::No(body.trim().to_owned()))
}

//! The origin behind every server: the same header fields for all, a thread for each connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context as _;

use crate::content;

/// A running origin; it ends with the process.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Origin {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the origin's port")?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                // A connection that breaks is the server's affair: it sees it.
                thread::spawn(move || drop(serve(&stream, &counter)));
            }
        });
        Ok(Self { address, requests })
    }

    /// Requests for bodies so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

fn serve(stream: &TcpStream, counter: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        let head = words.next() == Some("HEAD");
        let path = words.next().unwrap_or_default().to_owned();
        // The rest of the head says nothing that the answer depends on.
        while line.trim_end() != "" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let body = content::body(&path);
        counter.fetch_add(u64::from(body.is_some()), Ordering::Relaxed);
        let (status, body) = body.map_or(("404 Not Found", &b""[..]), |body| ("200 OK", body));
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
             Cache-Control: public, max-age=86400\r\nETag: \"{:x}-{}\"\r\n\
             Last-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n\r\n",
            body.len(),
            body.len(),
            path.len()
        )
        .into_bytes();
        if !head {
            answer.extend_from_slice(body);
        }
        (&*stream).write_all(&answer)?;
    }
}

//! What is measured, and one measurement of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::client::{Client, HOST};
use crate::parse::{self, Load};
use crate::peer::Running;
use crate::{cpu, tls};

/// What makes the load.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Generator {
    /// wrk, over plain HTTP/1.1 or TLS.
    Wrk { tls: bool },
    /// wrk with a script that chooses paths, named here.
    Script(&'static str),
    /// h2load over TLS.
    H2load,
    /// New TLS connections, each with one request.
    Connect { resume: bool },
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) bytes: usize,
    pub(crate) connections: u32,
    pub(crate) generator: Generator,
    /// What a server must be able to do: a word of its script.
    pub(crate) needs: &'static str,
    /// Keys that are asked for once before.
    pub(crate) keys: u32,
}

const fn hit(
    name: &'static str,
    meaning: &'static str,
    bytes: usize,
    generator: Generator,
    needs: &'static str,
) -> Case {
    Case {
        name,
        meaning,
        bytes,
        connections: 64,
        generator,
        needs,
        keys: 1,
    }
}

const PLAIN: Generator = Generator::Wrk { tls: false };
const TLS: Generator = Generator::Wrk { tls: true };

/// Every case of throughput.
pub(crate) const ALL: [Case; 15] = [
    hit("h1-1k", "HTTP/1.1 hit, 1 KiB", 1 << 10, PLAIN, "http"),
    hit("h1-32k", "HTTP/1.1 hit, 32 KiB", 32 << 10, PLAIN, "http"),
    hit("h1-1m", "HTTP/1.1 hit, 1 MiB", 1 << 20, PLAIN, "http"),
    hit("tls-1k", "HTTP/1.1 over TLS hit, 1 KiB", 1 << 10, TLS, "tls"),
    hit("tls-32k", "HTTP/1.1 over TLS hit, 32 KiB", 32 << 10, TLS, "tls"),
    hit("tls-1m", "HTTP/1.1 over TLS hit, 1 MiB", 1 << 20, TLS, "tls"),
    hit("h2-1k", "HTTP/2 hit, 1 KiB", 1 << 10, Generator::H2load, "h2"),
    hit("h2-32k", "HTTP/2 hit, 32 KiB", 32 << 10, Generator::H2load, "h2"),
    hit("h2-1m", "HTTP/2 hit, 1 MiB", 1 << 20, Generator::H2load, "h2"),
    hit(
        "miss-1k",
        "HTTP/1.1 miss, 1 KiB, each a new key",
        1 << 10,
        Generator::Script("miss"),
        "miss",
    ),
    hit(
        "miss-32k",
        "HTTP/1.1 miss, 32 KiB, each a new key",
        32 << 10,
        Generator::Script("miss"),
        "miss",
    ),
    hit(
        "connect-full",
        "new TLS connections, full",
        1 << 10,
        Generator::Connect { resume: false },
        "tls",
    ),
    hit(
        "connect-resumed",
        "new TLS connections, resumed",
        1 << 10,
        Generator::Connect { resume: true },
        "tls",
    ),
    Case {
        keys: 100_000,
        ..hit(
            "h1-keys",
            "HTTP/1.1 hits on 100,000 keys, 1 KiB",
            1 << 10,
            Generator::Script("keys"),
            "miss",
        )
    },
    Case {
        connections: 10_000,
        ..hit(
            "h1-10k",
            "HTTP/1.1 hit, 1 KiB, 10,000 connections",
            1 << 10,
            PLAIN,
            "http",
        )
    },
];

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Requests (connections for `connect-…`) a second.
    pub(crate) rate: f64,
    /// Processor time of the server for each, microseconds.
    pub(crate) cpu_us: f64,
    /// Share of its core that the server used. Well below 1 the generator was the limit.
    pub(crate) busy: f64,
}

impl Case {
    pub(crate) fn path(&self, key: u32) -> String {
        format!("/b/{}/k{key}", self.bytes)
    }

    /// Asks for each key once, verified, and again for the first: from then on it is a hit.
    pub(crate) fn warm(&self, server: &Running) -> anyhow::Result<()> {
        let mut client = Client::connect(server.http, 0)?;
        for key in (0..self.keys).chain([0, 0]) {
            client.get(&self.path(key))?;
        }
        Ok(())
    }

    /// Load for so long, verified beside it.
    pub(crate) fn measure(
        &self,
        server: &Running,
        scripts: &Path,
        duration: Duration,
        seed: u64,
    ) -> anyhow::Result<Sample> {
        let over = AtomicBool::new(false);
        let before = cpu::time(server.pid());
        let (load, checked) = thread::scope(|scope| {
            let checks = scope.spawn(|| self.check_until(server.http, &over));
            let load = self.load(server, scripts, duration, seed);
            over.store(true, Ordering::Relaxed);
            (load, checks.join())
        });
        let used = cpu::time(server.pid()).saturating_sub(before);
        let (load, checked) = (load?, checked.map_err(|_| anyhow::anyhow!("the verifier died"))??);
        server.empty_logs();
        if load.errors > 0 || load.requests == 0 || checked == 0 {
            bail!(
                "{} errors of {} requests, {checked} verified",
                load.errors,
                load.requests
            );
        }
        if load.bytes < load.requests.saturating_sub(u64::from(self.connections)) * self.bytes as u64 {
            bail!("{} bytes for {} requests: too short", load.bytes, load.requests);
        }
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let requests = load.requests as f64;
        Ok(Sample {
            rate: requests / load.seconds,
            cpu_us: used.as_secs_f64() * 1e6 / requests,
            busy: used.as_secs_f64() / load.seconds,
        })
    }

    /// Compares answers byte by byte while the load runs: few, so that it is no load itself.
    fn check_until(&self, to: SocketAddr, over: &AtomicBool) -> anyhow::Result<u32> {
        let mut client = Client::connect(to, 1)?;
        let mut checked = 0;
        loop {
            client.get(&self.path(checked % self.keys))?;
            checked += 1;
            if over.load(Ordering::Relaxed) {
                return Ok(checked);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn load(&self, server: &Running, scripts: &Path, duration: Duration, seed: u64) -> anyhow::Result<Load> {
        let seconds = duration.as_secs().max(1).to_string();
        let connections = self.connections.to_string();
        let openssl = server.openssl_conf();
        let plain = format!("http://{HOST}:{}{}", server.http.port(), self.path(0));
        let secure = format!("https://{HOST}:{}{}", server.https.port(), self.path(0));
        let wrk = |url: &str| {
            let mut command = Command::new("wrk");
            command.args([
                "-t1",
                "-c",
                &connections,
                "-d",
                &format!("{seconds}s"),
                "--timeout",
                "10s",
            ]);
            command.arg(url);
            command
        };
        match self.generator {
            Generator::Wrk { tls } => {
                output(&mut wrk(if tls { &secure } else { &plain }), &openssl, parse::wrk)
            }
            Generator::Script(name) => {
                let mut command = wrk(&plain);
                command.arg("-s").arg(scripts.join(format!("{name}.lua")));
                command.args([
                    "--",
                    &self.bytes.to_string(),
                    &seed.to_string(),
                    &self.keys.to_string(),
                ]);
                output(&mut command, &openssl, parse::wrk)
            }
            Generator::H2load => output(
                Command::new("h2load").args(["-t1", "-c16", "-m8", "-D", &seconds, &secure]),
                &openssl,
                parse::h2load,
            ),
            Generator::Connect { resume } => tls::connect_for(server.https, &self.path(0), resume, duration),
        }
    }
}

/// Runs a generator, which offers TLS as the file says.
fn output(command: &mut Command, openssl: &Path, parse: fn(&str) -> Option<Load>) -> anyhow::Result<Load> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("OPENSSL_CONF", openssl)
        .output()
        .with_context(|| name.clone())?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).with_context(|| {
        format!(
            "{name} said: {} {}",
            text.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

//! A whole run: starts what it needs, goes through cases and peers, writes what came out after each.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cases::{self, Case, Sample};
use crate::origin::Origin;
use crate::peer::{self, Peer, Running, Setting};
use crate::report::{Pair, Report, Single};
use crate::{Arguments, content, singles, stats};

/// Memory of each server's cache: breakwater's default, and in the others' configurations.
const CACHE_BYTES: u64 = 256 << 20;
const IDLE_CONNECTIONS: u32 = 10_000;

struct Bench<'a> {
    arguments: &'a Arguments,
    origin: Origin,
    report: Report,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    pin(arguments.load_core)?;
    fs::create_dir_all(&arguments.results)?;
    prepare(&arguments.directory)?;
    let mut bench = Bench {
        arguments,
        origin: Origin::start()?,
        report: Report::default(),
    };
    let started = Instant::now();
    let servers = bench.servers()?;
    let mut runs = servers.iter();
    let own = runs.next().context("breakwater itself")?;
    bench.about();
    bench.pairs(own, runs.as_slice())?;
    bench.singles(&servers)?;
    bench.report.about.push(format!(
        "It took {} minutes.",
        started.elapsed().as_secs().div_ceil(60)
    ));
    bench.write()?;
    println!("{}", bench.report.markdown());
    drop(fs::remove_dir_all(&arguments.directory));
    Ok(())
}

/// This thread, and all that it starts from here on, stays on the load's core.
fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).context("the load's core")
}

/// One certificate for all, and files for servers that have no cache of HTTP.
fn prepare(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let parameters = rcgen::CertificateParams::new(vec![crate::client::HOST.to_owned()])?;
    let certificate = parameters.self_signed(&key)?;
    fs::write(directory.join("tls.crt"), certificate.pem())?;
    fs::write(directory.join("tls.key"), key.serialize_pem())?;
    for case in cases::ALL {
        let path = case.path(0);
        let file = directory.join("files").join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().context("a file's directory")?)?;
        fs::write(file, content::body(&path).unwrap_or_default())?;
    }
    // wrk and h2load offer what breakwater and each peer would choose anyway, so that all do the same work.
    fs::write(
        directory.join("openssl.cnf"),
        "openssl_conf = c\n[c]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n\
         MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\nGroups = X25519\n",
    )?;
    Ok(())
}

impl Bench<'_> {
    fn setting(&self) -> Setting<'_> {
        Setting {
            origin: self.origin.address,
            directory: &self.arguments.directory,
            core: self.arguments.server_core,
        }
    }

    fn wanted(&self, case: &str) -> bool {
        let only = &self.arguments.only;
        only.is_empty() || only.iter().any(|start| case.starts_with(start.as_str()))
    }

    fn servers(&mut self) -> anyhow::Result<Vec<Peer>> {
        let mut servers = Vec::new();
        for (at, name) in peer::ALL.iter().enumerate() {
            if at > 0
                && !self.arguments.with.is_empty()
                && !self.arguments.with.iter().any(|peer| peer == name)
            {
                continue;
            }
            let peer = Peer::find(&self.arguments.peers, name)?;
            self.report
                .versions
                .push((peer.name.clone(), peer.version.clone()));
            servers.push(peer);
        }
        Ok(servers)
    }

    fn about(&mut self) {
        let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(": ")?.1.to_owned())
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let Arguments {
            rounds,
            seconds,
            server_core,
            load_core,
            ..
        } = self.arguments;
        self.report.about = vec![
            format!("{}, Linux {}.", model.unwrap_or_default(), kernel.trim()),
            format!(
                "Servers on core {server_core}, load and origin on core {load_core} ({cores} for this process)."
            ),
            format!(
                "{rounds} rounds of {seconds} s for each of a pair, in the order A B B A; void above {:.0} % spread.",
                stats::MAX_SPREAD * 100.0
            ),
        ];
    }

    fn write(&self) -> anyhow::Result<()> {
        let results = &self.arguments.results;
        fs::write(results.join("result.md"), self.report.markdown())?;
        fs::write(results.join("result.json"), format!("{:#}\n", self.report.json()))?;
        Ok(())
    }

    fn pairs(&mut self, own: &Peer, peers: &[Peer]) -> anyhow::Result<()> {
        for case in &cases::ALL {
            if !self.wanted(case.name) {
                continue;
            }
            for peer in peers {
                let result = self.pair(case, own, peer).map_err(|why| format!("{why:#}"));
                if let Err(why) = &result {
                    eprintln!("{} {}: {why}", case.name, peer.name);
                }
                self.report.pairs.push(Pair {
                    case: format!("{} ({})", case.name, case.meaning),
                    peer: if peer.can("files-only") {
                        format!("{} (static files)", peer.name)
                    } else {
                        peer.name.clone()
                    },
                    rounds: self.arguments.rounds,
                    result,
                });
                self.write()?;
            }
        }
        Ok(())
    }

    fn pair(&self, case: &Case, own: &Peer, peer: &Peer) -> anyhow::Result<Vec<(Sample, Sample)>> {
        if let Err(why) = &peer.version {
            anyhow::bail!("not there: {why}");
        }
        if !peer.can(case.needs) {
            anyhow::bail!("it has no {} as it is configured", case.needs);
        }
        let ours = self.start(case, own)?;
        let theirs = self.start(case, peer)?;
        let mut samples = [Vec::new(), Vec::new()];
        let duration = Duration::from_secs(self.arguments.seconds);
        for (seed, second) in stats::interleaved(self.arguments.rounds).into_iter().enumerate() {
            let (server, name) = if second {
                (&theirs, &peer.name)
            } else {
                (&ours, &own.name)
            };
            let sample = case
                .measure(server, &self.arguments.scripts, duration, seed as u64)
                .with_context(|| name.clone())?;
            let [first, last] = &mut samples;
            if second { last } else { first }.push(sample);
        }
        let [ours, theirs] = samples;
        Ok(ours.into_iter().zip(theirs).collect())
    }

    fn start(&self, case: &Case, peer: &Peer) -> anyhow::Result<Running> {
        let running = peer.start(&self.setting()).with_context(|| peer.name.clone())?;
        case.warm(&running)
            .with_context(|| format!("{}: warming", peer.name))?;
        Ok(running)
    }

    fn singles(&mut self, servers: &[Peer]) -> anyhow::Result<()> {
        for (name, needs) in [("latency", "http"), ("idle", "tls"), ("churn", "miss")] {
            if !self.wanted(name) {
                continue;
            }
            for peer in servers {
                let result = self.single(name, needs, peer).map_err(|why| format!("{why:#}"));
                self.report.singles.push(Single {
                    case: name.to_owned(),
                    server: peer.name.clone(),
                    result,
                });
                self.write()?;
            }
        }
        for name in ["slices", "disk"] {
            if !self.wanted(name) {
                continue;
            }
            self.report.singles.push(Single {
                case: name.to_owned(),
                server: "breakwater".to_owned(),
                result: Err("not there yet".to_owned()),
            });
        }
        Ok(())
    }

    fn single(&self, name: &str, needs: &str, peer: &Peer) -> anyhow::Result<serde_json::Value> {
        if let Err(why) = &peer.version {
            anyhow::bail!("not there: {why}");
        }
        if !peer.can(needs) {
            anyhow::bail!("it has no {needs} as it is configured");
        }
        let case = cases::ALL.first().context("a first case")?;
        let server = self.start(case, peer)?;
        let duration = Duration::from_secs(self.arguments.seconds);
        match name {
            "latency" => {
                let saturation = case.measure(&server, &self.arguments.scripts, duration, 0)?.rate;
                singles::latency(&server, saturation, duration)
            }
            "idle" => singles::idle(&server, IDLE_CONNECTIONS),
            _ => singles::churn(&server, &self.origin, CACHE_BYTES),
        }
    }
}

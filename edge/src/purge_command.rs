//! `breakwater-edge purge`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use breakwater_edge::{AdminPlace, ask_purge};
use clap::{ArgGroup, Args};
use serde_json::json;

/// Purge what a running edge has stored; returns when nothing old is served any more.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)), group(ArgGroup::new("where").required(true)))]
pub(crate) struct PurgeArgs {
    /// The site: `home/namespace/name`, or a host that it serves.
    #[arg(long)]
    site: String,
    /// URLs as visitors ask for them, with all variants of each.
    #[arg(long, group = "what", num_args = 1..)]
    url: Vec<String>,
    /// Whatever begins with these, `https://HOST/PATH`.
    #[arg(long, group = "what", num_args = 1..)]
    prefix: Vec<String>,
    /// Whatever these hold for, `https://HOST/PATH` with `*` for any bytes.
    #[arg(long, group = "what", num_args = 1..)]
    mask: Vec<String>,
    /// What the origin gave these tags.
    #[arg(long, group = "what", num_args = 1..)]
    tag: Vec<String>,
    /// Everything of the site.
    #[arg(long, group = "what")]
    everything: bool,
    /// What is purged is stale from now on, not gone.
    #[arg(long)]
    soft: bool,
    /// The edge's Unix socket.
    #[arg(long, env = "BREAKWATER_ADMIN_SOCKET", group = "where")]
    socket: Option<PathBuf>,
    /// The edge's admin address, on loopback.
    #[arg(long, group = "where")]
    admin: Option<SocketAddr>,
    /// How long to wait for the answer, seconds.
    #[arg(long, default_value_t = 10)]
    timeout_seconds: u64,
}

pub(crate) fn run(args: PurgeArgs) -> anyhow::Result<()> {
    let place = match (args.socket, args.admin) {
        (_, Some(address)) => AdminPlace::Address(address),
        (Some(path), None) => AdminPlace::Socket(path),
        (None, None) => anyhow::bail!("give --socket or --admin"),
    };
    let kinds = [
        ("url", args.url),
        ("prefix", args.prefix),
        ("mask", args.mask),
        ("tag", args.tag),
    ];
    let given = kinds.into_iter().find(|(_, values)| !values.is_empty());
    let (kind, values) = given.unwrap_or(("everything", Vec::new()));
    let body = json!({"site": args.site, "kind": kind, "values": values, "soft": args.soft}).to_string();
    let timeout = Duration::from_secs(args.timeout_seconds);
    let answer = ask_purge(&place, body.as_bytes(), timeout).context("the edge did not purge")?;
    println!("{answer}");
    Ok(())
}

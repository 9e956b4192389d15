//! `breakwater render`: what manifests become, without a cluster.

mod output;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use breakwater_render::{Index, Settings};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::run::PlatformOptions;
use crate::standalone::{Folder, texts};
use output::Output;

/// What to render, and how to show it.
#[derive(Args, Debug)]
pub(super) struct RenderOptions {
    /// File or directory with manifests; may be given several times; `-` reads standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,

    /// Name of the cluster's home region, as the operator has it.
    #[arg(long, value_name = "NAME", default_value = "default")]
    home_region: String,

    /// Namespace of the operator: policies with a scope are accepted there only.
    #[arg(long, value_name = "NAME", default_value = "breakwater-system")]
    operator_namespace: String,

    #[command(flatten)]
    platform: PlatformOptions,

    /// Also write the configurations with their private keys to this new file, which only you can read.
    /// Without it, fingerprints stand for certificates and keys.
    #[arg(long, value_name = "FILE")]
    with_keys: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

pub(super) fn render(options: &RenderOptions) -> anyhow::Result<ExitCode> {
    let mut found = BTreeMap::new();
    for path in &options.files {
        read(path, &mut found)?;
    }
    if found.is_empty() {
        bail!("there are no manifests (*.yaml, *.yml, *.json)");
    }
    let mut folder = Folder::default();
    let objects = folder.update(found).apply;
    let settings = Settings::files(&options.home_region, &options.operator_namespace);
    let settings = options.platform.apply(settings)?;
    let mut index = Index::new(settings);
    for (object, _) in objects {
        index.apply(object);
    }
    let changes = index.render_dirty(Timestamp::now());
    let output = Output::new(&folder, &changes);
    for note in output.notes() {
        eprintln!("{note}");
    }
    let text = match options.output {
        Format::Yaml => serde_saphyr::to_string(&output).context("YAML")?,
        Format::Json => serde_json::to_string_pretty(&output).context("JSON")? + "\n",
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output")?;
    if let Some(path) = &options.with_keys {
        write_keys(path, &changes.publish).with_context(|| path.display().to_string())?;
    }
    Ok(if output.is_refused() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(path: &Path, found: &mut BTreeMap<PathBuf, Result<String, String>>) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input")?;
        found.insert(PathBuf::from("standard input"), Ok(text));
    } else if fs::metadata(path)
        .with_context(|| path.display().to_string())?
        .is_dir()
    {
        let below = texts(path).with_context(|| path.display().to_string())?;
        found.extend(
            below
                .into_iter()
                .map(|(path, text)| match path.strip_prefix(".") {
                    Ok(short) => (short.to_owned(), text),
                    Err(_) => (path, text),
                }),
        );
    } else {
        // A file that somebody names is read whatever it is called, and has to be there.
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        found.insert(
            path.to_owned(),
            String::from_utf8(bytes).map_err(|error| error.to_string()),
        );
    }
    Ok(())
}

fn write_keys(path: &Path, published: &[breakwater_render::Publish]) -> anyhow::Result<()> {
    let mut regions: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, String>>> = BTreeMap::new();
    for publish in published {
        let files = publish
            .files
            .iter()
            .map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes).into_owned()));
        let secrets = regions.entry(&publish.position.region).or_default();
        secrets.insert(&publish.position.secret, files.collect());
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    serde_json::to_writer_pretty(&mut file, &regions)?;
    file.write_all(b"\n")?;
    Ok(())
}

//! Writes the CustomResourceDefinitions as YAML into the directory that is given, one file a kind.
#![allow(clippy::print_stdout, reason = "a command line tool")]

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory: PathBuf = std::env::args_os().nth(1).ok_or("usage: crds DIRECTORY")?.into();
    for crd in breakwater_crds::all() {
        let path = directory.join(breakwater_crds::file_name(&crd));
        std::fs::write(&path, breakwater_crds::yaml(&crd)?)?;
        println!("{}", path.display());
    }
    Ok(())
}

//! Writes the CustomResourceDefinitions as YAML, and a page of documentation for each, into the directories
//! that are given.
#![allow(clippy::print_stdout, reason = "a command line tool")]

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(pages)) = (arguments.next(), arguments.next()) else {
        return Err("usage: crds DEFINITIONS-DIRECTORY PAGES-DIRECTORY".into());
    };
    for crd in breakwater_crds::all() {
        let path = directory.join(breakwater_crds::file_name(&crd));
        std::fs::write(&path, breakwater_crds::yaml(&crd)?)?;
        let page = pages.join(breakwater_crds::reference_file_name(&crd));
        std::fs::write(&page, breakwater_crds::reference(&crd))?;
        println!("{}\n{}", path.display(), page.display());
    }
    Ok(())
}

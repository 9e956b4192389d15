//! The scenarios on real clusters. Run by `e2e/run.sh`, which builds what they need.

use breakwater_e2e::cluster::{Assets, Cluster};
use breakwater_e2e::runner::Runner;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let assets = Assets::from_env()?;
    let mut runner = Runner::from_arguments();
    let started = std::time::Instant::now();
    let cluster = Cluster::start(&assets, 1).await?;
    println!(
        "a cluster is ready after {:.1} s",
        started.elapsed().as_secs_f32()
    );
    runner
        .run("the node is there", async {
            cluster
                .kubectl(&["get", "nodes", "-o", "wide"])
                .map(|out| println!("{out}"))
        })
        .await;
    drop(cluster);
    if !runner.finish() {
        std::process::exit(1);
    }
    Ok(())
}

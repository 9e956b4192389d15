//! The scenarios on real API servers and whole clusters. Run by `e2e/run.sh`, which builds what they need.

mod verdicts;

use breakwater_e2e::api_server::ApiServer;
use breakwater_e2e::cluster::Assets;
use breakwater_e2e::runner::Runner;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let assets = Assets::from_env()?;
    let mut runner = Runner::from_arguments();
    let server = ApiServer::start(&assets.programs, &assets.directory.join("api")).await?;
    runner
        .run(
            "every refusal is the API server's and render's",
            verdicts::every_refusal_is_the_api_servers_and_renders(&server),
        )
        .await;
    drop(server);
    if !runner.finish() {
        std::process::exit(1);
    }
    Ok(())
}

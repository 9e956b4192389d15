//! The operator alone against a real API server: what breaks it, and that it isn't broken.

use anyhow::Result;
use breakwater_e2e::cluster::Assets;
use breakwater_e2e::runner::Runner;

use crate::operator_crash;
use crate::operator_stage::Stage;

/// Runs them one after another on one API server.
pub(crate) async fn run(assets: &Assets, runner: &mut Runner) -> Result<()> {
    let mut stage = Stage::start(assets).await?;
    macro_rules! scenario {
        ($name:literal, $scenario:path) => {
            runner.run($name, Box::pin($scenario(&mut stage))).await;
            if runner.wants($name) {
                stage.clean().await?;
            }
        };
    }
    scenario!(
        "an operator killed in the middle of 200 sites finishes them after its start",
        operator_crash::killed_in_the_middle_of_200_sites_it_finishes_them
    );
    Ok(())
}

//! The operator alone against a real API server: what breaks it, and that it isn't broken.

use anyhow::Result;
use breakwater_e2e::cluster::Assets;
use breakwater_e2e::runner::Runner;

use crate::operator_stage::Stage;
use crate::{
    operator_crash, operator_lease, operator_rights, operator_scale, operator_secrets, operator_watch,
};

/// Runs them one after another on one API server.
pub(crate) async fn run(assets: &Assets, runner: &mut Runner) -> Result<()> {
    let mut stage = None;
    macro_rules! scenario {
        ($name:literal, $scenario:path) => {
            if runner.wants($name) {
                if stage.is_none() {
                    stage = Some(Stage::start(assets).await?);
                }
                if let Some(mut there) = stage.take()
                    && runner.run($name, Box::pin($scenario(&mut there))).await
                {
                    there.clean().await?;
                    stage = Some(there);
                } // after a failure nobody knows what is left: the next one gets another stage
            }
        };
    }
    scenario!(
        "an operator killed in the middle of 200 sites finishes them after its start",
        operator_crash::killed_in_the_middle_of_200_sites_it_finishes_them
    );
    scenario!(
        "of two replicas one writes and the other takes over",
        operator_lease::of_two_replicas_one_writes_and_the_other_takes_over
    );
    scenario!(
        "every broken certificate is told and keeps the last good one",
        operator_secrets::a_broken_certificate_keeps_the_last_good_one
    );
    scenario!(
        "what others do to published Secrets is undone",
        operator_secrets::what_others_do_to_published_secrets_is_undone
    );
    scenario!(
        "after a restart of the API server the operator carries on",
        operator_watch::after_a_restart_of_the_api_server_it_carries_on
    );
    scenario!(
        "with its definition gone every site stays published",
        operator_watch::with_its_definition_gone_every_site_stays_published
    );
    scenario!(
        "a thousand sites take few writes and little time",
        operator_scale::a_thousand_sites_take_few_writes_and_little_time
    );
    scenario!(
        "trouble in one region's namespace is told and stays there",
        operator_rights::trouble_in_one_namespace_is_told_and_stays_there
    );
    drop(stage);
    Ok(())
}

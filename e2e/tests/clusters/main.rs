//! The scenarios on real API servers and whole clusters. Run by `e2e/run.sh`, which builds what they need.

mod cache;
mod change;
mod edge_scene;
mod edge_source;
mod failures;
mod keys;
mod latency;
mod objects;
mod operator_crash;
mod operator_lease;
mod operator_rights;
mod operator_scale;
mod operator_scenarios;
mod operator_secrets;
mod operator_stage;
mod operator_watch;
mod rate;
mod release;
mod restore;
mod rights;
mod rollout;
mod service;
mod sites;
mod skew;
mod traffic;
mod verdicts;

use std::time::Instant;

use anyhow::Result;
use breakwater_e2e::api_server::ApiServer;
use breakwater_e2e::cluster::{Assets, Cluster};
use breakwater_e2e::installed::Installed;
use breakwater_e2e::runner::Runner;

#[tokio::main]
async fn main() -> Result<()> {
    let Some(assets) = Assets::from_env()? else {
        println!("\nno scenarios: `make e2e` runs them\n");
        return Ok(());
    };
    let mut runner = Runner::from_arguments();
    without_kubelet(&assets, &mut runner).await?;
    // The argument is for those who work on what needs no cluster, and for machines without root.
    if !std::env::args().any(|argument| argument == "--without-kubelet") {
        Box::pin(on_a_cluster(&assets, &mut runner)).await?;
    }
    if !runner.finish() {
        std::process::exit(1);
    }
    Ok(())
}

/// What needs an API server only, and no root.
async fn without_kubelet(assets: &Assets, runner: &mut Runner) -> Result<()> {
    let server = ApiServer::start(&assets.programs, &assets.directory.join("api")).await?;
    let name = "every refusal is the API server's and render's";
    runner
        .run(
            name,
            verdicts::every_refusal_is_the_api_servers_and_renders(&server),
        )
        .await;
    drop(server);
    operator_scenarios::run(assets, runner).await?;
    edge_source::run(assets, runner).await
}

async fn start(assets: &Assets) -> Result<Installed> {
    let started = Instant::now();
    let edge = Installed::start(assets, 1).await?;
    println!(
        "a cluster with the chart installed after {:.1} s",
        started.elapsed().as_secs_f32()
    );
    Ok(edge)
}

/// One scenario after the other on one cluster; what a failed one leaves behind is shown. Where there can't be
/// a cluster, each is skipped with the reason.
async fn on_a_cluster(assets: &Assets, runner: &mut Runner) -> Result<()> {
    let mut cluster = match Cluster::obstacle() {
        None => Ok(start(assets).await?),
        Some(why) => Err(why),
    };
    macro_rules! scenario {
        ($name:literal, $scenario:path) => {
            match &mut cluster {
                Err(why) => runner.skip($name, why),
                Ok(edge) => {
                    if !runner.run($name, $scenario(edge)).await {
                        println!("{}", edge.report());
                        edge.keep().await;
                    }
                }
            }
        };
    }
    scenario!(
        "a site is served over every protocol",
        traffic::a_site_is_served_over_every_protocol
    );
    scenario!(
        "a change under load fails no request",
        change::a_change_under_load_fails_no_request
    );
    scenario!("the second request is a hit", cache::the_second_request_is_a_hit);
    scenario!(
        "too many requests are told when to come back",
        rate::too_many_requests_are_told_when_to_come_back
    );
    scenario!(
        "a broken key keeps the last good certificate",
        keys::a_broken_key_keeps_the_last_good_certificate
    );
    scenario!(
        "an operator killed during a change loses nothing",
        failures::an_operator_killed_during_a_change_loses_nothing
    );
    scenario!(
        "without the API server edges serve and restart",
        failures::without_the_api_server_edges_serve_and_restart
    );
    scenario!(
        "pods of a service are an origin",
        service::pods_of_a_service_are_an_origin
    );
    scenario!(
        "an edge's token reads nothing but its own namespace",
        rights::an_edges_token_reads_nothing_but_its_own_namespace
    );
    scenario!(
        "what an edge can't read leaves its traffic as it was",
        skew::what_an_edge_cant_read_leaves_its_traffic_as_it_was
    );
    scenario!(
        "after a restore traffic goes on and statuses tell the truth",
        restore::after_a_restore_traffic_goes_on_and_statuses_tell_the_truth
    );
    scenario!(
        "replacing the edges under load fails no request",
        rollout::replacing_the_edges_under_load_fails_no_request
    );
    scenario!(
        "a bad object says what is wrong and harms no other",
        objects::a_bad_object_says_what_is_wrong_and_harms_no_other
    );
    scenario!(
        "a change of one site of a thousand is served soon",
        latency::a_change_of_one_site_of_a_thousand_is_served_soon
    );
    scenario!(
        "a release is upgraded, taken away and installed again",
        release::a_release_is_upgraded_taken_away_and_installed_again
    );
    Ok(())
}

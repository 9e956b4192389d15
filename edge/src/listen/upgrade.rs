use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::ask::Answer;
use super::exchange::Exchange;
use super::meter::Meter;

/// Carries bytes both ways once both sides have switched, until one of them ends or nothing moves for too
/// long. Draining waits for it up to its deadline.
pub(crate) fn start(mut exchange: Exchange, answer: Answer, client: OnUpgrade) {
    let local = std::rc::Rc::clone(&exchange.connection.local);
    let presence = local.presence();
    tokio::task::spawn_local(async move {
        let idle = local.common.limits.idle_stream;
        let meter = Arc::clone(&exchange.connection.meter);
        if let Some(mut origin) = answer.upgraded
            && let Ok(client) = client.await
        {
            let mut client = TokioIo::new(client);
            let before = meter.bytes();
            tokio::select! {
                // However it ends, it has ended: a broken connection is a usual end of such a stream.
                _ = copy_bidirectional(&mut client, &mut origin) => {}
                () = silence(&meter, idle) => {}
            }
            let after = meter.bytes();
            exchange.end.body_bytes = after.1.saturating_sub(before.1);
            exchange.complete = true;
        }
        drop(exchange);
        drop(presence);
    });
}

/// Resolves when nothing has been received or sent for a while.
async fn silence(meter: &Meter, idle: Duration) {
    let mut last = meter.bytes();
    loop {
        tokio::time::sleep(idle).await;
        let now = meter.bytes();
        if now == last {
            return;
        }
        last = now;
    }
}

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};

use super::ask::Answer;
use super::exchange::Exchange;
use super::meter::Meter;
use super::worker::Local;
use crate::origin::OriginStream;

/// Carries bytes both ways once both sides have switched. Draining waits for it up to its deadline.
pub(crate) fn start(mut exchange: Exchange, answer: Answer, client: OnUpgrade) {
    let local = Rc::clone(&exchange.connection.local);
    let presence = local.presence();
    tokio::task::spawn_local(async move {
        let meter = Arc::clone(&exchange.connection.meter);
        if let Some(mut origin) = answer.upgraded
            && let Ok(client) = client.await
        {
            let mut client = TokioIo::new(client);
            exchange.end.body_bytes = carry(&local, &meter, &mut client, &mut origin).await;
            exchange.complete = true;
        }
        drop(exchange);
        drop(presence);
    });
}

/// Carries bytes both ways until one of them ends or nothing moves for too long; returns how many went to the
/// client.
pub(crate) async fn carry<C: AsyncRead + AsyncWrite + Unpin>(
    local: &Local,
    meter: &Meter,
    client: &mut C,
    origin: &mut OriginStream,
) -> u64 {
    let before = meter.bytes();
    tokio::select! {
        // However it ends, it has ended: a broken connection is a usual end of such a stream.
        _ = copy_bidirectional(client, origin) => {}
        () = silence(meter, local.common.limits.idle_stream) => {}
    }
    let after = meter.bytes();
    after.1.saturating_sub(before.1)
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

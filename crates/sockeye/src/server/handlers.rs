//! [`Handlers`]: where the handlers of a server run.

use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::coop;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection::Connection;
use super::counters::Counters;
use super::latch::LatchWaiter;

/// Where there are several threads each handler is a task. On a single one handlers take turns
/// anyway, and all of them are one task: a task of its own takes 220 bytes more for each connection.
pub(super) enum Handlers<F> {
    Tasks,
    OneTask(UnboundedSender<UntilAborted<F>>),
}

impl<F: Future<Output = ()> + Send + 'static> Handlers<F> {
    /// On the runtime that this is called on.
    pub(super) fn new() -> Self {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => {
                let (newcomers, coming) = unbounded_channel();
                tokio::spawn(run_all(coming));
                Self::OneTask(newcomers)
            }
            _ => Self::Tasks,
        }
    }

    /// Has `handler` serve `connection`. A panic ends that connection only.
    pub(super) fn run<S: AsFd>(
        &self,
        handler: impl Fn(Connection<S>) -> F,
        connection: Connection<S>,
        counters: &Arc<Counters>,
    ) {
        // This is about what runs before its first await.
        let Ok(handler) = catch_unwind(AssertUnwindSafe(|| handler(connection))) else {
            return;
        };
        let handler = UntilAborted {
            dropped: LatchWaiter::new(&counters.dropped),
            handler,
            running: counters.running(),
        };
        match self {
            Self::Tasks => drop(tokio::spawn(handler)),
            // It fails where the runtime is going down, and drops the handler as the runtime would.
            Self::OneTask(newcomers) => drop(newcomers.send(handler)),
        }
    }
}

/// Runs what comes until nobody is left to send any.
async fn run_all<F: Future<Output = ()>>(mut coming: UnboundedReceiver<F>) {
    let mut running = FuturesUnordered::new();
    poll_fn(|cx| {
        let is_over = loop {
            // Without a budget: that is for those who are here already.
            match pin!(coop::unconstrained(coming.recv())).poll(cx) {
                Poll::Ready(Some(handler)) => running.push(handler),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        loop {
            // The handler that panics is dropped while it does, and the others stay.
            match catch_unwind(AssertUnwindSafe(|| running.poll_next_unpin(cx))) {
                Ok(Poll::Ready(Some(()))) => {}
                // To drop that might be another panic.
                Err(panic) => std::mem::forget(panic),
                Ok(Poll::Ready(None)) if is_over => return Poll::Ready(()),
                Ok(Poll::Ready(None) | Poll::Pending) => return Poll::Pending,
            }
        }
    })
    .await;
}

pin_project_lite::pin_project! {
    /// A handler that is dropped when the drain is cut off. Not an async block: that would hold the
    /// handler twice, as what it captures and as what it pins, in every connection.
    pub(super) struct UntilAborted<F> {
        dropped: LatchWaiter,
        #[pin]
        handler: F,
        // A handler may have work left when its connection has closed.
        running: TaskTrackerToken,
    }
}

impl<F: Future<Output = ()>> Future for UntilAborted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.dropped.poll_open(cx) {
            true => Poll::Ready(()),
            // That of all handlers together is used up. If this one found that out by itself, it would
            // wait behind those whom epoll wakes meanwhile. After two of these the turn is over.
            false if !coop::has_budget_remaining() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            false => this.handler.poll(cx),
        }
    }
}

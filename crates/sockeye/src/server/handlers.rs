//! [`Handlers`]: where the handlers of a server run.

use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::coop;

use super::Server;
use super::connection::Connection;
use super::counters::{Counters, Tracked};
use super::handler_output::HandlerOutput;
use super::handler_output::sealed::Failure;
use super::handler_scope::HandlerScope;
use super::latch::LatchWaiter;

impl Server {
    /// Makes each handler a task of its own on a current-thread runtime too: it is woken a little faster
    /// (0.4 us a message), and takes 220 bytes more. A relay gains by it.
    #[must_use]
    pub fn task_per_handler(mut self) -> Self {
        self.has_task_per_handler = true;
        self
    }
}

/// On a multi-threaded runtime each handler is a task. On a current-thread runtime all of them are one
/// task, which saves 220 bytes for each connection.
pub(super) enum Handlers<F> {
    Tasks,
    OneTask(UnboundedSender<UntilAborted<F>>),
}

impl<F: Future<Output: HandlerOutput> + Send + 'static> Handlers<F> {
    /// On the current runtime.
    pub(super) fn new(server: &Server) -> Self {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread if !server.has_task_per_handler => {
                let (sender, receiver) = unbounded_channel();
                tokio::spawn(run_all(receiver));
                Self::OneTask(sender)
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
        // A panic before the first await; later ones are the runtime's, or run_all's.
        let begun = {
            let _scope = HandlerScope::enter(&counters.dropped);
            catch_unwind(AssertUnwindSafe(|| handler(connection)))
        };
        let handler = match begun {
            Ok(handler) => handler,
            Err(panic) => {
                match &counters.panic {
                    Some(first) => first.keep(panic),
                    // Dropping it might panic again.
                    None => std::mem::forget(panic),
                }
                return;
            }
        };
        let handler = UntilAborted {
            dropped: LatchWaiter::new(&counters.dropped),
            handler,
            counters: Tracked::new(counters),
        };
        match self {
            Self::Tasks => drop(tokio::spawn(handler)),
            // It fails while the runtime shuts down, and drops the handler as the runtime would.
            Self::OneTask(sender) => drop(sender.send(handler)),
        }
    }
}

/// Runs the handlers that come until no sender is left.
async fn run_all<F: Future<Output = ()>>(mut receiver: UnboundedReceiver<F>) {
    let mut running = FuturesUnordered::new();
    poll_fn(|cx| {
        let is_over = loop {
            // Without coop budget, which is for the running handlers.
            match pin!(coop::unconstrained(receiver.recv())).poll(cx) {
                Poll::Ready(Some(handler)) => running.push(handler),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        loop {
            // The handler that panics is dropped while it does, and the others stay.
            match catch_unwind(AssertUnwindSafe(|| running.poll_next_unpin(cx))) {
                Ok(Poll::Ready(Some(()))) => {}
                // Dropping the payload might panic again.
                Err(panic) => std::mem::forget(panic),
                Ok(Poll::Ready(None)) if is_over => return Poll::Ready(()),
                Ok(Poll::Ready(None) | Poll::Pending) => return Poll::Pending,
            }
        }
    })
    .await;
}

pin_project_lite::pin_project! {
    /// A handler that is dropped when the server aborts. Not an async block: that would hold the
    /// handler twice in every connection, as captured and as pinned.
    pub(super) struct UntilAborted<F> {
        dropped: LatchWaiter,
        #[pin]
        handler: F,
        // A handler may go on after its connection has closed.
        counters: Tracked,
    }
}

impl<F: Future<Output: HandlerOutput>> Future for UntilAborted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.dropped.poll_open(cx) {
            return Poll::Ready(());
        }
        if !coop::has_budget_remaining() {
            // The coop budget of all handlers together is used up. If this handler found that out by
            // itself, it would be polled after those that epoll wakes meanwhile. FuturesUnordered
            // yields after two of these.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let handler = this.handler;
        let _scope = HandlerScope::enter(this.dropped.latch());
        let output = match &this.counters.panic {
            None => ready!(handler.poll(cx)),
            Some(first) => match catch_unwind(AssertUnwindSafe(|| handler.poll(cx))) {
                Ok(polled) => ready!(polled),
                Err(panic) => {
                    first.keep(panic);
                    // The handler is still to be dropped in a panic, so that it counts as aborted.
                    resume_unwind(Box::new(()));
                }
            },
        };
        if let Some(error) = output.failure() {
            this.counters.count_failed(error);
        }
        Poll::Ready(())
    }
}

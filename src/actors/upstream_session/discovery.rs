//! The part of an `UpstreamSession` that knows what its server offers: fetches the lists, again when they change or
//! are old, and tells the catalogue.

use std::{sync::Arc, time::Duration};

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use tokio::sync::oneshot;

use super::{UpstreamSession, interrupted};
use crate::{
    actors::upstream_link::{Live, News},
    domain::clock,
    upstream::{
        UpstreamError,
        lists::{self, Dropped, Fetched, Kind, Kinds, Offer},
    },
};

impl UpstreamSession {
    /// Resolves with what is offered once lists that were asked for after now have been fetched.
    pub(super) fn refresh(
        &mut self,
        kinds: Kinds,
        ctx: &mut Context<Self>,
    ) -> oneshot::Receiver<Result<Offer, UpstreamError>> {
        let (waiter, offer) = oneshot::channel();
        if let Some(waiters) = &mut self.listing {
            waiters.push(waiter);
        } else {
            self.listing = Some(vec![waiter]);
            self.stale.set(self.stale.get().and(kinds));
            self.start_listing(None, ctx);
        }
        offer
    }

    fn start_listing(&mut self, stale: Option<Arc<Live>>, ctx: &mut Context<Self>) {
        let connection = self.connect(stale.as_ref(), ctx);
        let (parts, patience, known) = (self.parts.clone(), self.patience(), self.offer.clone());
        let retried = stale.is_some();
        let wanted = self.stale.replace(Kinds::NONE);
        let fetch = async move {
            let line = connection.await.map_err(|_dropped| interrupted())??;
            let about = line.live.connected.clone();
            // What was known of a server that declares something else by now is no more to be relied on.
            let same = known.filter(|known| known.about.capabilities == about.capabilities);
            let wanted = if same.is_some() { wanted } else { Kinds::ALL };
            let offer = match same {
                Some(known) => known.of_now(about),
                None => Offer::empty(about),
            };
            let ask = async |kind: Kind, members: &str| line.ask(kind.method(), members, patience).await;
            Ok((lists::fetch(offer, wanted, &parts.config, ask).await, line.live.clone()))
        };
        ctx.spawn(fetch.into_actor(self).map(move |outcome, session, ctx| match outcome {
            Ok((Err(UpstreamError::SessionExpired), live)) if !retried => {
                session.stale.set(session.stale.get().and(wanted));
                session.start_listing(Some(live), ctx);
            }
            Ok((fetched, _)) => session.finish_listing(wanted, fetched),
            Err(failure) => session.finish_listing(wanted, Err(failure)),
        }));
    }

    fn finish_listing(&mut self, wanted: Kinds, fetched: Result<Fetched, UpstreamError>) {
        let outcome = match fetched {
            Ok(Fetched { offer, failure }) => {
                self.listed(offer.clone());
                match failure {
                    Some(failure) => self.try_again(wanted, &failure),
                    None => self.listed_all(),
                }
                Ok(offer)
            }
            Err(failure) => {
                self.try_again(wanted, &failure);
                self.link.failed(&failure);
                Err(failure)
            }
        };
        for waiter in self.listing.take().into_iter().flatten() {
            let _gone = waiter.send(outcome.clone());
        }
    }

    /// Tells everybody what the server offers.
    fn listed(&mut self, offer: Offer) {
        let dropped = offer.dropped();
        self.report_dropped(&dropped);
        self.link.listed(offer.tools().len(), dropped);
        self.offer = Some(offer.clone());
        (self.parts.discovered)(self.def.id, self.scope, News::Offer(offer));
    }

    fn listed_all(&mut self) {
        self.backoff.reset();
        let refresh = Duration::from_secs(self.parts.config.list_refresh_seconds.max(1));
        self.due = clock::instant() + refresh;
    }

    fn try_again(&mut self, wanted: Kinds, failure: &UpstreamError) {
        self.stale.set(self.stale.get().and(wanted));
        self.due = clock::instant() + self.backoff.next();
        if failure.is_outage() {
            self.def.breaker.failed();
        }
    }

    fn report_dropped(&self, dropped: &[Dropped]) {
        if self.link.status.load().dropped != dropped {
            for Dropped { name, reason } in dropped {
                tracing::warn!(server = %self.def.slug, item = %name, reason, "an item of a list is not offered");
            }
        }
    }

    /// Waits for a change, lets those right after it pass, fetches what changed, waits again.
    pub(super) fn await_change(&mut self, ctx: &mut Context<Self>) {
        let changed = self.changed.clone();
        let debounce = Duration::from_millis(self.parts.config.change_debounce_ms);
        let quiet = async move {
            changed.notified().await;
            tokio::time::sleep(debounce).await;
        };
        ctx.spawn(quiet.into_actor(self).map(|(), session, ctx| {
            if session.listing.is_some() {
                // What is under way began before the change.
                session.changed.notify_one();
            } else if !session.stale.get().is_empty() {
                let _nobody_waits = session.refresh(Kinds::NONE, ctx);
            }
            session.await_change(ctx);
        }));
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        self.client.tidy();
        if let Some(whose) = &self.whose {
            if self.link.idle() >= Duration::from_secs(self.parts.config.client_session_idle_seconds) {
                whose.retire.cancel();
            }
            return;
        }
        let version = (self.parts.credentials.version)(self.def.id);
        let due = clock::instant() >= self.due || version != self.tried;
        if due && self.listing.is_none() && self.may_list_unasked(version != self.tried) {
            let _nobody_waits = self.refresh(Kinds::ALL, ctx);
        }
        self.end_if_idle(ctx);
    }
}

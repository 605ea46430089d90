//! The part of an `UpstreamSession` that hears of its server's changes: lists are fetched again, subscribed resources
//! are told of at once.

use std::{rc::Rc, time::Duration};

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};

use super::{Changed, UpstreamSession};
use crate::{
    actors::{
        own_session,
        upstream_link::{Line, News},
    },
    upstream::{
        EventStream,
        listen::{Change, Ended, Listening},
    },
};

/// Updates of resources that come within this time are told of together.
const TOGETHER: Duration = Duration::from_millis(25);

/// Ends a task together with its value.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl UpstreamSession {
    /// Listens on a new connection. `stream`: the one that everything comes on, if the server has such.
    pub(super) fn start_listening(&mut self, line: &Rc<Line>, stream: Option<EventStream>, ctx: &mut Context<Self>) {
        if line.skill.is_some() {
            // A version of a skill never changes.
            return;
        }
        let listening = Listening {
            about: line.live.connected.clone(),
            ears: self.link.ears.clone(),
            limits: self.client.limits().stream,
            begin: self.patience().begin,
            missed: self.offer.is_some(),
            asked: self.whose.is_some(),
        };
        // What reads a program's output outlives this session's actor, and must not keep the program alive.
        let speaking = Rc::new(Line { child: None, ..Line::clone(line) });
        let (note, note_too, patience) = (self.noting(&speaking), self.noting(&speaking), self.patience());
        let (held, lost) = (line.clone(), line.clone());
        let listen = async move {
            let ask = async |method: &'static str, members: &str| held.ask(method, members, patience).await;
            match (&held.relay, stream) {
                (Some(relay), Some(stream)) => {
                    let beside = async {
                        match held.live.connected.wire.is_modern() {
                            true => listening.run_modern_beside_stream(|body, method| held.tell(method, body)).await,
                            false => listening.run_beside_stream(ask, note_too).await,
                        }
                    };
                    // Goes on when this connection is let go of: calls under way on a program that is being replaced
                    // still get their answers.
                    let pumped = actix_rt::spawn(relay.clone().pump(stream, note));
                    let ended_with_us = held.child.is_none().then(|| AbortOnDrop(pumped.abort_handle()));
                    let ended = tokio::select! {
                        _ = pumped => Ended::Lost,
                        Ended::Lost = beside => Ended::Lost,
                    };
                    drop(ended_with_us);
                    ended
                }
                _ => match held.endpoint.clone() {
                    Some(endpoint) => listening.run(endpoint, ask, note).await,
                    None => Ended::Lost,
                },
            }
        };
        self.listener = Some(ctx.spawn(listen.into_actor(self).map(move |ended, session, ctx| match ended {
            Ended::NoStream => {}
            Ended::Lost if lost.child.is_some() => session.lose_program(&lost, ctx),
            Ended::Lost => session.lose(&lost.live),
        })));
    }

    /// Takes note of what is heard on a connection.
    fn noting(&self, line: &Rc<Line>) -> impl Fn(Change) + use<> {
        let client = self.whose.as_ref().map(|whose| &whose.client);
        let remark = own_session::remarks(client, &self.parts, &self.def, &self.link, line);
        let note = self.noter();
        move |change| match change {
            Change::None(said) => remark(said),
            change => note(change),
        }
    }

    /// Takes note of a change.
    pub(super) fn noter(&self) -> impl Fn(Change) + use<> {
        let (changed, stale) = (self.changed.clone(), self.stale.clone());
        let (update, updated) = (self.update.clone(), self.updated.clone());
        let (ears, shared) = (self.link.ears.clone(), self.whose.as_ref().map(|whose| whose.shared.clone()));
        move |change| match (change, &shared) {
            (change, Some(shared)) => {
                // One that is too busy to hear of it fetches the lists when they are old.
                let _busy = shared.tell(Changed(change));
            }
            (Change::Lists(kinds), None) => {
                stale.set(stale.get().and(kinds));
                changed.notify_one();
            }
            (Change::Resource(uri), None) if ears.wants(&uri) => {
                updated.borrow_mut().insert(uri);
                update.notify_one();
            }
            (Change::Resource(_) | Change::None(_), None) => {}
        }
    }

    /// Waits for updates of resources, tells of them, waits again.
    pub(super) fn await_update(&mut self, ctx: &mut Context<Self>) {
        let update = self.update.clone();
        let together = async move {
            update.notified().await;
            tokio::time::sleep(TOGETHER).await;
        };
        ctx.spawn(together.into_actor(self).map(|(), session, ctx| {
            let uris: Vec<String> = session.updated.take().into_iter().collect();
            if !uris.is_empty() {
                (session.parts.discovered)(session.def.id, session.scope, News::Updated(uris));
            }
            session.await_update(ctx);
        }));
    }
}

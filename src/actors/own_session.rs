//! What a server says in a session of one client's own, but not as part of an answer: given to a call that is under way
//! in it, or else to the client on a stream of its own. A server that asks is always answered.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    actors::{
        client::{Client, Questions},
        client_session::ClientSessions,
        upstream_link::{Line, Link, Parts},
    },
    protocol::{
        answer::{self, Incoming},
        jsonrpc,
        question::{self, Wording},
        scan::{self, Document, Envelope, ScanLimits},
    },
    upstream::{ServerDef, ask},
};

/// The ways to clients.
#[derive(Clone)]
pub struct Reach {
    /// Their streams.
    pub streams: ClientSessions,
    /// What they have been asked.
    pub questions: Questions,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// A session of a client's own, as what it hears is passed on.
struct OwnSession {
    reach: Reach,
    client: Client,
    def: Arc<ServerDef>,
    link: Arc<Link>,
    line: Rc<Line>,
}

impl OwnSession {
    /// Passes on what the server said.
    fn hear(self: &Rc<Self>, said: Bytes) {
        let Err(said) = self.link.remark(said) else { return };
        let Ok(Document::Object(env)) = scan::scan(&said, ScanLimits::default()) else { return };
        match answer::classify(&said, &env) {
            Ok(Incoming::Request { id, method }) => self.ask(&said, &env, id, &method),
            Ok(Incoming::Notification { method }) if method == "notifications/elicitation/complete" => {
                let told = answer::rewrite_notification(&said, &env, "", None, &[]);
                if let (Ok(Some(message)), Some(stream)) = (told, self.reach.streams.of_client(&self.client.who)) {
                    stream.send_message(&message);
                }
            }
            _ => {}
        }
    }

    fn ask(self: &Rc<Self>, said: &Bytes, env: &Envelope, id: &[u8], method: &str) {
        let refuse = |code: i64, why: &str| self.respond(jsonrpc::error(Some(id), code, why, None));
        if let Err(no) = question::may_ask(method, said, env.params.clone(), self.client.capabilities) {
            return refuse(no.code, no.message);
        }
        let Some(stream) = self.reach.streams.of_client(&self.client.who) else {
            return refuse(-32603, "The client has no stream to be asked on");
        };
        let mut asked = self.reach.questions.ask(&self.client.who);
        let wording = Wording { label: &self.def.slug, ..Wording::default() };
        let params = question::params_for(method, said, env.params.clone(), &wording);
        stream.send_message(&jsonrpc::request(&asked.id(), method, Some(&params)));
        let (session, id, method) = (self.clone(), id.to_vec(), method.to_owned());
        actix_rt::spawn(async move {
            let answer = tokio::select! {
                biased;
                answer = asked.answer() => answer,
                () = stream.closed.cancelled() => None,
                () = tokio::time::sleep(session.reach.patience) => None,
            };
            session.respond(match answer {
                Some(answer) => answer.to(&id),
                None => question::unanswered(&method, &id, "Nobody answered"),
            });
        });
    }

    fn respond(&self, answer: Vec<u8>) {
        self.line.tell("notifications/response", answer.into());
    }
}

/// What is done with what a server says outside of answers: in a client's own session it is passed on. One that
/// everybody shares has declared nothing: whatever is asked in it is refused.
pub fn remarks(
    client: Option<&Client>,
    parts: &Parts,
    def: &Arc<ServerDef>,
    link: &Arc<Link>,
    line: &Rc<Line>,
) -> Rc<dyn Fn(Bytes)> {
    let (def, link, line) = (def.clone(), link.clone(), line.clone());
    let Some(client) = client.cloned() else { return Rc::new(move |said| refuse(&line, said)) };
    let own = Rc::new(OwnSession { reach: parts.reach.clone(), client, def, link, line });
    Rc::new(move |said| own.hear(said))
}

fn refuse(line: &Line, said: Bytes) {
    if let Ok(ask::Message::Request(id, method)) = ask::read_message(said) {
        line.tell("notifications/response", ask::own_answer(&id, &method));
    }
}

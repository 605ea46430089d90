//! The questions of a call: what a server asks the client in the middle of it, who waits for which answer, and what the
//! server is told when there is none.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use std::ops::Range;

use crate::{
    actors::client::ClientAnswer,
    domain::{clock, random},
    gateway::{
        Speech,
        call::{active::Active, park::Slot},
    },
    protocol::{
        jsonrpc,
        mrtr::{self, Asked},
        question::{self, Wording},
        revision::Revision,
        scan::{Envelope, key_text},
    },
};

/// What a question is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A legacy server asked it under this id (raw JSON), and waits.
    Server(Vec<u8>),
    /// It is the so-manieth of a round (2026-07-28).
    Round(usize),
}

/// A question that is open.
pub struct Open {
    pub purpose: Purpose,
    number: u64,
    method: String,
    /// Its id at a legacy client, raw JSON.
    client_id: Option<Vec<u8>>,
    /// How a client of 2026-07-28 is asked.
    asked: Option<Asked>,
}

/// An answer, or that there is none.
pub struct Answered {
    pub open: Open,
    pub answer: Option<ClientAnswer>,
}

type Coming = LocalBoxFuture<'static, (u64, Option<ClientAnswer>)>;

/// The open questions of one call.
#[derive(Default)]
pub struct Asking {
    open: Vec<Open>,
    coming: FuturesUnordered<Coming>,
    count: u64,
    /// Place among the calls that wait for a client to come back; taken with the first question.
    slot: Option<Slot>,
}

/// Where a legacy client can be asked.
pub enum Asked2025 {
    /// On the stream of the call: this message is its next event.
    Here(Vec<u8>),
    /// On its other stream; done.
    There,
    /// Nowhere.
    Nowhere,
}

impl Asking {
    /// Whether nobody waits for an answer.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Questions open now.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether a server waits for an answer.
    pub fn server_waits(&self) -> bool {
        self.open.iter().any(|open| matches!(open.purpose, Purpose::Server(_)))
    }

    /// Asks a legacy client. `here`: the call's own stream can be written to, and the client reads it.
    pub fn ask_legacy(
        &mut self,
        active: &Active,
        (method, body, params): (&str, &[u8], Option<Range<usize>>),
        purpose: Purpose,
        here: bool,
    ) -> Asked2025 {
        let (gateway, who) = (&active.ticket.gateway, active.caller().who());
        let other = if here { None } else { gateway.streams.of_client(&who) };
        if !here && other.is_none() {
            return Asked2025::Nowhere;
        }
        let mut question = gateway.questions.ask(&who);
        let client_id = question.id();
        let elicitation_id = self.named(active);
        let wording = Wording {
            label: &active.ticket.target.route.def.slug,
            modern_client: false,
            elicitation_id: elicitation_id.as_deref(),
        };
        let params = question::params_for(method, body, params, &wording);
        let message = jsonrpc::request(&client_id, method, Some(&params));
        let number = self.note(purpose, method, Some(client_id), None);
        let limit = Duration::from_secs(gateway.config.limits.question_seconds);
        let closed = other.as_ref().map(|stream| stream.closed.clone());
        let coming = async move {
            let gone = async {
                match closed {
                    Some(closed) => closed.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = question.answer() => (number, answer),
                () = gone => (number, None),
                () = tokio::time::sleep(limit) => (number, None),
            }
        };
        self.coming.push(coming.boxed_local());
        match other {
            Some(stream) => {
                stream.send_message(&message);
                Asked2025::There
            }
            None => Asked2025::Here(message),
        }
    }

    /// A name for an elicitation by URL, where the client's revision has such names.
    fn named(&self, active: &Active) -> Option<String> {
        match &active.caller().speech {
            Speech::Session(session) if session.state.revision < Revision::V20251125 => None,
            _ => Some(format!("e{:032x}", u128::from_be_bytes(random::pooled()))),
        }
    }

    /// Notes what a client of 2026-07-28 is asked when its request is answered. False when too many calls wait already.
    pub fn ask_modern(
        &mut self,
        active: &Active,
        (method, body, params): (&str, &[u8], Option<Range<usize>>),
        purpose: Purpose,
    ) -> bool {
        if self.slot.is_none() {
            self.slot = active.ticket.gateway.parked.slot(&active.ticket.gateway.config.limits, active.caller());
        }
        if self.slot.is_none() {
            return false;
        }
        let wording =
            Wording { label: &active.ticket.target.route.def.slug, modern_client: true, elicitation_id: None };
        let params = question::params_for(method, body, params, &wording);
        let key = format!("q{:016x}", u64::from_be_bytes(random::pooled()));
        self.note(purpose, method, None, Some(Asked { key, method: method.to_owned(), params }));
        true
    }

    fn note(&mut self, purpose: Purpose, method: &str, client_id: Option<Vec<u8>>, asked: Option<Asked>) -> u64 {
        self.count += 1;
        self.open.push(Open { purpose, number: self.count, method: method.to_owned(), client_id, asked });
        self.count
    }

    /// The place of this call among those that wait.
    pub fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// What a client of 2026-07-28 has to answer.
    pub fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.open.iter().filter_map(|open| open.asked.as_ref())
    }

    /// The next answer of a legacy client; pending for ever when none is waited for.
    pub async fn answered(&mut self) -> Answered {
        loop {
            let Some((number, answer)) = self.coming.next().await else { return std::future::pending().await };
            if let Some(at) = self.open.iter().position(|open| open.number == number) {
                return Answered { open: self.open.remove(at), answer };
            }
        }
    }

    /// Takes the answers that a client of 2026-07-28 brought; what does not fit its question stays open.
    pub fn take_answers(&mut self, active: &Active, body: &[u8], env: &Envelope) {
        for one in mrtr::responses(body, env) {
            let Some(key) = key_text(body, &one) else { continue };
            let result = body.get(one.value.clone()).unwrap_or_default();
            let fits = |open: &Open| {
                open.asked.as_ref().is_some_and(|asked| asked.key == *key) && question::fits(&open.method, result)
            };
            if let Some(at) = self.open.iter().position(fits)
                && let Purpose::Server(id) = self.open.remove(at).purpose
            {
                active.lease.respond(jsonrpc::response(&id, result));
            }
        }
    }

    /// The server withdraws its question `id` (raw JSON). What a legacy client is told of it.
    pub fn withdraw(&mut self, id: &[u8]) -> Option<Vec<u8>> {
        let at = self.open.iter().position(|open| open.purpose == Purpose::Server(id.to_vec()))?;
        self.open.remove(at).withdrawn()
    }

    /// Nobody will answer any more: the servers that wait are told so.
    pub fn give_up(&mut self, active: &Active, why: &str) {
        for open in std::mem::take(&mut self.open) {
            if let Purpose::Server(id) = &open.purpose {
                active.lease.respond(question::unanswered(&open.method, id, why));
            }
        }
    }
}

impl Open {
    /// What a legacy client is told when its question is not open any more.
    pub fn withdrawn(&self) -> Option<Vec<u8>> {
        let id = String::from_utf8_lossy(self.client_id.as_deref()?).into_owned();
        let params = format!(r#"{{"requestId":{id},"reason":"no answer is wanted any more"}}"#);
        Some(jsonrpc::notification("notifications/cancelled", Some(params.as_bytes())))
    }

    /// What is asked.
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// Until when a call waits for its client to come back, in milliseconds.
pub fn until_ms(limit_seconds: u64) -> i64 {
    let limit = i64::try_from(limit_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    clock::now().timestamp_millis().saturating_add(limit)
}

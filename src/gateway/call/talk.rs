//! A call that is more than one request and one answer. One step at a time it hears the server and the client, and says
//! what the client is to get next:
//!
//! - a server that streams: notifications, then the answer;
//! - a legacy server that asks something: a legacy client is asked on its stream; a client of 2026-07-28 gets
//!   `input_required` and the call waits for it ([`super::park`]);
//! - a server of 2026-07-28 that wants input, with a legacy client: its questions become real ones, and the call is made
//!   again with the answers.

use std::{
    borrow::Cow,
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    domain::clock,
    error::Error,
    gateway::{
        Caller,
        call::{
            Held,
            active::Active,
            answering::{CONSENT_REQUIRED, Said},
            asking::{Answered, Asked2025, Asking, Purpose, until_ms},
            park,
            target::Kind,
        },
        dispatch::Request,
        list,
    },
    protocol::{
        answer::{self, Incoming},
        exposing::{self, Edits},
        jsonrpc,
        log_level::Level,
        meta,
        mrtr::{self, Round},
        question::{self, Wording},
        scan::{Envelope, member},
        session_id::ClientCapabilities,
        splice::json_string,
    },
    store::analytics::Outcome,
    upstream::{Answer, EventStream, UpstreamError, listen::Change},
};

/// Between two rounds of a server that asks for nothing but patience.
const PACE: Duration = Duration::from_millis(250);

/// What the client is to get next.
pub enum Step {
    /// A message that is not the answer.
    Notice(Vec<u8>),
    /// The answer.
    Answer(Said),
    /// Nothing yet, and it takes time: the stream is better opened now.
    Open,
    /// `input_required`: the call waits until the client comes back.
    Park,
}

/// Where the server speaks.
#[expect(clippy::large_enum_variant, reason = "lives in its talk and is not moved")]
enum Source {
    /// It has answered at once.
    Json(Bytes),
    /// On a stream.
    Events(EventStream),
    /// It has been answered for now.
    Nothing,
}

impl Source {
    async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        match self {
            Source::Json(body) => {
                let body = std::mem::take(body);
                *self = Source::Nothing;
                Ok(body)
            }
            Source::Events(events) => match events.next().await? {
                Some(event) => Ok(event.data),
                None => Err(UpstreamError::Cut),
            },
            Source::Nothing => std::future::pending().await,
        }
    }
}

enum Heard {
    Server(Bytes),
    Client(Answered),
}

/// See the module.
pub struct Talk {
    active: Active,
    source: Source,
    /// What was heard and not yet understood: a step may be dropped while it reads.
    unread: Option<Bytes>,
    outbox: VecDeque<Vec<u8>>,
    asking: Asking,
    round: Option<(Round, Instant)>,
    rounds: u32,
    /// The client of a legacy session is not there at the moment.
    pub(super) away: std::rc::Rc<std::cell::Cell<bool>>,
    /// It can come back to the stream.
    pub(super) resumable: bool,
}

impl Talk {
    /// A call whose server answered `body`.
    pub fn about(active: Active, body: Bytes) -> Self {
        Talk::new(active, Source::Json(body))
    }

    /// A call whose server answers with events.
    pub fn hearing(active: Active, events: EventStream) -> Self {
        Talk::new(active, Source::Events(events))
    }

    fn new(active: Active, source: Source) -> Self {
        Talk {
            active,
            source,
            unread: None,
            outbox: VecDeque::new(),
            asking: Asking::default(),
            round: None,
            rounds: 0,
            away: std::rc::Rc::default(),
            resumable: false,
        }
    }

    /// The call.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Notes a failure of the server's; the call is over.
    pub fn failed(&mut self, failure: UpstreamError) -> Error {
        self.active.failed(failure)
    }

    /// What the client is to get next. May be dropped and called again, except after [`Step::Open`].
    pub async fn step(&mut self) -> Result<Step, UpstreamError> {
        loop {
            if let Some(message) = self.outbox.pop_front() {
                return Ok(Step::Notice(message));
            }
            if self.round.as_ref().is_some_and(|(round, _)| round.is_complete()) {
                self.next_round().await?;
            }
            let heard = match self.unread.clone() {
                Some(body) => Heard::Server(body),
                None => self.hear().await?,
            };
            let step = match heard {
                Heard::Server(body) => {
                    self.unread = Some(body.clone());
                    let read = self.active.read(body).await;
                    self.unread = None;
                    let (body, env) = read?;
                    self.take(&body, &env)?
                }
                Heard::Client(answered) => self.answered(answered)?,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    async fn hear(&mut self) -> Result<Heard, UpstreamError> {
        let Talk { active, source, asking, .. } = self;
        let attendance = &mut active.attendance;
        let remark = async {
            match attendance {
                Some(attendance) => match attendance.remark().await {
                    Some(remark) => remark,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answered = asking.answered() => Ok(Heard::Client(answered)),
            remark = remark => Ok(Heard::Server(remark)),
            body = source.next() => Ok(Heard::Server(body?)),
        }
    }

    fn take(&mut self, body: &[u8], env: &Envelope) -> Result<Option<Step>, UpstreamError> {
        let nonsense = |cause: jsonrpc::MessageError| UpstreamError::Protocol(cause.to_string());
        match answer::classify(body, env).map_err(nonsense)? {
            Incoming::Response { .. } => self.take_answer(body, env).map(Some),
            Incoming::Request { id, method } => Ok(self.take_question(body, env, id, &method)),
            Incoming::Notification { method } => Ok(self.take_notice(body, env, &method)?.map(Step::Notice)),
        }
    }

    fn take_answer(&mut self, body: &[u8], env: &Envelope) -> Result<Step, UpstreamError> {
        if !self.active.is_last_word(body, env) && answer::is_answer_to(body, env, self.active.minted()) {
            return match self.active.caller().speech.is_modern() {
                true => Ok(Step::Answer(self.consent(body, env))),
                false => self.begin_round(body, env),
            };
        }
        Ok(Step::Answer(self.active.answer_message(body, env)?))
    }

    fn take_question(&mut self, body: &[u8], env: &Envelope, id: &[u8], method: &str) -> Option<Step> {
        if method == "ping" {
            self.active.lease.answer_request(id, method);
            return None;
        }
        let refuse = |talk: &Talk, code: i64, why: &str| {
            talk.active.lease.respond(jsonrpc::error(Some(id), code, why, None));
        };
        if let Err(no) = question::may_ask(method, body, env.params.clone(), self.active.declared()) {
            refuse(self, no.code, no.message);
            return None;
        }
        if self.asking.len() >= self.active.ticket.gateway.config.limits.questions_per_call {
            refuse(self, -32603, "Too many questions at once");
            return None;
        }
        let what = (method, body, env.params.clone());
        let purpose = Purpose::Server(id.to_vec());
        let step = if self.active.caller().speech.is_modern() {
            if !self.active.kind().has_rounds() || !self.asking.ask_modern(&self.active, what, purpose) {
                refuse(self, -32603, "The client cannot be asked now");
                return None;
            }
            Step::Park
        } else {
            match self.asking.ask_legacy(&self.active, what, purpose, self.is_heard()) {
                Asked2025::Here(message) => Step::Notice(message),
                Asked2025::There => Step::Open,
                Asked2025::Nowhere => {
                    refuse(self, -32603, "The client has no stream to be asked on");
                    return None;
                }
            }
        };
        self.server_waits();
        Some(step)
    }

    /// Whether what is written on the call's stream is read: the client is there, or will find it when it comes back. A
    /// client that left and has another stream is asked there.
    fn is_heard(&self) -> bool {
        let caller = self.active.caller();
        match self.away.get() {
            false => caller.takes_events,
            true => self.resumable && self.active.ticket.gateway.streams.of_client(&caller.who()).is_none(),
        }
    }

    /// While the server waits for us, its silence is no fault.
    fn server_waits(&mut self) {
        let waits = self.asking.server_waits();
        if let Source::Events(events) = &mut self.source {
            events.wait_for_us(waits);
        }
    }

    fn take_notice(&mut self, body: &[u8], env: &Envelope, method: &str) -> Result<Option<Vec<u8>>, UpstreamError> {
        let modern_client = self.active.caller().speech.is_modern();
        let wanted = match method {
            "notifications/progress" => true,
            "notifications/message" => self.wants_log(body, env),
            "notifications/elicitation/complete" | "notifications/tasks/status" => !modern_client,
            "notifications/cancelled" => {
                let id = member(&env.params_members, body, "requestId").and_then(|range| body.get(range));
                let told = id.and_then(|id| self.asking.withdraw(id));
                self.server_waits();
                return Ok(told);
            }
            _ => {
                let uri = env.param_str(body, "uri").map(Cow::into_owned);
                if let Some(change) = Change::of(method, uri) {
                    self.active.lease.note_change(change);
                }
                false
            }
        };
        if !wanted {
            return Ok(None);
        }
        let mut edits = Edits::new();
        if method == "notifications/tasks/status" {
            exposing::tasks(body, env, |id| self.active.exposed_task(id), &mut edits);
        }
        let token = self.active.progress_token();
        let rewritten = answer::rewrite_notification(body, env, self.active.minted(), token, &edits);
        rewritten.map_err(|cause| UpstreamError::Protocol(cause.to_string()))
    }

    /// Whether the client wants a log message: one of 2026-07-28 if its request asked for it, a legacy one unless its
    /// session asks for more important ones only.
    fn wants_log(&self, body: &[u8], env: &Envelope) -> bool {
        let caller = self.active.caller();
        let Request { body: asked, env: request, .. } = &self.active.ticket.request;
        let lowest = match caller.speech.is_modern() {
            true => match request.meta_str(asked, meta::LOG_LEVEL) {
                Some(level) => Level::parse(&level),
                None => return false,
            },
            false => caller.log_level(),
        };
        let level = env.param_str(body, "level").and_then(|text| Level::parse(&text));
        lowest.zip(level).is_none_or(|(lowest, level)| level >= lowest)
    }

    /// A legacy client has answered a question, or will not.
    fn answered(&mut self, Answered { open, answer }: Answered) -> Result<Option<Step>, UpstreamError> {
        if answer.is_none() {
            self.outbox.extend(open.withdrawn());
        }
        match (&open.purpose, answer) {
            (Purpose::Server(id), answer) => {
                self.active.lease.respond(match answer {
                    Some(answer) => answer.to(id),
                    None => question::unanswered(open.method(), id, "Nobody answered"),
                });
                self.server_waits();
                Ok(None)
            }
            (Purpose::Round(at), answer) => {
                let result = match &answer {
                    Some(answer) => answer.result(),
                    None => (open.method() == question::ELICITATION).then_some(br#"{"action":"cancel"}"#.as_slice()),
                };
                match (result, &mut self.round) {
                    (Some(result), Some((round, _))) => {
                        round.answer(*at, result.to_vec());
                        Ok(None)
                    }
                    _ => Ok(Some(self.no_input("the client did not answer what the server asked"))),
                }
            }
        }
    }

    /// A server of 2026-07-28 wants input of a legacy client.
    fn begin_round(&mut self, body: &[u8], env: &Envelope) -> Result<Step, UpstreamError> {
        let Some(asked) = mrtr::read(body, env) else {
            return Err(UpstreamError::Protocol("it asked for input in a way that nobody understands".into()));
        };
        let limits = &self.active.ticket.gateway.config.limits;
        let (most, at_once) = (limits.input_rounds, limits.questions_per_call);
        self.rounds += 1;
        if self.rounds > most {
            return Ok(self.no_input(&format!("the server asked for input more than {most} times")));
        }
        if asked.requests.len() > at_once {
            return Ok(self.no_input(&format!("the server asked more than {at_once} things at once")));
        }
        if let Source::Events(events) = std::mem::replace(&mut self.source, Source::Nothing) {
            events.finish();
        }
        self.round = Some((Round::new(body, &asked), clock::instant()));
        let declared = self.active.caller().askable(&self.active.ticket.request);
        let here = self.is_heard();
        for (at, one) in asked.requests.iter().enumerate() {
            if let Err(no) = question::may_ask(&one.method, body, one.params.clone(), declared) {
                return Ok(self.no_input(no.message));
            }
            let what = (one.method.as_str(), body, one.params.clone());
            match self.asking.ask_legacy(&self.active, what, Purpose::Round(at), here) {
                Asked2025::Here(message) => self.outbox.push_back(message),
                Asked2025::There => {}
                Asked2025::Nowhere => return Ok(self.no_input("the client has no stream to be asked on")),
            }
        }
        Ok(Step::Open)
    }

    /// Makes the call again with the answers of a round.
    async fn next_round(&mut self) -> Result<(), UpstreamError> {
        let Some((round, begun)) = self.round.take() else { return Ok(()) };
        if round.is_only_state() {
            tokio::time::sleep(PACE).await;
        }
        let waited = clock::instant().saturating_duration_since(begun);
        self.source = match self.active.send_again(&round.members(), waited).await? {
            Answer::Json(body) => Source::Json(body),
            Answer::Events(events) => Source::Events(events),
            Answer::Accepted => {
                return Err(UpstreamError::Protocol("it accepted the call but gave no answer".into()));
            }
        };
        Ok(())
    }

    /// The call ends because its server did not get what it asked for.
    fn no_input(&mut self, why: &str) -> Step {
        self.round = None;
        self.asking.give_up(&self.active, why);
        let slug = &self.active.ticket.target.route.def.slug;
        let text = format!("MCP server \"{slug}\" needs input for this, and {why}.");
        let id = self.active.request_id();
        if self.active.kind() != Kind::Tool {
            let message = jsonrpc::error(Some(&id), -32603, &text, None);
            return Step::Answer(self.active.say(message, Some(-32603), Outcome::Error(-32603)));
        }
        let result = format!(r#"{{"content":[{{"type":"text","text":{}}}],"isError":true}}"#, json_string(&text));
        let message = jsonrpc::response(&id, result.as_bytes());
        Step::Answer(self.active.say(message, None, Outcome::ToolError))
    }

    /// A legacy server wants pages to be opened first: a client of 2026-07-28 is asked to, and makes the call again.
    fn consent(&mut self, body: &[u8], env: &Envelope) -> Said {
        let id = self.active.request_id();
        let refused = Outcome::Error(i32::try_from(CONSENT_REQUIRED).unwrap_or(i32::MIN));
        if !self.active.caller().askable(&self.active.ticket.request).has(ClientCapabilities::ELICITATION_URL) {
            let data = br#"{"requiredCapabilities":{"elicitation":{"url":{}}}}"#;
            let what = "This call needs a page to be opened first: the client must declare elicitation.url";
            let message = jsonrpc::error(Some(&id), -32021, what, Some(data));
            return self.active.say(message, Some(-32021), refused);
        }
        let label = &self.active.ticket.target.route.def.slug;
        let wording = Wording { label, modern_client: true, elicitation_id: None };
        let asked =
            mrtr::consents(body, env, |range| question::params_for(question::ELICITATION, body, Some(range), &wording));
        let limit = self.active.ticket.gateway.config.limits.question_seconds;
        let state = park::seal(&self.active.ticket, [0; 16], until_ms(limit));
        let message = mrtr::input_required(&id, &asked, &state, list::server_info());
        self.active.say(message, None, refused)
    }

    /// What a client of 2026-07-28 is answered while the call waits for it.
    pub fn input_required(&self, state: &str) -> Vec<u8> {
        mrtr::input_required(&self.active.request_id(), self.asking.asked(), state, list::server_info())
    }

    /// The open questions.
    pub fn asking(&self) -> &Asking {
        &self.asking
    }

    /// The client is gone for now: what its request held is free.
    pub fn release(&mut self) -> Option<Held> {
        self.active.ticket.held.take()
    }

    /// The client came back with another request: its answers are passed on, and what follows is for that request.
    pub fn adopt(&mut self, caller: Caller, request: Request, held: Option<Held>) {
        self.asking.take_answers(&self.active, &request.body, &request.env);
        let ticket = &mut self.active.ticket;
        (ticket.caller, ticket.request, ticket.held) = (caller, request, held);
        self.server_waits();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.asking.give_up(&self.active, "The call ended");
    }
}

//! Calls that wait for a client of 2026-07-28 to come back: their legacy server has asked something, the client was
//! answered `input_required`, and brings the answer in another request, on any worker. The call stays on the thread that
//! began it, under its token's gate: a revoked token ends it at once. It is lost with the process.
//!
//! What the client holds meanwhile is a sealed state ([`crate::protocol::parked`]): whose call, of which request, until
//! when. Whatever does not fit is -32602, the same for every reason.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use tokio::sync::mpsc;

use crate::{
    config::LimitsConfig,
    domain::{clock, ids::TokenId, random},
    error::{Error, ErrorCode, Result},
    gateway::{
        Caller,
        call::{
            CallOutcome, Held,
            active::Ticket,
            answering::Said,
            asking::until_ms,
            pump,
            talk::{Step, Talk},
        },
        dispatch::Request,
        list,
    },
    protocol::{
        jsonrpc, meta, mrtr,
        parked::{self, ParkedState},
        question,
        scan::key_text,
        splice::json_string,
    },
};

/// Steps that wait for a client that does not read.
const STEPS: usize = 8;

/// A client that came back.
struct Return {
    caller: Caller,
    request: Request,
    held: Option<Held>,
    steps: mpsc::Sender<Result<Step, Error>>,
}

/// Calls that wait, of all threads. Cloning is cheap.
#[derive(Clone, Default)]
pub struct ParkedCalls {
    calls: Arc<DashMap<[u8; 16], Waiting>>,
}

struct Waiting {
    token: TokenId,
    returns: Option<mpsc::Sender<Return>>,
}

/// A place among the calls that wait; free again when dropped.
pub struct Slot {
    parked: ParkedCalls,
    call: [u8; 16],
}

impl ParkedCalls {
    /// A place for a call of this caller; none when as many wait as may.
    pub fn slot(&self, limits: &LimitsConfig, caller: &Caller) -> Option<Slot> {
        let token = caller.grant.token;
        let mine = self.calls.iter().filter(|waiting| waiting.token == token).count();
        if self.calls.len() >= limits.parked_calls || mine >= limits.parked_calls_per_token {
            return None;
        }
        let call = random::bytes();
        self.calls.insert(call, Waiting { token, returns: None });
        Some(Slot { parked: self.clone(), call })
    }

    /// Calls that wait now.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.parked.calls.remove(&self.call);
    }
}

/// What a request says about a call that waits.
pub enum Presented {
    /// Nothing.
    Nothing,
    /// The pages were opened: the call is simply made.
    Consent,
    /// The pages were not opened: this is the answer.
    Declined(Vec<u8>),
    /// It continues this call.
    Parked([u8; 16]),
}

/// What a request presents. A state that is not ours is its server's.
pub fn presented(ticket: &Ticket) -> Result<Presented> {
    let Ticket { gateway, caller, request, target, .. } = ticket;
    if !target.kind.has_rounds() {
        return Ok(Presented::Nothing);
    }
    let Some(text) = request.env.param_str(&request.body, mrtr::REQUEST_STATE) else { return Ok(Presented::Nothing) };
    let now = clock::now().timestamp_millis();
    let Some(state) = parked::open(gateway.sessions.key(), &text, now) else { return Ok(Presented::Nothing) };
    if state.token != caller.grant.token || state.request != digest(request) {
        return Err(unknown_state());
    }
    if state.call != [0; 16] {
        return Ok(Presented::Parked(state.call));
    }
    let answers = mrtr::responses(&request.body, &request.env);
    let agreed = |one: &crate::protocol::scan::Member| {
        key_text(&request.body, one).is_some_and(|key| key.starts_with("page"))
            && request.body.get(one.value.clone()).is_some_and(question::accepts)
    };
    if !answers.is_empty() && answers.iter().all(agreed) {
        return Ok(Presented::Consent);
    }
    let text =
        format!("MCP server \"{}\" needs a page to be opened for this, and that was declined.", target.route.def.slug);
    Ok(Presented::Declined(match target.kind {
        super::target::Kind::Tool => {
            let result = format!(
                r#"{{"content":[{{"type":"text","text":{}}}],"isError":true,"resultType":"complete","_meta":{{"{}":{}}}}}"#,
                json_string(&text),
                meta::SERVER_INFO,
                list::server_info()
            );
            jsonrpc::response(&request.id, result.as_bytes())
        }
        _ => jsonrpc::error(Some(&request.id), -32603, &text, None),
    }))
}

fn digest(request: &Request) -> [u8; 32] {
    parked::digest(&request.method, &request.body, &request.env)
}

/// -32602: a state that is not (or no longer) good for this request.
pub fn unknown_state() -> Error {
    Error::new(
        ErrorCode::InvalidParams,
        "Invalid params: params.requestState is unknown, expired or of another request",
    )
    .with_hint("make the call again without requestState and inputResponses")
}

/// Seals what a client has to bring when it comes back to `call`.
pub fn seal(ticket: &Ticket, call: [u8; 16], expires_ms: i64) -> String {
    let token = ticket.caller.grant.token;
    let state = ParkedState { call, token, request: digest(&ticket.request), expires_ms };
    parked::seal(ticket.gateway.sessions.key(), &state)
}

/// Lets a call wait on this thread. What its client is answered.
pub fn park(mut talk: Talk) -> Vec<u8> {
    let Some(slot) = talk.asking().slot() else { return Vec::new() };
    let (parked, call) = (slot.parked.clone(), slot.call);
    let (sender, returns) = mpsc::channel(1);
    if let Some(mut waiting) = parked.calls.get_mut(&call) {
        waiting.returns = Some(sender);
    }
    let (message, limit) = invitation(&talk, call);
    drop(talk.release());
    let grant = talk.active().caller().grant.clone();
    actix_rt::spawn(async move {
        grant.gated(wait(talk, call, returns, limit)).await;
    });
    message
}

/// What the client is answered, and how long it may take.
fn invitation(talk: &Talk, call: [u8; 16]) -> (Vec<u8>, Duration) {
    let ticket = &talk.active().ticket;
    let seconds = ticket.gateway.config.limits.question_seconds;
    let state = seal(ticket, call, until_ms(seconds));
    (talk.input_required(&state), Duration::from_secs(seconds))
}

/// The life of a call that waits, until it ends or its client does not come back in time.
async fn wait(mut talk: Talk, call: [u8; 16], mut returns: mpsc::Receiver<Return>, mut limit: Duration) {
    loop {
        let returned = tokio::time::timeout(limit, returns.recv()).await;
        let Ok(Some(Return { caller, request, held, steps })) = returned else {
            return tracing::debug!("a client did not come back to its call in time");
        };
        talk.adopt(caller, request, held);
        if !go_on(&mut talk, &steps).await {
            return;
        }
        let (message, again) = invitation(&talk, call);
        limit = again;
        drop(talk.release());
        let _left = steps.send(Ok(Step::Answer(Said { message, code: None }))).await;
    }
}

/// Goes on for a client that came back. True when it has to come back once more.
async fn go_on(talk: &mut Talk, steps: &mpsc::Sender<Result<Step, Error>>) -> bool {
    loop {
        if !talk.asking().is_empty() {
            return true;
        }
        let step = tokio::select! {
            biased;
            // In 2026-07-28 leaving is cancelling.
            () = steps.closed() => return false,
            step = talk.step() => step,
        };
        let (step, over) = match step {
            Ok(Step::Park) => return true,
            Ok(Step::Answer(said)) => (Ok(Step::Answer(said)), true),
            Ok(step) => (Ok(step), false),
            Err(failure) => (Err(talk.failed(failure)), true),
        };
        if steps.send(step).await.is_err() || over {
            return false;
        }
    }
}

/// Continues a call that waits, wherever it does.
pub async fn resume(call: &[u8; 16], mut ticket: Box<Ticket>) -> CallOutcome {
    let token = ticket.caller.grant.token;
    let found = ticket.gateway.parked.calls.get(call);
    let returns = found.filter(|waiting| waiting.token == token).and_then(|waiting| waiting.returns.clone());
    let Some(returns) = returns else { return CallOutcome::Failure(unknown_state()) };
    let (sender, steps) = mpsc::channel(STEPS);
    let (request, held) = (ticket.request.again(), ticket.held.take());
    let back = Return { caller: ticket.caller.clone(), request, held, steps: sender };
    // Another request continues it already: the first one counts.
    if returns.try_send(back).is_err() {
        return CallOutcome::Failure(unknown_state());
    }
    pump::follow_there(&ticket, steps).await
}

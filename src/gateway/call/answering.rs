//! A server's answer as its client gets it: id, envelope and the members that the eras disagree on; names and ids as
//! clients know them. Everything else stays byte for byte.

use crate::{
    gateway::{
        call::{CallOutcome, active::Active, target::Kind},
        list,
    },
    protocol::{
        answer::{self, AnswerEdit},
        exposing::{self, Edits},
        mrtr,
        scan::{Envelope, member},
        task_id,
    },
    store::analytics::Outcome,
    upstream::UpstreamError,
};

/// A legacy server wants pages to be opened before it answers (2025-11-25).
pub const CONSENT_REQUIRED: i64 = -32042;

/// The end of a call: the message for the client, and its code if it is an error.
pub struct Said {
    pub message: Vec<u8>,
    pub code: Option<i64>,
}

impl From<Said> for CallOutcome {
    fn from(said: Said) -> Self {
        match said.code {
            Some(code) => CallOutcome::Refused(said.message, code),
            None => CallOutcome::Message(said.message),
        }
    }
}

impl Active {
    /// Whether an answer ends the call: it asks for nothing that has to be got from the client first.
    pub fn is_last_word(&self, body: &[u8], env: &Envelope) -> bool {
        match (self.caller().speech.is_modern(), self.lease.wire().is_modern()) {
            (false, true) => !self.asks_for_input(body, env),
            (true, false) => env.error.is_none() || answer::error_code(body, env) != Some(CONSENT_REQUIRED),
            _ => true,
        }
    }

    /// Whether an answer asks for input.
    pub fn asks_for_input(&self, body: &[u8], env: &Envelope) -> bool {
        answer::result_type(body, env).is_some_and(|kind| kind == mrtr::INPUT_REQUIRED)
    }

    /// The client's answer from the server's; the call is over.
    pub fn answer_message(&mut self, body: &[u8], env: &Envelope) -> Result<Said, UpstreamError> {
        if !answer::is_answer_to(body, env, self.minted()) {
            return Err(UpstreamError::Protocol("its answer belongs to no request of ours".into()));
        }
        let modern_client = self.caller().speech.is_modern();
        let modern_server = self.lease.wire().is_modern();
        if !modern_client && answer::result_type(body, env).is_some_and(|kind| kind != "complete") {
            return Err(UpstreamError::Protocol(
                "it answered in a way that this client's revision does not know".into(),
            ));
        }
        let code = env.error.as_ref().and_then(|_| answer::error_code(body, env));
        if modern_server && matches!(code, Some(-32020 | -32022)) {
            self.look_again();
            return Err(UpstreamError::Protocol(
                "it refused the headers of our request; its tools are listed anew".into(),
            ));
        }
        let resource = self.kind() == Kind::Resource;
        let inside = self.renamed(body, env);
        let edit = AnswerEdit {
            modern_client,
            // A server of 2026-07-28 that forgets it means "complete"; clients may insist on it.
            add_result_type: modern_client,
            add_cache: modern_client && resource && !self.asks_for_input(body, env),
            strip_modern: !modern_client && modern_server,
            server_info: modern_client.then(|| list::server_info().as_bytes()),
            legacy_not_found: !modern_client && resource && exposing::names_resource(body, env),
            inside: &inside,
        };
        let message = answer::rewrite_answer(body, env, &self.ticket.request.id, &edit)
            .map_err(|cause| UpstreamError::Protocol(cause.to_string()))?;
        self.bytes_out += message.len() as u64;
        self.end(match code {
            Some(code) => Outcome::Error(i32::try_from(code).unwrap_or(i32::MIN)),
            None if answer::is_tool_error(body, env) => Outcome::ToolError,
            None => Outcome::Ok,
        });
        let code = code.map(|code| if modern_client && code == -32002 { -32602 } else { code });
        Ok(Said { message, code })
    }

    /// What changes inside the result because clients know it by another name or in another shape.
    fn renamed(&self, body: &[u8], env: &Envelope) -> Edits {
        let mut edits = Edits::new();
        let route = &self.ticket.target.route;
        let modern_client = self.caller().speech.is_modern();
        if route.shows_uris_apart {
            self.renamed_uris(body, env, &mut edits);
        }
        match self.kind() {
            Kind::Tool if !modern_client && self.lease.wire().is_modern() => {
                exposing::structured(body, env, route.wraps_output, &mut edits);
            }
            _ => {}
        }
        if self.may_speak_of_tasks(body, env) {
            exposing::tasks(body, env, |id| self.exposed_task(id), &mut edits);
        }
        edits
    }

    /// Rare: two servers of the workspace have a URI in common.
    fn renamed_uris(&self, body: &[u8], env: &Envelope, edits: &mut Edits) {
        let route = &self.ticket.target.route;
        let Ok(view) = self.ticket.gateway.workspace(self.caller()) else { return };
        let shown = |uri: &str| match self.kind() {
            // What was asked for is answered under the same name.
            Kind::Resource if *uri == *route.upstream_name => Some(route.exposed.to_string()),
            _ => view.resources.shown(route.def.id, &route.def.slug, uri),
        };
        exposing::uris(body, env, &shown, edits);
    }

    fn may_speak_of_tasks(&self, body: &[u8], env: &Envelope) -> bool {
        match self.kind() {
            Kind::Task => true,
            Kind::Tool if self.caller().speech.is_modern() => {
                answer::result_type(body, env).is_some_and(|kind| kind == "task")
            }
            Kind::Tool => member(&env.result_members, body, "task").is_some(),
            _ => false,
        }
    }

    /// A task's id as this client knows it.
    pub(super) fn exposed_task(&self, id: &str) -> String {
        let (key, caller) = (self.ticket.gateway.sessions.key(), self.caller());
        task_id::expose(key, caller.holder(), &self.ticket.target.route.def.slug, id)
    }

    /// The server's schemas are not what we know any more (2026-07-28: the client should list again).
    fn look_again(&self) {
        let (upstreams, def) = (self.ticket.gateway.upstreams.clone(), self.ticket.target.route.def.clone());
        let scope = self.ticket.gateway.vault.scope(self.caller().grant.workspace, def.id);
        actix_rt::spawn(async move {
            if let Err(cause) = upstreams.refresh(&def, scope).await {
                tracing::debug!(server = %def.slug, %cause, "its lists could not be fetched anew");
            }
        });
    }
}

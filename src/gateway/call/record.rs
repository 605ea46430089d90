//! What remains of a call: one row of statistics, one log line, and its spans if traces are exported. Written exactly
//! once, when the call is over; none of it carries arguments, results or credentials. What is not a tool call leaves the
//! log line only.

use std::borrow::Cow;

use parking_lot::Mutex;
use url::Url;

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::CallId,
    },
    error::Error,
    gateway::{
        Caller,
        call::{
            active::Ticket,
            target::{Kind, Target},
        },
        dispatch::Request,
    },
    store::analytics::{Outcome, ToolCallEvent},
    telemetry::otlp::{About, CallTrace, Parent},
};

/// Longest request id that is logged, in bytes: clients choose them.
const ID: usize = 64;
/// Longest name of a tool or method that is logged although there is none, in characters.
const NAME: usize = 128;

/// The record of a call under way.
pub struct Record {
    at: Timestamp,
    begun_ns: u64,
    trace: Option<Box<CallTrace>>,
}

impl Record {
    /// The call begins.
    pub fn begin(ticket: &Ticket) -> Self {
        let tracer = ticket.gateway.tracer.as_ref().filter(|_| ticket.target.kind == Kind::Tool);
        let trace = tracer.map(|tracer| {
            let Ticket { caller, request, target: Target { route, .. }, .. } = ticket;
            let parent = caller.trace.as_ref().map(|trace| Parent {
                trace_id: &trace.trace_id,
                span_id: &trace.parent,
                flags: &trace.flags,
            });
            let url = route.def.spec.url();
            Box::new(tracer.begin(
                parent,
                &About {
                    tool: &route.exposed,
                    upstream_tool: &route.upstream_name,
                    server: &route.def.slug,
                    host: url.and_then(Url::host_str).unwrap_or_default(),
                    port: url.and_then(Url::port_or_known_default).unwrap_or_default(),
                    request_id: &shown(&request.id),
                    revision: caller.speech.label(),
                    client: &caller.client,
                    workspace: &caller.grant.slug,
                    token: &caller.grant.token.to_string(),
                },
            ))
        });
        Record { at: clock::now(), begun_ns: clock::monotonic_ns(), trace }
    }

    /// The call is sent to its server now: the `traceparent` that goes with it, if it belongs to a trace.
    pub fn sending(&mut self, ticket: &Ticket) -> Option<String> {
        match &mut self.trace {
            Some(trace) => Some(trace.sending()),
            None => ticket.caller.trace.as_ref().map(|trace| trace.child()),
        }
    }

    /// The call is over.
    pub fn write(&mut self, ticket: &Ticket, upstream_ns: u64, bytes_out: u64, outcome: Outcome) {
        let Ticket { gateway, caller, request, target: Target { route, kind }, .. } = ticket;
        let event = ToolCallEvent {
            call: CallId::of_call(self.at),
            at: self.at,
            workspace: caller.grant.workspace,
            token: caller.grant.token,
            account: caller.grant.member,
            credential: String::new(),
            client: caller.client.clone(),
            era: caller.speech.label(),
            server: route.def.id,
            server_slug: route.def.slug.clone(),
            tool: route.exposed.clone(),
            outcome,
            latency_us: clock::monotonic_ns().saturating_sub(self.begun_ns) / 1000,
            upstream_us: upstream_ns / 1000,
            bytes_in: request.body.len() as u64,
            bytes_out,
        };
        self.log(ticket, &event);
        if *kind != Kind::Tool {
            return;
        }
        if let Some(trace) = self.trace.take() {
            match outcome {
                Outcome::Ok => trace.end(None),
                Outcome::ToolError => trace.end(Some("tool_error")),
                Outcome::Error(code) => trace.end(Some(&code.to_string())),
            }
        }
        gateway.analytics.record(event);
    }

    /// One line per call. Its fields are made only if somebody wants the line.
    fn log(&self, ticket: &Ticket, event: &ToolCallEvent) {
        let own = || self.trace.as_ref().map(|trace| trace.trace_id());
        tracing::info!(
            target: "aerostack::call",
            call_id = %event.call,
            request_id = &*shown(&ticket.request.id),
            trace_id = own().or_else(|| Some(ticket.caller.trace.as_ref()?.trace_id.clone())),
            method = &*ticket.request.method,
            workspace = &*ticket.caller.grant.slug,
            token = %event.token,
            server = &*event.server_slug,
            tool = &*event.tool,
            outcome = match event.outcome {
                Outcome::Ok => "ok",
                Outcome::ToolError => "tool_error",
                Outcome::Error(_) => "error",
            },
            code = match event.outcome {
                Outcome::Error(code) => Some(code),
                Outcome::Ok | Outcome::ToolError => None,
            },
            duration_ms = event.latency_us as f64 / 1000.0,
            upstream_ms = event.upstream_us as f64 / 1000.0,
            client = &*event.client,
            era = event.era,
            "call"
        );
    }
}

/// Log lines about calls that are refused before they have a server. Whoever hammers on a closed door must not fill the
/// disk: of each second only so many are written, and the next line counts the rest.
pub struct RefusalLines {
    per_second: u32,
    state: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    second: u64,
    written: u32,
    held_back: u64,
}

impl RefusalLines {
    /// At most that many lines a second.
    pub fn new(per_second: u32) -> Self {
        RefusalLines { per_second, state: Mutex::default() }
    }

    /// How many lines were held back since the last one; none: this one is held back too.
    fn admit(&self, now_ns: u64) -> Option<u64> {
        let mut lines = self.state.lock();
        let second = now_ns / 1_000_000_000;
        if lines.second != second {
            *lines = Lines { second, written: 0, ..*lines };
        }
        if lines.written >= self.per_second {
            lines.held_back += 1;
            return None;
        }
        lines.written += 1;
        Some(std::mem::take(&mut lines.held_back))
    }

    /// A call ends before it has a server: unknown tool, too many calls, over its limit.
    pub fn write(&self, caller: &Caller, request: &Request, error: &Error) {
        let Some(held_back) = self.admit(clock::monotonic_ns()) else { return };
        let tool = request.env.param_str(&request.body, "name").unwrap_or_default();
        let short = |text: &str| text.chars().take(NAME).collect::<String>();
        tracing::info!(
            target: "aerostack::call",
            request_id = &*shown(&request.id),
            trace_id = caller.trace.as_ref().map(|trace| &*trace.trace_id),
            workspace = &*caller.grant.slug,
            token = %caller.grant.token,
            method = short(&request.method),
            tool = short(&tool),
            outcome = "refused",
            code = error.code().rpc(),
            reason = error.code().name(),
            client = &*caller.client,
            era = caller.speech.label(),
            held_back = (held_back > 0).then_some(held_back),
            "call"
        );
    }
}

/// A request id as text, without the quotes of a string, not longer than a line bears.
fn shown(id: &[u8]) -> Cow<'_, str> {
    let bare = id.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")).unwrap_or(id);
    String::from_utf8_lossy(bare.get(..ID).unwrap_or(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_a_few_lines_and_a_count() {
        let lines = RefusalLines::new(3);
        let second = 1_000_000_000;
        let written = (0..100).filter(|_| lines.admit(second).is_some()).count();
        assert_eq!(written, 3);
        assert_eq!(lines.admit(2 * second), Some(97));
        assert_eq!(lines.admit(2 * second), Some(0));
        assert_eq!(RefusalLines::new(0).admit(second), None);
    }

    #[test]
    fn a_request_id_of_any_length_stays_short_in_logs() {
        assert_eq!(shown(b"\"a-1\""), "a-1");
        assert_eq!(shown(b"17"), "17");
        assert_eq!(shown(format!("\"{}\"", "x".repeat(500)).as_bytes()).len(), ID);
    }
}

//! Traces of calls, exported as OTLP over HTTP when `telemetry.otlp_endpoint` is set.
//!
//! A call is one SERVER span and, below it, a CLIENT span for each time it is sent to its MCP server. Span ids are made
//! before anything is sent (the server is told them), the spans themselves only when the call is over, in one go: while
//! it runs, a trace is a handful of numbers. Exporting never makes a call wait: spans go into a bounded queue, and what
//! does not fit is dropped. Arguments, results, session ids and header values are never attributes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _},
};

use crate::{
    config::TelemetryConfig,
    domain::{clock, random},
    error::{Error, Result, err},
    telemetry::otlp_client::OtlpClient,
};

/// Spans waiting for export; more are dropped.
const QUEUE: usize = 8192;
/// Spans in one export.
const BATCH: usize = 512;
/// Longest time between a call's end and the export of its spans.
const DELAY: Duration = Duration::from_secs(1);
/// How long one export may take.
const EXPORT: Duration = Duration::from_secs(10);
/// Where a collector takes traces.
const PATH: &str = "/v1/traces";

/// Makes spans of calls and exports them. There is none unless an endpoint is configured.
pub struct Tracer {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    ratio: f64,
}

/// The caller's span, as `traceparent` names it.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// 32 hex digits.
    pub trace_id: &'a str,
    /// 16 hex digits.
    pub span_id: &'a str,
    /// 2 hex digits; bit 0: sampled.
    pub flags: &'a str,
}

/// What a call's spans say about it.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The tool's name in the workspace.
    pub tool: &'a str,
    /// The tool's name at its server.
    pub upstream_tool: &'a str,
    /// The server's slug.
    pub server: &'a str,
    /// Host of the server.
    pub host: &'a str,
    /// Port of the server.
    pub port: u16,
    /// The client's request id, as written.
    pub request_id: &'a str,
    /// The client's revision.
    pub revision: &'static str,
    /// The client's `User-Agent`.
    pub client: &'a str,
    /// The workspace's slug.
    pub workspace: &'a str,
    /// The token's id.
    pub token: &'a str,
}

impl Tracer {
    /// Starts the export, or does nothing if no endpoint is set. `tls` is used for `https` endpoints.
    pub fn start(config: &TelemetryConfig, tls: fn() -> Arc<rustls::ClientConfig>) -> Result<Option<Arc<Tracer>>> {
        if config.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let endpoint = endpoint(&config.otlp_endpoint)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OtlpClient::start(tls(), EXPORT)?)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT)
            .build()
            .map_err(|cause| Error::internal("starting the trace export", cause))?;
        Ok(Some(Arc::new(Tracer::with_exporter(exporter, config))))
    }

    fn with_exporter(
        exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static,
        config: &TelemetryConfig,
    ) -> Self {
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("aerostack").with_version(env!("CARGO_PKG_VERSION")).build();
        Tracer { processor, scope, ratio: config.sample_ratio }
    }

    /// Begins the trace of a call, or goes on with its caller's. A caller's decision to sample is followed.
    pub fn begin(self: &Arc<Self>, parent: Option<Parent<'_>>, about: &About<'_>) -> CallTrace {
        let parent = parent.and_then(|parent| {
            let trace = TraceId::from_hex(parent.trace_id).ok()?;
            let sampled = u8::from_str_radix(parent.flags, 16).ok()? & 1 == 1;
            Some((trace, SpanId::from_hex(parent.span_id).ok()?, sampled))
        });
        let (trace, parent, sampled) = match parent {
            Some((trace, span, sampled)) => (trace, Some(span), sampled),
            None => (TraceId::from(u128::from_be_bytes(random::bytes())), None, self.chosen()),
        };
        let (server_attributes, client_attributes) = if sampled { attributes(about) } else { Default::default() };
        CallTrace {
            tracer: self.clone(),
            trace,
            sampled,
            parent,
            server: span_id(),
            begun: clock::now().into(),
            sent: None,
            tool: about.tool.to_owned(),
            upstream_tool: about.upstream_tool.to_owned(),
            server_attributes,
            client_attributes,
        }
    }

    fn chosen(&self) -> bool {
        let drawn = u32::from_be_bytes(random::bytes());
        f64::from(drawn) < self.ratio * f64::from(u32::MAX) || self.ratio >= 1.0
    }

    /// Exports what is waiting, within `limit`. Blocks; call it where that does no harm.
    pub fn stop(&self, limit: Duration) {
        if let Err(cause) = self.processor.shutdown_with_timeout(limit) {
            tracing::warn!(%cause, "the last traces were not exported");
        }
    }
}

/// The trace of one call under way.
pub struct CallTrace {
    tracer: Arc<Tracer>,
    trace: TraceId,
    sampled: bool,
    parent: Option<SpanId>,
    server: SpanId,
    begun: SystemTime,
    /// The span of the last time it was sent.
    sent: Option<(SpanId, SystemTime)>,
    tool: String,
    upstream_tool: String,
    server_attributes: Vec<KeyValue>,
    client_attributes: Vec<KeyValue>,
}

impl CallTrace {
    /// The trace's id, 32 hex digits.
    pub fn trace_id(&self) -> String {
        self.trace.to_string()
    }

    /// Notes that the call is sent now; the `traceparent` to send with it. Sent again, the time before has failed.
    pub fn sending(&mut self) -> String {
        self.sent_over(Some("session_expired"));
        let span = span_id();
        self.sent = Some((span, clock::now().into()));
        format!("00-{}-{span}-{:02x}", self.trace, u8::from(self.sampled))
    }

    /// The call is over; `error` is what went wrong: a JSON-RPC code, or `tool_error`.
    pub fn end(mut self, error: Option<&str>) {
        self.sent_over(error);
        let attributes = std::mem::take(&mut self.server_attributes);
        let name = format!("tools/call {}", self.tool);
        let (span, parent, begun) = (self.server, self.parent, self.begun);
        self.export(SpanKind::Server, name, (span, parent), begun, attributes, error);
    }

    fn sent_over(&mut self, error: Option<&str>) {
        if let Some((span, begun)) = self.sent.take() {
            let attributes = self.client_attributes.clone();
            let name = format!("tools/call {}", self.upstream_tool);
            self.export(SpanKind::Client, name, (span, Some(self.server)), begun, attributes, error);
        }
    }

    fn export(
        &self,
        kind: SpanKind,
        name: String,
        (span, parent): (SpanId, Option<SpanId>),
        begun: SystemTime,
        mut attributes: Vec<KeyValue>,
        error: Option<&str>,
    ) {
        if !self.sampled {
            return;
        }
        if let Some(error) = error {
            attributes.push(KeyValue::new("error.type", error.to_owned()));
            if error.starts_with('-') {
                attributes.push(KeyValue::new("rpc.response.status_code", error.to_owned()));
            }
        }
        self.tracer.processor.on_end(SpanData {
            span_context: SpanContext::new(self.trace, span, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: kind == SpanKind::Server && parent.is_some(),
            status: error.map_or(Status::Unset, |error| Status::error(error.to_owned())),
            span_kind: kind,
            name: name.into(),
            start_time: begun,
            end_time: SystemTime::from(clock::now()).max(begun),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            instrumentation_scope: self.tracer.scope.clone(),
        });
    }
}

fn span_id() -> SpanId {
    SpanId::from(u64::from_be_bytes(random::bytes()).max(1))
}

/// Attributes of the SERVER and of the CLIENT span (semantic conventions for MCP, status development).
fn attributes(about: &About<'_>) -> (Vec<KeyValue>, Vec<KeyValue>) {
    let said = |key: &'static str, value: &str| KeyValue::new(key, value.to_owned());
    let both = |tool: &str| {
        vec![
            KeyValue::new("mcp.method.name", "tools/call"),
            KeyValue::new("gen_ai.operation.name", "execute_tool"),
            said("gen_ai.tool.name", tool),
            KeyValue::new("network.transport", "tcp"),
            said("aerostack.server", about.server),
        ]
    };
    let mut server = both(about.tool);
    server.extend([
        said("jsonrpc.request.id", about.request_id),
        KeyValue::new("mcp.protocol.version", about.revision),
        said("user_agent.original", about.client),
        said("aerostack.workspace", about.workspace),
        said("aerostack.token", about.token),
    ]);
    let mut client = both(about.upstream_tool);
    client.extend([said("server.address", about.host), KeyValue::new("server.port", Value::I64(about.port.into()))]);
    (server, client)
}

/// `http://collector:4318` means its `/v1/traces`; an URL with a path is taken as it is.
fn endpoint(text: &str) -> Result<String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = url.ok_or_else(|| {
        err::validation(format!("telemetry.otlp_endpoint is not an http:// or https:// URL: {text}"))
            .with_hint("for example: http://127.0.0.1:4318")
    })?;
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_sdk::error::OTelSdkResult;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl opentelemetry_sdk::trace::SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    const ABOUT: About<'static> = About {
        tool: "github__create_issue",
        upstream_tool: "create_issue",
        server: "github-mcp",
        host: "mcp.example",
        port: 443,
        request_id: "7",
        revision: "2025-11-25",
        client: "editor/1",
        workspace: "engineering",
        token: "tok_1",
    };
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn tracer(sample_ratio: f64) -> (Arc<Tracer>, Kept) {
        let kept = Kept::default();
        let config = TelemetryConfig { sample_ratio, ..TelemetryConfig::default() };
        (Arc::new(Tracer::with_exporter(kept.clone(), &config)), kept)
    }

    fn parent(flags: &'static str) -> Option<Parent<'static>> {
        Some(Parent { trace_id: TRACE, span_id: "b7ad6b7169203331", flags })
    }

    #[test]
    fn a_call_is_a_server_span_below_its_caller_and_a_client_span_for_each_time_it_was_sent() {
        let (tracer, kept) = tracer(0.0);
        let mut call = tracer.begin(parent("01"), &ABOUT);
        let (first, second) = (call.sending(), call.sending());
        call.end(Some("-32011"));
        tracer.stop(Duration::from_secs(5));
        let spans = kept.0.lock().unwrap().clone();
        let shape: Vec<_> = spans.iter().map(|span| (span.span_kind.clone(), span.name.to_string())).collect();
        let (server, client) = ("tools/call github__create_issue".to_owned(), "tools/call create_issue".to_owned());
        assert_eq!(shape, [(SpanKind::Client, client.clone()), (SpanKind::Client, client), (SpanKind::Server, server)]);
        for (span, sent) in spans.iter().zip([first, second]) {
            assert_eq!(sent, format!("00-{TRACE}-{}-01", span.span_context.span_id()));
            assert_eq!(span.parent_span_id, spans[2].span_context.span_id());
        }
        assert_eq!(spans[2].parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(spans[2].span_context.trace_id().to_string(), TRACE);
        assert_eq!(spans[2].status, Status::error("-32011"));
        assert_eq!(spans[0].status, Status::error("session_expired"));
    }

    #[test]
    fn a_caller_that_does_not_sample_is_followed_and_the_server_is_told() {
        let (tracer, kept) = tracer(1.0);
        let mut call = tracer.begin(parent("00"), &ABOUT);
        assert!(call.sending().ends_with("-00"));
        call.end(None);
        tracer.stop(Duration::from_secs(5));
        assert_eq!(kept.0.lock().unwrap().len(), 0);
    }

    #[test]
    fn without_a_caller_the_ratio_decides() {
        for (ratio, expected) in [(0.0, 0), (1.0, 2)] {
            let (tracer, kept) = tracer(ratio);
            let mut call = tracer.begin(None, &ABOUT);
            let _told = call.sending();
            call.end(None);
            tracer.stop(Duration::from_secs(5));
            assert_eq!(kept.0.lock().unwrap().len(), expected);
        }
    }

    #[test]
    fn an_endpoint_without_a_path_is_a_collector() {
        assert_eq!(endpoint("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(endpoint("https://x.example/otlp/v1/traces").unwrap(), "https://x.example/otlp/v1/traces");
        assert!(endpoint("127.0.0.1:4318").is_err());
    }
}

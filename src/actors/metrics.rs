//! Metrics for Prometheus. Counted from the batches that the AnalyticsSink handles anyway, so a call pays nothing;
//! states are read when somebody scrapes. No label names a person or a token (cardinality, privacy).

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::{
    actors::{Actors, health::ActorState},
    domain::ids::WorkspaceId,
    store::analytics::{Outcome, ToolCallEvent},
};

/// Upper bounds of the duration histograms, in seconds (OpenTelemetry's, for MCP).
const SECONDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Upper bounds of what we add to a call, in seconds.
const OVERHEAD: [f64; 10] = [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    workspace: String,
    server: String,
    tool: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServerLabels {
    workspace: String,
    server: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ActorLabels {
    actor: String,
}

/// Workspace, server, tool and outcome of calls that are counted together.
type Alike<'e> = (WorkspaceId, &'e str, &'e str, &'static str);

/// Where such calls are counted.
struct Counted {
    calls: Counter,
    duration: Histogram,
    overhead: Histogram,
}

type Seconds = Family<ServerLabels, Histogram, fn() -> Histogram>;

/// Everything that is counted.
pub struct Metrics {
    registry: Mutex<Registry>,
    calls: Family<CallLabels, Counter>,
    durations: Seconds,
    overhead: Seconds,
    streams: Gauge,
    ready: Gauge,
    restarts: Family<ActorLabels, Gauge<i64>>,
    running: Family<ActorLabels, Gauge<i64>>,
    admitted: Gauge<f64, AtomicU64>,
    refused: Gauge<f64, AtomicU64>,
    expiring: Gauge,
    slugs: Mutex<HashMap<WorkspaceId, Arc<str>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("aerostack")),
            calls: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            overhead: Family::new_with_constructor(|| Histogram::new(OVERHEAD)),
            streams: Gauge::default(),
            ready: Gauge::default(),
            restarts: Family::default(),
            running: Family::default(),
            admitted: Gauge::default(),
            refused: Gauge::default(),
            expiring: Gauge::default(),
            slugs: Mutex::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock();
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which build this is", version);
        registry.register("tool_calls", "Tool calls by outcome", self.calls.clone());
        registry.register_with_unit("tool_call_duration", "Whole calls", Unit::Seconds, self.durations.clone());
        registry.register_with_unit(
            "gateway_overhead",
            "What the gateway adds to a call",
            Unit::Seconds,
            self.overhead.clone(),
        );
        registry.register("streams", "Open streams to clients", self.streams.clone());
        registry.register("tokens_expiring", "Tokens that expire soon", self.expiring.clone());
        registry.register("critical_actors_down", "Critical actors that are not running", self.ready.clone());
        registry.register("actor_restarts", "Times an actor was started again", self.restarts.clone());
        registry.register("actor_running", "1: the actor runs", self.running.clone());
        registry.register("requests_admitted", "Requests that fitted into their token's window", self.admitted.clone());
        registry.register("requests_rate_limited", "Requests refused by their token's window", self.refused.clone());
    }

    /// Counts a batch of calls. Most are alike: what they are counted by is looked up once for all of them.
    pub fn observe(&self, batch: &[ToolCallEvent]) {
        let slugs = self.slugs.lock();
        let mut known: HashMap<Alike<'_>, Counted> = HashMap::new();
        for event in batch {
            let alike = (event.workspace, &*event.server_slug, &*event.tool, outcome(event));
            let counted = known.entry(alike).or_insert_with(|| self.counted(&slugs, event));
            counted.calls.inc();
            counted.duration.observe(seconds(event.latency_us));
            counted.overhead.observe(seconds(event.latency_us.saturating_sub(event.upstream_us)));
        }
    }

    /// What a call is counted by.
    fn counted(&self, slugs: &HashMap<WorkspaceId, Arc<str>>, event: &ToolCallEvent) -> Counted {
        let workspace =
            slugs.get(&event.workspace).map_or_else(|| event.workspace.to_string(), |slug| slug.to_string());
        let server = event.server_slug.to_string();
        let labels = CallLabels {
            workspace: workspace.clone(),
            server: server.clone(),
            tool: event.tool.to_string(),
            outcome: outcome(event),
        };
        let calls = self.calls.get_or_create_owned(&labels);
        let labels = ServerLabels { workspace, server };
        Counted {
            calls,
            duration: self.durations.get_or_create_owned(&labels),
            overhead: self.overhead.get_or_create_owned(&labels),
        }
    }

    /// The metrics, in the OpenMetrics text format.
    pub fn render(&self, actors: &Actors) -> String {
        {
            let mut slugs = self.slugs.lock();
            slugs.clear();
            slugs.extend(actors.catalog.load().workspaces.values().map(|view| (view.id, view.slug.clone())));
        }
        self.streams.set(i64::try_from(actors.streams.len()).unwrap_or(i64::MAX));
        self.ready.set(i64::try_from(actors.runtime.board().unready().len()).unwrap_or(i64::MAX));
        self.expiring.set(i64::try_from(actors.tokens.expiring()).unwrap_or(i64::MAX));
        let (admitted, refused) = actors.limiters.totals();
        #[expect(clippy::cast_precision_loss, reason = "a count to look at")]
        {
            self.admitted.set(admitted as f64);
            self.refused.set(refused as f64);
        }
        for report in actors.runtime.board().reports() {
            // One of many would be one label value per token or stream.
            let kind = report.name.split('/').next().unwrap_or_default();
            if matches!(kind, "RateLimiter" | "ClientSession" | "UpstreamLane") {
                continue;
            }
            let labels = ActorLabels { actor: report.name.clone() };
            self.restarts.get_or_create(&labels).set(i64::try_from(report.restarts).unwrap_or(i64::MAX));
            self.running.get_or_create(&labels).set(i64::from(report.state == ActorState::Running));
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry.lock()) {
            Ok(()) => text,
            Err(cause) => {
                tracing::error!(%cause, "the metrics cannot be written");
                String::new()
            }
        }
    }
}

fn outcome(event: &ToolCallEvent) -> &'static str {
    match event.outcome {
        Outcome::Ok => "ok",
        Outcome::ToolError => "tool_error",
        Outcome::Error(_) => "error",
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a call fit easily")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

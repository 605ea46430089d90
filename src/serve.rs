//! Boot and stop, in order, and nothing else.
//!
//! Boot: settings (every problem at once) → logs → sockets → databases and migrations → keys → actors → first start →
//! workers → ready. Stop: not ready → no new connections → calls finish → streams say goodbye → actors drain →
//! databases close. A second signal ends at once.

mod banner;
mod first_start;
mod listen;

use std::{io, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use actix_web::{App, HttpServer, web};
use actix_web_lab::middleware::CatchPanic;
use tokio::signal::unix::{Signal, SignalKind, signal};
use url::Url;

use crate::{
    actors::{
        Actors,
        key_source::{self, ConfiguredKeys},
    },
    admin::{self, Admin},
    cli::{self, ServeArgs, profile},
    config::{Config, Flags},
    demo::{self, Demo},
    domain::clock,
    error::{Error, ErrorCode, Result, err},
    gateway::{self, Gateway, call::park::ParkedCalls, origin::Addressed, resume::Trails, session::Sessions},
    ops::{self, Ops, Readiness},
    protocol::session_id::StateKey,
    telemetry::{self, otlp::Tracer},
    upstream::{self, NetworkPolicy},
    web::{self as web_pages, Docs, Front},
};

/// The process ends with this when its configuration is wrong (sysexits EX_USAGE).
const EXIT_CONFIG: u8 = 64;
/// The database or the key does not fit (EX_CONFIG).
const EXIT_STATE: u8 = 78;
/// An actor that the gateway cannot live without is gone (EX_SOFTWARE).
const EXIT_FATAL: u8 = 70;
/// Another gateway has taken the database over (EX_TEMPFAIL: started again, this one waits for its turn).
const EXIT_TAKEN: i32 = 75;

/// Runs the gateway until it is told to stop.
pub fn run(args: ServeArgs) -> ExitCode {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let demo = args.demo;
    let config = match Config::load(args.config.as_deref(), &environment, flags(&args)) {
        Ok(config) => config,
        Err(error) => return banner::failed(&error, EXIT_CONFIG),
    };
    if let Err(error) = telemetry::init(&config.telemetry) {
        return banner::failed(&error, EXIT_CONFIG);
    }
    let _already = rustls::crypto::ring::default_provider().install_default();
    let served = actix_rt::System::new().block_on(async move {
        let demo = if demo { Some(Demo::prepare().await?) } else { None };
        serve(config, demo).await
    });
    match served {
        Ok(Stopped::Asked) => ExitCode::SUCCESS,
        Ok(Stopped::Fatal) => ExitCode::from(EXIT_FATAL),
        Err(error) => {
            let named = error.data().and_then(|data| data.get("exit_code")?.as_u64()?.try_into().ok());
            let code = named.unwrap_or(if error.code() == ErrorCode::Validation { EXIT_STATE } else { 1 });
            banner::failed(&error, code)
        }
    }
}

fn flags(args: &ServeArgs) -> Flags {
    let mut flags = Flags::new();
    let mut say = |section, key, value: Option<String>| {
        if let Some(value) = value {
            flags.push((section, key, toml::Value::String(value)));
        }
    };
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    say("server", "bind", args.bind.map(|bind| bind.to_string()));
    say("server", "data_dir", path(&args.data_dir));
    say("server", "ops_bind", args.ops_bind.clone());
    say("server", "public_url", args.public_url.clone());
    say("server", "tls_cert", path(&args.tls_cert));
    say("server", "tls_key", path(&args.tls_key));
    say("server", "namespace", args.namespace.clone());
    say("telemetry", "log", args.log.clone());
    let format = args.log_format.and_then(|format| toml::Value::try_from(format).ok());
    say("telemetry", "log_format", format.and_then(|value| value.as_str().map(str::to_owned)));
    flags
}

enum Stopped {
    Asked,
    Fatal,
}

async fn serve(mut config: Config, demo: Option<Demo>) -> Result<Stopped> {
    let begun = clock::instant();
    if let Some(demo) = &demo {
        config.server.data_dir = demo.data_dir();
    }
    let listeners = listen::Listeners::open(&mut config)?;
    let public_url = config.server.public_url().map_err(err::validation)?;
    let policy = Arc::new(NetworkPolicy::new(
        listens_on_loopback_only(&config, &public_url),
        config.upstream.allow_networks.clone(),
    ));
    listeners.addresses().for_each(|address| policy.refuse_listener(address));
    if let Some(demo) = &demo {
        policy.exempt_listener(demo.address());
    }
    // A program of the gateway's own user must not find the API keys that this user's command line has saved.
    config.stdio.hide.extend(profile::folder());
    let config = Arc::new(config);
    key_source::protect_process();
    let keys = ConfiguredKeys::from_environment()?;
    let actors = Arc::new(Actors::start(config.clone(), public_url.clone(), keys, policy).await?);
    let first = first_start::ensure_owner(&actors, demo.is_some()).await?;
    first_start::ensure_folder(&actors)?;
    let servers: Vec<_> = actors.catalog.load().definitions().map(|def| def.id).collect();
    actors.upstreams.host().sweep(&servers);
    actors.reload_programs().await?;

    let tracer = Tracer::start(&config.telemetry, upstream::client::tls_config)?;
    let gateway = web::Data::new(front(&actors, tracer.clone()));
    let readiness = Readiness::default();
    let ops = web::Data::new(Ops { actors: actors.clone(), readiness: readiness.clone() });
    let addressed = Addressed::new(&config.server, &public_url);
    let admin = web::Data::new(Admin::new(actors.clone(), move |request| addressed.check(request)));
    let main = main_server(&config, &listeners, gateway.clone(), ops.clone(), admin)?;
    let operators = ops_server(&listeners, ops)?;
    let handles = [Some(main.handle()), operators.as_ref().map(|server| server.handle())];
    let mut running = tokio::spawn(main);
    let operating = operators.map(tokio::spawn);

    // Heard from here on: who sees that the gateway is ready may stop it at once.
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    readiness.ready();
    banner::ready(&actors, &first, &listeners, begun.elapsed(), demo.is_some());
    warm(&gateway);
    if let Some(demo) = &demo {
        demo::show(demo, &actors, listeners.main()).await?;
    }
    let stopped = tokio::select! {
        () = told_to_stop(signals) => Stopped::Asked,
        cause = actors.runtime.fatal() => { tracing::error!(%cause, "the gateway cannot go on"); Stopped::Fatal }
        // Nothing is finished first: every answer would be given by what this process knows, and that is out of date.
        cause = actors.taken_over() => { tracing::error!(%cause, "the gateway ends at once"); std::process::exit(EXIT_TAKEN) }
        _ = &mut running => Stopped::Fatal,
    };
    readiness.stopping();
    stop(&actors, handles.into_iter().flatten().collect()).await;
    flush(tracer).await;
    tracing::info!("stopped");
    drop((running, operating));
    Ok(stopped)
}

fn listens_on_loopback_only(config: &Config, public_url: &Url) -> bool {
    let public = match public_url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    public && config.server.bind.ip().is_loopback()
}

fn front(actors: &Actors, tracer: Option<Arc<Tracer>>) -> Gateway {
    let key = actors.vault.state_key();
    Gateway {
        scan: (&actors.config.limits).into(),
        addressed: Addressed::new(&actors.config.server, &actors.public_url),
        tokens: actors.tokens.clone(),
        catalog: actors.catalog.clone(),
        upstreams: actors.upstreams.clone(),
        vault: actors.vault.clone(),
        streams: actors.streams.clone(),
        analytics: actors.analytics.clone(),
        tracer,
        sessions: Arc::new(Sessions::new(
            StateKey { version: key.version, key: key.key },
            actors.store.clone(),
            actors.config.limits.session_days,
        )),
        questions: actors.questions.clone(),
        parked: ParkedCalls::default(),
        trails: Trails::new(&actors.config.limits),
        config: actors.config.clone(),
        calls: actors.calls.clone(),
        refusals: gateway::call::RefusalLines::new(actors.config.telemetry.refused_calls_per_second),
        audit: actors.audit.clone(),
    }
}

fn main_server(
    config: &Config,
    listeners: &listen::Listeners,
    gateway: web::Data<Gateway>,
    ops: web::Data<Ops>,
    admin: web::Data<Admin>,
) -> Result<actix_web::dev::Server> {
    let server = &config.server;
    let docs = web::Data::new(Docs::new(cli::command()));
    let http = HttpServer::new(move || {
        let front = gateway.clone();
        let front = Front::new(move || App::new().app_data(front.clone()).configure(gateway::front::configure));
        App::new()
            .wrap(CatchPanic::default())
            .app_data(gateway.clone())
            .app_data(ops.clone())
            .app_data(front)
            .app_data(docs.clone())
            .configure(gateway::front::configure)
            .configure(admin::configure(admin.clone()))
            .configure(web_pages::configure)
            .configure(ops::probes)
            .default_service(web::to(gateway::front::not_served))
    })
    .workers(if server.workers == 0 {
        std::thread::available_parallelism().map_or(1, usize::from)
    } else {
        server.workers
    })
    .backlog(server.backlog)
    .max_connections(server.max_connections)
    .keep_alive(Duration::from_secs(server.keep_alive_seconds))
    .client_request_timeout(Duration::from_secs(server.head_timeout_seconds))
    .client_disconnect_timeout(Duration::from_secs(1))
    // Without it streamed answers stall for 44 ms; without the next, a client that left goes unnoticed.
    .tcp_nodelay(true)
    .h1_allow_half_closed(false)
    .shutdown_timeout(server.shutdown_timeout_seconds)
    .disable_signals();
    let listener = listeners.take_main()?;
    let bound = match listen::tls(config)? {
        None => http.listen(listener),
        Some(tls) => http.listen_rustls_0_23(listener, tls),
    };
    bound.map(HttpServer::run).map_err(|cause| Error::internal("starting the listener", cause))
}

fn ops_server(listeners: &listen::Listeners, ops: web::Data<Ops>) -> Result<Option<actix_web::dev::Server>> {
    let Some(listener) = listeners.operators()? else { return Ok(None) };
    let http =
        HttpServer::new(move || App::new().wrap(CatchPanic::default()).app_data(ops.clone()).configure(ops::configure));
    let bound = http.workers(1).shutdown_timeout(1).disable_signals().listen(listener);
    bound.map(|http| Some(http.run())).map_err(|cause| Error::internal("starting the operators' listener", cause))
}

/// Asks for the tools of every workspace, so that the first editor finds them.
fn warm(gateway: &web::Data<Gateway>) {
    let gateway = gateway.clone().into_inner();
    let wait = Duration::from_secs(gateway.config.upstream.discovery_timeout_seconds);
    actix_rt::spawn(async move {
        let ids: Vec<_> = gateway.catalog.load().workspaces.values().map(|view| view.id).collect();
        for id in ids {
            gateway.warm(id, wait).await;
        }
    });
}

async fn told_to_stop(signals: (io::Result<Signal>, io::Result<Signal>)) {
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("signals cannot be heard; stop the process by hand");
        return std::future::pending().await;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    // The next one means it.
    actix_rt::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        std::process::exit(130);
    });
}

async fn stop(actors: &Actors, servers: Vec<actix_web::dev::ServerHandle>) {
    let server = &actors.config.server;
    tracing::info!("stopping");
    tokio::time::sleep(Duration::from_secs(server.drain_delay_seconds)).await;
    actors.goodbye();
    let finish = futures_util::future::join_all(servers.iter().map(|server| server.stop(true)));
    let limit = Duration::from_secs(server.shutdown_timeout_seconds + 1);
    if tokio::time::timeout(limit, finish).await.is_err() {
        tracing::warn!("calls were still under way at the end of server.shutdown_timeout_seconds");
    }
    actors.drain(Duration::from_secs(5)).await;
}

/// Exports the traces of the last calls.
async fn flush(tracer: Option<Arc<Tracer>>) {
    let Some(tracer) = tracer else { return };
    let flushed = actix_web::rt::task::spawn_blocking(move || tracer.stop(Duration::from_secs(3)));
    if flushed.await.is_err() {
        tracing::warn!("the last traces were not exported");
    }
}
